/*
 * Effects: everything that a script can do to the world. One registry (registry.c); a handler per effect.
 *
 * The engine checks the arguments against the schema, then calls `begin`. A handler ends with exactly one of effect_reply (reads; outcome journalled lazily),
 * effect_apply (writes: the operations that it added to effect->tx and the journal row are one transaction), effect_wait (what ends it is a row),
 * effect_fail (an outcome too: the script may catch it), now or later in the loop's thread. When the transaction of an effect_apply meets
 * ERR_CONFLICT in an operation of the handler, `begin` is called again (at most 8 times), then the effect fails with "records.conflict".
 */
#pragma once

#include "base/json.h"
#include "store/store.h"

enum effect_kind { EFFECT_READ, EFFECT_WRITE, EFFECT_WAIT, EFFECT_EXTERNAL };
enum effect_class { EFFECT_NONE, EFFECT_PURE, EFFECT_KEYED, EFFECT_QUERYABLE, EFFECT_UNSAFE }; /* EXTERNAL only */

struct effect;
struct run;
struct engine;

struct effect_row {
	const char *name;
	enum effect_kind kind;
	enum effect_class class;
	const char *schema;              /* JSON Schema of the arguments, as text */
	void (*begin)(struct effect *effect);
};

struct effect {
	struct engine *engine;
	struct run *run;                 /* NULL once the run is gone: the handler just ends with effect_fail */
	struct store *store;
	const struct effect_row *row;
	uint32_t number;
	json_t *args;                    /* owned; valid against the schema */
	struct str tenant, run_id;       /* borrowed */
	const json_t *manifest;          /* borrowed: of the run's bundle (kinds, agents) */
	int64_t now_us;
	struct store_tx *tx;             /* writes: add operations here before effect_apply; fresh at each begin */
	unsigned attempt;                /* 0, 1, … after conflicts */
	void *state;                     /* the handler's own, free()d with the effect */
};

/* A new UUIDv7 as text, for what an effect creates. An effect that is issued again after a kill may take another: nothing of the first stayed. */
void effect_new_id(const struct effect *effect, char out[37]);
const struct effect_row *effect_find(struct str name);
const struct effect_row *effect_rows(size_t *count);
/* outcome: taken; goes to the script as "ok". */
void effect_reply(struct effect *effect, json_t *ok);
void effect_apply(struct effect *effect, json_t *ok);
void effect_fail(struct effect *effect, const char *code, const char *message, json_t *more /* members merged into the error; taken; may be NULL */);
/* Suspend: kind is timer, signal, approval or child; name what it waits for; wake_at_us 0 = no deadline. */
void effect_wait(struct effect *effect, const char *kind, const char *name, int64_t wake_at_us, const json_t *detail);
