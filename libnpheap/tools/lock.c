// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * npheap lock, npheap unlock.
 *
 * The lock belongs to this process while the command runs, so this process
 * outlives the command: it lets signals of the terminal pass it by, hands
 * others on, and takes the command with it when it is killed.
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "objects.h"
#include "tool.h"

static volatile pid_t child;

static void hand_on(int sig)
{
	kill(child, sig);
}

/* In the child.  Whoever killed the parent before that is not noticed. */
static void run_command(char **command, const struct key_lock *lock,
			pid_t parent, const sigset_t *mask)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_NOT_RUN);
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (lock->died)
		setenv("NPHEAP_OWNER_DIED", "1", 1);
	else
		unsetenv("NPHEAP_OWNER_DIED");
	execvp(command[0], command);
	warn("cannot run %s", command[0]);
	_exit(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN);
}

/* As system(3) does, and those that are sent to us alone go to the child. */
static void set_signals(void)
{
	static const int signals[] = { SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };
	struct sigaction action = { .sa_handler = hand_on,
				    .sa_flags = SA_RESTART };
	size_t i;

	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
}

/* Returns the exit status as a shell does. */
static int wait_for_child(void)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			err(EXIT_FAILURE, "cannot wait for the command");
	return WIFEXITED(status) ? WEXITSTATUS(status) :
				   128 + WTERMSIG(status);
}

static int run_locked(char **command, const struct key_lock *lock)
{
	pid_t parent = getpid();
	sigset_t all, mask;

	/* A signal waits until there is a child to hand it to. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &mask);
	child = fork();
	if (child < 0)
		err(EXIT_FAILURE, "cannot fork");
	if (!child)
		run_command(command, lock, parent, &mask);
	set_signals();
	sigprocmask(SIG_SETMASK, &mask, NULL);
	return wait_for_child();
}

static int lock_and_run(struct key_lock *lock, char **command, int conflict)
{
	int status, rc = take_lock(lock);

	if (rc == -EBUSY || rc == -ETIMEDOUT)
		return conflict;
	if (rc)
		return EXIT_FAILURE;
	status = run_locked(command, lock);
	/* After a death, a command that fails has repaired nothing. */
	drop_lock(lock, !status);
	return status;
}

/* What comes after the key: a command, or -c and one for the shell. */
static char **parse_command(char **argv)
{
	static char *shell[] = { "/bin/sh", "-c", NULL, NULL };
	bool dash_c = argv[0] && (!strcmp(argv[0], "-c") ||
				  !strcmp(argv[0], "--command"));

	if (dash_c) {
		if (!argv[1] || argv[2])
			usage_error("-c takes one argument");
		if (getenv("SHELL"))
			shell[0] = getenv("SHELL");
		shell[2] = argv[1];
		return shell;
	}
	if (argv[0] && !strcmp(argv[0], "--"))
		argv++;
	if (!argv[0])
		usage_error("no command given");
	return argv;
}

int cmd_lock(int argc, char **argv)
{
	static const struct option options[] = {
		{ "nonblock", no_argument, NULL, 'n' },
		{ "nb", no_argument, NULL, 'n' },
		{ "timeout", required_argument, NULL, 'w' },
		{ "wait", required_argument, NULL, 'w' },
		{ "shared", no_argument, NULL, 's' },
		{ "exclusive", no_argument, NULL, 'x' },
		{ "conflict-exit-code", required_argument, NULL, 'E' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	struct key_lock lock = { .deadline = NPHEAP_FOREVER };
	int c, status, conflict = EXIT_FAILURE;
	char **command;

	/* "+": the options end at the key, others are the command's. */
	while ((c = getopt_long(argc, argv, "+nw:sxeE:h", options,
				NULL)) != -1) {
		switch (c) {
		case 'n':
			lock.flags |= NPHEAP_TRY;
			break;
		case 'w':
			lock.deadline = parse_deadline(optarg);
			break;
		case 's':
			lock.flags |= NPHEAP_SHARED;
			break;
		case 'x':
		case 'e':
			lock.flags &= ~NPHEAP_SHARED;
			break;
		case 'E':
			conflict = parse_number(optarg, 255);
			break;
		case 'h':
			print_help();
		default:
			bad_option();
		}
	}
	if (optind == argc)
		usage_error("no key given");
	lock.key = parse_key(argv[optind]);
	command = parse_command(argv + optind + 1);
	lock.heap = open_heap(0);
	status = lock_and_run(&lock, command, conflict);
	npheap_close(lock.heap);
	return status;
}

/* ---------------------------------------------------------------- unlock -- */

/* Who holds it, as far as root may know. */
static void tell_holder(uint64_t key)
{
	const struct key_state *lock;
	struct key_state *locks;
	size_t count;

	if (read_locks(&locks, &count)) {
		warnx("key %" PRIu64 ": only its holder can give the lock back; root can take it away: --force",
		      key);
		return;
	}
	lock = find_lock(locks, count, key);
	if (lock && lock->holder)
		warnx("key %" PRIu64 ": held by %" PRIu64 "; --force takes it away",
		      key, lock->holder);
	else if (lock && lock->readers)
		warnx("key %" PRIu64 ": held by %" PRIu64 " readers; --force takes it away",
		      key, lock->readers);
	else if (lock && lock->marked == MARK_LOST)
		warnx("key %" PRIu64 ": not held, but nobody gets it: %s", key,
		      explain(-ENOTRECOVERABLE));
	else if (lock && lock->marked)
		warnx("key %" PRIu64 ": not held, but a holder died and nobody has settled that",
		      key);
	else
		warnx("key %" PRIu64 ": not held", key);
	free(locks);
}

static int unlock_key(struct npheap *heap, uint64_t key, bool force)
{
	int rc;

	if (!force) {
		tell_holder(key);
		return -EPERM;
	}
	rc = npheap_break(heap, key);
	if (rc)
		warnx("key %" PRIu64 ": cannot take the lock away: %s", key,
		      rc == -EPERM ? "that needs root (CAP_SYS_ADMIN)" :
				     explain(rc));
	return rc;
}

int cmd_unlock(int argc, char **argv)
{
	static const struct option options[] = {
		{ "force", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	int c, status = EXIT_SUCCESS;
	struct npheap *heap;
	bool force = false;
	uint64_t *keys;
	size_t count, i;

	while ((c = getopt_long(argc, argv, "fh", options, NULL)) != -1) {
		if (c == 'h')
			print_help();
		if (c != 'f')
			bad_option();
		force = true;
	}
	keys = parse_keys(argc - optind, argv + optind, &count);
	heap = open_heap(0);
	for (i = 0; i < count; i++)
		if (unlock_key(heap, keys[i], force))
			status = EXIT_FAILURE;
	npheap_close(heap);
	free(keys);
	return status;
}
