#include "net/flow.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>

/*
 * A flow is always in exactly one state:
 *
 *	READY     in the loop's deferred items: runs, or ends, at the end of this turn
 *	RUNNING   one of its steps is on the stack
 *	WAITING   for flow_wake, or its deadline
 *	ABORTING  for the last flow_wake of a leaf that was stopped
 *	ENDED     fini was called
 *
 * Ending is always done from the deferred item, so that neither a leaf's callback nor the caller of
 * flow_cancel sees its flow vanish.
 */

#define FLOW_MAGIC 0x464c4f57u
#define STEPS_PER_TURN 64u /* a story that never waits must not keep the loop from others */

static void flow_on_turn(void *arg);

static void set_ready(struct flow *flow)
{
	flow->state = FLOW_READY;
	loop_defer(flow->loop, &flow->item, flow_on_turn, flow);
}

static void log_step(const struct flow *flow, const char *outcome)
{
	char us[24];

	if (!log_wants(LOG_DEBUG))
		return;
	snprintf(us, sizeof us, "%lld", (long long)(clock_monotonic_us() - flow->step_at_us));
	if (flow->code)
		log_event(LOG_DEBUG, "flow.step", "flow", flow->story->name, "step",
			  flow->step->name, "outcome", outcome, "us", us, "error",
			  flow->error.text, NULL);
	else
		log_event(LOG_DEBUG, "flow.step", "flow", flow->story->name, "step",
			  flow->step->name, "outcome", outcome, "us", us, NULL);
}

static void flow_on_deadline(void *arg)
{
	struct flow *flow = arg;
	char why[160];

	if (flow->state != FLOW_WAITING)
		return;
	snprintf(why, sizeof why, "%s: step \"%s\" took longer than %lld ms", flow->story->name,
		 flow->step->name, (long long)flow->step->deadline_ms);
	flow_cancel_with(flow, ERR_TIMEOUT, why);
}

static void deadline_start(struct flow *flow)
{
	if (flow->step->deadline_ms <= 0)
		return;
	if (!flow->deadline.event)
		timer_init(&flow->deadline, flow->loop, flow_on_deadline, flow);
	timer_start_us(&flow->deadline, flow->step->deadline_ms * 1000);
}

static void end(struct flow *flow)
{
	timer_fini(&flow->deadline);
	flow->state = FLOW_ENDED;
	flow->story->fini(flow);
}

static void enter(struct flow *flow, const struct flow_step *step)
{
	flow->step = step;
	flow->next = step + 1;
	flow->step_at_us = clock_monotonic_us();
}

/* End a waiting flow: now that its leaf is stopped, or when the leaf has said so. */
static void abort_leaf(struct flow *flow)
{
	log_step(flow, "cancel");
	flow->state = FLOW_ABORTING; /* before the leaf may wake the flow from within */
	if ((!flow->story->abort || !flow->story->abort(flow)) && flow->state == FLOW_ABORTING)
		set_ready(flow);
}

static void wait(struct flow *flow)
{
	if (flow->woken) {
		set_ready(flow);
	} else if (flow->code) { /* the step was cancelled, and had a leaf under way */
		abort_leaf(flow);
	} else {
		flow->state = FLOW_WAITING;
		deadline_start(flow);
	}
}

/* Run the step; true when the flow goes on at once with flow->next. */
static bool run_step(struct flow *flow)
{
	switch (flow->step->run(flow)) {
	case FLOW_NEXT:
		log_step(flow, "next");
		return true;
	case FLOW_GOTO:
		log_step(flow, "goto");
		return true;
	case FLOW_WAIT:
		wait(flow);
		return false;
	case FLOW_DONE:
		flow->code = 0; /* a cancel during the last step came too late */
		log_step(flow, "done");
		end(flow);
		return false;
	case FLOW_FAIL:
		BUG_ON(flow->code == 0);
		log_step(flow, "fail");
		end(flow);
		return false;
	}
	bug(__FILE__, __LINE__, "a step returned no flow_result");
}

static void flow_on_turn(void *arg)
{
	struct flow *flow = arg;
	unsigned steps;

	BUG_ON(flow->magic != FLOW_MAGIC || flow->state != FLOW_READY);
	if (flow->woken) {
		flow->woken = false;
		log_step(flow, "woken");
	}
	flow->state = FLOW_RUNNING;
	for (steps = 0; steps < STEPS_PER_TURN; steps++) {
		if (flow->code || !flow->next->run) {
			end(flow);
			return;
		}
		enter(flow, flow->next);
		if (!run_step(flow))
			return;
	}
	set_ready(flow);
}

static void prepare(struct flow *flow, struct loop *loop, const struct flow_story *story,
		    void *owner)
{
	*flow = (struct flow){ .owner = owner, .magic = FLOW_MAGIC, .story = story, .loop = loop };
	flow->step = flow->next = story->steps;
}

void flow_start(struct flow *flow, struct loop *loop, const struct flow_story *story, void *owner)
{
	prepare(flow, loop, story, owner);
	set_ready(flow);
}

int flow_start_at(struct flow *flow, struct loop *loop, const struct flow_story *story, void *owner,
		  const char *step)
{
	const struct flow_step *s;

	for (s = story->steps; s->run; s++) {
		if (strcmp(s->name, step) != 0)
			continue;
		prepare(flow, loop, story, owner);
		flow->step = flow->next = s;
		set_ready(flow);
		return 0;
	}
	return ERR_NOT_FOUND;
}

void flow_wake(struct flow *flow)
{
	BUG_ON(flow->magic != FLOW_MAGIC || flow->state == FLOW_ENDED);
	switch (flow->state) {
	case FLOW_WAITING:
		timer_stop(&flow->deadline);
		flow->woken = true;
		set_ready(flow);
		break;
	case FLOW_ABORTING:
		set_ready(flow);
		break;
	case FLOW_RUNNING:
		flow->woken = true; /* for the FLOW_WAIT that this step returns */
		break;
	case FLOW_READY:
	case FLOW_IDLE:
	case FLOW_ENDED:
		break;
	}
}

void flow_cancel_with(struct flow *flow, int code, const char *why)
{
	BUG_ON(flow->magic != FLOW_MAGIC || code >= 0);
	if (flow->state == FLOW_ENDED)
		return;
	if (flow->code == 0)
		flow->code = err_set(&flow->error, code, "%s", why);
	if (flow->state != FLOW_WAITING)
		return; /* ready, running, aborting: the end comes by itself */
	timer_stop(&flow->deadline);
	abort_leaf(flow);
}

void flow_cancel(struct flow *flow, const char *why)
{
	flow_cancel_with(flow, ERR_CANCELLED, why);
}

static const struct flow_step *find(const struct flow *flow, flow_step_fn run)
{
	const struct flow_step *s;

	for (s = flow->story->steps; s->run; s++) {
		if (s->run == run)
			return s;
	}
	bug(__FILE__, __LINE__, "the story has no such step");
}

enum flow_result flow_goto(struct flow *flow, flow_step_fn step)
{
	flow->next = find(flow, step);
	return FLOW_GOTO;
}

enum flow_result flow_wait_for(struct flow *flow, flow_step_fn step)
{
	flow->next = find(flow, step);
	return FLOW_WAIT;
}

enum flow_result flow_fail(struct flow *flow, int code, const char *format, ...)
{
	va_list args;
	char text[sizeof flow->error.text];

	BUG_ON(code >= 0);
	if (flow->code == 0) { /* a cancel during the step came first */
		va_start(args, format);
		vsnprintf(text, sizeof text, format, args);
		va_end(args);
		flow->code = err_set(&flow->error, code, "%s", text);
	}
	return FLOW_FAIL;
}

const char *flow_step_name(const struct flow *flow)
{
	return flow->step->name;
}
