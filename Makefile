# SPDX-License-Identifier: GPL-2.0-or-later
#
# NP-Heap.  Everything is done in the directories and scripts; "make help"
# says what there is.

VERSION := 1.0.0

# The kernel that "module" and "install" build for.
KDIR ?= /lib/modules/$(shell uname -r)/build

include scripts/paths.mk

all: lib tools examples benchmarks validators

help:
	@echo 'make              the library, the tool, the benchmarks, the validator and tests'
	@echo 'make demo         set up, build, and show the heap at work'
	@echo 'make check        set up, build, and run the tests; ALL=1 for those, too, that take'
	@echo '                  minutes on slow kernels, and those of scripts/vm'
	@echo 'make check-all    all of them, and first build the debug kernel'
	@echo '                  HOST=1 for these: use this machine'"'"'s own kernel'
	@echo 'make faults       fail each allocation and user copy of each call once'
	@echo 'make fuzz         ten million calls with any arguments, guided by coverage, on'
	@echo '                  the debug kernel; CALLS= for another number'
	@echo 'make fuzz-library random contents of the shared table, for libnpheap'
	@echo 'make coverage     what of the module and the library the tests reach'
	@echo 'make torture      all tests and a million random operations, checked, on the debug'
	@echo '                  kernel; data races; 30,000 threads (hours; STEPS= for some)'
	@echo 'make kunit        the module'"'"'s own tests, on the debug kernel'
	@echo 'make histories    calls of several processes, some killed, put in order'
	@echo 'make mutants      put one bug after the other in: a test has to fail (hours)'
	@echo 'make sanitize     library, tool and tests with ASan, UBSan and TSan'
	@echo 'make third-party  fio, stress-ng, trinity on the device (debug kernel)'
	@echo 'make module       npheap.ko for the kernel of KDIR= (default: this one)'
	@echo 'make install      library, headers, tools, and the module where the kernel'
	@echo '                  headers are there: DESTDIR= PREFIX= LIBDIR= KDIR='
	@echo 'make uninstall    undo make install'
	@echo 'make bench-instructions   NP-Heap and its peers, in instructions (14 minutes)'
	@echo 'make bench        the same in wall time, of which the ratios mean something'
	@echo 'make bench-host   the same on this machine'
	@echo 'make bench-results   benchmark/RESULTS.md and its plots, of what was measured'
	@echo 'make bench-check  fail where NP-Heap has become slower beside its peers'
	@echo '                  KERNEL=6.12 for bench, bench-instructions and bench-check'
	@echo 'make lib, tools, examples, benchmarks, validators   one of the parts'
	@echo 'make man          the manual pages, in build/man'
	@echo 'make deb          Debian packages, in build/deb'
	@echo 'make package-test install, upgrade and purge them in a Debian of their own'
	@echo 'make sign KEY= CERT=   sign npheap.ko of KDIR= for Secure Boot'
	@echo 'make lint         static checks of everything'
	@echo 'make clean        remove what was built in the source directories'

lib:
	$(MAKE) -C libnpheap

tools: lib
	$(MAKE) -C libnpheap/tools

examples: lib
	$(MAKE) -C libnpheap/examples

man:
	$(MAKE) -C docs/man

benchmarks: lib
	$(MAKE) -C benchmark

validators: lib benchmarks
	$(MAKE) -C validate

module:
	$(MAKE) -C npheap_module KDIR=$(abspath $(KDIR))

demo:
	scripts/setup
	$(MAKE) all
	scripts/demo

# The kernel that is measured on, a name of scripts/kernel.
KERNEL ?= 6.1
BENCH = scripts/setup --benchmark && $(MAKE) benchmarks && scripts/bench

bench-instructions:
	$(BENCH) --instructions --kernel $(KERNEL)

bench:
	$(BENCH) --time --kernel $(KERNEL)

bench-host: benchmarks
	scripts/bench --host

bench-results:
	scripts/setup
	scripts/bench --results

bench-check:
	$(BENCH) --check --kernel $(KERNEL)

check:
	scripts/setup
	$(MAKE) all
	scripts/check

check-all:
	scripts/setup
	scripts/kernel --build debug
	$(MAKE) all
	ALL=1 scripts/check

# On the debug kernel: where memory and user copies fail, one after the other.
faults: all
	scripts/vm --kernel debug --leaks --timeout 3000 -- \
		$(CURDIR)/validate/test_faults --all

# What was about to run when the kernel died is in build/fuzz then, for
# validate/fuzz --replay; so is the corpus of what took new paths.
CALLS ?= 10000000
fuzz: all
	scripts/vm --kernel debug --leaks --append panic_on_warn=1 \
		--timeout 86400 --out $(CURDIR)/build/fuzz -- $(CURDIR)/validate/fuzz \
		--calls $(CALLS) --corpus $(CURDIR)/validate/fuzz.corpus \
		--save /run/out/corpus

# Inputs that reach something new stay in build/fuzz-library/inputs; "make -C validate
# libfuzzer_corpus" makes validate/libfuzzer.corpus of them.
fuzz-library:
	$(MAKE) -C validate libfuzzer_table libfuzzer_inputs
	cd build/fuzz-library && $(CURDIR)/validate/libfuzzer_table \
		-max_total_time=60 inputs

# On the debug kernel; fails where a gap has no reason in validate/unreached.
coverage:
	scripts/setup --coverage
	scripts/coverage

# Bugs that the tests have to notice.  A run that was stopped goes on.
mutants: all
	scripts/setup --mutants
	scripts/mutants
	scripts/mutants --generated

# Clean of what sanitizers find; in a guest, as the tests need the device.
sanitize:
	scripts/setup
	scripts/sanitize

third-party: all
	scripts/setup --third-party
	scripts/third-party

# The module's own tests, on the debug kernel.
kunit: all
	scripts/check --kunit

# Histories of a few calls by several processes, some killed: linearizable?
histories: all
	scripts/vm --timeout 900 -- $(CURDIR)/validate/torture --history \
		--seconds 300

# Hours on a slow machine; STEPS="stress threads" for some of it.
torture: all
	scripts/setup
	scripts/torture $(STEPS)

# The module belongs to one kernel: it is installed where that kernel's build
# directory is there, and left out with a word where it is not.  After an
# install into the system's own directories, run ldconfig.
install: lib
	$(MAKE) -C libnpheap install
	$(MAKE) -C docs/man install
	$(MAKE) -C libnpheap/tools install
	$(MAKE) -C benchmark install
	$(MAKE) -C validate install
	@if [ -e "$(KDIR)/include/config/kernel.release" ]; then \
		$(MAKE) modules_install; \
	else \
		echo; \
		echo "The module was left out: no kernel headers in $(KDIR)."; \
		echo "Install them and come again, or name a kernel's build directory:"; \
		echo "    apt-get install linux-headers-$$(uname -r)"; \
		echo "    make modules_install KDIR=/usr/src/linux-headers-RELEASE"; \
	fi

modules_install: module
	$(MAKE) -C npheap_module modules_install KDIR=$(abspath $(KDIR)) \
		INSTALL_MOD_PATH=$(DESTDIR)

uninstall:
	$(MAKE) -C libnpheap uninstall
	$(MAKE) -C docs/man uninstall
	$(MAKE) -C libnpheap/tools uninstall
	$(MAKE) -C benchmark uninstall
	$(MAKE) -C validate uninstall

clean:
	$(MAKE) -C libnpheap clean
	$(MAKE) -C libnpheap/examples clean
	$(MAKE) -C docs/man clean
	$(MAKE) -C libnpheap/tools clean
	$(MAKE) -C benchmark clean
	$(MAKE) -C validate clean

lint:
	scripts/lint

deb:
	scripts/setup --packages
	$(MAKE) -C packaging deb

sign:
	$(MAKE) -C packaging sign KDIR=$(abspath $(KDIR)) \
		KEY=$(abspath $(KEY)) CERT=$(abspath $(CERT))

package-test:
	scripts/setup --packages
	validate/package-test

.PHONY: all help lib tools examples man benchmarks validators module demo \
	bench bench-host bench-instructions bench-results bench-check check \
	check-all faults fuzz fuzz-library histories kunit sanitize \
	third-party torture install \
	modules_install uninstall deb sign package-test clean lint coverage mutants
