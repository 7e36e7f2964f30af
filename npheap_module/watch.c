// SPDX-License-Identifier: GPL-2.0-only
/*
 * Watches: a descriptor that becomes readable when something happens to one of
 * a set of keys.
 *
 * A key that something happened to is ready until it is read, and what happens
 * to it meanwhile is added up.  While a key is ready for notifications it asks
 * for no more of them, so a stream of notifications costs those who make them
 * one system call for each time that the watch is read, and none in between.
 *
 * Locking: npheap_watch.mutex > npheap_lock.lock > npheap_watch.lock.
 */
#include "record.h"

#include <linux/anon_inodes.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/rbtree.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#define NPHEAP_WATCH_ALL (NPHEAP_WATCH_NOTIFY | NPHEAP_WATCH_SIZE | \
			  NPHEAP_WATCH_DELETE | NPHEAP_WATCH_DEATH)

/* So many are copied to user space at a time. */
#define READ_BATCH 16

/**
 * struct npheap_watch - an open watch descriptor
 * @heap: the heap
 * @mutex: protects @keys, and lets one thread at a time read
 * @keys: struct watch_key by key
 * @lock: protects @ready
 * @ready: struct watch_key of those that something happened to
 * @wait: threads that wait for one
 */
struct npheap_watch {
	struct npheap_heap *heap;
	struct mutex mutex;	/* see above */
	struct rb_root keys;
	spinlock_t lock;	/* protects @ready */
	struct list_head ready;
	wait_queue_head_t wait;
};

/**
 * struct watch_key - a key of a watch
 * @node: in watch->keys
 * @watch: the watch
 * @rec: the key's record, which cannot go away meanwhile
 * @rec_node: in @rec->watch_list
 * @ready: in watch->ready while @happened is not 0
 * @events: NPHEAP_WATCH_* to look for
 * @happened: those that did; protected, as @events, by @rec->lock
 */
struct watch_key {
	struct rb_node node;
	struct npheap_watch *watch;
	struct npheap_lock *rec;
	struct list_head rec_node;
	struct list_head ready;
	u32 events;
	u32 happened;
};

/* ---------------------------------------------------------------- telling -- */

/* Whether it wants notifications and has none. */
static bool key_armed(const struct watch_key *wk)
{
	return wk->events & ~wk->happened & NPHEAP_WATCH_NOTIFY;
}

/* Called with rec->lock held, and with what is new. */
static void key_set(struct watch_key *wk, u32 events, u32 happened)
{
	struct npheap_watch *watch = wk->watch;

	wk->rec->armed -= key_armed(wk);
	wk->events = events;
	wk->happened = happened & events;
	wk->rec->armed += key_armed(wk);
	spin_lock(&watch->lock);
	if (!wk->happened) {
		list_del_init(&wk->ready);
	} else if (list_empty(&wk->ready)) {
		list_add_tail(&wk->ready, &watch->ready);
		wake_up_interruptible_poll(&watch->wait, EPOLLIN | EPOLLRDNORM);
	}
	spin_unlock(&watch->lock);
}

/**
 * npheap_watch_tell() - something happened to a key
 * @rec: its record, locked; the lock is let go of now and then
 * @events: NPHEAP_WATCH_*
 *
 * Context: Process context, may sleep.
 */
void npheap_watch_tell(struct npheap_lock *rec, u32 events)
{
	/* Marks how far this got.  It wants nothing, so others pass it by. */
	struct watch_key cursor = { .events = 0 };
	struct watch_key *wk;
	unsigned int n = 0;

	if (!rec->watches || (events == NPHEAP_WATCH_NOTIFY && !rec->armed))
		return;
	list_add(&cursor.rec_node, &rec->watch_list);
	while (!list_is_last(&cursor.rec_node, &rec->watch_list)) {
		wk = list_next_entry(&cursor, rec_node);
		list_move(&cursor.rec_node, &wk->rec_node);
		if (events & wk->events & ~wk->happened)
			key_set(wk, wk->events, wk->happened | events);
		if (++n % NPHEAP_BATCH == 0)
			npheap_rec_breathe(rec);
	}
	list_del(&cursor.rec_node);
}

/* -------------------------------------------------------------- the set -- */

static struct watch_key *key_find(struct npheap_watch *watch, u64 key,
				  struct rb_node **parent,
				  struct rb_node ***link)
{
	struct rb_node **pos = &watch->keys.rb_node;

	*parent = NULL;
	while (*pos) {
		struct watch_key *wk = rb_entry(*pos, struct watch_key, node);

		if (wk->rec->key == key)
			return wk;
		*parent = *pos;
		pos = key < wk->rec->key ? &(*pos)->rb_left :
		      &(*pos)->rb_right;
	}
	*link = pos;
	return NULL;
}

static void key_remove(struct watch_key *wk)
{
	struct npheap_lock *rec = wk->rec;

	npheap_rec_lock(rec);
	key_set(wk, 0, 0);
	list_del(&wk->rec_node);
	rec->watches--;
	npheap_event_settle(rec);
	rb_erase(&wk->node, &wk->watch->keys);
	npheap_rec_put(rec);
	kfree(wk);
}

static void key_change(struct watch_key *wk, u32 events)
{
	npheap_rec_lock(wk->rec);
	key_set(wk, events, wk->happened);
	npheap_event_settle(wk->rec);
	npheap_rec_unlock(wk->rec);
}

static struct watch_key *key_new(struct npheap_watch *watch, u64 key,
				 u32 events)
{
	struct watch_key *wk = kzalloc(sizeof(*wk), GFP_KERNEL_ACCOUNT);
	struct npheap_lock *rec;

	if (!wk)
		return ERR_PTR(-ENOMEM);
	rec = npheap_rec_get(watch->heap, key);
	if (IS_ERR(rec)) {
		kfree(wk);
		return ERR_CAST(rec);
	}
	wk->watch = watch;
	wk->rec = rec;
	INIT_LIST_HEAD(&wk->ready);
	/* Whoever is telling of something that was before does not come here. */
	list_add(&wk->rec_node, &rec->watch_list);
	rec->watches++;
	key_set(wk, events, 0);
	npheap_event_settle(rec);
	npheap_rec_unlock(rec);
	return wk;
}

/* Called with watch->mutex held. */
static int watch_set_key(struct npheap_watch *watch, u64 key, u32 events)
{
	struct rb_node *parent, **link;
	struct watch_key *wk = key_find(watch, key, &parent, &link);

	if (wk && !events) {
		key_remove(wk);
		return 0;
	}
	if (wk) {
		key_change(wk, events);
		return 0;
	}
	if (!events)
		return -ENOENT;
	wk = key_new(watch, key, events);
	if (IS_ERR(wk))
		return PTR_ERR(wk);
	rb_link_node(&wk->node, parent, link);
	rb_insert_color(&wk->node, &watch->keys);
	return 0;
}

static long watch_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct npheap_watch *watch = file->private_data;
	struct npheap_watch_key args;
	int err;

	if (cmd != NPHEAP_IOC_WATCH_SET)
		return -ENOTTY;
	if (copy_from_user(&args, (void __user *)arg, sizeof(args)))
		return -EFAULT;
	if (args.reserved || args.events & ~NPHEAP_WATCH_ALL)
		return -EINVAL;
	if (args.key > NPHEAP_KEY_LIMIT)
		return -EOVERFLOW;
	if (mutex_lock_interruptible(&watch->mutex))
		return -ERESTARTSYS;
	err = watch_set_key(watch, args.key, args.events);
	mutex_unlock(&watch->mutex);
	return err;
}

/* --------------------------------------------------------------- reading -- */

static bool watch_ready(struct npheap_watch *watch)
{
	return !list_empty_careful(&watch->ready);
}

static struct watch_key *watch_first(struct npheap_watch *watch)
{
	struct watch_key *wk;

	spin_lock(&watch->lock);
	wk = list_first_entry_or_null(&watch->ready, struct watch_key, ready);
	spin_unlock(&watch->lock);
	return wk;
}

/*
 * Notifications are asked for again before the caller hears of the last one:
 * what it looks at then is newer than all that it was not told of.  Called with
 * watch->mutex held, so no key goes away.
 */
static size_t watch_take(struct npheap_watch *watch,
			 struct npheap_watch_key *events, size_t count)
{
	struct watch_key *wk;
	size_t n;

	for (n = 0; n < count; n++) {
		wk = watch_first(watch);
		if (!wk)
			break;
		npheap_rec_lock(wk->rec);
		events[n] = (struct npheap_watch_key){
			.key = wk->rec->key,
			.events = wk->happened,
		};
		key_set(wk, wk->events, 0);
		npheap_event_settle(wk->rec);
		npheap_rec_unlock(wk->rec);
	}
	return n;
}

/* What could not be delivered is ready again. */
static void watch_give_back(struct npheap_watch *watch,
			    const struct npheap_watch_key *events, size_t n)
{
	struct rb_node *parent, **link;
	struct watch_key *wk;

	while (n--) {
		wk = key_find(watch, events[n].key, &parent, &link);
		npheap_rec_lock(wk->rec);
		key_set(wk, wk->events, wk->happened | events[n].events);
		npheap_event_settle(wk->rec);
		npheap_rec_unlock(wk->rec);
	}
}

static ssize_t watch_copy(struct npheap_watch *watch, char __user *buf,
			  size_t count)
{
	struct npheap_watch_key events[READ_BATCH];
	size_t done = 0, n;

	while (done < count) {
		n = watch_take(watch, events,
			       min_t(size_t, count - done, READ_BATCH));
		if (!n)
			break;
		if (copy_to_user(buf + done * sizeof(events[0]), events,
				 n * sizeof(events[0]))) {
			watch_give_back(watch, events, n);
			return done ? done * sizeof(events[0]) : -EFAULT;
		}
		done += n;
		cond_resched();
		if (signal_pending(current))
			break;
	}
	return done * sizeof(events[0]);
}

static ssize_t watch_read(struct file *file, char __user *buf, size_t size,
			  loff_t *pos)
{
	struct npheap_watch *watch = file->private_data;
	size_t count = size / sizeof(struct npheap_watch_key);
	ssize_t got;

	if (!count)
		return -EINVAL;
	do {
		if (!(file->f_flags & O_NONBLOCK) &&
		    wait_event_interruptible(watch->wait, watch_ready(watch)))
			return -ERESTARTSYS;
		if (mutex_lock_interruptible(&watch->mutex))
			return -ERESTARTSYS;
		got = watch_copy(watch, buf, count);
		mutex_unlock(&watch->mutex);
		if (!got && file->f_flags & O_NONBLOCK)
			return -EAGAIN;
	} while (!got);
	return got;
}

static __poll_t watch_poll(struct file *file, poll_table *wait)
{
	struct npheap_watch *watch = file->private_data;

	poll_wait(file, &watch->wait, wait);
	return watch_ready(watch) ? EPOLLIN | EPOLLRDNORM : 0;
}

static int watch_release(struct inode *inode, struct file *file)
{
	struct npheap_watch *watch = file->private_data;
	struct rb_node *node;

	while ((node = rb_first(&watch->keys))) {
		key_remove(rb_entry(node, struct watch_key, node));
		cond_resched();
	}
	kfree(watch);
	return 0;
}

static const struct file_operations watch_fops = {
	.owner = THIS_MODULE,
	.llseek = noop_llseek,
	.read = watch_read,
	.poll = watch_poll,
	.unlocked_ioctl = watch_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.release = watch_release,
};

/**
 * npheap_watch_open() - make a watch without keys
 * @heap: the heap
 * @flags: O_CLOEXEC and O_NONBLOCK
 *
 * Context: Process context, may sleep.
 * Return: a new descriptor of the calling process, or a negative errno.
 */
int npheap_watch_open(struct npheap_heap *heap, int flags)
{
	struct npheap_watch *watch;
	int fd;

	if (flags & ~(O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	watch = kzalloc(sizeof(*watch), GFP_KERNEL_ACCOUNT);
	if (!watch)
		return -ENOMEM;
	watch->heap = heap;
	mutex_init(&watch->mutex);
	watch->keys = RB_ROOT;
	spin_lock_init(&watch->lock);
	INIT_LIST_HEAD(&watch->ready);
	init_waitqueue_head(&watch->wait);
	fd = anon_inode_getfd("[npheap-watch]", &watch_fops, watch,
			      O_RDONLY | flags);
	if (fd < 0)
		kfree(watch);
	return fd;
}
