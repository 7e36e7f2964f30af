// SPDX-License-Identifier: GPL-2.0-or-later
//
// Who gets a reference, or a locked record, gives it back on every path, returns
// it, or stores it somewhere.  Where that fails a caller sees a leak, or a lock
// that is never released.  A page may be handed on in place of its folio.

@initialize:python@
@@
import re

def flag(place, name, result=""):
    if not re.search(r"\b%s\b" % name, result):
        print("%s:%s: %s is not released" % (place[0].file, place[0].line, name))

@returns exists@
identifier x;
expression stored, result;
statement S;
type T;
identifier get =~ "^(npheap_(object|user|rec)_(get|find|bind)|npheap_(object_)?(file|open)|object_(get|find|new|begin)|get_object|table_file|process_(get|new)|table_page_new|filemap_(get|lock)_folio|folio_across|get_task_struct)$";
identifier put =~ "_put$|^(fput|iput|kfree|npheap_rec_unlock|object_abandon|table_page_free|try_split|folio_file_page|lock_rec|rec_(release|mark)|reader_release)$";
position p;
@@
(
T x = get(...);
|
x = get(...);
)
... when != put(..., x, ...)
(
if (IS_ERR(x) || ...) S
|
if (!x) S
)
... when != put(..., x, ...)
    when != stored = x
    when any
return@p result;

@script:python@
p << returns.p;
x << returns.x;
result << returns.result;
@@
flag(p, x, result)

@falls exists@
identifier x, function;
expression stored;
statement S;
type T;
identifier get =~ "^(npheap_(object|user|rec)_(get|find|bind)|npheap_(object_)?(file|open)|object_(get|find|new|begin)|get_object|table_file|process_(get|new)|table_page_new|filemap_(get|lock)_folio|folio_across|get_task_struct)$";
identifier put =~ "_put$|^(fput|iput|kfree|npheap_rec_unlock|object_abandon|table_page_free|try_split|folio_file_page|lock_rec|rec_(release|mark)|reader_release)$";
position p;
@@
void function(...)
{
... when any
(
T x = get@p(...);
|
x = get@p(...);
)
... when != put(..., x, ...)
(
if (IS_ERR(x) || ...) S
|
if (!x) S
)
... when != put(..., x, ...)
    when != stored = x
    when any
}

@script:python@
p << falls.p;
x << falls.x;
@@
flag(p, x)
