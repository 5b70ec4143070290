#include "cli/supervisor.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics_board.h"
#include "net/http_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKOFF_FIRST_US 100000
#define BACKOFF_MOST_US 10000000
#define SOCKET_KEPT_US 1000000    /* what waits in a dead worker's socket for longer is better sent to the other workers */
#define STEADY_US 10000000        /* a worker that lived so long is taken for sound */
#define GRACE_US 5000000          /* beyond drain_timeout, before a worker is killed */
#define LOOK_US 1000000           /* the longest sleep */
#define WORKERS_MAX 64
#define RETIRED_MAX 64

struct process {
	pid_t pid;                /* 0: none */
	int ready_fd;             /* -1 once ready */
	unsigned generation;      /* of the settings it was started with */
	int board_slot;
	int64_t started_us, kill_at_us;
};

struct slot {
	struct process current, next;   /* next: starts to take the place of current */
	int listen_fd;                  /* -1 while given up */
	int64_t start_at_us, replace_at_us, backoff_us;
	bool started_before;
};

struct supervisor {
	const struct supervisor_options *options;
	struct settings *settings;
	struct metrics_board *board;
	struct slot slots[WORKERS_MAX];
	size_t slots_count;
	struct process retired[RETIRED_MAX];   /* draining, their replacement serves */
	size_t retired_count;
	unsigned generation;
	bool stopping, ever_ready;
	int64_t stop_deadline_us;
	int code, signal_fd;
	sigset_t before;
};

/* -- sockets ---------------------------------------------------------------------------------------------------------- */

/* A slot's socket is opened beside any other that is there. */
static bool
open_socket(struct supervisor *s, struct slot *slot)
{
	struct errbuf e = { "" };
	for (size_t i = 0; i < s->slots_count && slot->listen_fd < 0; i++)
		if (s->slots[i].listen_fd >= 0 && http_listen_beside(s->slots[i].listen_fd, &slot->listen_fd, &e))
			slot->listen_fd = -1;
	if (slot->listen_fd < 0)
		log_event(LOG_ERROR, "worker.no_socket", "why", e.text, "next", "tried again with the next start", NULL);
	return slot->listen_fd >= 0;
}

/* What connects goes to the other workers from here on. The last socket stays: it holds the address. */
static void
give_up_socket(struct supervisor *s, struct slot *slot)
{
	size_t open = 0;
	for (size_t i = 0; i < s->slots_count; i++)
		open += s->slots[i].listen_fd >= 0 && s->slots[i].current.pid;
	if (open == 0 || slot->listen_fd < 0)
		return;
	close(slot->listen_fd);
	slot->listen_fd = -1;
}

/* -- processes -------------------------------------------------------------------------------------------------------- */

/* In the child: what is the master's or another worker's is closed. */
static void
leave_master(struct supervisor *s, const struct slot *mine)
{
	/* The group's Ctrl-C is the master's business; a worker and its cells must not see it. If the master is killed, drain. */
	signal(SIGINT, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	close(s->signal_fd);
	for (size_t i = 0; i < s->slots_count; i++) {
		struct slot *slot = &s->slots[i];
		if (slot->listen_fd >= 0 && slot != mine)
			close(slot->listen_fd);
		if (slot->current.ready_fd >= 0)
			close(slot->current.ready_fd);
		if (slot->next.ready_fd >= 0)
			close(slot->next.ready_fd);
	}
	for (size_t i = 0; i < s->retired_count; i++)
		if (s->retired[i].ready_fd >= 0)
			close(s->retired[i].ready_fd);
	sigprocmask(SIG_SETMASK, &s->before, NULL);
}

static _Noreturn void
be_worker(struct supervisor *s, const struct slot *slot, const struct worker_options *options, pid_t master)
{
	leave_master(s, slot);
	int code = getppid() == master ? worker_main(options) : EXIT_FAILED;
	settings_free(s->settings);
	free(s->options->scratch);
	exit(code);
}

static bool
start_process(struct supervisor *s, struct slot *slot, struct process *process)
{
	int ready[2];
	if ((slot->listen_fd < 0 && !open_socket(s, slot)) || pipe2(ready, O_CLOEXEC) != 0)
		return false;
	*process = (struct process){
		.ready_fd = ready[0], .generation = s->generation, .board_slot = metrics_board_take(s->board), .started_us = clock_monotonic_us(),
	};
	struct worker_options options = s->options->worker;
	options.settings = s->settings;
	options.listen_fd = slot->listen_fd;
	options.index = (unsigned)(slot - s->slots);
	options.first = !slot->started_before;
	options.ready_fd = ready[1];
	options.board = s->board;
	options.board_slot = process->board_slot;
	pid_t master = getpid();
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		close(ready[0]);
		process->ready_fd = -1;
		be_worker(s, slot, &options, master);
	}
	close(ready[1]);
	slot->started_before = true;
	if (pid < 0) {
		close(ready[0]);
		metrics_board_fold(s->board, process->board_slot);
		*process = (struct process){ .ready_fd = -1 };
		return false;
	}
	process->pid = pid;
	return true;
}

static void
start_slot(struct supervisor *s, struct slot *slot)
{
	if (!start_process(s, slot, &slot->current))
		slot->start_at_us = clock_monotonic_us() + BACKOFF_MOST_US;
}

static void
signal_all(const struct supervisor *s, int signal)
{
	for (size_t i = 0; i < s->slots_count; i++) {
		if (s->slots[i].current.pid)
			kill(s->slots[i].current.pid, signal);
		if (s->slots[i].next.pid)
			kill(s->slots[i].next.pid, signal);
	}
	for (size_t i = 0; i < s->retired_count && signal != SIGHUP; i++)
		kill(s->retired[i].pid, signal);
}

static int64_t
drain_deadline_us(const struct supervisor *s)
{
	return clock_monotonic_us() + s->settings->drain_timeout_ms * 1000 + GRACE_US;
}

static void
begin_stop(struct supervisor *s, int code)
{
	if (s->stopping) {
		signal_all(s, SIGKILL);
		return;
	}
	s->stopping = true;
	s->code = code;
	s->stop_deadline_us = drain_deadline_us(s);
	signal_all(s, SIGTERM);
}

/* -- ready ------------------------------------------------------------------------------------------------------------ */

/* One byte: requests are answered. The end of the file: it never will. */
static bool
take_ready(struct supervisor *s, struct process *process)
{
	char byte;
	bool ready = read(process->ready_fd, &byte, 1) == 1;
	close(process->ready_fd);
	process->ready_fd = -1;
	s->ever_ready |= ready;
	return ready;
}

static void
retire(struct supervisor *s, struct process *process)
{
	BUG_ON(s->retired_count == RETIRED_MAX);
	process->kill_at_us = drain_deadline_us(s);
	kill(process->pid, SIGTERM);
	s->retired[s->retired_count++] = *process;
}

static void
promote(struct slot *slot)
{
	slot->current = slot->next;
	slot->next = (struct process){ .ready_fd = -1 };
}

static void
replacement_ready(struct supervisor *s, struct slot *slot)
{
	if (!take_ready(s, &slot->next))
		return; /* its end is reported in a moment */
	if (slot->current.pid)
		retire(s, &slot->current);
	promote(slot);
}

/* One at a time: the next is replaced when the last replacement serves. */
static void
replace_next(struct supervisor *s, int64_t now)
{
	struct slot *due = NULL;
	for (size_t i = 0; i < s->slots_count; i++) {
		struct slot *slot = &s->slots[i];
		if (slot->next.pid)
			return;
		if (!due && slot->current.pid && slot->current.generation != s->generation && slot->replace_at_us <= now)
			due = slot;
	}
	if (due && s->retired_count < RETIRED_MAX && !start_process(s, due, &due->next))
		due->replace_at_us = now + BACKOFF_MOST_US;
}

/* -- ends ------------------------------------------------------------------------------------------------------------- */

/* What a worker's end means: a planned one, a start that cannot succeed, or an accident to recover from. */
static void
current_ended(struct supervisor *s, struct slot *slot, const struct process *was, int status)
{
	int64_t now = clock_monotonic_us(), lived = now - was->started_us;
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
	char text[32], pid[16];

	if (s->stopping)
		return;
	if (s->options->worker.exit_after_examples || !s->ever_ready) {
		begin_stop(s, code);
		return;
	}
	if (slot->next.pid) {
		promote(slot);
		return;
	}
	slot->backoff_us = lived > STEADY_US || !slot->backoff_us ? BACKOFF_FIRST_US : slot->backoff_us * 2;
	if (slot->backoff_us > BACKOFF_MOST_US)
		slot->backoff_us = BACKOFF_MOST_US;
	bool at_once = lived > STEADY_US || (lived > BACKOFF_FIRST_US && (code == EXIT_DONE || code == EXIT_FENCED) && WIFEXITED(status));
	slot->start_at_us = at_once ? now : now + slot->backoff_us;
	if (!at_once && slot->backoff_us > SOCKET_KEPT_US)
		give_up_socket(s, slot);
	snprintf(pid, sizeof pid, "%d", (int)was->pid);
	if (WIFSIGNALED(status))
		snprintf(text, sizeof text, "signal %d", WTERMSIG(status));
	else
		snprintf(text, sizeof text, "exit %d", code);
	if (code != EXIT_DONE || !WIFEXITED(status))
		log_event(LOG_ERROR, "worker.ended", "pid", pid, "how", text, "next", "it is started again", NULL);
}

static void
replacement_ended(struct slot *slot)
{
	log_event(LOG_ERROR, "worker.not_replaced", "next", "the worker with the old settings goes on serving; tried again soon", NULL);
	slot->replace_at_us = clock_monotonic_us() + BACKOFF_MOST_US;
	if (!slot->current.pid)
		slot->start_at_us = clock_monotonic_us();
}

/* Forget the process; what it counted stays. */
static struct process
bury(struct supervisor *s, struct process *process)
{
	struct process was = *process;
	if (process->ready_fd >= 0)
		take_ready(s, process);
	metrics_board_fold(s->board, process->board_slot);
	*process = (struct process){ .ready_fd = -1 };
	return was;
}

static void
ended(struct supervisor *s, pid_t pid, int status)
{
	for (size_t i = 0; i < s->slots_count; i++) {
		struct slot *slot = &s->slots[i];
		if (slot->current.pid == pid) {
			struct process was = bury(s, &slot->current);
			current_ended(s, slot, &was, status);
		} else if (slot->next.pid == pid) {
			bury(s, &slot->next);
			replacement_ended(slot);
		}
	}
	for (size_t i = 0; i < s->retired_count; i++)
		if (s->retired[i].pid == pid) {
			bury(s, &s->retired[i]);
			s->retired[i] = s->retired[--s->retired_count];
			return;
		}
}

static void
reap(struct supervisor *s)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		ended(s, pid, status);
}

/* -- reload ----------------------------------------------------------------------------------------------------------- */

/* Read everything again. A configuration that does not hold leaves the old one in force. */
static void
reload(struct supervisor *s)
{
	struct settings fresh;
	struct errbuf e;
	if (settings_read(s->options->config, s->options->flags, &fresh, &e)) {
		log_event(LOG_ERROR, "configuration.refused", "why", e.text, "next", "the old one stays in force", NULL);
		settings_free(&fresh);
		return;
	}
	if (s->options->scratch) {
		free(fresh.store);
		fresh.store = mem_copy(str_of(s->settings->store));
	}
	if (settings_equal(s->settings, &fresh)) {
		settings_free(&fresh);
		signal_all(s, SIGHUP);
		return;
	}
	if (strcmp(fresh.listen, s->settings->listen) != 0)
		log_event(LOG_WARN, "configuration.listen_ignored", "next", "a new address takes a restart", NULL);
	if (fresh.workers != s->settings->workers)
		log_event(LOG_WARN, "configuration.workers_ignored", "next", "another number of workers takes a restart", NULL);
	if (fresh.metrics_tenants != s->settings->metrics_tenants)
		log_event(LOG_WARN, "configuration.metrics_tenants_ignored", "next", "another number of tenants in metrics takes a restart", NULL);
	log_event(LOG_INFO, "configuration.changed", "next", "workers are replaced, one after the other", NULL);
	settings_free(s->settings);
	*s->settings = fresh;
	s->generation++;
	for (size_t i = 0; i < s->slots_count; i++)
		s->slots[i].replace_at_us = 0;
}

/* -- the loop --------------------------------------------------------------------------------------------------------- */

static void
kill_late(struct supervisor *s, int64_t now)
{
	for (size_t i = 0; i < s->retired_count; i++)
		if (now >= s->retired[i].kill_at_us)
			kill(s->retired[i].pid, SIGKILL);
	if (s->stopping && now >= s->stop_deadline_us)
		signal_all(s, SIGKILL);
}

static bool
any_alive(const struct supervisor *s)
{
	for (size_t i = 0; i < s->slots_count; i++)
		if (s->slots[i].current.pid || s->slots[i].next.pid)
			return true;
	return s->retired_count > 0;
}

static int
next_look_ms(const struct supervisor *s, int64_t now)
{
	int64_t next = now + LOOK_US;
	for (size_t i = 0; i < s->slots_count && !s->stopping; i++)
		if (!s->slots[i].current.pid && s->slots[i].start_at_us < next)
			next = s->slots[i].start_at_us;
	return next > now ? (int)((next - now + 999) / 1000) : 0;
}

static void
take_signals(struct supervisor *s)
{
	struct signalfd_siginfo info;
	while (read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
			begin_stop(s, s->options->worker.exit_after_examples ? EXIT_FAILED : EXIT_DONE);
		else if (info.ssi_signo == SIGHUP && !s->stopping)
			reload(s);
	}
}

/* Sleep until a signal, a worker that is ready, or something is due. */
static void
wait_for_something(struct supervisor *s)
{
	struct pollfd fds[1 + 2 * WORKERS_MAX] = { { .fd = s->signal_fd, .events = POLLIN } };
	for (size_t i = 0; i < s->slots_count; i++) {
		fds[1 + 2 * i] = (struct pollfd){ .fd = s->slots[i].current.ready_fd, .events = POLLIN };
		fds[2 + 2 * i] = (struct pollfd){ .fd = s->slots[i].next.ready_fd, .events = POLLIN };
	}
	if (poll(fds, (nfds_t)(1 + 2 * s->slots_count), next_look_ms(s, clock_monotonic_us())) <= 0)
		return;
	for (size_t i = 0; i < s->slots_count; i++) {
		if (fds[1 + 2 * i].revents)
			take_ready(s, &s->slots[i].current);
		if (fds[2 + 2 * i].revents)
			replacement_ready(s, &s->slots[i]);
	}
	take_signals(s);
}

static void
turn(struct supervisor *s)
{
	int64_t now = clock_monotonic_us();
	for (size_t i = 0; i < s->slots_count && !s->stopping; i++)
		if (!s->slots[i].current.pid && !s->slots[i].next.pid && s->slots[i].start_at_us <= now)
			start_slot(s, &s->slots[i]);
	if (!s->stopping)
		replace_next(s, now);
	kill_late(s, now);
	wait_for_something(s);
	reap(s);
}

int
supervise(const struct supervisor_options *options, struct settings *settings)
{
	struct supervisor s = { .options = options, .settings = settings, .slots_count = (size_t)settings->workers };
	sigset_t watched;

	sigemptyset(&watched);
	sigaddset(&watched, SIGCHLD);
	sigaddset(&watched, SIGTERM);
	sigaddset(&watched, SIGINT);
	sigaddset(&watched, SIGHUP);
	sigprocmask(SIG_BLOCK, &watched, &s.before);
	s.signal_fd = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s.signal_fd < 0)
		return cli_fail(EXIT_NO_HOST, "no signalfd: %s", strerror(errno));
	for (size_t i = 0; i < s.slots_count; i++)
		s.slots[i] = (struct slot){ .listen_fd = i == 0 ? options->listen_fd : -1, .current.ready_fd = -1, .next.ready_fd = -1 };
	/* each worker, what takes its place, and two rounds of those that still drain */
	s.board = metrics_board_new(4 * s.slots_count, (size_t)settings->metrics_tenants);
	while (!s.stopping || any_alive(&s))
		turn(&s);
	for (size_t i = 0; i < s.slots_count; i++)
		if (s.slots[i].listen_fd >= 0)
			close(s.slots[i].listen_fd);
	close(s.signal_fd);
	metrics_board_free(s.board);
	return s.code;
}
