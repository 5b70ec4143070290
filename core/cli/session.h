/* A command that begins one run and stays until it has ended: `perigee run`, `fork`, `runs retry`. */
#pragma once

#include "cli/invoke.h"

struct session {
	struct host host;
	bool done, interrupted;
	int code;
	json_t *result;
	struct watch interrupt, terminate;
};

void session_watch(struct session *s);                       /* Ctrl-C and SIGTERM end the waiting, not the run */
void session_on_done(void *arg, const struct invocation_end *end);
int session_wait(struct session *s, struct invocation *invocation);   /* the exit code */
void session_print(struct session *s);                       /* what came out, if anything; frees it */
