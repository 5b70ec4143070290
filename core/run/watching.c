/* Watchers: who wants to see a run move, now (server-sent events, `perigee run --trace`). */
#include "run/run_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void tell_log(const struct run_watcher *watcher, const struct log_row *log)
{
	char id[48];
	snprintf(id, sizeof id, "%zu.%lld", log->index, (long long)log->n);
	json_t *data = json_object();
	json_put_text(data, "level", log->level);
	json_put_text(data, "message", log->message);
	json_put(data, "fields", json_read(str_of(log->fields), FRAME_PAYLOAD_MAX, NULL, NULL));
	watcher->event(watcher->arg, "log", id, data);
	json_decref(data);
}

/* What has happened and is not on disk yet: with it, the store and what follows, a watcher has everything. */
static void tell_unflushed(const struct run_watcher *watcher, const struct run *run)
{
	size_t log = 0, first = run->journal_length - run->unflushed_count;
	for (size_t i = 0; i < run->unflushed_count; i++) {
		while (log < run->logs_count && run->logs[log].index <= first + i)
			tell_log(watcher, &run->logs[log++]);
		char id[24];
		snprintf(id, sizeof id, "%zu", first + i);
		json_t *data = outcome_event(&run->unflushed[i], first + i);
		watcher->event(watcher->arg, "outcome", id, data);
		json_decref(data);
	}
	while (log < run->logs_count)
		tell_log(watcher, &run->logs[log++]);
}

struct run_watcher *engine_watch_run(struct engine *engine, struct str tenant, struct str id, run_event_fn event, void *arg)
{
	struct run *run = engine_find_run(engine, tenant, id);
	if (!run)
		return NULL;
	struct run_watcher *watcher = mem_alloc(sizeof *watcher);
	watcher->engine = engine;
	watcher->run = run;
	memcpy(watcher->id, run->id, sizeof watcher->id);
	watcher->event = event;
	watcher->arg = arg;
	TAILQ_INSERT_TAIL(&run->watchers, watcher, link);
	tell_unflushed(watcher, run);
	return watcher;
}

void engine_unwatch(struct run_watcher *watcher)
{
	if (!watcher)
		return;
	if (watcher->run) {
		TAILQ_REMOVE(&watcher->run->watchers, watcher, link);
		run_may_be_drowsy(watcher->run);
	} else if (watcher->lonely) {
		TAILQ_REMOVE(&watcher->engine->lonely, watcher, link);
	}
	free(watcher);
}

void watchers_leave(struct run *run)
{
	struct run_watcher *watcher;
	while ((watcher = TAILQ_FIRST(&run->watchers))) {
		TAILQ_REMOVE(&run->watchers, watcher, link);
		watcher->run = NULL;
		watcher->lonely = run->state <= RUN_WAITING && !run->engine->closing;
		if (watcher->lonely)
			TAILQ_INSERT_TAIL(&run->engine->lonely, watcher, link);
	}
}

void watchers_return(struct run *run)
{
	struct run_watcher *watcher, *next;
	for (watcher = TAILQ_FIRST(&run->engine->lonely); watcher; watcher = next) {
		next = TAILQ_NEXT(watcher, link);
		if (strcmp(watcher->id, run->id) != 0)
			continue;
		TAILQ_REMOVE(&run->engine->lonely, watcher, link);
		TAILQ_INSERT_TAIL(&run->watchers, watcher, link);
		watcher->lonely = false;
		watcher->run = run;
	}
}

/* A watcher may leave inside its callback, but no other watcher may: each call is for one of them. */
void run_tell(struct run *run, const char *type, const char *id, json_t *data)
{
	struct run_watcher *watcher, *next;
	for (watcher = TAILQ_FIRST(&run->watchers); watcher; watcher = next) {
		next = TAILQ_NEXT(watcher, link);
		watcher->event(watcher->arg, type, id, data);
	}
	json_decref(data);
}

void run_tell_status(struct run *run)
{
	if (TAILQ_EMPTY(&run->watchers))
		return;
	json_t *data = json_object();
	json_put_text(data, "run", run->id);
	json_put_text(data, "status", run_state_name(run->state));
	if (run->state >= RUN_SUCCEEDED) {
		json_put(data, "output", json_incref(run->output));
		json_put(data, "error", json_incref(run->error));
	}
	run_tell(run, "status", "", data);
}
