// SPDX-License-Identifier: GPL-2.0-or-later
//
// What user space causes to be allocated is charged to its memory cgroup, and no
// allocation may be made to succeed for ever: only what a heap has once, from its
// first to its last day, is the kernel's own.

@initialize:python@
@@
import re

def flag(place, function, arguments):
    flags = str(arguments)
    if re.search(r"init$", place[0].current_element):
        return
    if re.search(r"GFP_KERNEL\b(?!.*__GFP_ACCOUNT)|NOFAIL", flags):
        print("%s:%s: %s is charged to nobody, or cannot fail" %
              (place[0].file, place[0].line, function))

@allocation@
expression list arguments;
identifier f =~ "alloc|^xa_|^kmemdup|^kstrdup|^kasprintf";
position p;
@@
f@p(arguments)

@script:python@
p << allocation.p;
f << allocation.f;
arguments << allocation.arguments;
@@
# Its slab is SLAB_ACCOUNT.
if f != "alloc_inode_sb":
    flag(p, f, arguments)
