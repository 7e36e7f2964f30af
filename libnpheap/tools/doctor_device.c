// SPDX-License-Identifier: GPL-2.0-or-later
/* npheap doctor: the device, and whether the one who asks may open it. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "doctor.h"
#include "tool.h"

static const char *make_node(unsigned int major, unsigned int minor)
{
	return text("as root: rm -f %s; mknod -m 660 %s c %u %u", NPHEAP_DEVICE,
		    NPHEAP_DEVICE, major, minor);
}

/* What the node is, against what the kernel says it is. */
static bool check_node(struct stat *st)
{
	unsigned int major, minor;
	char numbers[32];

	if (!system_line(NPHEAP_SYSFS "dev", numbers,
			 sizeof(numbers)) ||
	    sscanf(numbers, "%u:%u", &major, &minor) != 2) {
		report(FAULT, "no-sysfs", "mount -t sysfs sysfs /sys; dmesg",
		       "there is no /sys/class/misc/npheap, although the module is loaded");
		return false;
	}
	if (stat(system_path("%s", NPHEAP_DEVICE), st)) {
		if (in_container())
			report(FAULT, "container-without-device",
			       "start the container with --device /dev/npheap",
			       "this is a container, which was not given %s",
			       NPHEAP_DEVICE);
		else
			report(FAULT, "device-missing",
			       make_node(major, minor), "%s: %s", NPHEAP_DEVICE,
			       strerror(errno));
		return false;
	}
	if (!S_ISCHR(st->st_mode)) {
		report(FAULT, "device-not-a-device", make_node(major, minor),
		       "%s is an ordinary file or directory", NPHEAP_DEVICE);
		return false;
	}
	if (st->st_rdev != makedev(major, minor)) {
		report(FAULT, "device-stale", make_node(major, minor),
		       "%s is device %u:%u, and the module has %u:%u now",
		       NPHEAP_DEVICE, major(st->st_rdev), minor(st->st_rdev),
		       major, minor);
		return false;
	}
	return true;
}

static const char *group_name(gid_t gid)
{
	const struct group *group = getgrgid(gid);

	return group ? group->gr_name : text("%u", gid);
}

static void report_refusal(const struct stat *st)
{
	const struct passwd *user = getpwuid(geteuid());
	const char *group = group_name(st->st_gid);
	const char *todo;

	if (st->st_gid)
		todo = text("as root: usermod -aG %s %s; then log in anew",
			    group, user ? user->pw_name : "USER");
	else
		todo = "as root, to let a group in: groupadd npheap; chgrp npheap /dev/npheap; usermod -aG npheap USER; for every boot a rule of udev: KERNEL==\"npheap\", GROUP=\"npheap\"";
	report(FAULT, "no-permission", todo,
	       "you may not open %s: it is for user %u and group %s, mode %04o",
	       NPHEAP_DEVICE, st->st_uid, group, st->st_mode & 07777);
}

/* Why open(2) said no. */
static void diagnose_open(int error, const struct stat *st)
{
	const char *path = system_path("%s", NPHEAP_DEVICE);
	struct statvfs fs;
	int fd;

	if (error == EACCES && !statvfs(path, &fs) && fs.f_flag & ST_NODEV) {
		report(FAULT, "device-on-nodev",
		       "mount -o remount,dev /dev, or start the container with --device /dev/npheap",
		       "%s lies on a file system without devices (nodev)",
		       NPHEAP_DEVICE);
		return;
	}
	if (error == EPERM) {
		report(FAULT, "device-forbidden",
		       "start the container with --device /dev/npheap; in a unit of systemd: DeviceAllow=/dev/npheap rw",
		       "a control group does not allow %s", NPHEAP_DEVICE);
		return;
	}
	if (error != EACCES) {
		report(FAULT, "device-does-not-open", "dmesg", "%s: %s",
		       NPHEAP_DEVICE, strerror(error));
		return;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		report_refusal(st);
		return;
	}
	close(fd);
	report(WARNING, "read-only",
	       text("as root, to let the group write: chmod 660 %s",
		    NPHEAP_DEVICE),
	       "you may map objects for reading, and neither create nor lock");
}

/*
 * An older module knows fewer commands.  STAT is one of the latest, and finds no
 * object or one.
 */
static void check_commands(int fd)
{
	struct npheap_stat stat = { .key = NPHEAP_KEY_MAX };

	if (!ioctl(fd, NPHEAP_IOC_STAT, &stat) || errno != ENOTTY)
		report(GOOD, "device", NULL, "%s can be opened", NPHEAP_DEVICE);
	else
		report(FAULT, "module-lacks-commands",
		       "install the module of the same release as the library, then: rmmod npheap; modprobe npheap",
		       "the module does not know the commands of this library: it is older");
}

bool check_device(void)
{
	struct stat st;
	int fd;

	if (!check_node(&st))
		return false;
	fd = open(system_path("%s", NPHEAP_DEVICE), O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		diagnose_open(errno, &st);
		return false;
	}
	check_commands(fd);
	close(fd);
	return true;
}
