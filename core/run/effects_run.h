/* Effects about runs and waiting: handlers (called by the engine) and argument schemas (for the registry). */
#pragma once

#include "run/effect.h"

extern const char effect_schema_time_sleep[], effect_schema_run_await[], effect_schema_run_signal[], effect_schema_run_spawn[],
	effect_schema_run_join[], effect_schema_handoff_send[], effect_schema_handoff_wait[], effect_schema_run_continue_as_new[], effect_schema_approval_ask[];

void effect_begin_time_sleep(struct effect *effect);
void effect_begin_run_await(struct effect *effect);
void effect_begin_run_signal(struct effect *effect);
void effect_begin_run_spawn(struct effect *effect);
void effect_begin_run_join(struct effect *effect);
void effect_begin_handoff_send(struct effect *effect);
void effect_begin_handoff_wait(struct effect *effect);
/* Is this run the effect's own, or one above it that may wait for it? */
bool effect_is_above(const struct effect *effect, struct str run);
void effect_begin_run_continue_as_new(struct effect *effect);
void effect_begin_approval_ask(struct effect *effect);
