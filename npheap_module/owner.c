// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads as owners of locks, and how their death is noticed.
 *
 * A lock belongs to a thread and to no file, so a close drops nobody's locks.
 * Instead the scheduler's tracepoints tell of every exit and every exec.  They
 * run with preemption off, so they only queue a task work in the dying thread;
 * that runs before the thread's parent can learn of the death, which is why
 * locks are free once waitpid() has returned.  Where the kernel can tell of the
 * end of an address space (table.c) they are free earlier still, and the task
 * work finds nothing left to do.
 */
#include "npheap.h"

#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/tracepoint.h>

const struct rhashtable_params npheap_owner_params = {
	.key_len = sizeof(struct task_struct *),
	.key_offset = offsetof(struct npheap_owner, task),
	.head_offset = offsetof(struct npheap_owner, node),
	.automatic_shrinking = true,
};

static struct npheap_owner *owner_new(struct npheap_heap *heap)
{
	struct npheap_owner *owner;

	owner = kzalloc(sizeof(*owner), GFP_KERNEL_ACCOUNT);
	if (!owner)
		return NULL;
	/* The next number and not the first free: old ones stay in TLS. */
	if (xa_alloc_cyclic(&heap->owner_ids, &owner->id, owner,
			    XA_LIMIT(1, NPHEAP_WORD_OWNER), &heap->next_owner,
			    GFP_KERNEL_ACCOUNT) < 0) {
		kfree(owner);
		return NULL;
	}
	owner->heap = heap;
	owner->task = current;
	owner->pid = get_pid(task_pid(current));
	owner->reserved = NPHEAP_NO_SLOT;
	xa_init_flags(&owner->known, XA_FLAGS_ACCOUNT);
	INIT_LIST_HEAD(&owner->waits);
	return owner;
}

static void owner_free_rcu(struct rcu_head *rcu)
{
	struct npheap_owner *owner = container_of(rcu, struct npheap_owner,
						  rcu);

	put_pid(owner->pid);
	kfree(owner);
}

/* Its locks are free, so no word has its number any more. */
static void owner_free(struct npheap_owner *owner)
{
	xa_erase(&owner->heap->owner_ids, owner->id);
	if (owner->process)
		npheap_process_put(owner->process);
	kfree(owner->spare_waiter);
	kfree(owner->spare_reader);
	call_rcu(&owner->rcu, owner_free_rcu);
}

/**
 * npheap_owner_find() - the calling thread's owner record
 * @heap: the heap
 *
 * Only the thread itself adds and removes its record.
 *
 * Context: Any.
 * Return: the record, or NULL where the thread has never locked.
 */
struct npheap_owner *npheap_owner_find(struct npheap_heap *heap)
{
	struct task_struct *task = current;

	return rhashtable_lookup_fast(&heap->owners, &task,
				      npheap_owner_params);
}

/**
 * npheap_owner_get() - npheap_owner_find(), making the record if need be
 * @heap: the heap
 *
 * Context: Process context, may sleep.
 * Return: the record, or an ERR_PTR() of -ENOMEM.
 */
struct npheap_owner *npheap_owner_get(struct npheap_heap *heap)
{
	struct npheap_owner *owner = npheap_owner_find(heap);

	if (owner)
		return owner;
	owner = owner_new(heap);
	if (!owner)
		return ERR_PTR(-ENOMEM);
	if (rhashtable_insert_fast(&heap->owners, &owner->node,
				   npheap_owner_params)) {
		owner_free(owner);
		return ERR_PTR(-ENOMEM);
	}
	return owner;
}

/* Runs in the dying thread, in a context that may sleep. */
static void owner_death_work(struct callback_head *work)
{
	struct npheap_owner *owner =
		container_of(work, struct npheap_owner, death);
	struct npheap_heap *heap = owner->heap;
	bool pinned;

	rhashtable_remove_fast(&heap->owners, &owner->node,
			       npheap_owner_params);
	npheap_lock_abandon(owner);
	pinned = owner->pinned;
	owner_free(owner);
	if (pinned)
		module_put(THIS_MODULE);
	/* The last act, and one that cannot sleep: see npheap_owner_exit(). */
	atomic_dec(&heap->dying);
}

/*
 * Preemption is off here, so on PREEMPT_RT not even the hash table may be
 * changed.  After an exec the work runs before the new program does, so that
 * it starts with a record of its own; if the exec ends in death instead, there
 * is nothing more to note.
 */
static void owner_note_death(struct npheap_heap *heap,
			     enum task_work_notify_mode notify)
{
	struct npheap_owner *owner = npheap_owner_find(heap);

	if (!owner || owner->dying)
		return;
	owner->dying = true;
	/* It may be stopped before it comes to the work, for as long as it likes. */
	owner->pinned = try_module_get(THIS_MODULE);
	atomic_inc(&heap->dying);
	init_task_work(&owner->death, owner_death_work);
	/* Fails only after exit_task_work(), which comes later. */
	if (WARN_ON_ONCE(task_work_add(current, &owner->death, notify)))
		atomic_dec(&heap->dying);
}

static void probe_exit(void *heap, struct task_struct *task)
{
	owner_note_death(heap, TWA_NONE);
}

/* The work runs before the new program's first instruction. */
static void probe_exec(void *heap, struct task_struct *task, pid_t old_pid,
		       struct linux_binprm *bprm)
{
	owner_note_death(heap, TWA_RESUME);
}

/*
 * A new task in the same memory that is no thread of the process, as vfork()
 * makes it, runs with the TLS of its maker, and would take itself for it.  It
 * may not join, so what it finds there stays invalid, and its maker's.
 */
static void probe_fork(void *heap, struct task_struct *parent,
		       struct task_struct *child)
{
	struct npheap_owner *owner = npheap_owner_find(heap);

	if (owner && owner->process && child->mm == parent->mm &&
	    !same_thread_group(child, parent))
		npheap_process_advance(owner->process);
}

/* The scheduler's tracepoints are not exported, but they can be listed. */
struct probe {
	const char *name;
	void *function;
	struct tracepoint *tp;
};

static struct probe probes[] = {
	{ .name = "sched_process_exit", .function = probe_exit },
	{ .name = "sched_process_exec", .function = probe_exec },
	{ .name = "sched_process_fork", .function = probe_fork },
};

static void probe_match(struct tracepoint *tp, void *unused)
{
	for (size_t i = 0; i < ARRAY_SIZE(probes); i++)
		if (!strcmp(tp->name, probes[i].name))
			probes[i].tp = tp;
}

static void probes_unregister(struct npheap_heap *heap, size_t count)
{
	while (count--)
		tracepoint_probe_unregister(probes[count].tp,
					    probes[count].function, heap);
	tracepoint_synchronize_unregister();
}

static int probes_register(struct npheap_heap *heap)
{
	for_each_kernel_tracepoint(probe_match, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
		int err = -ENOENT;

		if (probes[i].tp)
			err = tracepoint_probe_register(probes[i].tp,
							probes[i].function,
							heap);
		if (err) {
			pr_err("cannot watch %s: %d\n", probes[i].name, err);
			probes_unregister(heap, i);
			return err;
		}
	}
	return 0;
}

/**
 * npheap_owner_init() - start to notice deaths
 * @heap: the heap
 *
 * Context: Process context, may sleep.
 * Return: 0 or a negative errno.
 */
int npheap_owner_init(struct npheap_heap *heap)
{
	int err;

	xa_init_flags(&heap->owner_ids, XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT);
	err = rhashtable_init(&heap->owners, &npheap_owner_params);
	if (err)
		return err;
	err = probes_register(heap);
	if (err)
		rhashtable_destroy(&heap->owners);
	return err;
}

static void owner_forget(void *ptr, void *arg)
{
	struct npheap_owner *owner = ptr;

	npheap_lock_abandon(owner);
	owner_free(owner);
}

/**
 * npheap_owner_exit() - give all locks back and stop noticing deaths
 * @heap: a heap that no thread is in any call of
 *
 * Context: Process context, may sleep.
 */
void npheap_owner_exit(struct npheap_heap *heap)
{
	probes_unregister(heap, ARRAY_SIZE(probes));
	while (atomic_read(&heap->dying))
		schedule_timeout_uninterruptible(1);
	/*
	 * A thread may have been preempted between the end of its count and
	 * the end of owner_death_work(), whose code is about to go.
	 */
	synchronize_rcu_tasks();
	rhashtable_free_and_destroy(&heap->owners, owner_forget, NULL);
	xa_destroy(&heap->owner_ids);
}
