// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A file system of one file, its root, whose FUSE server answers a flush, which
 * is a part of each close, when it likes.
 */
#include <linux/fuse.h>
#include <sys/mount.h>

#include "slow_file.h"

#define MOUNT_POINT "slow_file"

struct reply {
	struct fuse_out_header header;
	union {
		struct fuse_init_out init;
		struct fuse_open_out open;
	};
};

static void flush_slowly(struct slow_file *file)
{
	long long limit = now_ms() + SLOW_FILE_SECONDS * 1000;

	gate_add(&file->closes, 1);
	while (!file->go.value && now_ms() < limit)
		sleep_ms(10);
}

/* How much of @reply is to be sent besides its header. */
static size_t answer(struct slow_file *file, uint32_t opcode,
		     struct reply *reply)
{
	switch (opcode) {
	case FUSE_INIT:
		reply->init.major = FUSE_KERNEL_VERSION;
		reply->init.minor = FUSE_KERNEL_MINOR_VERSION;
		reply->init.max_write = 4096;
		return sizeof(reply->init);
	case FUSE_OPEN:
		return sizeof(reply->open);
	case FUSE_FLUSH:
		flush_slowly(file);
		return 0;
	default:
		reply->header.error = -ENOSYS;
		return 0;
	}
}

/* Until the file system is gone. */
static int serve(int fuse, struct slow_file *file)
{
	union {
		struct fuse_in_header header;
		char bytes[FUSE_MIN_READ_BUFFER];
	} request;

	while (read(fuse, &request, sizeof(request)) > 0) {
		struct reply reply = {
			.header.unique = request.header.unique,
		};

		reply.header.len = sizeof(reply.header) +
				   answer(file, request.header.opcode, &reply);
		/* Where no answer was wanted this fails, and nobody minds. */
		if (write(fuse, &reply, reply.header.len) < 0)
			continue;
	}
	/* The latter where it went just as its last request was being read. */
	return errno == ENODEV || errno == ECONNABORTED ? 0 : 1;
}

struct server {
	int fuse;
	struct slow_file *file;
};

static int run_server(void *arg)
{
	struct server *server = arg;

	/* It must not keep the module. */
	close(dev);
	return serve(server->fuse, server->file);
}

static void mount_at(const char *path, int fuse)
{
	char options[64];
	int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=100600,user_id=0,group_id=0", fuse);
	assert_int_equal(mount("slow_file", path, "fuse", 0, options), 0);
}

/* The mount is gone from sight at once, and for good with the last close. */
static int open_and_unmount(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(umount2(path, MNT_DETACH), 0);
	unlink(path);
	assert_true(fd >= 0);
	return fd;
}

static int open_fuse(void)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0 && system("modprobe fuse 2>/dev/null") == 0)
		fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	return fd;
}

struct slow_file *slow_file_new(void)
{
	struct slow_file *file;
	struct server server;
	int fuse;

	fuse = open_fuse();
	if (fuse < 0)
		return NULL;
	file = mmap(NULL, sizeof(*file), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(file, MAP_FAILED);
	server = (struct server){ .fuse = fuse, .file = file };
	mount_at(MOUNT_POINT, fuse);
	file->server = spawn(run_server, &server);
	close(fuse);
	file->fd = open_and_unmount(MOUNT_POINT);
	return file;
}

void slow_file_free(struct slow_file *file)
{
	gate_add(&file->go, 1);
	close(file->fd);
	expect_exit(file->server, 0);
	munmap(file, sizeof(*file));
}
