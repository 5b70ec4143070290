/* Effects about records, evidence and events: handlers (called by the engine) and argument schemas (for the registry). */
#pragma once

#include "run/effect.h"

extern const char effect_schema_records_get[], effect_schema_records_list[], effect_schema_records_history[], effect_schema_records_put[],
	effect_schema_records_delete[];
void effect_begin_records_get(struct effect *effect);
void effect_begin_records_list(struct effect *effect);
void effect_begin_records_history(struct effect *effect);
void effect_begin_records_put(struct effect *effect);
void effect_begin_records_delete(struct effect *effect);

extern const char effect_schema_evidence_source[], effect_schema_evidence_add[], effect_schema_evidence_list[];
void effect_begin_evidence_source(struct effect *effect);
void effect_begin_evidence_add(struct effect *effect);
void effect_begin_evidence_list(struct effect *effect);

extern const char effect_schema_events_emit[];
void effect_begin_events_emit(struct effect *effect);

/* For these handlers: did the read behind the effect work and is the run still there? Ends the effect and returns false if not; tx is freed then. */
MUST_CHECK bool effect_read_succeeded(struct effect *effect, struct store_tx *tx, int code);
