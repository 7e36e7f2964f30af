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

#define HEAP_ATTR_USAGE(name, field)					\
static ssize_t name##_show(struct device *dev,				\
			   struct device_attribute *attr, char *buf)	\
{									\
	return sysfs_emit(buf, "%lld\n",				\
			  atomic64_read(&dev_heap(dev)->field));	\
}									\
static DEVICE_ATTR_RO(name)

#define HEAP_ATTR_LIMIT(name, field)					\
static ssize_t name##_show(struct device *dev,				\
			   struct device_attribute *attr, char *buf)	\
{									\
	return sysfs_emit(buf, "%llu\n",				\
			  READ_ONCE(dev_heap(dev)->field.limit));	\
}									\
static ssize_t name##_store(struct device *dev,				\
			    struct device_attribute *attr,		\
			    const char *buf, size_t len)		\
{									\
	return store_limit(&dev_heap(dev)->field, buf, len);		\
}									\
static DEVICE_ATTR_RW(name)

#define HEAP_ATTR_STAT(name)						\
static ssize_t name##_show(struct device *dev,				\
			   struct device_attribute *attr, char *buf)	\
{									\
	return sysfs_emit(buf, "%llu\n",				\
			  npheap_stat(dev_heap(dev),			\
				      offsetof(struct npheap_stats, name))); \
}									\
static DEVICE_ATTR_RO(name)

static ssize_t store_limit(struct npheap_counter *counter, const char *buf,
			   size_t len)
{
	u64 limit;
	int err = kstrtou64(buf, 0, &limit);

	if (err)
		return err;
	/* So that the sum of a limit and a usage cannot overflow. */
	if (limit > S64_MAX)
		return -ERANGE;
	WRITE_ONCE(counter->limit, limit);
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

HEAP_ATTR_USAGE(bytes, bytes.usage);
HEAP_ATTR_USAGE(deleted_bytes, deleted_bytes);
HEAP_ATTR_USAGE(objects, nr_objects.usage);
HEAP_ATTR_USAGE(sparse_bytes, sparse_bytes.usage);
HEAP_ATTR_USAGE(locks, nr_locks.usage);
HEAP_ATTR_LIMIT(max_bytes, bytes);
HEAP_ATTR_LIMIT(max_objects, nr_objects);
HEAP_ATTR_LIMIT(max_sparse_bytes, sparse_bytes);
HEAP_ATTR_LIMIT(max_locks, nr_locks);
HEAP_ATTR_STAT(creates);
HEAP_ATTR_STAT(attaches);
HEAP_ATTR_STAT(deletes);
HEAP_ATTR_STAT(faults);
HEAP_ATTR_STAT(lock_acquires);
HEAP_ATTR_STAT(lock_contended);
HEAP_ATTR_STAT(lock_recovered);

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
	&dev_attr_creates.attr,
	&dev_attr_attaches.attr,
	&dev_attr_deletes.attr,
	&dev_attr_faults.attr,
	&dev_attr_lock_acquires.attr,
	&dev_attr_lock_contended.attr,
	&dev_attr_lock_recovered.attr,
	NULL,
};

static const struct attribute_group npheap_group = {
	.attrs = npheap_attrs,
};

const struct attribute_group *npheap_attr_groups[] = {
	&npheap_group,
	NULL,
};
