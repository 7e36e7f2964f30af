// SPDX-License-Identifier: GPL-2.0-or-later
//
// What user space can write at any time is read once and written whole: a second
// look may find something else.  And the lock of a record is taken by its own
// functions, which wake up whom they have to when they let go of it.

@initialize:python@
@@
def flag(place, what):
    print("%s:%s: %s" % (place[0].file, place[0].line, what))

@marked@
struct npheap_record *record;
struct npheap_epoch *epoch;
identifier member;
identifier access =~ "^(READ_ONCE|WRITE_ONCE|xchg|cmpxchg|try_cmpxchg|smp_store_release|smp_load_acquire|offsetof)$";
position p;
@@
access(\(record->member@p\|&record->member@p\|epoch->member@p\|&epoch->member@p\), ...)

@plain@
struct npheap_record *record;
struct npheap_epoch *epoch;
identifier member;
position p != marked.p;
@@
\(record->member@p\|epoch->member@p\)

@script:python@
p << plain.p;
@@
flag(p, "plain access to memory that user space shares")

@raw@
struct npheap_lock *rec;
identifier function =~ "^spin_(lock|unlock|trylock)$";
position p;
@@
function@p(&rec->lock, ...)

@script:python@
p << raw.p;
@@
if not p[0].file.endswith("record.h"):
    flag(p, "not npheap_rec_lock() or npheap_rec_unlock()")
