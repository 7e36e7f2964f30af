// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the heap has, and what each user has of it, against limits.
 *
 * What somebody creates is charged to that user until it is freed, whoever
 * uses it.
 */
#include "npheap.h"

#include <linux/cred.h>

static bool fits(s64 usage, u64 limit, u64 amount)
{
	return usage <= limit && amount <= limit - usage;
}

/* Fails where @amount more would be more than @limit. */
static __always_inline bool add_below(atomic64_t *usage, u64 limit,
					 u64 amount)
{
	s64 old = atomic64_read(usage);

	do {
		if (!fits(old, limit, amount))
			return false;
	} while (!atomic64_try_cmpxchg(usage, &old, old + amount));
	return true;
}

/**
 * npheap_charge() - count something against the limits
 * @heap: the heap
 * @user: who causes it
 * @resource: what it is
 * @amount: how much of it
 *
 * Context: Any.
 * Return: 0, or -ENOSPC where the heap's limit would be exceeded, or -EDQUOT
 * where the user's would; nothing is counted then.
 */
int npheap_charge(struct npheap_heap *heap, struct npheap_user *user,
		  enum npheap_resource resource, u64 amount)
{
	struct npheap_counter *counter = &heap->counters[resource];

	/* The user first: who has no room must not take any from others. */
	if (!add_below(&user->usage[resource], READ_ONCE(counter->user_limit),
		       amount))
		return -EDQUOT;
	if (add_below(&counter->usage, READ_ONCE(counter->limit), amount))
		return 0;
	atomic64_sub(amount, &user->usage[resource]);
	return -ENOSPC;
}

/**
 * npheap_would_charge() - what npheap_charge() would return
 * @heap: the heap
 * @user: who asks
 * @resource: what it is
 * @amount: how much of it
 *
 * Context: Any.  Counts nothing, not even for a moment.
 * Return: 0, -EDQUOT or -ENOSPC.
 */
int npheap_would_charge(struct npheap_heap *heap, struct npheap_user *user,
			enum npheap_resource resource, u64 amount)
{
	struct npheap_counter *counter = &heap->counters[resource];

	if (!fits(atomic64_read(&user->usage[resource]),
		  READ_ONCE(counter->user_limit), amount))
		return -EDQUOT;
	if (!fits(atomic64_read(&counter->usage), READ_ONCE(counter->limit),
		  amount))
		return -ENOSPC;
	return 0;
}

/**
 * npheap_uncharge() - take back what npheap_charge() counted
 * @heap: the heap
 * @user: the same user
 * @resource: the same resource
 * @amount: the same amount
 *
 * Context: Any.
 */
void npheap_uncharge(struct npheap_heap *heap, struct npheap_user *user,
		     enum npheap_resource resource, u64 amount)
{
	atomic64_sub(amount, &user->usage[resource]);
	atomic64_sub(amount, &heap->counters[resource].usage);
}

/* Under RCU, or user_lock. */
static struct npheap_user *user_find(struct npheap_heap *heap, kuid_t uid)
{
	struct npheap_user *user;

	hash_for_each_possible_rcu(heap->users, user, node, __kuid_val(uid),
				   lockdep_is_held(&heap->user_lock))
		if (uid_eq(user->uid, uid))
			return user;
	return NULL;
}

/* Who is in the table and seen under the lock has references. */
static struct npheap_user *user_insert(struct npheap_heap *heap,
				       struct npheap_user *new)
{
	struct npheap_user *user;

	spin_lock(&heap->user_lock);
	user = user_find(heap, new->uid);
	if (user) {
		refcount_inc(&user->refs);
	} else {
		hash_add_rcu(heap->users, &new->node, __kuid_val(new->uid));
		swap(user, new);
	}
	spin_unlock(&heap->user_lock);
	kfree(new);
	return user;
}

/**
 * npheap_user_get() - the calling user, to charge something to
 * @heap: the heap
 *
 * Context: Process context, may sleep.
 * Return: the user, to be released by npheap_user_put(), or NULL where there
 * is no memory.
 */
struct npheap_user *npheap_user_get(struct npheap_heap *heap)
{
	kuid_t uid = current_fsuid();
	struct npheap_user *user;

	rcu_read_lock();
	user = user_find(heap, uid);
	if (user && !refcount_inc_not_zero(&user->refs))
		user = NULL;
	rcu_read_unlock();
	if (user)
		return user;
	user = kzalloc(sizeof(*user), GFP_KERNEL_ACCOUNT);
	if (!user)
		return NULL;
	user->uid = uid;
	refcount_set(&user->refs, 1);
	return user_insert(heap, user);
}

/**
 * npheap_user_put() - release a user
 * @heap: the heap
 * @user: the user
 *
 * Context: Any, but interrupts.
 */
void npheap_user_put(struct npheap_heap *heap, struct npheap_user *user)
{
	bool last;

	if (refcount_dec_not_one(&user->refs))
		return;
	spin_lock(&heap->user_lock);
	last = refcount_dec_and_test(&user->refs);
	if (last)
		hash_del_rcu(&user->node);
	spin_unlock(&heap->user_lock);
	if (last)
		kfree_rcu(user, rcu);
}
