/* Watchers: who wants to see a run move, now (server-sent events, `perigee run --trace`). */
#include "run/run_internal.h"

#include <stdlib.h>

struct run_watcher *engine_watch_run(struct engine *engine, struct str tenant, struct str id, run_event_fn event, void *arg)
{
	struct run *run = engine_find_run(engine, tenant, id);
	if (!run)
		return NULL;
	struct run_watcher *watcher = mem_alloc(sizeof *watcher);
	watcher->run = run;
	watcher->event = event;
	watcher->arg = arg;
	TAILQ_INSERT_TAIL(&run->watchers, watcher, link);
	return watcher;
}

void engine_unwatch(struct run_watcher *watcher)
{
	if (!watcher)
		return;
	if (watcher->run)
		TAILQ_REMOVE(&watcher->run->watchers, watcher, link);
	free(watcher);
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
