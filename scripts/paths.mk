# SPDX-License-Identifier: GPL-2.0-or-later
#
# Where things are installed.  Each Makefile would take a relative path from its
# own directory, and scatter the files.

ifneq ($(filter %install install-%,$(MAKECMDGOALS)),)
$(foreach name,DESTDIR PREFIX LIBDIR INCLUDEDIR MANDIR,\
	$(if $(filter-out /%,$($(name))),\
		$(error $(name)=$($(name)) has to be an absolute path)))
endif
