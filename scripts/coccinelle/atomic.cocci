// SPDX-License-Identifier: GPL-2.0-or-later
//
// Nothing sleeps, copies from or to user space, or allocates memory in a way that
// may wait for it, under RCU, a spinlock or the lock of a record: mmap and faults
// take these, too.  SLEEPS stands for what sleeps, of the kernel and of the module;
// scripts/lint fills it in.

@initialize:python@
@@
import re

def flag(place, function, arguments):
    if re.search("alloc|^xa_", function) and not re.search(
            "GFP_(KERNEL|USER|HIGHUSER)", str(arguments)):
        return
    print("%s:%s: %s may sleep here" %
          (place[0].file, place[0].line, function))

@spin exists@
expression spinlock;
identifier f =~ "^(SLEEPS)$|alloc|^xa_";
expression list arguments;
position p;
@@
spin_lock(spinlock);
... when != spin_unlock(spinlock)
    when any
f@p(arguments)

@script:python@
p << spin.p;
f << spin.f;
arguments << spin.arguments;
@@
flag(p, f, arguments)

@rcu exists@
identifier f =~ "^(SLEEPS)$|alloc|^xa_";
expression list arguments;
position p;
@@
rcu_read_lock();
... when != rcu_read_unlock()
    when any
f@p(arguments)

@script:python@
p << rcu.p;
f << rcu.f;
arguments << rcu.arguments;
@@
flag(p, f, arguments)

// A function that is called with a record locked may return without the lock.
@locked exists@
expression rec;
identifier release =~ "^(npheap_rec_(unlock|put)|rec_(evict|release|mark|try_later)|reader_release|owner_take|lock_(taken|rec)|waiter_wait)$";
identifier f =~ "^(SLEEPS)$|alloc|^xa_";
expression list arguments;
position p;
@@
(
npheap_rec_lock(rec);
|
lockdep_assert_held(&rec->lock);
)
... when != release(..., rec, ...)
    when any
f@p(arguments)

@script:python@
p << locked.p;
f << locked.f;
arguments << locked.arguments;
@@
flag(p, f, arguments)

@found exists@
identifier rec;
type T;
statement S;
identifier find =~ "^npheap_rec_(find|get|bind)$";
identifier release =~ "^(npheap_rec_(unlock|put)|rec_(evict|release|mark|try_later)|reader_release|owner_take|lock_(taken|rec)|waiter_wait)$";
identifier f =~ "^(SLEEPS)$|alloc|^xa_";
expression list arguments;
position p;
@@
(
T rec = find(...);
|
rec = find(...);
)
... when != release(..., rec, ...)
(
if (IS_ERR(rec) || ...) S
|
if (!rec) S
)
... when != release(..., rec, ...)
    when any
f@p(arguments)

@script:python@
p << found.p;
f << found.f;
arguments << found.arguments;
@@
flag(p, f, arguments)
