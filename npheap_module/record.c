// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lock records: how a key gets one, which threads know it, and when it goes.
 *
 * A record is the kernel's struct npheap_lock and a struct npheap_record in the
 * table that is shared with user space.  It is kept while it is in use or a
 * living thread knows it; those that are merely known may be taken back.
 */
#include "record.h"

#include <linux/proc_fs.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>

/*
 * Records that nobody uses are kept for who may return: as many as there are
 * objects, or this number.
 */
#define NPHEAP_IDLE_LOCKS 65536
#define NPHEAP_EVICT_SCAN 4

const struct rhashtable_params npheap_lock_params = {
	.key_len = sizeof(u64),
	.key_offset = offsetof(struct npheap_lock, key),
	.head_offset = offsetof(struct npheap_lock, node),
	.automatic_shrinking = true,
};

/* -------------------------------------------------------------- eviction -- */

static bool rec_idle(const struct npheap_lock *rec)
{
	return !rec->pins && !rec->marked && !rec->lost && !rec->waiters &&
	       !rec->readers && !rec->deposed && !rec->sleepers &&
	       !rec->watches;
}

static void rec_uncharge(struct npheap_lock *rec)
{
	npheap_uncharge(rec->heap, rec->user, NPHEAP_LOCKS, 1);
	npheap_user_put(rec->heap, rec->user);
}

/*
 * Ends the binding of the record to its key, unless it is in use.  A thread
 * that knows it may be taking it at this very moment, so that is for the
 * compare-and-swap to tell; where no thread does, the word says nothing true.
 * On success the record is unlocked and gone.
 */
static bool rec_evict(struct npheap_lock *rec)
{
	u64 old = npheap_word_free(rec);
	u64 next = NPHEAP_WORD_GENERATION(rec->generation + 1);

	lockdep_assert_held(&rec->lock);
	if (!rec_idle(rec))
		return false;
	if (!rec->knowers)
		xchg(&rec->shared->word, next);
	else if (!npheap_word_swap(rec, &old, next))
		return false;
	rec->dead = true;
	rhashtable_remove_fast(&rec->heap->locks, &rec->node,
			       npheap_lock_params);
	npheap_slot_free(rec->heap, rec);
	rec_uncharge(rec);
	npheap_rec_unlock(rec);
	kfree_rcu(rec, rcu);
	return true;
}

/**
 * npheap_rec_put() - unlock a record, and free it where nobody needs it
 * @rec: the record, locked; not to be touched afterwards
 *
 * Context: Any that may take a spinlock.
 */
void npheap_rec_put(struct npheap_lock *rec)
{
	if (rec->knowers || !rec_evict(rec))
		npheap_rec_unlock(rec);
}

/*
 * Looks at @count records, going round, and frees what is not in use, only of
 * @user where that is not NULL.  Returns whether it freed any.
 */
static bool evict_some(struct npheap_heap *heap, const struct npheap_user *user,
		       u64 count)
{
	unsigned long index = READ_ONCE(heap->clock_hand);
	struct npheap_lock *rec;
	bool freed = false;

	while (count--) {
		rcu_read_lock();
		rec = xa_find(&heap->slots, &index, ULONG_MAX, XA_PRESENT);
		if (rec) {
			npheap_rec_lock(rec);
			if (!rec->dead && (!user || rec->user == user) &&
			    rec_evict(rec))
				freed = true;
			else
				npheap_rec_unlock(rec);
		}
		rcu_read_unlock();
		index = rec ? index + 1 : 0;
		cond_resched();
		if (fatal_signal_pending(current))
			break;
	}
	WRITE_ONCE(heap->clock_hand, index);
	return freed;
}

static u64 rec_usage(struct npheap_heap *heap)
{
	return atomic64_read(&heap->counters[NPHEAP_LOCKS].usage);
}

/*
 * Only where all records are in use, the heap's or the user's, is the limit
 * reached.  One thread at a time searches; but others may be charged without a
 * search, so it tries again.
 */
static int charge_after_search(struct npheap_heap *heap,
			       struct npheap_user *user)
{
	int err;

	if (mutex_lock_killable(&heap->evict_mutex))
		return -EINTR;
	do {
		err = npheap_charge(heap, user, NPHEAP_LOCKS, 1);
	} while (err && evict_some(heap, err == -EDQUOT ? user : NULL,
				   rec_usage(heap) + 1));
	if (err)
		err = npheap_charge(heap, user, NPHEAP_LOCKS, 1);
	mutex_unlock(&heap->evict_mutex);
	return err;
}

static u64 enough_locks(struct npheap_heap *heap)
{
	return max_t(u64, NPHEAP_IDLE_LOCKS,
		     atomic64_read(&heap->counters[NPHEAP_OBJECTS].usage));
}

static int rec_charge(struct npheap_heap *heap, struct npheap_user *user)
{
	if (rec_usage(heap) >= enough_locks(heap))
		evict_some(heap, NULL, NPHEAP_EVICT_SCAN);
	if (!npheap_charge(heap, user, NPHEAP_LOCKS, 1))
		return 0;
	return charge_after_search(heap, user);
}

/* ------------------------------------------------------ finding, creating -- */

/**
 * npheap_rec_find() - the record of a key
 * @heap: the heap
 * @key: the key
 *
 * Context: Any that may take a spinlock.
 * Return: the record, locked, or NULL where the key has none.
 */
struct npheap_lock *npheap_rec_find(struct npheap_heap *heap, u64 key)
{
	struct npheap_lock *rec;

	rcu_read_lock();
	do {
		rec = rhashtable_lookup(&heap->locks, &key,
					npheap_lock_params);
		if (!rec)
			break;
		npheap_rec_lock(rec);
		if (!rec->dead)
			break;
		npheap_rec_unlock(rec);
	} while (true);
	rcu_read_unlock();
	return rec;
}

static void rec_init(struct npheap_lock *rec)
{
	spin_lock_init(&rec->lock);
	rec->queue = RB_ROOT_CACHED;
	INIT_LIST_HEAD(&rec->sleeper_list);
	INIT_LIST_HEAD(&rec->watch_list);
	/* Above all that was ever counted under this key or any other. */
	WRITE_ONCE(rec->shared->event, ktime_get_mono_fast_ns() << 1);
	WRITE_ONCE(rec->shared->size, 0);
	WRITE_ONCE(rec->shared->object, 0);
	xchg(&rec->shared->word, npheap_word_free(rec));
}

static struct npheap_lock *rec_new(struct npheap_heap *heap, u64 key)
{
	struct npheap_lock *rec = kzalloc(sizeof(*rec), GFP_KERNEL_ACCOUNT);
	int err = -ENOMEM;

	if (!rec)
		return ERR_PTR(-ENOMEM);
	rec->heap = heap;
	rec->key = key;
	rec->user = npheap_user_get(heap);
	if (!rec->user)
		goto free;
	err = rec_charge(heap, rec->user);
	if (err)
		goto put_user;
	err = npheap_slot_alloc(heap, rec);
	if (err)
		goto uncharge;
	rec_init(rec);
	return rec;

uncharge:
	npheap_uncharge(heap, rec->user, NPHEAP_LOCKS, 1);
put_user:
	npheap_user_put(heap, rec->user);
free:
	kfree(rec);
	return ERR_PTR(err);
}

/*
 * 0, or -EEXIST where another thread was faster, or -ENOMEM.  The slot comes
 * first, as a thread that finds the key must find the slot when it dies; and
 * all under the record's lock, so that nobody evicts what is half there.
 */
static int rec_insert(struct npheap_heap *heap, struct npheap_lock *rec)
{
	int err;

	npheap_rec_lock(rec);
	npheap_slot_publish(heap, rec);
	err = rhashtable_lookup_insert_fast(&heap->locks, &rec->node,
					    npheap_lock_params);
	if (err) {
		rec->dead = true;
		npheap_slot_free(heap, rec);
		rec_uncharge(rec);
	}
	npheap_rec_unlock(rec);
	if (!err)
		return 0;
	kfree_rcu(rec, rcu);
	return err == -EEXIST ? err : -ENOMEM;
}

/**
 * npheap_rec_get() - npheap_rec_find(), making the record if need be
 * @heap: the heap
 * @key: the key
 *
 * Context: Process context, may sleep.
 * Return: the record, locked, or an ERR_PTR() of -ENOSPC, -EDQUOT, -ENOMEM, or
 * -EINTR where the caller was killed.
 */
struct npheap_lock *npheap_rec_get(struct npheap_heap *heap, u64 key)
{
	struct npheap_lock *rec, *new;
	int err;

	while (!(rec = npheap_rec_find(heap, key))) {
		new = rec_new(heap, key);
		if (IS_ERR(new))
			/* Perhaps because another thread was faster. */
			return npheap_rec_find(heap, key) ?: new;
		err = rec_insert(heap, new);
		if (err && err != -EEXIST)
			return ERR_PTR(err);
	}
	return rec;
}

static void rec_show_object(struct npheap_lock *rec)
{
	u64 number, size = npheap_object_size(rec->heap, rec->key, &number);

	WRITE_ONCE(rec->shared->size, size);
	WRITE_ONCE(rec->shared->object, number);
}

/* A thread that reads a record keeps it from going to another key. */
static bool owner_knows(struct npheap_owner *owner,
			const struct npheap_lock *rec)
{
	void *entry = xa_load(&owner->known, rec->slot);

	if (!entry)
		return false;
	return !xa_is_value(entry) || xa_to_value(entry) == rec->generation;
}

/*
 * A place to note a locked record in.  Nothing may be allocated while it is
 * locked, so it is not meanwhile, and stays where it is.
 */
static int owner_reserve(struct npheap_owner *owner, struct npheap_lock *rec)
{
	int err;

	if (xa_load(&owner->known, rec->slot) || rec->slot == owner->reserved)
		return 0;
	rec->pins++;
	npheap_rec_unlock(rec);
	err = xa_reserve(&owner->known, rec->slot, GFP_KERNEL_ACCOUNT);
	npheap_rec_lock(rec);
	rec->pins--;
	if (!err)
		owner->reserved = rec->slot;
	return err;
}

/**
 * npheap_rec_bind() - npheap_rec_get(), and note that a thread knows the record
 * @owner: the calling thread
 * @key: the key
 *
 * It may take the lock by itself from now on, and so its death has to look
 * there.
 *
 * Context: Process context, may sleep.
 * Return: as npheap_rec_get().
 */
struct npheap_lock *npheap_rec_bind(struct npheap_owner *owner, u64 key)
{
	struct npheap_lock *rec = npheap_rec_get(owner->heap, key);
	int err;

	if (IS_ERR(rec) || owner_knows(owner, rec))
		return rec;
	err = owner_reserve(owner, rec);
	if (err) {
		npheap_rec_put(rec);
		return ERR_PTR(err);
	}
	xa_store(&owner->known, rec->slot, xa_mk_value(rec->generation), 0);
	owner->reserved = NPHEAP_NO_SLOT;
	rec->knowers++;
	rec_show_object(rec);
	return rec;
}

/* ---------------------------------------------------------------- others -- */

/**
 * npheap_lock_bind() - tell a thread where a key's record is
 * @heap: the heap
 * @bind: the key, and the answer
 *
 * Context: Process context, may sleep.
 * Return: 0, or an error of npheap_rec_get().
 */
int npheap_lock_bind(struct npheap_heap *heap, struct npheap_bind *bind)
{
	struct npheap_owner *owner = npheap_owner_get(heap);
	struct npheap_lock *rec;

	if (IS_ERR(owner))
		return PTR_ERR(owner);
	rec = npheap_rec_bind(owner, bind->key);
	if (IS_ERR(rec))
		return PTR_ERR(rec);
	bind->slot = rec->slot;
	bind->generation = rec->generation;
	npheap_rec_unlock(rec);
	npheap_point();
	return 0;
}

static void rec_free(void *rec, void *unused)
{
	rec_uncharge(rec);
	kfree(rec);
}

/**
 * npheap_lock_destroy() - free all lock records
 * @heap: a heap that no thread uses; some records may be marked
 *
 * Context: Process context, may sleep.
 */
void npheap_lock_destroy(struct npheap_heap *heap)
{
	rhashtable_free_and_destroy(&heap->locks, rec_free, NULL);
}

/**
 * npheap_lock_resized() - an object came, went, or has another size
 * @heap: the heap
 * @key: its key
 * @event: NPHEAP_WATCH_SIZE or NPHEAP_WATCH_DELETE; 0: perhaps, and who did it
 *	   tells those who watch
 *
 * Context: Process context, may sleep.
 */
void npheap_lock_resized(struct npheap_heap *heap, u64 key, u32 event)
{
	struct npheap_lock *rec;

	/*
	 * Much data is created where nobody locks yet.  Whoever counts a record
	 * after this finds the object as it is now; pairs with npheap_charge().
	 */
	smp_mb();
	if (!rec_usage(heap))
		return;
	rec = npheap_rec_find(heap, key);
	if (!rec)
		return;
	rec_show_object(rec);
	if (event)
		npheap_watch_tell(rec, event);
	npheap_rec_put(rec);
}

/**
 * npheap_rec_holder() - who holds a lock for itself
 * @rec: the lock, under RCU
 * @ns: where the pid is to mean something
 *
 * Context: Any.
 * Return: the pid of the thread; 0 where there is none, or none in @ns.
 */
pid_t npheap_rec_holder(struct npheap_lock *rec, struct pid_namespace *ns)
{
	struct npheap_owner *owner;
	pid_t pid = 0;

	rcu_read_lock();
	owner = xa_load(&rec->heap->owner_ids,
			npheap_word_read(rec) & NPHEAP_WORD_OWNER);
	if (owner)
		pid = pid_nr_ns(owner->pid, ns);
	rcu_read_unlock();
	return pid;
}

/**
 * npheap_lock_show() - print a line about a lock
 * @m: the file
 * @rec: the lock, under RCU
 *
 * Context: Any that may take a spinlock.
 */
void npheap_lock_show(struct seq_file *m, struct npheap_lock *rec)
{
	struct pid_namespace *ns = proc_pid_ns(file_inode(m->file)->i_sb);

	npheap_rec_lock(rec);
	/* What is kept for who may return is of no interest. */
	if (!rec->dead && !(rec_idle(rec) &&
			    npheap_word_read(rec) == npheap_word_free(rec)))
		seq_printf(m, "%llu\t%d\t%u\t%u\t%d\n", rec->key,
			   npheap_rec_holder(rec, ns), rec->waiters,
			   rec->readers, rec->lost ? 2 : rec->marked);
	npheap_rec_unlock(rec);
}

/**
 * npheap_lock_show_counts() - print a line about what happened to a lock
 * @m: the file
 * @rec: the lock, under RCU
 *
 * Context: Any that may take a spinlock.
 */
void npheap_lock_show_counts(struct seq_file *m, struct npheap_lock *rec)
{
	npheap_rec_lock(rec);
	if (!rec->dead)
		seq_printf(m, "%llu\t%u\t%u\t%llu\t%u\t%u\n", rec->key,
			   rec->contended, rec->recovered,
			   READ_ONCE(rec->shared->event) & ~1ULL,
			   rec->sleepers, rec->watches);
	npheap_rec_unlock(rec);
}

static bool rec_is_held(struct npheap_lock *rec)
{
	bool held;

	npheap_rec_lock(rec);
	held = !rec->dead && npheap_word_held(npheap_word_read(rec));
	npheap_rec_unlock(rec);
	return held;
}

/* Those of a part of the hash table that does not take too long. */
static struct npheap_lock *count_held(struct rhashtable_iter *iter, u64 *held)
{
	struct npheap_lock *rec;

	rhashtable_walk_start(iter);
	do {
		rec = rhashtable_walk_next(iter);
		if (!IS_ERR_OR_NULL(rec))
			*held += rec_is_held(rec);
	} while (rec && !need_resched());
	rhashtable_walk_stop(iter);
	cond_resched();
	return rec;
}

/**
 * npheap_locks_held() - how many locks are held
 * @heap: the heap
 *
 * Looks at each record, for a lock is mostly taken without the kernel.  No
 * snapshot: what changes meanwhile may be missed, or counted twice.
 *
 * Context: Process context, may sleep.
 * Return: the number; after a fatal signal, of those that were seen.
 */
u64 npheap_locks_held(struct npheap_heap *heap)
{
	struct rhashtable_iter iter;
	u64 held = 0;

	rhashtable_walk_enter(&heap->locks, &iter);
	while (count_held(&iter, &held) && !fatal_signal_pending(current))
		;
	rhashtable_walk_exit(&iter);
	return held;
}
