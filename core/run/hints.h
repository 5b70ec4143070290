/*
 * Hints: what one worker tells another so that it need not look. Lossy by contract: whatever a hint says stands in the store too, and the slow sweep
 * (sweeping.c) finds it there. To oneself at once; to another through the bus (engine_options.send_hint) or, without one, by a row in worker_mail.
 *
 *   wake    a run           something came for it: look at its waits
 *   cancel  run[,run…]      they were cancelled: end their cells, forget them
 *   lost    a worker        it hands over: take its runs
 */
#pragma once

#include "run/run_internal.h"

#define HINT_ANY_WORKER "*"    /* whoever looks first */

/* owner {NULL, 0}: nobody is to be told. */
void hint(struct engine *engine, struct str owner, const char *tenant, const char *kind, const char *name);
/* rows of (run, owner): wake each. */
void hint_wake_all(struct engine *engine, const char *tenant, const struct store_result *rows);
void hints_poll(struct engine *engine);        /* take what lies in worker_mail */
/* At the end of the process, waiting for the disk: somebody else goes on with what this one owned. */
void hint_hand_over(struct engine *engine);
