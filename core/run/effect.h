/*
 * Effects: everything that a script can do to the world. One registry (registry.c); a handler per effect.
 *
 * The engine checks the arguments against the schema, then calls `begin`. A handler ends with exactly one of effect_reply (reads; outcome journalled lazily),
 * effect_apply (writes: the operations that it added to effect->tx and the journal row are one transaction), effect_wait (what ends it is a row),
 * effect_fail (an outcome too: the script may catch it; "store.failed" is none: the run is put by and starts again from its journal), now or later in the loop's
 * thread. When the transaction of an effect_apply meets
 * ERR_CONFLICT in an operation of the handler, `begin` is called again (at most 8 times), then the effect fails with "records.conflict".
 *
 * An EFFECT_EXTERNAL begins with effect_intend: what came before and the intent are committed, then the engine calls `perform`, which ends with
 * effect_reply or effect_fail. After a crash in between, `begin` and effect_intend are called again; the class decides what follows (intents.c).
 */
#pragma once

#include "base/json.h"
#include "store/store.h"

enum effect_kind { EFFECT_READ, EFFECT_WRITE, EFFECT_WAIT, EFFECT_EXTERNAL };
enum effect_class { EFFECT_NONE, EFFECT_PURE, EFFECT_KEYED, EFFECT_QUERYABLE, EFFECT_UNSAFE }; /* EXTERNAL only */

/* What an unsafe effect does whose outcome nobody knows: wait for a person, fail with "outcome.unknown", or leave again. */
enum effect_unknown { UNKNOWN_ASK, UNKNOWN_FAIL, UNKNOWN_RETRY };

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
	/* Set by a handler that has something under way: stop it. Called once, when the run ends or goes; the effect is freed right after. */
	void (*abort)(struct effect *effect);
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

struct effect_intent {
	enum effect_class class;
	enum effect_unknown on_unknown;
	json_t *request;                          /* what an operator is shown: no secret in it; taken */
	void (*perform)(struct effect *effect);   /* the intent is on disk: let it leave */
	/* QUERYABLE: ask the provider what became of it; ends with effect_reply (this happened), effect_again or effect_unknown. */
	void (*query)(struct effect *effect);
};
void effect_intend(struct effect *effect, const struct effect_intent *intent);
void effect_again(struct effect *effect);         /* it did not happen: it leaves again */
void effect_unknown(struct effect *effect);       /* nobody knows: on_unknown decides */
bool effect_was_sent(const struct effect *effect); /* in an earlier life: an intent without an outcome is on disk */
#define EFFECT_KEY_SIZE 64
void effect_key(const struct effect *effect, char out[EFFECT_KEY_SIZE]); /* RUN/EFFECT: the same each time it leaves */
