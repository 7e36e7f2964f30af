// SPDX-License-Identifier: GPL-2.0-or-later
//
// Sleeping locks that mmap, munmap and faults take: whoever holds one does not
// touch user memory, which would fault, nor the address space, nor wait for what
// another thread has yet to do, nor allocate with a reclaim that is free to do
// anything.  A fault allocates its page under two of them, by a function of its
// own (npheap_memory_fill()), and npheap_object_resize() waits in naps of fixed
// length, which end.

@initialize:python@
@@
import re

def flag(place, function, arguments):
    if re.search("alloc|^xa_", function) and not re.search(
            "GFP_(KERNEL|USER|HIGHUSER)", str(arguments)):
        return
    print("%s:%s: %s under a lock that faults take" %
          (place[0].file, place[0].line, function))

@held exists@
expression lock;
expression list arguments;
statement S;
identifier try =~ "^(filemap_invalidate_trylock(_shared)?|i_mmap_trylock_(read|write)|mmap_(read|write)_trylock)$";
identifier killable =~ "^mmap_(read|write)_lock_killable$";
identifier take =~ "^(filemap_invalidate_lock(_shared)?|i_mmap_lock_(read|write)|mmap_(read|write)_lock)$";
identifier give =~ "^(filemap_invalidate_unlock(_shared)?|i_mmap_unlock_(read|write)|mmap_(read|write)_unlock)$";
identifier f =~ "^(USER|vm_mmap|vm_munmap|WAIT)$|alloc|^xa_";
position p;
@@
(
take(lock);
|
if (!try(lock)) S
|
if (killable(lock)) S
)
... when != give(lock)
    when any
f@p(arguments)

@script:python@
p << held.p;
f << held.f;
arguments << held.arguments;
@@
flag(p, f, arguments)

@member exists@
expression heap;
expression list arguments;
statement S;
identifier take =~ "^(mutex_lock|down_(read|write))(_nested)?$";
identifier try =~ "^(mutex_trylock|down_(read|write)_trylock)$";
identifier killable =~ "^(mutex_lock|down_(read|write))_(killable|interruptible)$";
identifier give =~ "^(mutex_unlock|up_(read|write))$";
identifier f =~ "^(USER|vm_mmap|vm_munmap|WAIT)$|alloc|^xa_";
position p;
@@
(
take(&heap->deleted_mutex, ...);
|
take(&heap->fill_sem, ...);
|
if (!try(&heap->deleted_mutex)) S
|
if (!try(&heap->fill_sem)) S
|
if (killable(&heap->deleted_mutex)) S
|
if (killable(&heap->fill_sem)) S
)
... when != give(&heap->deleted_mutex)
    when != give(&heap->fill_sem)
    when any
f@p(arguments)

@script:python@
p << member.p;
f << member.f;
arguments << member.arguments;
@@
flag(p, f, arguments)
