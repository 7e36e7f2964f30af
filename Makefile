# SPDX-License-Identifier: GPL-2.0-or-later
#
# NP-Heap.  Everything is done in the directories and scripts; "make help"
# says what there is.

VERSION := 1.0.0

all: lib bench validators

help:
	@echo 'make              the library, the benchmarks, the validator and tests'
	@echo 'make demo         set up, build, and show the heap at work'
	@echo 'make check        set up, build, and run every test'
	@echo 'make check-all    the same, and first build the debug kernel'
	@echo '                  HOST=1 for these: use this machine'"'"'s own kernel'
	@echo 'make module       npheap.ko for the kernel of KDIR= (default: this one)'
	@echo 'make install      library, headers and tools: DESTDIR= PREFIX= LIBDIR='
	@echo 'make modules_install  npheap.ko for the kernel of KDIR='
	@echo 'make uninstall    undo make install'
	@echo 'make lib, bench, validators   one of the parts'
	@echo 'make lint         static checks of everything'
	@echo 'make clean        remove what was built in the source directories'

lib:
	$(MAKE) -C libnpheap

bench: lib
	$(MAKE) -C benchmark

validators: lib
	$(MAKE) -C validate

module:
	$(MAKE) -C npheap_module

demo:
	scripts/setup
	$(MAKE) all
	scripts/demo

check:
	scripts/setup
	$(MAKE) all
	scripts/check

check-all:
	scripts/setup
	scripts/kernel --build debug
	$(MAKE) all
	scripts/check

# The module is no part of this: it belongs to one kernel, the rest to all.
# After an install into the system's own directories, run ldconfig.
install: lib
	$(MAKE) -C libnpheap install
	$(MAKE) -C benchmark install
	$(MAKE) -C validate install

modules_install:
	$(MAKE) -C npheap_module modules_install

uninstall:
	$(MAKE) -C libnpheap uninstall
	$(MAKE) -C benchmark uninstall
	$(MAKE) -C validate uninstall

clean:
	$(MAKE) -C libnpheap clean
	$(MAKE) -C benchmark clean
	$(MAKE) -C validate clean

lint:
	scripts/lint

.PHONY: all help lib bench validators module demo check check-all install \
	modules_install uninstall clean lint
