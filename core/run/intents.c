/*
 * Effects that leave the host. Before one leaves, all that came before it and its *intent* are on disk (one transaction, with the fence); its outcome
 * and the end of the intent are one transaction again. When a replay comes to an effect that has an intent and no outcome, a crash
 * fell in between, and the class decides:
 *
 *   pure, keyed   it leaves again (keyed: with the same key)
 *   queryable     the handler asks the provider; what that does not know is unknown
 *   unsafe        unknown: by its caller's policy it fails, leaves again, or waits until a person decides (a wait of kind "outcome")
 *
 * A flight is an effect that has left and whose cell has gone while the host lives: what comes back counts, and the next cell that issues it waits on.
 * Failure modes: a fence that moved before the intent is on disk, and nothing leaves; a run that ends or is taken over aborts what is under way.
 */
#include "run/run_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define LEASE_AGAIN_US 200000

struct intent {
	enum effect_class class;
	enum effect_unknown on_unknown;
	char *request;
	void (*perform)(struct effect *effect);
	void (*query)(struct effect *effect);
	struct timer lease;          /* looks again whether our lease is held */
	bool waiting_for_lease;
};

static const char *class_name(enum effect_class class)
{
	static const char *const names[] = { "none", "pure", "keyed", "queryable", "unsafe" };
	return names[class];
}

void effect_key(const struct effect *effect, char out[EFFECT_KEY_SIZE])
{
	snprintf(out, EFFECT_KEY_SIZE, "%.*s/%u", STR_ARG(effect->run_id), effect->number);
}

bool effect_was_sent(const struct effect *effect)
{
	return ((const struct issued *)effect)->open;
}

void intent_free(struct intent *intent)
{
	if (!intent)
		return;
	if (intent->waiting_for_lease)
		timer_fini(&intent->lease);
	free(intent->request);
	free(intent);
}

/* ---- what activation found ---- */

void intents_forget(struct run *run)
{
	for (size_t i = 0; i < run->intents_count; i++)
		free(run->intents[i].name);
	free(run->intents);
	run->intents = NULL;
	run->intents_count = 0;
}

void intents_load(struct run *run, const struct store_result *rows)
{
	intents_forget(run);
	if (rows->rows == 0)
		return;
	run->intents = mem_array(rows->rows, sizeof *run->intents);
	run->intents_count = rows->rows;
	for (size_t i = 0; i < rows->rows; i++) {
		struct open_intent *intent = &run->intents[i];
		struct str digest = store_text(rows, i, 2);
		intent->effect = (uint32_t)store_int(rows, i, 0);
		intent->name = mem_copy(store_text(rows, i, 1));
		memcpy(intent->digest, digest.p, digest.n < DIGEST_TEXT_SIZE ? digest.n : DIGEST_TEXT_SIZE - 1);
		intent->resend = store_int(rows, i, 4) != 0;
	}
}

const struct open_intent *intent_find(const struct run *run, uint32_t effect)
{
	for (size_t i = 0; i < run->intents_count; i++)
		if (run->intents[i].effect == effect)
			return &run->intents[i];
	return NULL;
}

/* ---- intents ---- */

void intent_add_put(const struct issued *issued, struct store_tx *tx)
{
	char key[EFFECT_KEY_SIZE];
	effect_key(&issued->effect, key);
	store_tx_add(tx, STATEMENT_intent_put, STORE_MUST, "tittttti", issued->run_id, (int64_t)issued->effect.number, issued->name,
	             class_name(issued->intent->class), key, issued->digest, issued->intent->request,
	             clock_now_us(issued->effect.engine->options.clock));
}

static struct store_tx *own_tx(struct issued *issued)
{
	struct effect *effect = &issued->effect;
	if (!effect->tx)
		effect->tx = store_tx_new(effect->store, effect->tenant);
	return effect->tx;
}

void intent_add_delete(struct issued *issued)
{
	store_tx_add(own_tx(issued), STATEMENT_intent_delete, STORE_ANY, "ti", issued->run_id, (int64_t)issued->effect.number);
}

static bool is_gone(struct issued *issued)
{
	if (issued->effect.run)
		return false;
	issued_finish(issued);
	return true;
}

void effect_again(struct effect *effect)
{
	struct issued *issued = (struct issued *)effect;
	effect->abort = NULL;
	if (!is_gone(issued))
		issued_ready(issued, READY_INTENT);
}

static void ask_person(struct issued *issued)
{
	struct effect *effect = &issued->effect;
	char key[EFFECT_KEY_SIZE];
	effect_key(effect, key);
	store_tx_add(own_tx(issued), STATEMENT_outcome_ask, STORE_MUST, "tii", issued->run_id, (int64_t)effect->number,
	             clock_now_us(effect->engine->options.clock));
	log_event(LOG_WARN, "outcome.unknown", "run", issued->run_id, "effect", strchr(key, '/') + 1, "name", issued->name,
	          "next", "perigee outcomes", NULL);
	effect_wait(effect, "outcome", key, 0, NULL);
}

void effect_unknown(struct effect *effect)
{
	struct issued *issued = (struct issued *)effect;
	effect->abort = NULL;
	if (is_gone(issued))
		return;
	switch (issued->intent->on_unknown) {
	case UNKNOWN_RETRY:
		effect_again(effect);
		break;
	case UNKNOWN_FAIL:
		effect_fail(effect, "outcome.unknown", "the host ended while this was on its way: nobody knows whether it happened", NULL);
		break;
	case UNKNOWN_ASK:
		ask_person(issued);
		break;
	}
}

void effect_intend(struct effect *effect, const struct effect_intent *given)
{
	struct issued *issued = (struct issued *)effect;
	if (is_gone(issued)) {
		json_decref(given->request);
		return;
	}
	const struct open_intent *found = intent_find(effect->run, effect->number);
	intent_free(issued->intent);
	struct intent *intent = issued->intent = mem_alloc(sizeof *intent);
	*intent = (struct intent){ .class = given->class, .on_unknown = given->on_unknown, .request = json_to_text(given->request),
	                           .perform = given->perform, .query = given->query };
	json_decref(given->request);
	bool may_leave = !issued->open || issued->resend || (found && found->resend);
	if (may_leave || intent->class == EFFECT_PURE || intent->class == EFFECT_KEYED)
		issued_ready(issued, READY_INTENT);
	else if (intent->class == EFFECT_QUERYABLE && intent->query)
		intent->query(effect);
	else
		effect_unknown(effect);
}

/* The last moment before it leaves: a worker that may have been taken over sends nothing until it knows that it was not. */
static void on_perform(void *arg)
{
	struct issued *issued = arg;
	struct intent *intent = issued->intent;
	if (issued->effect.run && store_lease(issued->effect.store) != STORE_LEASE_HELD) {
		if (!intent->waiting_for_lease)
			timer_init(&intent->lease, issued->effect.engine->options.loop, on_perform, issued);
		intent->waiting_for_lease = true;
		timer_start_us(&intent->lease, LEASE_AGAIN_US);
		return;
	}
	issued->performing = false;
	if (!is_gone(issued))
		intent->perform(&issued->effect);
}

void intent_committed(struct run *run, struct issued *issued)
{
	issued->open = true;
	issued->resend = false;
	issued->state = ISSUED_HANDLING;
	if (issued->orphan && run->over) {
		issued_finish(issued);
		return;
	}
	if (issued->orphan && !issued->in_flights)
		flight_add(run, issued);
	issued->performing = true;
	loop_defer(run->engine->options.loop, &issued->later, on_perform, issued);
}

/* ---- flights ---- */

bool flight_keeps(const struct issued *issued)
{
	return issued->open && issued->intent && !issued->wait &&
	       (issued->state == ISSUED_HANDLING || issued->state == ISSUED_APPENDING || (issued->state == ISSUED_READY && issued->ready == READY_APPLY));
}

void flight_add(struct run *run, struct issued *issued)
{
	issued->orphan = issued->in_flights = true;
	TAILQ_INSERT_TAIL(&run->flights, issued, link);
}

void flight_leave(struct issued *issued)
{
	if (issued->in_flights)
		TAILQ_REMOVE(&issued->effect.run->flights, issued, link);
	issued->in_flights = false;
}

struct issued *flight_find(struct run *run, uint32_t effect)
{
	struct issued *issued;
	TAILQ_FOREACH(issued, &run->flights, link)
		if (issued->effect.number == effect)
			return issued;
	return NULL;
}

void issued_abort(struct issued *issued)
{
	struct effect *effect = &issued->effect;
	effect->run = NULL;
	if (issued->state == ISSUED_HANDLING && (issued->performing || !effect->abort))
		return; /* whoever is at work sees the run gone, and frees it */
	if (issued->state == ISSUED_APPENDING)
		return;
	if (issued->state == ISSUED_HANDLING)
		effect->abort(effect);
	effect->abort = NULL;
	issued_finish(issued);
}

void flights_end(struct run *run)
{
	struct issued *issued;
	while ((issued = TAILQ_FIRST(&run->flights))) {
		flight_leave(issued);
		if (issued->state == ISSUED_APPENDING)
			continue; /* run->appending: its commit frees it */
		if (issued->state == ISSUED_READY)
			TAILQ_REMOVE(&run->ready, issued, ready_link);
		if (issued->wait)
			issued->wait->issued = NULL;
		issued_abort(issued);
	}
}

/* ---- what a person decided ---- */

static void resolve_failed(struct wait *wait, struct str text, struct store_tx *tx)
{
	json_t *more = json_read(text, FRAME_PAYLOAD_MAX, NULL, NULL);
	char *code = mem_copy(json_member_str(more, "code")), *message = mem_copy(json_member_str(more, "message"));
	wait_resolve_error(wait, *code ? code : "outcome.failed", *message ? message : "an operator decided that this failed", more, tx);
	free(code);
	free(message);
}

/* read: outcome_state. */
void found_outcome(struct wait *wait, struct store_tx *read)
{
	const struct store_result *r = store_tx_result(read, 0);
	if (r->rows == 0 || str_is(store_text(r, 0, 0), "unknown") || str_is(store_text(r, 0, 0), "withdrawn"))
		return;
	struct run *run = wait->run;
	struct store_tx *tx = store_tx_new(run->engine->options.store, str_of(run->tenant->name));
	if (str_is(store_text(r, 0, 0), "not_happened")) {
		store_tx_add(tx, STATEMENT_intent_resend, STORE_MUST, "ti", run->id, (int64_t)wait->effect);
		wait_resume(wait, tx);
		return;
	}
	store_tx_add(tx, STATEMENT_intent_delete, STORE_ANY, "ti", run->id, (int64_t)wait->effect);
	if (str_is(store_text(r, 0, 0), "happened"))
		wait_resolve(wait, json_read(store_text(r, 0, 1), FRAME_PAYLOAD_MAX, NULL, NULL), tx);
	else
		resolve_failed(wait, store_text(r, 0, 2), tx);
}
