# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# bash completion of npheap(1)

# Keys that there are, as far as one may know; never all of millions.
_npheap_keys() {
	[ -n "$1" ] || [ "$(cat /sys/class/misc/npheap/objects 2>/dev/null || echo 0)" -lt 1000 ] || return
	npheap ls --raw --noheadings --output KEY 2>/dev/null |
		grep -m 200 "^$1"
}

# What an option's value may be; fails where the option has none.
_npheap_value() {
	case $1:$2 in
	ls:-o | ls:--output | stat:-o | stat:--output)
		echo 'KEY SIZE MAX-SIZE RESIDENT MAPPINGS CREATOR UID USER HOLDER COMMAND WAITERS READERS MARKED AGE CREATED GENERATION FLAGS SEALS'
		;;
	watch:-e | watch:--events)
		echo 'notify size delete death'
		;;
	top:-s | top:--sort)
		echo 'KEY SIZE OPS/S FAULTS/S MAPS/S LOCKS/S WAITS/S HOLDER WAITERS READERS PID HOLDS KEYS'
		;;
	*:-w | *:--timeout | *:-m | *:--max-size | get:-s | get:--size | \
		*:-E | *:--conflict-exit-code | watch:-c | watch:--count | \
		top:-c | top:--count | top:-d | top:--delay) ;;
	*)
		return 1
		;;
	esac
}

_npheap_options() {
	local table='--json --bytes --noheadings --output --output-all --raw'
	local wait='--nonblock --timeout'

	case $1 in
	ls) echo "$table --locks" ;;
	stat) echo "$table" ;;
	put) echo "$wait --replace --sparse --max-size" ;;
	get) echo "$wait --no-lock --size" ;;
	cat) echo "$wait --no-lock" ;;
	rm | resize | unlock) echo --force ;;
	lock) echo "$wait --shared --exclusive --conflict-exit-code" ;;
	watch) echo '--events --count --timeout --json' ;;
	top) echo '--delay --sort --processes --batch --count' ;;
	doctor) echo '--quiet --json --sysroot' ;;
	esac
	echo --help
}

_npheap() {
	local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}
	local values i arguments=0

	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W 'ls stat put get cat rm resize lock unlock watch top doctor --help --version' -- "$word")
		return
	fi
	if values=$(_npheap_value "$command" "${COMP_WORDS[COMP_CWORD - 1]}"); then
		mapfile -t COMPREPLY < <(compgen -W "$values" -- "$word")
		return
	fi
	if [ "${COMP_WORDS[COMP_CWORD - 1]}" = --sysroot ]; then
		mapfile -t COMPREPLY < <(compgen -d -- "$word")
		return
	fi
	for ((i = 2; i < COMP_CWORD; i++)); do
		[ "${COMP_WORDS[i]:0:1}" = - ] ||
			_npheap_value "$command" "${COMP_WORDS[i - 1]}" >/dev/null ||
			arguments=$((arguments + 1))
	done
	case $command:$arguments in
	*:0) ;;
	lock:*)
		# What comes after the key is a command and its arguments.
		mapfile -t COMPREPLY < <(compgen -c -f -- "$word")
		return
		;;
	put:1 | get:1)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	esac
	if [ "${word:0:1}" = - ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_npheap_options "$command")" -- "$word")
	elif [ "$command" != ls ] && [ "$command" != top ] && [ "$command" != doctor ]; then
		mapfile -t COMPREPLY < <(_npheap_keys "$word")
	fi
}

complete -o filenames -F _npheap npheap
