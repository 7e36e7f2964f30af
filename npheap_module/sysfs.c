// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/class/misc/npheap: one number a file.  What they mean is documented in
 * docs/sysfs-npheap.
 */
#include "npheap.h"

#include <linux/device.h>
#include <linux/kstrtox.h>
#include <linux/sysfs.h>

static struct npheap_heap *dev_heap(struct device *dev)
{
	struct miscdevice *misc = dev_get_drvdata(dev);

	return container_of(misc, struct npheap_heap, misc);
}

static struct npheap_counter *dev_counter(struct device *dev,
					  enum npheap_resource resource)
{
	return &dev_heap(dev)->counters[resource];
}

#define HEAP_ATTR_RESOURCE(name, resource)				\
static ssize_t name##_show(struct device *dev,				\
			   struct device_attribute *attr, char *buf)	\
{									\
	return show_usage(dev_counter(dev, resource), buf);		\
}									\
static ssize_t max_##name##_show(struct device *dev,			\
				 struct device_attribute *attr,		\
				 char *buf)				\
{									\
	return show_limit(dev_counter(dev, resource), buf);		\
}									\
static ssize_t max_##name##_store(struct device *dev,			\
				  struct device_attribute *attr,	\
				  const char *buf, size_t len)		\
{									\
	return store_limit(&dev_counter(dev, resource)->limit, buf, len); \
}									\
static ssize_t max_user_##name##_show(struct device *dev,		\
				      struct device_attribute *attr,	\
				      char *buf)			\
{									\
	return show_user_limit(dev_counter(dev, resource), buf);	\
}									\
static ssize_t max_user_##name##_store(struct device *dev,		\
				       struct device_attribute *attr,	\
				       const char *buf, size_t len)	\
{									\
	return store_limit(&dev_counter(dev, resource)->user_limit,	\
			   buf, len);					\
}									\
static DEVICE_ATTR_RO(name);						\
static DEVICE_ATTR_RW(max_##name);					\
static DEVICE_ATTR_RW(max_user_##name)

#define HEAP_ATTR_STAT(name)						\
static ssize_t name##_show(struct device *dev,				\
			   struct device_attribute *attr, char *buf)	\
{									\
	return sysfs_emit(buf, "%llu\n",				\
			  npheap_stat(dev_heap(dev),			\
				      offsetof(struct npheap_stats, name))); \
}									\
static DEVICE_ATTR_RO(name)

static ssize_t show_usage(const struct npheap_counter *counter, char *buf)
{
	return sysfs_emit(buf, "%lld\n", atomic64_read(&counter->usage));
}

static ssize_t show_limit(const struct npheap_counter *counter, char *buf)
{
	return sysfs_emit(buf, "%llu\n", READ_ONCE(counter->limit));
}

/* A user cannot have more than all have together. */
static ssize_t show_user_limit(const struct npheap_counter *counter, char *buf)
{
	return sysfs_emit(buf, "%llu\n", min(READ_ONCE(counter->user_limit),
					     READ_ONCE(counter->limit)));
}

static ssize_t store_limit(u64 *limit, const char *buf, size_t len)
{
	u64 value;
	int err = kstrtou64(buf, 0, &value);

	if (err)
		return err;
	if (value > NPHEAP_LIMIT_MAX)
		return -ERANGE;
	WRITE_ONCE(*limit, value);
	return len;
}

/**
 * npheap_stat() - the sum of a per-CPU count
 * @heap: the heap
 * @offset: of the count in struct npheap_stats
 *
 * Context: Any.
 * Return: the number of events since the heap was made.
 */
u64 npheap_stat(struct npheap_heap *heap, size_t offset)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*(u64 *)((char *)per_cpu_ptr(heap->stats, cpu) +
					  offset));
	return sum;
}

static ssize_t deleted_bytes_show(struct device *dev,
				  struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lld\n",
			  atomic64_read(&dev_heap(dev)->deleted_bytes));
}
static DEVICE_ATTR_RO(deleted_bytes);

static ssize_t locks_held_show(struct device *dev,
			       struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", npheap_locks_held(dev_heap(dev)));
}
static DEVICE_ATTR_RO(locks_held);

HEAP_ATTR_RESOURCE(bytes, NPHEAP_BYTES);
HEAP_ATTR_RESOURCE(objects, NPHEAP_OBJECTS);
HEAP_ATTR_RESOURCE(sparse_bytes, NPHEAP_SPARSE_BYTES);
HEAP_ATTR_RESOURCE(locks, NPHEAP_LOCKS);
HEAP_ATTR_STAT(creates);
HEAP_ATTR_STAT(attaches);
HEAP_ATTR_STAT(mappings);
HEAP_ATTR_STAT(deletes);
HEAP_ATTR_STAT(faults);
HEAP_ATTR_STAT(lock_acquires);
HEAP_ATTR_STAT(lock_contended);
HEAP_ATTR_STAT(lock_recovered);
HEAP_ATTR_STAT(lock_waits_abandoned);
HEAP_ATTR_STAT(notifies);

static struct attribute *npheap_attrs[] = {
	&dev_attr_bytes.attr,
	&dev_attr_deleted_bytes.attr,
	&dev_attr_objects.attr,
	&dev_attr_sparse_bytes.attr,
	&dev_attr_locks.attr,
	&dev_attr_max_bytes.attr,
	&dev_attr_max_objects.attr,
	&dev_attr_max_sparse_bytes.attr,
	&dev_attr_max_locks.attr,
	&dev_attr_max_user_bytes.attr,
	&dev_attr_max_user_objects.attr,
	&dev_attr_max_user_sparse_bytes.attr,
	&dev_attr_max_user_locks.attr,
	&dev_attr_creates.attr,
	&dev_attr_attaches.attr,
	&dev_attr_mappings.attr,
	&dev_attr_deletes.attr,
	&dev_attr_faults.attr,
	&dev_attr_lock_acquires.attr,
	&dev_attr_lock_contended.attr,
	&dev_attr_lock_recovered.attr,
	&dev_attr_lock_waits_abandoned.attr,
	&dev_attr_locks_held.attr,
	&dev_attr_notifies.attr,
	NULL,
};

static const struct attribute_group npheap_group = {
	.attrs = npheap_attrs,
};

const struct attribute_group *npheap_attr_groups[] = {
	&npheap_group,
	NULL,
};
