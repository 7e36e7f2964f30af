// SPDX-License-Identifier: GPL-2.0-or-later
/* What shared.cocci has to flag, line by line, and nothing else. */

#include "record.h"

bool looks_twice(struct npheap_record *record, u64 expected)
{
	u64 word = READ_ONCE(record->word);

	if (record->word != expected)			/* flagged */
		return false;
	cmpxchg(&record->word, word, expected);
	return xchg(&record->event, 0) == word;
}

void writes_in_parts(struct npheap_lock *rec, struct npheap_epoch *epoch)
{
	WRITE_ONCE(rec->shared->size, 0);
	rec->shared->size = 4096;			/* flagged */
	epoch->epoch++;					/* flagged */
}

void forgets_whom_to_wake(struct npheap_lock *rec)
{
	spin_lock(&rec->lock);				/* flagged */
	rec->readers++;
	spin_unlock(&rec->lock);			/* flagged */
	spin_lock(&rec->heap->user_lock);
	spin_unlock(&rec->heap->user_lock);
}
