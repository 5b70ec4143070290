/* Cells and the zygote they come from, the host's side. See cells.h for the story. */
#include "run/cells_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

#define INPUT_MAX (FRAME_PAYLOAD_MAX + FRAME_HEADER_SIZE + 65536u)
#define OUTPUT_MAX (64u << 20)   /* bytes waiting for one cell: a journal handed over in one write fits */

static const char *const end_names[] = { "exited", "signal", "wall", "protocol", "lost", "host", "unforked" };

/* ---- the zygote ---- */

static int zygote_spawn(struct cells *cells, int child_end, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_adddup2(&actions, 0, 1);
	/* dup2 onto itself would keep close-on-exec: the end is never 3 here, see cells_zygote_start */
	posix_spawn_file_actions_adddup2(&actions, child_end, 3);
	posix_spawnattr_t attributes;
	posix_spawnattr_init(&attributes);
	/* a session of its own: Ctrl-C on the terminal is for the host, which drains */
	sigset_t none, defaults;
	sigemptyset(&none);
	sigfillset(&defaults);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
	char name[] = "perigee-cell";
	char *arguments[] = { name, NULL }, *environment[] = { NULL };
	int failed = posix_spawn(pid, cells->program, &actions, &attributes, arguments, environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return failed;
}

static void zygote_on_frame(struct cells *cells, const struct frame *frame, int fd)
{
	struct stem *stem;
	TAILQ_FOREACH(stem, &cells->stems, link)
		if (stem->id == frame->sequence)
			break;
	if (frame->type == FRAME_STEMMED && stem && fd >= 0)
		stem_stemmed(stem, fd);
	else if (fd >= 0)
		close(fd);
	if (frame->type == FRAME_GONE && stem)
		stem_gone(stem, "the stem ended");
}

static void zygote_on_control(int fd, int what, void *arg)
{
	(void)what;
	struct cells *cells = arg;
	for (;;) {
		struct buf in;
		buf_init(&in, 65536);
		struct fd_queue fds = { .count = 0 };
		int got = socket_receive(fd, &in, &fds);
		struct frame frame;
		if (got > 0 && frame_take(buf_str(&in), FRAME_FROM_ZYGOTE, &frame) == (long)in.n)
			zygote_on_frame(cells, &frame, fds.count ? fds.fds[0] : -1);
		else if (got > 0)
			got = -1;
		buf_free(&in);
		if (got == 0)
			return;
		if (got < 0) {
			cells_zygote_lost(cells);
			return;
		}
	}
}

int cells_zygote_start(struct cells *cells, struct errbuf *e)
{
	int ends[2];
	if (socket_pair(SOCK_SEQPACKET, ends) != 0)
		return err_set(e, ERR_IO, "socketpair for the zygote: %s", strerror(errno));
	int child = fcntl(ends[1], F_DUPFD_CLOEXEC, 10);
	close(ends[1]);
	pid_t pid = -1;
	int failed = child < 0 ? errno : zygote_spawn(cells, child, &pid);
	if (child >= 0)
		close(child);
	if (failed) {
		close(ends[0]);
		return err_set(e, ERR_UNAVAILABLE, "start %s: %s (is it beside perigee?)", cells->program, strerror(failed));
	}
	cells->control_fd = ends[0];
	cells->zygote_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	watch_init(&cells->control, cells->loop, ends[0], WATCH_READ, zygote_on_control, cells);
	watch_start(&cells->control);
	return 0;
}

static void zygote_close(struct cells *cells)
{
	if (cells->control_fd < 0)
		return;
	watch_fini(&cells->control);
	close(cells->control_fd);
	cells->control_fd = -1;
	if (cells->zygote_pidfd >= 0) {
		process_kill(cells->zygote_pidfd);
		siginfo_t info;
		while (waitid(P_PIDFD, (id_t)cells->zygote_pidfd, &info, WEXITED) < 0 && errno == EINTR)
			continue;
		close(cells->zygote_pidfd);
		cells->zygote_pidfd = -1;
	}
}

/* Every stem and cell hangs on the zygote's life. The next stem starts one anew: whoever opens stems decides how often that is tried. */
void cells_zygote_lost(struct cells *cells)
{
	log_event(LOG_ERROR, "zygote.lost", NULL);
	zygote_close(cells);
	struct stem *stem, *next;
	for (stem = TAILQ_FIRST(&cells->stems); stem; stem = next) {
		next = TAILQ_NEXT(stem, link);
		stem_gone(stem, "the zygote ended");
	}
}

/* ---- the wall clock ---- */

static void wall_arm(struct cells *cells)
{
	struct cell *first = TAILQ_FIRST(&cells->walls);
	if (!first)
		return;
	int64_t left = first->slice_began_us + cells->options.wall_ms * 1000 - clock_monotonic_us();
	timer_start_us(&cells->wall_timer, left > 1000 ? left : 1000);
}

static void wall_leave(struct cell *cell)
{
	if (cell->on_wall_list)
		TAILQ_REMOVE(&cell->stem->cells->walls, cell, wall_link);
	cell->on_wall_list = false;
}

static void wall_enter(struct cell *cell)
{
	struct cells *cells = cell->stem->cells;
	bool first = TAILQ_EMPTY(&cells->walls);
	wall_leave(cell);
	cell->slice_began_us = clock_monotonic_us();
	cell->slice_cpu_ms = -1;
	TAILQ_INSERT_TAIL(&cells->walls, cell, wall_link);
	cell->on_wall_list = true;
	if (first)
		wall_arm(cells);
}

/* Too long by the wall, but did it compute? On a busy machine it may have waited for its turn: its own timer counts what it computes. */
static bool wall_was_starved(struct cell *cell)
{
	int64_t cpu_ms = process_cpu_ms(cell->pidfd), limit_ms = cell->stem->cells->options.cpu_ms;
	if (cell->pidfd < 0) /* not forked yet: it has computed nothing */
		return cell->slice_cpu_ms < 0;
	bool starved = cpu_ms >= 0 && cpu_ms - (cell->slice_cpu_ms < 0 ? cpu_ms : cell->slice_cpu_ms) < limit_ms;
	if (!starved)
		return false;
	cell->slice_cpu_ms = cpu_ms;
	return true;
}

static void wall_on_timer(void *arg)
{
	struct cells *cells = arg;
	int64_t limit = clock_monotonic_us() - cells->options.wall_ms * 1000;
	struct cell *cell;
	while ((cell = TAILQ_FIRST(&cells->walls)) && cell->slice_began_us <= limit) {
		wall_leave(cell);
		/* with effects unanswered it may rightly be blocked in its read: then it is no slice at all */
		if (cell->pending > 0 && cell->pidfd >= 0 && process_is_running(cell->pidfd) == 0)
			continue;
		if (wall_was_starved(cell)) {
			int64_t now_cpu_ms = cell->slice_cpu_ms;
			wall_enter(cell);
			cell->slice_cpu_ms = cell->pidfd < 0 ? 0 : now_cpu_ms;
			continue;
		}
		cell->why = CELL_WALL;
		cell->kill_wanted = true;
		if (cell->pidfd >= 0)
			process_kill(cell->pidfd);
	}
	wall_arm(cells);
}

/* ---- a cell ---- */

static void cell_free(struct cell *cell)
{
	struct cells *cells = cell->stem->cells;
	struct stem *stem = cell->stem;
	wall_leave(cell);
	if (cell->waits_for_fork)
		TAILQ_REMOVE(&stem->unforked, cell, fork_link);
	TAILQ_REMOVE(&stem->members, cell, link);
	watch_fini(&cell->reading);
	watch_fini(&cell->writing);
	close(cell->fd);
	if (cell->child_fd >= 0)
		close(cell->child_fd);
	if (cell->pidfd >= 0)
		close(cell->pidfd);
	buf_free(&cell->in);
	buf_free(&cell->out.bytes);
	cells->count--;
	metric_set(cells->metric_cells, (double)cells->count, NULL);
	free(cell);
	if (stem->closing && TAILQ_EMPTY(&stem->members))
		stem_free(stem);
}

/* Deferred, so that no owner sees its cell vanish inside a call of its own. */
static void cell_on_end(void *arg)
{
	struct cell *cell = arg;
	struct cells *cells = cell->stem->cells;
	if (cell->why != CELL_EXITED || cell->end.signal != 0) {
		if (cell->why == CELL_EXITED)
			cell->why = CELL_SIGNALLED;
		metric_add(cells->metric_kills, 1, (const char *[]){ end_names[cell->why] });
	}
	cell->end.reason = cell->why;
	if (!cells->closing && cell->arg)
		cell->callbacks.ended(cell->arg, &cell->end);
	cell_free(cell);
}

static void cell_finish(struct cell *cell)
{
	if (cell->ending)
		return;
	cell->ending = true;
	watch_stop(&cell->reading);
	watch_stop(&cell->writing);
	wall_leave(cell);
	if (!cell->flush_queued) /* else cell_on_flush, already on its way, goes on to the end */
		loop_defer(cell->stem->cells->loop, &cell->flush, cell_on_end, cell);
}

static void cell_protocol(struct cell *cell, const char *what)
{
	log_event(LOG_WARN, "cell.protocol", "what", what, NULL);
	cell->why = CELL_PROTOCOL;
	cell->kill_wanted = true;
	watch_stop(&cell->reading);
	cell->eof = true;
	if (cell->pidfd >= 0)
		process_kill(cell->pidfd);
}

static void cell_take_frames(struct cell *cell)
{
	size_t used = 0;
	while (!cell->ending && !cell->kill_wanted) {
		struct frame frame;
		struct str rest = { cell->in.p + used, cell->in.n - used };
		long n = frame_take(rest, FRAME_FROM_CELL, &frame);
		if (n < 0) {
			cell_protocol(cell, "malformed frame");
			break;
		}
		if (n == 0)
			break;
		used += (size_t)n;
		if (cell->arg)
			cell->callbacks.frame(cell->arg, &frame);
	}
	if (used == cell->in.n && cell->in.cap > 4096)
		buf_free(&cell->in);
	else
		buf_drop_front(&cell->in, used);
}

static void cell_on_readable(int fd, int what, void *arg)
{
	(void)what;
	struct cell *cell = arg;
	int got = socket_receive(fd, &cell->in, NULL);
	if (got > 0)
		cell_take_frames(cell);
	if (got < 0 && !cell->ending) {
		cell->eof = true;
		watch_stop(&cell->reading);
		if (cell->exited)
			cell_finish(cell);
	}
}

static void cell_try_flush(struct cell *cell)
{
	if (cell->stem->cells->held) {
		watch_stop(&cell->writing);
		return; /* cells_hold writes it */
	}
	int state = socket_flush(cell->fd, &cell->out);
	if (state == 0)
		watch_start(&cell->writing);
	else
		watch_stop(&cell->writing);
	/* broken: its end is about to be told by EOF and EXITED */
}

static void cell_on_writable(int fd, int what, void *arg)
{
	(void)fd, (void)what;
	cell_try_flush(arg);
}

static void cell_on_flush(void *arg)
{
	struct cell *cell = arg;
	cell->flush_queued = false;
	if (cell->ending) /* the item was queued before the end: reuse it for that */
		loop_defer(cell->stem->cells->loop, &cell->flush, cell_on_end, cell);
	else
		cell_try_flush(cell);
}

void cells_hold(struct cells *cells, bool hold)
{
	struct stem *stem;
	struct cell *cell;
	cells->held = hold;
	TAILQ_FOREACH(stem, &cells->stems, link)
		TAILQ_FOREACH(cell, &stem->members, link)
			if (!hold && !cell->ending && cell->out.bytes.n > cell->out.sent)
				cell_try_flush(cell);
}

struct cell *cell_open(struct stem *stem, const struct cell_callbacks *callbacks, void *arg)
{
	if (!stem_is_usable(stem))
		return NULL;
	int ends[2];
	if (socket_pair(SOCK_STREAM, ends) != 0) {
		log_event(LOG_ERROR, "cell.open", "error", strerror(errno), NULL);
		return NULL;
	}
	struct cell *cell = mem_alloc(sizeof *cell);
	cell->stem = stem;
	cell->id = ++stem->next_cell;
	cell->fd = ends[0];
	cell->child_fd = ends[1];
	cell->pidfd = -1;
	cell->callbacks = *callbacks;
	cell->arg = arg;
	buf_init(&cell->in, INPUT_MAX);
	buf_init(&cell->out.bytes, OUTPUT_MAX);
	watch_init(&cell->reading, stem->cells->loop, cell->fd, WATCH_READ, cell_on_readable, cell);
	watch_init(&cell->writing, stem->cells->loop, cell->fd, WATCH_WRITE, cell_on_writable, cell);
	watch_start(&cell->reading);
	TAILQ_INSERT_TAIL(&stem->members, cell, link);
	TAILQ_INSERT_TAIL(&stem->unforked, cell, fork_link);
	cell->waits_for_fork = true;
	stem->cells->count++;
	metric_set(stem->cells->metric_cells, (double)stem->cells->count, NULL);
	stem_send_forks(stem);
	return cell;
}

void cell_fork_sent(struct cell *cell)
{
	TAILQ_REMOVE(&cell->stem->unforked, cell, fork_link);
	cell->waits_for_fork = false;
	close(cell->child_fd);
	cell->child_fd = -1;
}

void cell_forked(struct cell *cell, int pidfd)
{
	cell->pidfd = pidfd;
	if (cell->kill_wanted)
		process_kill(pidfd);
}

void cell_exited(struct cell *cell, const struct cell_end *end)
{
	if (cell->ending)
		return;
	if (cell->pidfd < 0)
		cell->why = CELL_UNFORKED;
	cell->exited = true;
	cell->end = *end;
	if (end->rss_kb > 0)
		metric_observe(cell->stem->cells->metric_memory, (double)end->rss_kb * 1024, NULL);
	/* the process is gone: whatever it said is in the socket already */
	while (!cell->eof && socket_receive(cell->fd, &cell->in, NULL) > 0)
		cell_take_frames(cell);
	cell_finish(cell);
}

void cell_lost(struct cell *cell)
{
	if (cell->ending)
		return;
	cell->why = CELL_LOST;
	cell_finish(cell);
}

void cell_send(struct cell *cell, enum frame_type type, uint32_t sequence, struct str payload)
{
	if (cell->ending || cell->kill_wanted)
		return;
	frame_add(&cell->out.bytes, type, sequence, payload);
	if (cell->out.bytes.full) {
		cell_protocol(cell, "does not read its outcomes");
		return;
	}
	wall_enter(cell);
	if (!cell->flush_queued) {
		cell->flush_queued = true;
		loop_defer(cell->stem->cells->loop, &cell->flush, cell_on_flush, cell);
	}
}

void cell_set_pending(struct cell *cell, unsigned effects)
{
	cell->pending = effects;
}

bool cell_is_blocked(const struct cell *cell)
{
	char byte;
	if (cell->ending || cell->kill_wanted || cell->eof || cell->pidfd < 0 || cell->flush_queued || cell->out.sent < cell->out.bytes.n)
		return false;
	/* first asleep, then nothing unread: only we could have woken it between the two */
	return process_is_running(cell->pidfd) <= 0 && cell->in.n == 0 &&
	       recv(cell->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

void cell_end(struct cell *cell)
{
	if (cell->ending || cell->kill_wanted)
		return;
	cell->why = CELL_ENDED_BY_HOST;
	cell->kill_wanted = true;
	wall_leave(cell);
	if (cell->waits_for_fork)
		cell_finish(cell);
	else if (cell->pidfd >= 0)
		process_kill(cell->pidfd);
}

void cell_abandon(struct cell *cell)
{
	cell->arg = NULL;
	cell_end(cell);
}

void cell_expect_end(struct cell *cell)
{
	cell->pending = 0;
	if (!cell->ending && !cell->kill_wanted)
		wall_enter(cell);
}

/* ---- all of it ---- */

#define MIB 1048576.0
static const double memory_buckets[] = { 2 * MIB, 4 * MIB, 8 * MIB, 16 * MIB, 32 * MIB, 64 * MIB, 128 * MIB, 256 * MIB, 0 };

int cells_new(const struct cells_options *options, struct cells **out, struct errbuf *e)
{
	struct cells *cells = mem_alloc(sizeof *cells);
	cells->options = *options;
	cells->loop = options->loop;
	cells->program = mem_copy(str_of(options->program));
	cells->control_fd = cells->zygote_pidfd = -1;
	TAILQ_INIT(&cells->stems);
	TAILQ_INIT(&cells->walls);
	timer_init(&cells->wall_timer, cells->loop, wall_on_timer, cells);
	if (!options->metrics)
		cells->options.metrics = cells->own_metrics = metrics_new(16);
	cells->metric_cells = metric_declare(cells->options.metrics, METRIC_GAUGE, "perigee_cells", "Cells alive", NULL, NULL);
	cells->metric_memory = metric_declare(cells->options.metrics, METRIC_HISTOGRAM, "perigee_cell_memory_bytes",
	                                      "Most memory that a cell had, counted at its end", NULL, memory_buckets);
	cells->metric_kills = metric_declare(cells->options.metrics, METRIC_COUNTER, "perigee_cell_kills_total",
	                                     "Cells that did not end by themselves", (const char *[]){ "reason", NULL }, NULL);
	int code = cells_zygote_start(cells, e);
	if (code) {
		cells_free(cells);
		return code;
	}
	*out = cells;
	return 0;
}

void cells_free(struct cells *cells)
{
	if (!cells)
		return;
	cells->closing = true;
	zygote_close(cells);
	struct stem *stem;
	while ((stem = TAILQ_FIRST(&cells->stems))) {
		struct cell *cell;
		while ((cell = TAILQ_FIRST(&stem->members)))
			cell_free(cell);
		if (stem == TAILQ_FIRST(&cells->stems))
			stem_free(stem);
	}
	timer_fini(&cells->wall_timer);
	metrics_free(cells->own_metrics);
	free(cells->program);
	free(cells);
}

size_t cells_count(const struct cells *cells)
{
	return cells->count;
}
