/*
 * The lease, as the engine sees it. While it is in doubt nothing leaves this process: no effect begins, no frame goes to a cell, no watcher is told; what is
 * in flight waits. When it is lost somebody else has the runs: the process ends at once, without cleaning up, and its master starts another.
 */
#include "run/run_internal.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "run/hints.h"

#define LOOK_US 250000     /* at the lease, and, each second time, into the mail */

bool engine_is_held(struct engine *engine)
{
	enum store_lease lease = store_lease(engine->options.store);
	if (lease == STORE_LEASE_LOST) {
		log_event(LOG_ERROR, "worker.fenced", "worker", engine->owner, "next", "another worker has its runs; this process ends at once", NULL);
		_exit(ENGINE_EXIT_FENCED);
	}
	bool held = lease == STORE_LEASE_HELD;
	if (engine->held != held) {
		engine->held = held;
		log_event(LOG_WARN, held ? "worker.lease_held" : "worker.lease_doubtful", "worker", engine->owner, NULL);
		cells_hold(engine->cells, !held);
	}
	return held;
}

void engine_hold_back(struct issued *issued)
{
	TAILQ_INSERT_TAIL(&issued->effect.engine->held_back, issued, ready_link);
}

static void go_on(struct engine *engine)
{
	struct issued *issued;
	while (engine_is_held(engine) && (issued = TAILQ_FIRST(&engine->held_back))) {
		TAILQ_REMOVE(&engine->held_back, issued, ready_link);
		if (issued->effect.run)
			issued_begin(issued);
		else
			issued_finish(issued);
	}
	engine_schedule(engine);
}

void engine_on_pulse(void *arg)
{
	struct engine *engine = arg;
	bool before = engine->held;
	if (engine_is_held(engine) && !before)
		go_on(engine);
	if (engine->pulses++ % 2 == 0)
		hints_poll(engine);
	timer_start_us(&engine->pulse, LOOK_US);
}
