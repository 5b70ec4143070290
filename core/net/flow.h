/*
 * Flows: asynchronous work that reads as a story.
 *
 * A flow is embedded in its owner (a request, a delivery, a claim) and walks a table of named steps
 * in story order. A step runs without waiting; it may start ONE leaf (a query, a call, a timer),
 * whose callback does nothing but store the result and flow_wake(). Woken flows run at the end of
 * the loop's turn: never inside a callback, never inside flow_start, flow_wake or flow_cancel, never
 * inside one another. The driver logs every step (debug), enforces its deadline, and calls the one
 * `fini` exactly once, whatever the ending was. A step that starts a leaf returns FLOW_WAIT.
 *
 *	struct greeting {
 *		struct flow flow;
 *		struct loop *loop;
 *		struct http_exchange *exchange;
 *		struct lookup lookup;                   // the leaf, embedded too
 *	};
 *
 *	static void greeting_on_found(void *arg)  // leaf callback: stores and wakes, no policy
 *	{
 *		struct greeting *g = arg;
 *
 *		flow_wake(&g->flow);
 *	}
 *
 *	static enum flow_result step_look_up(struct flow *flow)
 *	{
 *		struct greeting *g = flow->owner;
 *
 *		lookup_start(&g->lookup, "name", greeting_on_found, g);
 *		return FLOW_WAIT;  // woken, the flow goes on with the next step
 *	}
 *
 *	static enum flow_result step_answer(struct flow *flow)
 *	{
 *		struct greeting *g = flow->owner;
 *
 *		if (g->lookup.code)
 *			return flow_fail(flow, g->lookup.code, "look up name");
 *		if (g->lookup.moved)
 *			return flow_goto(flow, step_look_up);
 *		answer(g->exchange, 200, g->lookup.name);
 *		return FLOW_DONE;
 *	}
 *
 *	// Cancelled, or the deadline passed, while waiting.
 *	static bool greeting_abort(struct flow *flow)
 *	{
 *		struct greeting *g = flow->owner;
 *
 *		// True: its callback is still to come and wakes the flow.
 *		return lookup_cancel(&g->lookup);
 *	}
 *
 *	// flow->code is 0 after FLOW_DONE; else flow->error has the text.
 *	static void greeting_fini(struct flow *flow)
 *	{
 *		struct greeting *g = flow->owner;
 *
 *		if (flow->code)
 *			answer_problem(g->exchange, flow->code, flow->error.text);
 *		free(g);  // nothing touches the flow after fini
 *	}
 *
 *	static const struct flow_step steps[] = {
 *		{ "look up", step_look_up, 2000 },
 *		{ "answer", step_answer, 0 },
 *		{ NULL, NULL, 0 },
 *	};
 *	static const struct flow_story greeting_story = {
 *		"greeting", steps, greeting_abort, greeting_fini,
 *	};
 *
 *	flow_start(&g->flow, g->loop, &greeting_story, g);
 *
 * All functions are for the loop's own thread.
 */
#pragma once

#include "base/error.h"
#include "net/loop.h"

struct flow;

enum flow_result {
	FLOW_NEXT,  /* go on with the next step, now; behind the last one it is FLOW_DONE */
	FLOW_WAIT,  /* rest until flow_wake (one that came already counts), then the next step */
	FLOW_GOTO,  /* made by flow_goto and flow_wait_for */
	FLOW_DONE,  /* the story is told */
	FLOW_FAIL,  /* made by flow_fail */
};

typedef enum flow_result (*flow_step_fn)(struct flow *flow);

struct flow_step {
	const char *name;
	flow_step_fn run;
	int64_t deadline_ms;  /* of its wait; 0 = none. Past it the flow fails with ERR_TIMEOUT */
};

struct flow_story {
	const char *name;
	const struct flow_step *steps;        /* ends with a row of NULL */
	/* Stop the leaf that the flow waits for. True: its callback is still to come and will wake
	 * the flow; fini waits for that. False: nothing will come any more. NULL: fini itself stops
	 * what is under way. Called at most once, and only while waiting. */
	bool (*abort)(struct flow *flow);
	void (*fini)(struct flow *flow);      /* releases; may free the owner */
};

enum flow_state { FLOW_IDLE, FLOW_READY, FLOW_RUNNING, FLOW_WAITING, FLOW_ABORTING, FLOW_ENDED };

struct flow {
	void *owner;
	int code;                      /* why it fails, or 0 */
	struct errbuf error;           /* text of code */
	/* private to flow.c */
	uint32_t magic;
	enum flow_state state;
	bool woken;
	const struct flow_story *story;
	const struct flow_step *step;  /* the one that runs or waits */
	const struct flow_step *next;  /* where a wake or FLOW_GOTO leads */
	int64_t step_at_us;            /* monotonic, when the step began */
	struct loop *loop;
	struct loop_item item;
	struct timer deadline;         /* made with the first deadline */
};

/* Begin at the first step, at the end of this turn. The flow need not be zeroed before. */
void flow_start(struct flow *flow, struct loop *loop, const struct flow_story *story, void *owner);
/* Begin at the step of this name (durable flows after a restart). ERR_NOT_FOUND when the story has no
 * such step; then nothing is started. */
MUST_CHECK int flow_start_at(struct flow *flow, struct loop *loop, const struct flow_story *story,
			     void *owner, const char *step);
/* From leaf callbacks. Several wakes before the flow runs are one; a wake of a flow that has ended is
 * a bug of the leaf. */
void flow_wake(struct flow *flow);
/* End with code (negative) and this text: a waiting flow's leaf is aborted, a ready one runs no
 * further step. fini follows at the end of the turn, or when the aborted leaf's callback has come.
 * The first reason stays. Does nothing while fini runs. */
void flow_cancel_with(struct flow *flow, int code, const char *why);
void flow_cancel(struct flow *flow, const char *why);  /* with ERR_CANCELLED */

/* Results, for `return` of a step. */
enum flow_result flow_goto(struct flow *flow, flow_step_fn step);     /* go on there, now */
enum flow_result flow_wait_for(struct flow *flow, flow_step_fn step); /* woken, go on there */
enum flow_result flow_fail(struct flow *flow, int code, const char *format, ...) PRINTF_LIKE(3, 4);

const char *flow_step_name(const struct flow *flow);
