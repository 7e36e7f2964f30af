# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the Makefiles of the programs and of the library share.  ROOT is the
# top of the source tree, CFLAGS, CPPFLAGS and LDFLAGS are the user's.

VERSION := $(shell sed -n 's/^VERSION := //p' $(ROOT)/Makefile)
PREFIX ?= /usr/local
include $(ROOT)/scripts/paths.mk
INSTALL ?= install

UAPI := $(ROOT)/npheap_module/include/uapi
LIBNPHEAP := $(ROOT)/libnpheap/libnpheap.a

# CC, CFLAGS: clang and -Werror by "make CC=clang WERROR=-Werror".
CFLAGS ?= -O2 -g
CXXFLAGS ?= $(CFLAGS)
WERROR ?=
OUR_FLAGS := -Wall -Wextra $(WERROR) -MMD -MP
OUR_CFLAGS := -std=gnu11 $(OUR_FLAGS)
OUR_CPPFLAGS := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 \
	-I$(ROOT)/libnpheap -I$(UAPI)

%.o: %.c
	$(CC) $(OUR_CPPFLAGS) $(CPPFLAGS) $(OUR_CFLAGS) $(CFLAGS) -c -o $@ $<

%.o: %.cc
	$(CXX) $(OUR_CPPFLAGS) $(CPPFLAGS) -std=gnu++20 $(OUR_FLAGS) $(CXXFLAGS) \
		-c -o $@ $<

.DELETE_ON_ERROR:
-include $(wildcard *.d)
