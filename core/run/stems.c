/* Stems: a bundle loaded once, forked for every activation. The host's side. */
#include "run/cells_internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

#define FORKS_AT_ONCE 64      /* queued in a stem's socket; small, so that a FORK never meets a full buffer */
#define LOAD_DEADLINE_US 10000000

static void stem_tell(struct stem *stem, int code, const json_t *payload)
{
	if (stem->told)
		return;
	stem->told = true;
	timer_stop(&stem->deadline);
	if (!stem->cells->closing)
		stem->loaded(stem->arg, code, payload);
}

/* Nobody knows whether the scripts are sound. */
static void stem_tell_text(struct stem *stem, const char *message)
{
	if (stem->told)
		return;
	json_t *report = json_object();
	json_put_text(report, "message", message);
	json_put(report, "errors", json_array());
	stem_tell(stem, ERR_UNAVAILABLE, report);
	json_decref(report);
}

void stem_free(struct stem *stem)
{
	TAILQ_REMOVE(&stem->cells->stems, stem, link);
	timer_fini(&stem->deadline);
	watch_fini(&stem->reading);
	watch_fini(&stem->writing);
	if (stem->fd >= 0)
		close(stem->fd);
	if (stem->pidfd >= 0) {
		process_kill(stem->pidfd);
		close(stem->pidfd);
	}
	for (unsigned i = 0; i < stem->received.count; i++)
		close(stem->received.fds[i]);
	buf_free(&stem->in);
	buf_free(&stem->out.bytes);
	free(stem);
}

static void stem_on_later(void *arg)
{
	struct stem *stem = arg;
	if (stem->state == STEM_FAILED)
		stem_tell_text(stem, "the scripts' process ended before it answered");
	stem->later_queued = false; /* only now: who is told may close it, and here it is freed */
	if (stem->closing && TAILQ_EMPTY(&stem->members))
		stem_free(stem);
}

static void stem_do_later(struct stem *stem)
{
	if (!stem->later_queued)
		loop_defer(stem->cells->loop, &stem->later, stem_on_later, stem);
	stem->later_queued = true;
}

/* The process is gone or useless. Its cells die with it (parent-death signal) and are told so. */
void stem_gone(struct stem *stem, const char *why)
{
	if (stem->state == STEM_GONE)
		return;
	if (!stem->told && !stem->closing)
		log_event(LOG_WARN, "stem.gone", "why", why, NULL);
	stem->state = stem->told ? STEM_GONE : STEM_FAILED;
	watch_stop(&stem->reading);
	watch_stop(&stem->writing);
	if (stem->pidfd >= 0)
		process_kill(stem->pidfd);
	struct cell *cell;
	TAILQ_FOREACH(cell, &stem->members, link)
		cell_lost(cell);
	if (!stem->told)
		stem_do_later(stem);
}

static void stem_on_exited(struct stem *stem, const struct frame *frame)
{
	struct cell *cell;
	TAILQ_FOREACH(cell, &stem->members, link)
		if (cell->id == frame->sequence)
			break;
	json_t *payload = json_read(frame->payload, 4096, NULL, NULL);
	if (cell && payload) {
		struct cell_end end = {
			.status = (int)json_member_int(payload, "status", 0),
			.signal = (int)json_member_int(payload, "signal", 0),
			.cpu_us = json_member_int(payload, "cpu_us", 0),
			.rss_kb = json_member_int(payload, "rss_kb", 0),
		};
		if (cell->pidfd < 0 && stem->forks_outstanding) /* the fork itself failed: no FORKED comes */
			stem->forks_outstanding--;
		cell_exited(cell, &end);
	}
	json_decref(payload);
	stem_send_forks(stem);
}

static void stem_on_forked(struct stem *stem, const struct frame *frame)
{
	if (stem->received.count == 0) {
		stem_gone(stem, "FORKED without a descriptor");
		return;
	}
	int pidfd = stem->received.fds[0];
	stem->received.count--;
	for (unsigned i = 0; i < stem->received.count; i++)
		stem->received.fds[i] = stem->received.fds[i + 1];
	if (stem->forks_outstanding)
		stem->forks_outstanding--;
	struct cell *cell;
	TAILQ_FOREACH(cell, &stem->members, link)
		if (cell->id == frame->sequence)
			break;
	if (cell && cell->pidfd < 0) {
		cell_forked(cell, pidfd);
	} else {
		process_kill(pidfd);
		close(pidfd);
	}
	stem_send_forks(stem);
}

static void stem_on_answer(struct stem *stem, const struct frame *frame)
{
	if (stem->state != STEM_LOADING) {
		stem_gone(stem, "a second answer to LOAD");
		return;
	}
	json_t *payload = json_read(frame->payload, FRAME_PAYLOAD_MAX, NULL, NULL);
	if (!payload) {
		stem_gone(stem, "an answer that is no JSON");
		return;
	}
	bool good = frame->type == FRAME_MANIFEST;
	stem->state = good ? STEM_READY : STEM_GONE;
	stem_tell(stem, good ? 0 : ERR_INVALID, payload);
	json_decref(payload);
}

static void stem_on_frame(struct stem *stem, const struct frame *frame)
{
	switch (frame->type) {
	case FRAME_MANIFEST:
	case FRAME_ERROR: stem_on_answer(stem, frame); break;
	case FRAME_FORKED: stem_on_forked(stem, frame); break;
	case FRAME_EXITED: stem_on_exited(stem, frame); break;
	default: stem_gone(stem, "a frame that no stem sends");
	}
}

static void stem_on_readable(int fd, int what, void *arg)
{
	(void)what;
	struct stem *stem = arg;
	int got = socket_receive(fd, &stem->in, &stem->received);
	size_t used = 0;
	while (got > 0 && stem->state != STEM_GONE && stem->state != STEM_FAILED) {
		struct frame frame;
		struct str rest = { stem->in.p + used, stem->in.n - used };
		long n = frame_take(rest, FRAME_FROM_STEM, &frame);
		if (n < 0)
			stem_gone(stem, "a malformed frame");
		if (n <= 0)
			break;
		used += (size_t)n;
		stem_on_frame(stem, &frame);
	}
	buf_drop_front(&stem->in, used);
	if (got < 0)
		stem_gone(stem, "the stem hung up");
}

static void stem_try_flush(struct stem *stem)
{
	int state = socket_flush(stem->fd, &stem->out);
	if (state < 0)
		stem_gone(stem, "the stem does not read");
	else if (state == 0)
		watch_start(&stem->writing);
	else
		watch_stop(&stem->writing);
}

static void stem_on_writable(int fd, int what, void *arg)
{
	(void)fd, (void)what;
	stem_try_flush(arg);
}

static void stem_on_deadline(void *arg)
{
	struct stem *stem = arg;
	stem_tell_text(stem, "loading the scripts took too long: a loop at module level?");
	stem_gone(stem, "load deadline");
}

void stem_stemmed(struct stem *stem, int pidfd)
{
	stem->pidfd = pidfd;
	if (stem->state == STEM_ASKED)
		stem->state = STEM_LOADING;
}

static void stem_write_load(struct stem *stem, const char *mode, const json_t *files)
{
	const struct cells_options *options = &stem->cells->options;
	json_t *load = json_object(), *limits = json_object();
	json_put_int(limits, "memory_bytes", options->memory_bytes);
	json_put_int(limits, "cpu_ms", options->cpu_ms);
	json_put_int(limits, "wall_ms", options->wall_ms);
	json_put(load, "limits", limits);
	json_put_text(load, "mode", mode);
	json_object_set(load, "files", (json_t *)(uintptr_t)files);
	struct buf text;
	buf_init(&text, FRAME_PAYLOAD_MAX);
	json_write(&text, load);
	if (!text.full)
		frame_add(&stem->out.bytes, FRAME_LOAD, 0, buf_str(&text));
	buf_free(&text);
	json_decref(load);
}

struct stem *stem_open(struct cells *cells, const char *mode, const json_t *files, stem_loaded_fn loaded, void *arg)
{
	struct stem *stem = mem_alloc(sizeof *stem);
	stem->cells = cells;
	stem->id = ++cells->next_stem;
	stem->fd = stem->pidfd = -1;
	stem->loaded = loaded;
	stem->arg = arg;
	TAILQ_INIT(&stem->members);
	TAILQ_INIT(&stem->unforked);
	buf_init(&stem->in, FRAME_PAYLOAD_MAX + 2 * 65536);
	buf_init(&stem->out.bytes, FRAME_PAYLOAD_MAX + 65536);
	timer_init(&stem->deadline, cells->loop, stem_on_deadline, stem);
	TAILQ_INSERT_TAIL(&cells->stems, stem, link);

	int ends[2];
	uint8_t header[FRAME_HEADER_SIZE];
	struct errbuf e;
	if (cells->control_fd < 0 && cells_zygote_start(cells, &e) != 0)
		log_event(LOG_ERROR, "zygote.failed", "error", e.text, NULL);
	frame_header(header, FRAME_STEM, stem->id, 0);
	int failed = cells->control_fd < 0 ? -1 : socket_pair(SOCK_STREAM, ends);
	if (failed == 0) {
		stem->fd = ends[0];
		failed = socket_send_fd(cells->control_fd, header, sizeof header, ends[1]);
		close(ends[1]);
	}
	watch_init(&stem->reading, cells->loop, stem->fd, WATCH_READ, stem_on_readable, stem);
	watch_init(&stem->writing, cells->loop, stem->fd, WATCH_WRITE, stem_on_writable, stem);
	if (failed != 0) {
		stem_gone(stem, "no zygote");
		return stem;
	}
	stem->state = STEM_LOADING;
	stem_write_load(stem, mode, files);
	watch_start(&stem->reading);
	timer_start_us(&stem->deadline, LOAD_DEADLINE_US);
	stem_try_flush(stem);
	return stem;
}

bool stem_is_idle(const struct stem *stem)
{
	return TAILQ_EMPTY(&stem->members);
}

bool stem_is_usable(const struct stem *stem)
{
	return stem && stem->state == STEM_READY && !stem->closing;
}

void stem_send_forks(struct stem *stem)
{
	struct cell *cell;
	while (stem->state == STEM_READY && stem->forks_outstanding < FORKS_AT_ONCE && (cell = TAILQ_FIRST(&stem->unforked))) {
		uint8_t header[FRAME_HEADER_SIZE];
		frame_header(header, FRAME_FORK, cell->id, 0);
		if (socket_send_fd(stem->fd, header, sizeof header, cell->child_fd) != 0) {
			stem_gone(stem, "FORK could not be sent");
			return;
		}
		stem->forks_outstanding++;
		cell_fork_sent(cell);
	}
}

void stem_close(struct stem *stem)
{
	if (!stem || stem->closing)
		return;
	stem->closing = true;
	stem->told = true;
	timer_stop(&stem->deadline);
	if (TAILQ_EMPTY(&stem->members))
		stem_do_later(stem);
}
