/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM npheap

#if !defined(NPHEAP_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define NPHEAP_TRACE_H

#include <linux/tracepoint.h>

DECLARE_EVENT_CLASS(npheap_object,
	TP_PROTO(u64 key, u64 size),
	TP_ARGS(key, size),
	TP_STRUCT__entry(
		__field(u64, key)
		__field(u64, size)
	),
	TP_fast_assign(
		__entry->key = key;
		__entry->size = size;
	),
	TP_printk("key=%llu size=%llu", __entry->key, __entry->size)
);

DEFINE_EVENT(npheap_object, npheap_create,
	TP_PROTO(u64 key, u64 size), TP_ARGS(key, size));
DEFINE_EVENT(npheap_object, npheap_attach,
	TP_PROTO(u64 key, u64 size), TP_ARGS(key, size));
DEFINE_EVENT(npheap_object, npheap_resize,
	TP_PROTO(u64 key, u64 size), TP_ARGS(key, size));
DEFINE_EVENT(npheap_object, npheap_delete,
	TP_PROTO(u64 key, u64 size), TP_ARGS(key, size));

TRACE_EVENT(npheap_fault,
	TP_PROTO(u64 key, unsigned long pgoff, unsigned int flags),
	TP_ARGS(key, pgoff, flags),
	TP_STRUCT__entry(
		__field(u64, key)
		__field(unsigned long, pgoff)
		__field(unsigned int, flags)
	),
	TP_fast_assign(
		__entry->key = key;
		__entry->pgoff = pgoff;
		__entry->flags = flags;
	),
	TP_printk("key=%llu page=%lu flags=%#x", __entry->key, __entry->pgoff,
		  __entry->flags)
);

DECLARE_EVENT_CLASS(npheap_lock,
	TP_PROTO(u64 key),
	TP_ARGS(key),
	TP_STRUCT__entry(__field(u64, key)),
	TP_fast_assign(__entry->key = key;),
	TP_printk("key=%llu", __entry->key)
);

TRACE_EVENT(npheap_lock_contended,
	TP_PROTO(u64 key, pid_t holder),
	TP_ARGS(key, holder),
	TP_STRUCT__entry(
		__field(u64, key)
		__field(pid_t, holder)
	),
	TP_fast_assign(
		__entry->key = key;
		__entry->holder = holder;
	),
	TP_printk("key=%llu holder=%d", __entry->key, __entry->holder)
);

TRACE_EVENT(npheap_notify,
	TP_PROTO(u64 key, unsigned int woken),
	TP_ARGS(key, woken),
	TP_STRUCT__entry(
		__field(u64, key)
		__field(unsigned int, woken)
	),
	TP_fast_assign(
		__entry->key = key;
		__entry->woken = woken;
	),
	TP_printk("key=%llu woken=%u", __entry->key, __entry->woken)
);

DEFINE_EVENT(npheap_lock, npheap_lock_acquired,
	TP_PROTO(u64 key), TP_ARGS(key));
DEFINE_EVENT(npheap_lock, npheap_lock_released,
	TP_PROTO(u64 key), TP_ARGS(key));
DEFINE_EVENT(npheap_lock, npheap_owner_death,
	TP_PROTO(u64 key), TP_ARGS(key));

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
