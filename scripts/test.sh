#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The classic round: load the module, run the benchmark, merge the logs,
# validate, unload; and that for each number of processes.  Prints Pass.
#
# usage: test.sh [PROCESSES]...		(default: 4 64)
#
# Runs as root on a machine that can load the module, and loads it anew for
# each round: whatever the heap held is gone.  From the environment:
#	NPHEAP_KO	the module (default: the one that modprobe finds)
#	OBJECTS		keys that the processes share (default: 64)
#	MAX_SIZE	longest content in bytes (default: 16384)
set -eu

objects=${OBJECTS:-64}
max_size=${MAX_SIZE:-16384}
top=$(cd "$(dirname "$0")/.." && pwd)
PATH=$top/benchmark:$top/validate:$PATH:/usr/sbin:/sbin

unload() {
	if [ -d /sys/module/npheap ]; then
		rmmod npheap
	fi
}

load() {
	unload
	if [ -n "${NPHEAP_KO:-}" ]; then
		insmod "$NPHEAP_KO"
	else
		modprobe npheap
	fi
}

# Of a round that fails, the trace is what tells why.
clean_up() {
	status=$?
	cd /
	unload || status=1
	if [ "$status" -eq 0 ]; then
		rm -rf "$scratch"
	else
		echo "test.sh: failed; see $scratch" >&2
	fi
	exit "$status"
}

classic_round() {
	mkdir "$scratch/$1"
	cd "$scratch/$1"
	load
	benchmark "$objects" "$max_size" "$1" >&2
	sort -n -k 3 npheap.*.log >trace
	validate "$objects" "$max_size"
	unload
	cd "$scratch"
	rm -rf "${scratch:?}/$1"
}

scratch=$(mktemp -d)
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

if [ $# -eq 0 ]; then
	set -- 4 64
fi
for processes in "$@"; do
	classic_round "$processes"
done
