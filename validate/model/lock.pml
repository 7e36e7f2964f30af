/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lock protocol of docs/locking.md for spin: threads that take and give
 * back the locks of two keys, by compare-and-swap through what they remember
 * of the keys' records and in the kernel; die between any two steps; get
 * signals while they wait; and make the kernel give records to other keys.
 *
 * What is one step here:
 *   - in user space, a compare-and-swap, or nothing at all;
 *   - in the kernel, what changes the word once.  rec->lock is a lock here,
 *     too, held over several steps, so user space comes between them.
 * A death is noticed between any two steps in user space; in the kernel it
 * ends a wait, and otherwise waits until the call returns, as SIGKILL does.
 * Owner numbers are reused: a thread that died is followed by one with the
 * same number.
 *
 * Generations are bounded as the kernel bounds them: a slot whose generations
 * are used up is never used again.  The kernel's last one is U32_MAX, the
 * model's is GENERATIONS.  Nothing wraps and nothing is renumbered, so a
 * compare-and-swap that is late by any number of bindings is in the model;
 * the mutant generation_wraps shows that it would be seen.
 *
 * Not modelled: readers, EOWNERDEAD reports that are never settled ("lost"),
 * break, time-outs (a waiter that leaves as after a signal, for good, is the
 * same to the others), and events.
 *
 * Each MUTANT_* takes one thing away that the proof needs; validate/model/run
 * sees that the check notices.
 */

#ifndef SLOTS
#define SLOTS 1
#endif
#ifndef GENERATIONS
#define GENERATIONS 3
#endif
#ifndef ROUNDS		/* locks that a thread takes before it ends */
#define ROUNDS 1
#endif
#ifndef LIVES		/* threads that are born after the first ones */
#define LIVES 1
#endif
#ifndef KILLS
#define KILLS 2
#endif
#ifndef SIGNALS
#define SIGNALS 1
#endif

#define THREADS 3
#define KEYS 2
#define NOWHERE SLOTS

/* A record in the table.  All of it is one word, which user space can write. */
typedef record {
	byte generation;
	byte owner;		/* 0, or thread + 1 */
	bit waiters;
	bit marked;
};
record word[SLOTS];

/* The kernel's part of it: struct npheap_lock. */
mtype = { UNUSED, RESERVED, BOUND, USED_UP };
typedef kernel_part {
	mtype state;
	byte key;		/* 1 ... KEYS, while it is BOUND */
	byte generation;
	bit locked;		/* rec->lock */
	bit marked;
	byte waiters[THREADS];	/* thread + 1, first come first */
	byte nr_waiters;
	byte arriving;		/* were granted it and have not come for it */
};
kernel_part rec[SLOTS];

/* The kernel's part of a thread: struct npheap_owner, its task. */
typedef thread_part {
	byte known[SLOTS];	/* generations it was told of */
	byte present;		/* waits in the kernel, at this slot + 1 */
	bit granted;
};
thread_part thread[THREADS];

/* For the properties only. */
byte holds[THREADS];		/* the key, from the step that makes it so */
bit died[KEYS + 1];		/* a holder did, and nobody settled it */

byte kills, signals, lives;
hidden byte n, m, o;		/* scratch, within a step */

#ifdef SCRIBBLER
#define promise(condition) skip
#else
#define promise(condition) assert(condition)
#endif

/* ---------------------------------------------------------------- words -- */

#define word_is(s, g, o) (word[s].generation == (g) && \
			  word[s].owner == (o) && \
			  !word[s].waiters && !word[s].marked)

/* What user space compares with. */
#ifdef MUTANT_NO_GENERATION
#define word_expected(s, g, o) word_is(s, word[s].generation, o)
#else
#define word_expected(s, g, o) word_is(s, g, o)
#endif

#ifdef MUTANT_UNLOCK_IGNORES_WAITERS
#define word_mine(s, g, o) (word[s].generation == (g) && \
			    word[s].owner == (o))
#else
#define word_mine(s, g, o) word_expected(s, g, o)
#endif

#define word_set(s, o, w) \
	word[s].generation = rec[s].generation; \
	word[s].owner = (o); \
	word[s].waiters = (w); \
	word[s].marked = rec[s].marked

#define queued(s, t) ((rec[s].nr_waiters > 0 && rec[s].waiters[0] == (t) + 1) || \
		      (rec[s].nr_waiters > 1 && rec[s].waiters[1] == (t) + 1) || \
		      (rec[s].nr_waiters > 2 && rec[s].waiters[2] == (t) + 1))
#define waits(s, t) (queued(s, t) && thread[t].present == (s) + 1)
#ifdef MUTANT_FLAG_LOST
#define has_queue(s) 0
#else
#define has_queue(s) (waits(s, 0) || waits(s, 1) || waits(s, 2))
#endif

/*
 * The thread has the lock of a key from here on, at this slot.  There are no
 * two holders, through a stale binding there is none at all, and a death is
 * not forgotten.
 */
#define now_holds(t, k, s) \
	promise(holds[0] != k && holds[1] != k && holds[2] != k); \
	promise(rec[s].state == BOUND && rec[s].key == k); \
	promise(!died[k] || rec[s].marked); \
	holds[t] = k

/* --------------------------------------------------------------- records -- */

/* Nobody sleeps at a free lock, or where unlock would stay away. */
#define rec_unlock(s) \
	promise(rec[s].state != BOUND || \
		!(waits(s, 0) || waits(s, 1) || waits(s, 2)) || \
		(word[s].owner && word[s].waiters)); \
	rec[s].locked = 0

inline queue_remove(s, t)
{
	n = 0;
	m = 0;
	do
	:: n < rec[s].nr_waiters ->
		if
		:: rec[s].waiters[n] != t + 1 ->
			rec[s].waiters[m] = rec[s].waiters[n];
			m++
		:: else
		fi;
		n++
	:: else -> break
	od;
	do
	:: m < rec[s].nr_waiters ->
		rec[s].nr_waiters--;
		rec[s].waiters[rec[s].nr_waiters] = 0
	:: else -> break
	od;
	n = 0;
	m = 0
}

/* rec_pass_on(): the word is the caller's. */
inline rec_pass_on(s)
{
	d_step {
		n = 0;
		do
		:: n < rec[s].nr_waiters ->
			m = rec[s].waiters[n] - 1;
#ifdef MUTANT_HANDOFF_TO_ABSENT
			break;
#endif
			if
			:: thread[m].present == s + 1 -> break
			:: else -> n++
			fi
		:: else -> break
		od;
		if
		:: n < rec[s].nr_waiters ->
			n = m;
			o = m;
			queue_remove(s, o);
			now_holds(o, rec[s].key, s);
			thread[o].granted = 1;
#ifndef MUTANT_GRANT_NOT_COUNTED
			rec[s].arriving++;
#endif
			word_set(s, o + 1, has_queue(s))
		:: else ->
			word_set(s, 0, 0)
		fi;
		n = 0;
		m = 0;
		o = 0
	}
}

#define knows(s, t) (thread[t].known[s] == rec[s].generation)
#define nobody_knows(s) (!knows(s, 0) && !knows(s, 1) && !knows(s, 2))

#ifdef MUTANT_EVICT_MARKED
#define rec_idle(s) (!rec[s].nr_waiters && !rec[s].arriving)
#else
#define rec_idle(s) (!rec[s].nr_waiters && !rec[s].arriving && \
		     !rec[s].marked)
#endif

#ifdef MUTANT_EVICT_HELD
#define word_is_free(s) 1
#elif defined(MUTANT_EVICT_MARKED)
#define word_is_free(s) (word[s].owner == 0)
#else
#define word_is_free(s) (nobody_knows(s) || \
			 word_is(s, rec[s].generation, 0))
#endif

inline rec_free(s)
{
	rec[s].marked = 0;
	rec[s].key = 0;
#ifdef MUTANT_GENERATION_WRAPS
	if
	:: rec[s].generation == GENERATIONS -> rec[s].generation = 0
	:: else
	fi;
#endif
	if
	:: rec[s].generation == GENERATIONS -> rec[s].state = USED_UP
	:: else -> rec[s].state = UNUSED
	fi
}

/* What the compare-and-swap does where the word is the expected one. */
inline rec_end(s)
{
	word[s].generation = rec[s].generation + 1;
	word[s].owner = 0;
	word[s].waiters = 0;
	word[s].marked = 0;
	rec_free(s)
}

#define has_record_at(s, k) (rec[s].state == BOUND && rec[s].key == (k))
#if SLOTS > 1
#define has_record(k) (has_record_at(0, k) || has_record_at(1, k))
#else
#define has_record(k) has_record_at(0, k)
#endif

/* evict_some() finds what npheap_slot_publish() published. */
#ifdef MUTANT_PUBLISHED_EARLY
#define evictable(s) (!rec[s].locked && \
		      (rec[s].state == BOUND || rec[s].state == RESERVED))
#else
#define evictable(s) (!rec[s].locked && rec[s].state == BOUND)
#endif

/* rec_evict(), by one who needs a record for @k. */
inline rec_evict(k, x)
{
#ifdef MUTANT_EVICT_WITHOUT_SWAP
	atomic {
		!has_record(k) && evictable(x) &&
		rec_idle(x) && word_is_free(x) -> rec[x].locked = 1
	};
	atomic { rec_end(x); rec[x].locked = 0 }
#else
	atomic {
		!has_record(k) && evictable(x) &&
		rec_idle(x) && word_is_free(x) -> rec_end(x)
	}
#endif
}

/* ---------------------------------------------------------------- ioctls -- */

#if SLOTS > 1
#define slot_of(k) \
	(has_record_at(0, k) -> 0 : (has_record_at(1, k) -> 1 : NOWHERE))
#else
#define slot_of(k) (has_record_at(0, k) -> 0 : NOWHERE)
#endif

#ifdef MUTANT_KNOWN_LATE
#define note_known(t, x) skip
#else
#define note_known(t, x) thread[t].known[x] = rec[x].generation
#endif

/* rec_take(): ends the call where the lock is free. */
#define take_now(t, k) \
	queue_remove(s, t); \
	now_holds(t, k, s); \
	word_set(s, t + 1, has_queue(s)); \
	rec_unlock(s); \
	s = NOWHERE

inline bind_found(t, k, x, for_lock)
{
	atomic {
		has_record_at(x, k) && !rec[x].locked ->
		note_known(t, x);
		if
		:: for_lock -> rec[x].locked = 1; s = x
		:: else ->
			slot[k] = x;
			generation[k] = rec[x].generation
		fi
	}
}

/* The slot is reserved; then it goes into the index, and into sight. */
inline rec_new(k, x)
{
	atomic {
		!has_record(k) && rec[x].state == UNUSED ->
		rec[x].state = RESERVED;
		rec[x].generation++;
		rec[x].marked = 0;
		word_set(x, 0, 0)
	};
	atomic {
		/* Else it is freed memory by now. */
		assert(rec[x].state == RESERVED);
		if
		:: has_record(k) -> rec_free(x)
		:: else -> rec[x].key = k; rec[x].state = BOUND
		fi
	}
}

/*
 * rec_bind(): finds the record of a key, or makes one, for which another may
 * have to go.  NPHEAP_IOC_BIND tells its caller where it is; NPHEAP_IOC_LOCK
 * goes on with the record locked.  Either may find the table full.
 */
inline rec_bind(t, k, for_lock)
{
	do
	:: bind_found(t, k, 0, for_lock); break
	:: rec_evict(k, 0)
	:: rec_new(k, 0)
#if SLOTS > 1
	:: bind_found(t, k, 1, for_lock); break
	:: rec_evict(k, 1)
	:: rec_new(k, 1)
#endif
	:: !has_record(k) -> break		/* ENOSPC */
	od
}

inline goto_sleep(t)
{
	if
	:: !queued(s, t) ->
		rec[s].waiters[rec[s].nr_waiters] = t + 1;
		rec[s].nr_waiters++
	:: else
	fi;
	thread[t].present = s + 1;
	rec_unlock(s)
}

/* Woken by who grants the lock, or perhaps by a signal. */
inline wake_up(t, k)
{
	atomic {
		!rec[s].locked && (thread[t].granted || kills < KILLS ||
				   signals < SIGNALS) ->
		/* Else it is freed memory by now. */
		assert(has_record_at(s, k));
		thread[t].present = 0;
		if
		:: thread[t].granted ->
			thread[t].granted = 0;
#ifndef MUTANT_GRANT_NOT_COUNTED
			rec[s].arriving--;
#endif
		:: !thread[t].granted && signals < SIGNALS ->
			signals++;
			interrupted = 1
		:: !thread[t].granted && kills < KILLS ->
			kills++;
			goto dead
		fi;
		rec_unlock(s);
		s = NOWHERE
	}
}

#ifdef MUTANT_RETURNS_WITHOUT_CALLING
#define flag_waiters(t) word[s].waiters = word[s].waiters || !queued(s, t)
#else
#define flag_waiters(t) word[s].waiters = 1
#endif

/* lock_rec(): takes the lock, or calls the holder in and sleeps. */
inline lock_rec(t, k)
{
#ifdef MUTANT_TAKE_WITHOUT_SWAP
	if
	:: !word[s].owner -> atomic { take_now(t, k) }
	:: atomic { word[s].owner -> flag_waiters(t); goto_sleep(t) };
	   wake_up(t, k)
	fi
#elif defined(MUTANT_CALL_IN_BLINDLY)
	if
	:: atomic { !word[s].owner -> take_now(t, k) }
	:: word[s].owner -> atomic { flag_waiters(t); goto_sleep(t) };
	   wake_up(t, k)
	fi
#else
	/* A compare-and-swap either way; each fails where the other is due. */
	if
	:: atomic { !word[s].owner -> take_now(t, k) }
	:: atomic { word[s].owner -> flag_waiters(t); goto_sleep(t) };
	   wake_up(t, k)
	fi
#endif
}

/* NPHEAP_IOC_LOCK, until the lock is held, or there is no room, or no wish. */
inline ioctl_lock(t, k)
{
	do
	:: rec_bind(t, k, 1);
	   if
	   :: s != NOWHERE -> lock_rec(t, k)
	   :: else
	   fi;
	   /* A handler runs; the call is restarted, or is left by a jump. */
	   if
	   :: interrupted -> interrupted = 0
	   :: atomic { interrupted && kills < KILLS -> kills++; goto dead }
	   :: interrupted -> interrupted = 0; break
	   :: !interrupted -> break
	   fi
	od
}

/* NPHEAP_IOC_UNLOCK: the key is held, so it has a record. */
inline ioctl_unlock(t, k)
{
	atomic {
		s = slot_of(k);
		promise(s != NOWHERE);
		if
		:: s != NOWHERE && !rec[s].locked ->
			promise(word[s].owner == t + 1);
			holds[t] = 0;
			rec_pass_on(s);
			rec_unlock(s)
		:: s == NOWHERE -> holds[t] = 0
		fi;
		s = NOWHERE
	}
}

/* NPHEAP_IOC_CONSISTENT, by a holder that was told. */
inline ioctl_consistent(t, k)
{
	atomic {
		s = slot_of(k);
		if
		:: s != NOWHERE && !rec[s].locked ->
			rec[s].marked = 0;
			died[k] = 0;
			word_set(s, t + 1, has_queue(s))
		:: s == NOWHERE
		fi;
		s = NOWHERE
	}
}

/* ------------------------------------------------------------ user space -- */

/* A thread can die before and after each of its steps. */
#define die_or_go_on \
	if \
	:: true \
	:: kills < KILLS -> kills++; goto dead \
	fi

/* A compare-and-swap; where it fails, the kernel is next. */
inline fast_lock(t, k)
{
	atomic {
		if
		:: slot[k] != NOWHERE &&
		   word_expected(slot[k], generation[k], 0) ->
			word[slot[k]].owner = t + 1;
			now_holds(t, k, slot[k])
		:: else -> die_or_go_on
		fi
	}
}

inline fast_unlock(t, k)
{
	atomic {
		if
		:: slot[k] != NOWHERE &&
		   word_mine(slot[k], generation[k], t + 1) ->
			word[slot[k]].owner = 0;
			word[slot[k]].waiters = 0;
			promise(holds[t] == k);
			holds[t] = 0
		:: else -> die_or_go_on
		fi
	}
}

inline lock(t, k)
{
	fast_lock(t, k);
	if
	:: holds[t] != k ->
		rec_bind(t, k, 0);
		fast_lock(t, k);
#ifdef MUTANT_KNOWN_LATE
		if
		:: slot[k] != NOWHERE ->
			thread[t].known[slot[k]] = generation[k]
		:: else
		fi;
#endif
		if
		:: holds[t] != k -> ioctl_lock(t, k)
		:: else -> die_or_go_on
		fi
	:: else
	fi
}

inline unlock(t, k)
{
	fast_unlock(t, k);
	if
	:: holds[t] == k -> ioctl_unlock(t, k)
	:: else -> die_or_go_on
	fi
}

/* ----------------------------------------------------------------- death -- */

inline waiter_abandon(t, x)
{
	atomic { !rec[x].locked -> queue_remove(x, t) }
}

inline known_abandon(t, x)
{
	atomic {
		!rec[x].locked ->
		if
		:: rec[x].state == BOUND && thread[t].known[x] &&
		   knows(x, t) ->
			thread[t].known[x] = 0;
			if
			:: word[x].owner == t + 1 ->
#ifndef MUTANT_NOT_MARKED
				rec[x].marked = 1;
#endif
				rec_pass_on(x)
			:: else
			fi;
			rec_unlock(x);
			/* rec_put() */
			if
			:: nobody_knows(x) && rec_idle(x) -> rec_end(x)
			:: else
			fi
		:: else -> thread[t].known[x] = 0
		fi
	}
}

/* npheap_lock_abandon() */
inline recover(t)
{
	waiter_abandon(t, 0);
#if SLOTS > 1
	waiter_abandon(t, 1);
	known_abandon(t, 0);
#endif
#ifndef MUTANT_RECOVERY_SKIPS_LAST
	known_abandon(t, SLOTS - 1)
#endif
}

proctype user(byte t)
{
	byte slot[KEYS + 1] = NOWHERE;
	byte generation[KEYS + 1];
	byte s = NOWHERE, k, other, rounds;
	bit interrupted;

born:
	do
	:: atomic {
		rounds < ROUNDS ->
		rounds++;
		if
		:: k = 1
		:: k = 2
		fi
	   };
	   lock(t, k);
	   if
	   :: holds[t] == k && died[k] -> ioctl_consistent(t, k)
	   :: true
	   fi;
	   if
	   :: holds[t] == k ->
		/* One that it does not hold, first. */
		other = KEYS + 1 - k;
		fast_unlock(t, other);
		unlock(t, k)
	   :: else
	   fi
	:: break
	od;
dead:
	/* Threads end as they die. */
	atomic {
		if
		:: holds[t] -> died[holds[t]] = 1
		:: else
		fi;
		holds[t] = 0;
		interrupted = 0;
		s = NOWHERE;
		k = 0;
		other = 0;
		rounds = 0;
		slot[1] = NOWHERE;
		slot[2] = NOWHERE;
		generation[1] = 0;
		generation[2] = 0
	};
	recover(t);
	/* The number may go to another thread now. */
	atomic {
		promise(word[0].owner != t + 1);
		promise(word[SLOTS - 1].owner != t + 1);
		if
		:: lives < LIVES -> lives++; goto born
		:: true
		fi
	}
}

#ifdef SCRIBBLER
/* Writes a word that lets anybody in; the kernel must survive that. */
proctype scribbler()
{
	d_step {
		word[0].generation = rec[0].generation;
		word[0].owner = 0;
		word[0].waiters = 0;
		word[0].marked = 0
	}
}
#endif

init {
	atomic {
		rec[0].state = UNUSED;
#if SLOTS > 1
		rec[1].state = UNUSED;
#endif
		run user(0);
		run user(1);
		run user(2);
#ifdef SCRIBBLER
		run scribbler();
#endif
	}
}
