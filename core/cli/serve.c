/*
 * perigee serve, perigee dev: the master. It reads the configuration, opens the listening socket, starts workers and keeps them alive; it touches no
 * request and opens no store, so nothing that a request can do harms it.
 *
 * A worker that dies is started again, at once the first time and then more slowly. SIGHUP: scripts are reloaded; where the configuration has changed, workers are
 * drained one after the other and replaced. SIGTERM and SIGINT: workers drain, then all ends; a second one ends them at once.
 */
#include "base/clock.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/host.h"
#include "cli/worker.h"
#include "net/http_server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKOFF_FIRST_US 100000
#define BACKOFF_MOST_US 10000000
#define STEADY_US 10000000        /* a worker that lived so long is taken for sound */
#define GRACE_US 5000000          /* beyond drain_timeout, before a worker is killed */
#define WORKERS_MAX 64

struct slot {
	pid_t pid;                /* 0: none */
	int64_t started_us, start_at_us, backoff_us;
	bool started_before;
	int ready_fd;             /* -1 once ready */
};

struct master {
	const char *config;
	const struct setting_flags *flags;
	struct settings settings;
	struct worker_options worker;
	char address[96];
	char *scratch;
	int listen_fd;
	struct slot slots[WORKERS_MAX];
	size_t slots_count;
	bool stopping, ever_ready;
	int64_t stop_deadline_us;
	int code;
	sigset_t watched, before;
};

static void
start_worker(struct master *m, struct slot *slot)
{
	int ready[2];
	if (pipe2(ready, O_CLOEXEC) != 0) {
		slot->start_at_us = clock_monotonic_us() + BACKOFF_MOST_US;
		return;
	}
	struct worker_options options = m->worker;
	options.settings = &m->settings;
	options.listen_fd = m->listen_fd;
	options.address = m->address;
	options.index = (unsigned)(slot - m->slots);
	options.first = !slot->started_before;
	options.ready_fd = ready[1];
	pid_t master = getpid();
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		/* The group's Ctrl-C is the master's business; a worker and its cells must not see it. If the master is killed, drain. */
		signal(SIGINT, SIG_IGN);
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		sigprocmask(SIG_SETMASK, &m->before, NULL);
		close(ready[0]);
		for (size_t i = 0; i < m->slots_count; i++)
			if (m->slots[i].ready_fd >= 0)
				close(m->slots[i].ready_fd);
		int code = getppid() == master ? worker_main(&options) : EXIT_FAILED;
		settings_free(&m->settings);
		free(m->scratch);
		exit(code);
	}
	close(ready[1]);
	slot->pid = pid > 0 ? pid : 0;
	slot->ready_fd = pid > 0 ? ready[0] : -1;
	slot->started_us = clock_monotonic_us();
	slot->started_before = true;
	if (pid < 0) {
		close(ready[0]);
		slot->start_at_us = slot->started_us + BACKOFF_MOST_US;
	}
}

static void
signal_workers(const struct master *m, int signal)
{
	for (size_t i = 0; i < m->slots_count; i++)
		if (m->slots[i].pid)
			kill(m->slots[i].pid, signal);
}

static void
begin_stop(struct master *m, int code)
{
	if (m->stopping) {
		signal_workers(m, SIGKILL);
		return;
	}
	m->stopping = true;
	m->code = code;
	m->stop_deadline_us = clock_monotonic_us() + m->settings.drain_timeout_ms * 1000 + GRACE_US;
	signal_workers(m, SIGTERM);
}

static void
note_ready(struct master *m, struct slot *slot)
{
	char byte;
	if (slot->ready_fd < 0)
		return;
	if (fcntl(slot->ready_fd, F_SETFL, O_NONBLOCK) == 0 && read(slot->ready_fd, &byte, 1) == 1)
		m->ever_ready = true;
	close(slot->ready_fd);
	slot->ready_fd = -1;
}

/* What a worker's end means: a planned one, a start that cannot succeed, or an accident to recover from. */
static void
handle_end(struct master *m, struct slot *slot, int status)
{
	int64_t now = clock_monotonic_us(), lived = now - slot->started_us;
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
	char text[32], pid[16];

	note_ready(m, slot);
	snprintf(pid, sizeof pid, "%d", (int)slot->pid);
	slot->pid = 0;
	if (m->stopping)
		return;
	if (m->worker.exit_after_examples || !m->ever_ready) {
		begin_stop(m, code);
		return;
	}
	if (WIFSIGNALED(status))
		snprintf(text, sizeof text, "signal %d", WTERMSIG(status));
	else
		snprintf(text, sizeof text, "exit %d", code);
	if (WIFEXITED(status) && code == EXIT_DONE) {
		slot->backoff_us = 0;    /* drained for a replacement */
		slot->start_at_us = now;
		return;
	}
	slot->backoff_us = lived > STEADY_US || !slot->backoff_us ? BACKOFF_FIRST_US : slot->backoff_us * 2;
	if (slot->backoff_us > BACKOFF_MOST_US)
		slot->backoff_us = BACKOFF_MOST_US;
	slot->start_at_us = lived > STEADY_US ? now : now + slot->backoff_us;
	log_event(LOG_ERROR, "worker.ended", "pid", pid, "how", text, "next", "it is started again", NULL);
}

static void
reap(struct master *m)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < m->slots_count; i++)
			if (m->slots[i].pid == pid)
				handle_end(m, &m->slots[i], status);
}

/* Read everything again. A configuration that does not hold leaves the old one in force. */
static void
reload(struct master *m)
{
	struct settings fresh;
	struct errbuf e;
	if (settings_read(m->config, m->flags, &fresh, &e)) {
		log_event(LOG_ERROR, "configuration.refused", "why", e.text, "next", "the old one stays in force", NULL);
		settings_free(&fresh);
		return;
	}
	if (m->scratch) {
		free(fresh.store);
		fresh.store = mem_copy(str_of(m->settings.store));
	}
	if (settings_equal(&m->settings, &fresh)) {
		settings_free(&fresh);
		signal_workers(m, SIGHUP);
		return;
	}
	if (strcmp(fresh.listen, m->settings.listen) != 0)
		log_event(LOG_WARN, "configuration.listen_ignored", "next", "a new address takes a restart", NULL);
	if (fresh.workers != m->settings.workers)
		log_event(LOG_WARN, "configuration.workers_ignored", "next", "another number of workers takes a restart", NULL);
	log_event(LOG_INFO, "configuration.changed", "next", "workers are drained and replaced", NULL);
	settings_free(&m->settings);
	m->settings = fresh;
	signal_workers(m, SIGTERM);
}

static int64_t
next_deadline_us(const struct master *m)
{
	int64_t next = m->stopping ? m->stop_deadline_us : INT64_MAX;
	for (size_t i = 0; i < m->slots_count && !m->stopping; i++)
		if (!m->slots[i].pid && m->slots[i].start_at_us < next)
			next = m->slots[i].start_at_us;
	return next;
}

static bool
any_alive(const struct master *m)
{
	for (size_t i = 0; i < m->slots_count; i++)
		if (m->slots[i].pid)
			return true;
	return false;
}

static void
supervise(struct master *m)
{
	while (!m->stopping || any_alive(m)) {
		int64_t now = clock_monotonic_us(), next = next_deadline_us(m);
		for (size_t i = 0; i < m->slots_count && !m->stopping; i++)
			if (!m->slots[i].pid && m->slots[i].start_at_us <= now)
				start_worker(m, &m->slots[i]);
		if (m->stopping && now >= m->stop_deadline_us)
			signal_workers(m, SIGKILL);
		int64_t wait_us = next > now && next != INT64_MAX ? next - now : 1000000;
		if (wait_us > 1000000)
			wait_us = 1000000;
		struct timespec timeout = { wait_us / 1000000, wait_us % 1000000 * 1000 };
		int signal = sigtimedwait(&m->watched, NULL, &timeout);
		if (signal == SIGTERM || signal == SIGINT)
			begin_stop(m, m->worker.exit_after_examples ? EXIT_FAILED : EXIT_DONE);
		else if (signal == SIGHUP && !m->stopping)
			reload(m);
		reap(m);
	}
}

/* -- start ------------------------------------------------------------------------------------------------------------ */

/* The address with the port that the kernel chose where 0 was asked for. */
static void
describe_address(struct master *m)
{
	const char *listen = m->settings.listen, *colon = strrchr(listen, ':');
	size_t n = colon ? (size_t)(colon - listen) : strlen(listen);
	snprintf(m->address, sizeof m->address, "%.*s:%u", n ? (int)n : 7, n ? listen : "0.0.0.0", http_listen_port(m->listen_fd));
}

static int
prepare(struct master *m, bool scratch, struct errbuf *e)
{
	int code = settings_read(m->config, m->flags, &m->settings, e);
	if (code)
		return code;
	bool json = strcmp(m->settings.log_format, "json") == 0;
	enum log_level level = LOG_INFO;
	if (!log_level_parse(str_of(m->settings.log_level), &level))
		level = LOG_INFO;
	log_setup(STDERR_FILENO, json ? LOG_JSON : style_of(STDERR_FILENO).is_terminal ? LOG_COLOUR : LOG_TEXT, level);
	if (scratch) {
		struct buf url;
		if (!(m->scratch = scratch_make(e)))
			return ERR_UNAVAILABLE;
		buf_init(&url, 4200);
		buf_addf(&url, "sqlite:%s", m->scratch);
		free(m->settings.store);
		m->settings.store = buf_take(&url);
	}
	code = http_listen(m->settings.listen, &m->listen_fd, e);
	if (code == 0)
		describe_address(m);
	return code;
}

static int
serve(struct master *m, bool scratch)
{
	struct errbuf e = { "" };
	int code = prepare(m, scratch, &e);
	if (code) {
		code = cli_fail(code == ERR_INVALID || code == ERR_NOT_FOUND ? EXIT_USAGE : EXIT_NO_HOST, "%s", e.text);
	} else {
		sigemptyset(&m->watched);
		sigaddset(&m->watched, SIGCHLD);
		sigaddset(&m->watched, SIGTERM);
		sigaddset(&m->watched, SIGINT);
		sigaddset(&m->watched, SIGHUP);
		sigprocmask(SIG_BLOCK, &m->watched, &m->before);
		m->slots_count = (size_t)m->settings.workers;
		for (size_t i = 0; i < m->slots_count; i++)
			m->slots[i].ready_fd = -1;
		supervise(m);
		code = m->code;
	}
	if (m->listen_fd >= 0)
		close(m->listen_fd);
	scratch_remove(m->scratch);
	free(m->scratch);
	settings_free(&m->settings);
	return code;
}

#define OPTION_SERVING \
	{ "--listen", "ADDR:PORT", "where to answer (127.0.0.1:8080; port 0: a free one)", NULL, NULL, "listen" }, OPTION_STORE, OPTION_ROOT

static int
run_serve(const struct command *command, int argc, char **argv)
{
	struct setting_flags flags = { 0 };
	struct master m = { .flags = &flags, .listen_fd = -1 };
	struct words words;
	const struct option options[] = {
		OPTION_CONFIG(m.config), OPTION_SERVING,
		{ "--workers", "N", "processes that answer (1)", NULL, NULL, "workers" },
		{ "--redis", "URL", "redis://HOST:PORT/DB or unix:PATH", NULL, NULL, "redis" },
		{ 0 },
	};
	int code = options_parse(command, options, &flags, argc, argv, 0, 0, &words);
	return code >= 0 ? code : serve(&m, false);
}

static int
run_dev(const struct command *command, int argc, char **argv)
{
	struct setting_flags flags = { 0 };
	struct master m = { .flags = &flags, .listen_fd = -1, .worker = { .dev = true } };
	bool scratch = false;
	struct words words;
	const struct option options[] = {
		OPTION_CONFIG(m.config), OPTION_SERVING,
		{ "--scratch", NULL, "in a store of its own, gone afterwards", NULL, &scratch, NULL },
		{ "--examples", "DIR", "work through DIR/*/input.json first and print the scorecards", &m.worker.examples, NULL, NULL },
		{ "--exit", NULL, "end when the examples are done; 0 only if every run succeeded", NULL, &m.worker.exit_after_examples, NULL },
		{ 0 },
	};
	int code = options_parse(command, options, &flags, argc, argv, 0, 0, &words);
	if (code >= 0)
		return code;
	if (m.worker.exit_after_examples && !m.worker.examples)
		return cli_fail(EXIT_USAGE, "--exit goes with --examples DIR");
	return serve(&m, scratch);
}

const struct command command_serve = {
	"serve", "[OPTIONS]", "Serve HTTP: a master, its workers, their cells",
	"SIGHUP reloads scripts and configuration; SIGTERM drains (drain_timeout) and ends.", run_serve,
};
const struct command command_dev = {
	"dev", "[OPTIONS]", "Serve on an embedded store in .perigee/, reload on save, print a key to begin with",
	"Makes the tenant `example` and, the first time, an administrator's key, which is shown once.", run_dev,
};
