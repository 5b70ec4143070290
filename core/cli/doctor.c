/* perigee doctor: what this machine has of what a host needs, and what to do about the rest. */
#include "cli/commands.h"
#include "cli/host.h"
#include "net/http_server.h"

#include <errno.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum health { HEALTH_OK, HEALTH_NOTE, HEALTH_FAIL };

struct doctor {
	struct style style;
	size_t failures;
};

static void
tell(struct doctor *d, enum health health, const char *what, const char *detail)
{
	static const char *const words[] = { "ok  ", "note", "fail" };
	const char *colours[] = { d->style.green, d->style.yellow, d->style.red };
	printf("%s%s%s  %-16s %s\n", colours[health], words[health], d->style.off, what, detail);
	if (health == HEALTH_FAIL)
		d->failures++;
}

static void
check_kernel(struct doctor *d)
{
	char text[160];
	struct buf actions = { 0 };
	bool seccomp = cli_read_file("/proc/sys/kernel/seccomp/actions_avail", 4096, &actions, NULL) == 0 &&
	               strstr(buf_text(&actions), "kill_process");
	buf_free(&actions);
	tell(d, seccomp ? HEALTH_OK : HEALTH_FAIL, "seccomp",
	     seccomp ? "the kernel filters system calls" : "this kernel filters no system calls: cells cannot be jailed; use a kernel with CONFIG_SECCOMP_FILTER");

	long landlock = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION);
	if (landlock > 0)
		snprintf(text, sizeof text, "version %ld", landlock);
	tell(d, landlock > 0 ? HEALTH_OK : HEALTH_NOTE, "landlock",
	     landlock > 0 ? text : "not there: seccomp alone keeps cells from files; Linux 5.13 and `lsm=landlock,…` add a second wall");

	long pidfd = syscall(SYS_pidfd_open, getpid(), 0);
	if (pidfd >= 0)
		close((int)pidfd);
	tell(d, pidfd >= 0 ? HEALTH_OK : HEALTH_FAIL, "pidfd", pidfd >= 0 ? "the kernel names processes safely" : "needs Linux 5.3 or newer");

	struct rlimit files;
	getrlimit(RLIMIT_NOFILE, &files);
	snprintf(text, sizeof text, "%llu open files%s", (unsigned long long)files.rlim_cur,
	         files.rlim_cur < 4096 ? ": enough to try; for many connections raise it (ulimit -n 65536)" : "");
	tell(d, files.rlim_cur < 4096 ? HEALTH_NOTE : HEALTH_OK, "descriptors", text);
}

static void
check_port(struct doctor *d, const struct settings *s)
{
	struct errbuf e;
	int fd;
	int code = http_listen(s->listen, &fd, &e);
	if (code == 0)
		close(fd);
	tell(d, code ? HEALTH_FAIL : HEALTH_OK, "listen", code ? e.text : s->listen);
}

/* A store that is not there yet is not made here: looking leaves nothing behind. */
static bool
is_store_to_come(struct doctor *d, const struct settings *s)
{
	static const char scheme[] = "sqlite:";
	const char *path = s->store + sizeof scheme - 1;
	char text[4400];

	if (strncmp(s->store, scheme, sizeof scheme - 1) != 0 || !*path || access(path, F_OK) == 0)
		return false;
	char *folder = path_folder(path);
	bool can = access(folder, W_OK) == 0;
	if (can)
		snprintf(text, sizeof text, "%.2000s is not there yet: the host makes it", s->store);
	else
		snprintf(text, sizeof text, "%.2000s cannot be made: %.2000s is missing or read-only for this user", s->store, folder);
	tell(d, can ? HEALTH_NOTE : HEALTH_FAIL, "store", text);
	free(folder);
	return true;
}

static void
check_host(struct doctor *d, const struct settings *s, bool scratch)
{
	struct host_options options = { .settings = s, .scratch = scratch };
	struct host host;
	struct errbuf e;

	if (host_open(&options, &host, &e)) {
		tell(d, HEALTH_FAIL, scratch ? "cell" : "store", e.text);
		return;
	}
	if (!scratch) {
		char *shown = settings_url_shown(s->store);
		tell(d, HEALTH_OK, "store", shown);
		free(shown);
	} else {
		tell(d, HEALTH_OK, "cell", s->cell_program);
		int code = host_load(&host, TENANT_OTHERWISE, s->root, NULL, &e);
		char text[160];
		const json_t *manifest = engine_manifest(host.engine, STR(TENANT_OTHERWISE));
		if (code == 0)
			snprintf(text, sizeof text, "%zu agents, %zu playbooks in %.100s", json_object_size(json_member(manifest, "agents")),
			         json_object_size(json_member(manifest, "playbooks")), s->root);
		tell(d, code ? HEALTH_FAIL : HEALTH_OK, "bundle", code ? e.text : text);
	}
	host_close(&host);
}

static int
run(const struct command *command, int argc, char **argv)
{
	const char *config = NULL;
	bool verbose = false;
	struct setting_flags flags = { 0 };
	struct words words;
	const struct option options[] = {
		{ "--settings", NULL, "also every setting and where it comes from", NULL, &verbose, NULL },
		{ "--listen", "ADDR:PORT", "the address to try", NULL, NULL, "listen" },
		OPTION_CONFIG(config), OPTION_ROOT, OPTION_STORE, { 0 },
	};
	int code = options_parse(command, options, &flags, argc, argv, 0, 0, &words);
	if (code >= 0)
		return code;

	struct doctor d = { .style = style_of(STDOUT_FILENO) };
	struct settings settings;
	struct errbuf e = { "" };
	check_kernel(&d);
	code = settings_read(config, &flags, &settings, &e);
	if (code) {
		tell(&d, HEALTH_FAIL, "configuration", e.text);
	} else {
		tell(&d, HEALTH_OK, "configuration", settings.config ? settings.config : "built-in (no perigee.lua here)");
		if (!is_store_to_come(&d, &settings))
			check_host(&d, &settings, false);
		check_host(&d, &settings, true);
		check_port(&d, &settings);
		if (verbose) {
			struct buf text;
			buf_init(&text, 1 << 20);
			settings_write(&settings, &text);
			printf("\n%s", buf_text(&text));
			buf_free(&text);
		}
	}
	settings_free(&settings);
	if (d.failures)
		printf("%zu of these must be mended first.\n", d.failures);
	return d.failures ? EXIT_NO_HOST : EXIT_DONE;
}

const struct command command_doctor = {
	"doctor", "[OPTIONS]", "Check this machine, the configuration, the store, the scripts and the port",
	"Each line says ok, note (works, could be better) or fail, with what to do. Exit 3 when something fails.", run,
};
