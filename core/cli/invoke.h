/*
 * One run from start to end, for commands: start it, watch it, hand over how it ended. With a trace, every effect is told on standard error as
 * it ends, and a run that it hands off to is told below it.
 */
#pragma once

#include "cli/host.h"

struct invocation;

struct invocation_end {
	int code;               /* 0: there was a run; else it was refused (ERR_NOT_FOUND, ERR_SCHEMA, ERR_LIMIT …) and text says why */
	const char *run;        /* id */
	const char *status;     /* "succeeded", "failed", "cancelled", "stuck" */
	const json_t *output, *error;
	const json_t *errors;   /* ERR_SCHEMA: [{pointer, message}] */
	const char *text;
	int64_t took_us;
};
typedef void (*invocation_done_fn)(void *arg, const struct invocation_end *end);

/* Everything in the loop's thread; done fires once, later, and then the invocation is gone. */
struct invocation *invocation_start(struct host *host, const struct run_request *request, bool trace, invocation_done_fn done, void *arg);
/* The same for a run that goes on from another one's journal, and for one that is tried again (engine_fork_run, engine_retry_run). */
struct fork_request {
	struct str run, bundle;
	int64_t at;
};
struct invocation *invocation_fork(struct host *host, struct str tenant, const struct fork_request *fork, bool trace, invocation_done_fn done, void *arg);
struct invocation *invocation_retry(struct host *host, struct str tenant, struct str run, struct str bundle, bool trace, invocation_done_fn done,
                                    void *arg);
/* Stop watching, as the last thing before host_close: the loop must not turn again. done does not fire. */
void invocation_forget(struct invocation *invocation);
const char *invocation_run(const struct invocation *invocation);      /* id, "" before it is durable */
const char *invocation_status(const struct invocation *invocation);   /* the last one told */
