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
WERROR ?=
OUR_CFLAGS := -std=gnu11 -Wall -Wextra $(WERROR) -MMD -MP
OUR_CPPFLAGS := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 \
	-I$(ROOT)/libnpheap -I$(UAPI)

%.o: %.c
	$(CC) $(OUR_CPPFLAGS) $(CPPFLAGS) $(OUR_CFLAGS) $(CFLAGS) -c -o $@ $<

.DELETE_ON_ERROR:
-include $(wildcard *.d)
