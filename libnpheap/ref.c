// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Locks by a reference, which remembers what is known of its key: no session
 * and no binding has to be found.
 */
#include "session.h"

/*
 * What the reserved words of a reference hold: what @thread knew of the key,
 * for as long as the word at @epoch_now is @epoch.
 */
struct memory {
	uint64_t thread;
	struct npheap_record *record;
	uint64_t unlocked;
	uint64_t owner;
	const __u64 *epoch_now;
	uint64_t epoch;
} __attribute__((may_alias));

_Static_assert(sizeof(struct memory) <=
	       sizeof(((struct npheap_ref *)0)->reserved), "ABI");

static inline struct memory *memory_of(struct npheap_ref *ref)
{
	return (struct memory *)ref->reserved;
}

static inline bool ref_known(struct npheap_ref *ref, struct target *t)
{
	const struct memory *m = memory_of(ref);

	if (unlikely(m->thread != npheap_thread) ||
	    unlikely(__atomic_load_n(m->epoch_now, __ATOMIC_ACQUIRE) !=
		     m->epoch))
		return false;
	t->record = m->record;
	atomic_signal_fence(memory_order_seq_cst);
	t->unlocked = m->unlocked;
	t->owner = m->owner;
	atomic_signal_fence(memory_order_seq_cst);
	/* A handler may have written to it. */
	return likely(m->record == t->record);
}

/*
 * Keeps what the call that was just made has found out.  A handler leaves alone
 * what its caller is writing.
 */
static void ref_remember(struct npheap_ref *ref)
{
	struct session *s = session_known(npheap_fd(ref->heap));
	struct memory *m = memory_of(ref);
	struct target t;

	if (!s || s->writing)
		return;
	write_begin(s);
	m->thread = 0;
	atomic_signal_fence(memory_order_seq_cst);
	m->epoch_now = &s->epoch_now->epoch;
	m->epoch = s->epoch;
	if (binding_known(s, ref->key, &t)) {
		m->record = t.record;
		m->unlocked = t.unlocked;
		m->owner = t.owner;
		atomic_signal_fence(memory_order_seq_cst);
		m->thread = npheap_thread;
	}
	atomic_signal_fence(memory_order_seq_cst);
	write_end(s);
}

static __attribute__((noinline)) int acquire_slowly(struct npheap_ref *ref,
						    unsigned int flags,
						    uint64_t deadline)
{
	int rc = npheap_acquire_with(ref->heap, ref->key, flags, deadline);

	ref_remember(ref);
	return rc;
}

static inline bool ref_take(struct npheap_ref *ref)
{
	struct target t;

	return ref_known(ref, &t) && likely(target_swap(&t, 0, t.owner));
}

NPHEAP_API int npheap_ref_acquire(struct npheap_ref *ref)
{
	return likely(ref_take(ref)) ? 0 :
				       acquire_slowly(ref, 0, NPHEAP_FOREVER);
}

NPHEAP_API int npheap_ref_acquire_with(struct npheap_ref *ref,
				       unsigned int flags, uint64_t deadline)
{
	/* The only flag that makes no difference to a lock that is free. */
	if (!(flags & ~NPHEAP_TRY) && likely(ref_take(ref)))
		return 0;
	return acquire_slowly(ref, flags, deadline);
}

static __attribute__((noinline)) int release_slowly(struct npheap_ref *ref)
{
	int rc = npheap_release(ref->heap, ref->key);

	ref_remember(ref);
	return rc;
}

NPHEAP_API int npheap_ref_release(struct npheap_ref *ref)
{
	struct target t;

	if (ref_known(ref, &t) && likely(target_swap(&t, t.owner, 0)))
		return 0;
	return release_slowly(ref);
}
