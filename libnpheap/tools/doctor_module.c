// SPDX-License-Identifier: GPL-2.0-or-later
/* npheap doctor: the kernel, and the module on disk and in memory. */
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <libkmod.h>

#include "doctor.h"
#include "tool.h"

/* What compat.h of the module supports. */
#define OLDEST 0x0601
#define NEWEST 0x060c

static char release[128];

static const char *install_headers(void)
{
	return text("install the headers of this kernel (Debian: apt install linux-headers-%s), then type in the source tree: make && make install && depmod",
		    release);
}

void check_kernel(void)
{
	unsigned int major = 0, minor = 0, version;

	if (!system_line("/proc/sys/kernel/osrelease", release,
			 sizeof(release))) {
		report(FAULT, "no-proc", "mount -t proc proc /proc",
		       "/proc is not mounted");
		return;
	}
	sscanf(release, "%u.%u", &major, &minor);
	version = major << 8 | minor;
	if (version < OLDEST || version > NEWEST)
		report(FAULT, "kernel-unsupported",
		       "boot a kernel from 6.1 to 6.12",
		       "this is Linux %s, for which the module cannot be built",
		       release);
	else
		report(GOOD, "kernel", NULL, "Linux %s", release);
}

/* ------------------------------------------------------ a module on disk -- */

/**
 * struct disk_module - npheap.ko as it is found for the running kernel
 * @path: where; empty: nowhere
 * @vermagic: the kernel that it is for
 * @srcversion: a sum of its source
 * @is_signed: it carries a signature
 */
struct disk_module {
	char path[PATH_MAX];
	char vermagic[128];
	char srcversion[64];
	bool is_signed;
};

static void read_info(struct kmod_module *mod, struct disk_module *found)
{
	struct kmod_list *info = NULL, *item;

	snprintf(found->path, sizeof(found->path), "%s",
		 kmod_module_get_path(mod) ? : "");
	if (kmod_module_get_info(mod, &info) < 0)
		return;
	kmod_list_foreach(item, info) {
		const char *key = kmod_module_info_get_key(item);
		const char *value = kmod_module_info_get_value(item);

		if (!strcmp(key, "vermagic"))
			sscanf(value, "%127s", found->vermagic);
		else if (!strcmp(key, "srcversion"))
			snprintf(found->srcversion, sizeof(found->srcversion),
				 "%s", value);
		else if (!strcmp(key, "sig_id"))
			found->is_signed = true;
	}
	kmod_module_info_free_list(info);
}

/* As modprobe finds it.  @forbidden: its configuration says not to. */
static void find_indexed(struct disk_module *found, bool *forbidden)
{
	const char *config[] = {
		system_path("/etc/modprobe.d"), system_path("/run/modprobe.d"),
		system_path("/lib/modprobe.d"), NULL
	};
	struct kmod_ctx *ctx = kmod_new(system_path("/lib/modules/%s", release),
					config);
	struct kmod_list *list = NULL;
	struct kmod_module *mod;
	const char *command;

	memset(found, 0, sizeof(*found));
	*forbidden = false;
	if (!ctx)
		return;
	if (!kmod_module_new_from_lookup(ctx, "npheap", &list) && list) {
		mod = kmod_module_get_module(list);
		read_info(mod, found);
		command = kmod_module_get_install_commands(mod);
		*forbidden = command && (strstr(command, "false") ||
					 strstr(command, "true"));
		kmod_module_unref(mod);
		kmod_module_unref_list(list);
	}
	kmod_unref(ctx);
}

static char walked[PATH_MAX];

static int walk(const char *path, const struct stat *st, int type,
		struct FTW *ftw)
{
	(void)st;
	if (type != FTW_F || fnmatch("npheap.ko*", path + ftw->base, 0))
		return 0;
	snprintf(walked, sizeof(walked), "%s", path);
	return 1;
}

/* A module of one kernel, in the index or not; NULL: there is none. */
static const char *find_file(const char *kernel)
{
	walked[0] = 0;
	nftw(system_path("/lib/modules/%s", kernel), walk, 16, FTW_PHYS);
	return walked[0] ? walked : NULL;
}

/* Another kernel for which there is a module; NULL: none. */
static const char *find_other_kernel(void)
{
	DIR *dir = opendir(system_path("/lib/modules"));
	static char name[NAME_MAX + 1];
	struct dirent *entry;
	bool found = false;

	if (!dir)
		return NULL;
	while (!found && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || !strcmp(entry->d_name, release))
			continue;
		snprintf(name, sizeof(name), "%s", entry->d_name);
		found = find_file(name);
	}
	closedir(dir);
	return found ? name : NULL;
}

/* ------------------------------------------------------------ not loaded -- */

/* What makes the kernel refuse a module without a signature; NULL: nothing. */
static const char *signature_wanted(void)
{
	const char *variable = system_path("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c");
	unsigned char value[5] = { 0 };
	char line[64];
	FILE *file;

	if (system_line("/sys/module/module/parameters/sig_enforce", line,
			sizeof(line)) && line[0] == 'Y')
		return "module.sig_enforce is set";
	if (system_line("/sys/kernel/security/lockdown", line, sizeof(line)) &&
	    (strstr(line, "[integrity]") || strstr(line, "[confidentiality]")))
		return "the kernel is locked down";
	file = fopen(variable, "re");
	if (!file)
		return NULL;
	if (fread(value, 1, 5, file) != 5)
		value[4] = 0;
	fclose(file);
	return value[4] ? "secure boot is on" : NULL;
}

static void diagnose_indexed(const struct disk_module *found, bool forbidden)
{
	const char *wanted = signature_wanted();

	if (found->vermagic[0] && strcmp(found->vermagic, release))
		report(FAULT, "module-wrong-kernel",
		       "in the source tree: make clean && make && make install && depmod",
		       "%s was built for Linux %s, and this is %s", found->path,
		       found->vermagic, release);
	else if (wanted && !found->is_signed)
		report(FAULT, "secure-boot",
		       "sign the module with a key of yours (kmodsign or sign-file) and enroll it: mokutil --import KEY.der; or turn secure boot off",
		       "%s, and %s is not signed", wanted, found->path);
	else if (forbidden)
		report(FAULT, "module-forbidden",
		       "grep -r npheap /etc/modprobe.d, and remove that line",
		       "a line 'install npheap' in modprobe.d keeps it from being loaded");
	else
		report(FAULT, "module-not-loaded",
		       "modprobe npheap; for every boot: echo npheap >/etc/modules-load.d/npheap.conf",
		       "the module is installed and not loaded");
}

static void diagnose_missing(void)
{
	char headers[256];
	const char *file, *other;

	snprintf(headers, sizeof(headers), "/lib/modules/%s/build/include/config",
		 release);
	file = find_file(release);
	if (file) {
		report(FAULT, "module-not-indexed", "depmod; modprobe npheap",
		       "%s is not in the list of modules, so modprobe does not find it",
		       file);
		return;
	}
	other = find_other_kernel();
	if (other)
		report(FAULT, "module-for-another-kernel",
		       system_has(headers) ?
		       "in the source tree: make && make install && depmod" :
		       install_headers(),
		       "the module is installed for Linux %s, and this is %s",
		       other, release);
	else if (!system_has(headers))
		report(FAULT, "headers-missing", install_headers(),
		       "the module is not installed, and without the headers of Linux %s it cannot be built",
		       release);
	else
		report(FAULT, "module-not-installed",
		       "in the source tree: make && make install && depmod; modprobe npheap",
		       "the module is not installed");
}

static void diagnose_not_loaded(void)
{
	char modules[256];
	struct disk_module found;
	bool forbidden;

	snprintf(modules, sizeof(modules), "/lib/modules/%s", release);
	if (in_container()) {
		report(FAULT, "container-without-module",
		       "on the host: modprobe npheap; then start the container with --device /dev/npheap",
		       "this is a container, and its host has not loaded the module");
		return;
	}
	if (!system_has(modules)) {
		report(FAULT, "kernel-replaced", "reboot",
		       "there is no %s: the running kernel was replaced, or its modules were removed",
		       modules);
		return;
	}
	find_indexed(&found, &forbidden);
	if (found.path[0])
		diagnose_indexed(&found, forbidden);
	else
		diagnose_missing();
}

/* ---------------------------------------------------------------- loaded -- */

/* By number: 1.10.0 is newer than 1.9.0. */
static void check_version(void)
{
	char version[64];

	if (!system_line("/sys/module/npheap/version", version,
			 sizeof(version)))
		return;
	if (strverscmp(version, NPHEAP_VERSION) < 0)
		report(FAULT, "module-older",
		       "install the module of the same release, then: rmmod npheap; modprobe npheap",
		       "the module is of release %s, and this program of %s",
		       version, NPHEAP_VERSION);
	else if (strverscmp(version, NPHEAP_VERSION) > 0)
		report(WARNING, "tool-older",
		       "install library and tool of the same release",
		       "the module is of release %s, and this program of %s",
		       version, NPHEAP_VERSION);
	else
		report(GOOD, "module", NULL, "loaded, release %s", version);
}

static void check_same_as_on_disk(void)
{
	struct disk_module found;
	char loaded[64];
	bool forbidden;

	find_indexed(&found, &forbidden);
	if (found.srcversion[0] &&
	    system_line("/sys/module/npheap/srcversion", loaded,
			sizeof(loaded)) && strcmp(loaded, found.srcversion))
		report(WARNING, "module-stale",
		       "when nobody uses the heap (its objects go): rmmod npheap; modprobe npheap",
		       "the module that is loaded is not the one that is installed");
}

bool check_module(void)
{
	char state[32] = "live";

	if (!system_has("/sys/module/npheap")) {
		diagnose_not_loaded();
		return false;
	}
	system_line("/sys/module/npheap/initstate", state, sizeof(state));
	if (strcmp(state, "live")) {
		report(FAULT, "module-busy",
		       "wait; if it stays like this: dmesg",
		       "the module is being loaded or unloaded (%s)", state);
		return false;
	}
	check_version();
	check_same_as_on_disk();
	return true;
}
