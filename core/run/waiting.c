/*
 * Waits: timers, signals, approvals, children. What a run waits for is a row; what ends the wait is a row too, found by looking (wait_check):
 * when the wait is registered, when somebody says that something came, and when a run is taken over. So a hint may be lost and nothing is.
 *
 * A signal wakes one of those who wait for it: they look one after the other, so that they do not all find the same one and all but one in vain.
 */
#include "run/run_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the heap of deadlines ---- */

static void heap_put(struct engine *engine, size_t at, struct wait *wait)
{
	engine->timers[at] = wait;
	wait->heap_at = at + 1;
}

static void heap_up(struct engine *engine, size_t at, struct wait *wait)
{
	while (at > 0 && engine->timers[(at - 1) / 2]->wake_at_us > wait->wake_at_us) {
		heap_put(engine, at, engine->timers[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	heap_put(engine, at, wait);
}

static void heap_down(struct engine *engine, size_t at, struct wait *wait)
{
	for (;;) {
		size_t child = 2 * at + 1;
		if (child >= engine->timers_count)
			break;
		if (child + 1 < engine->timers_count && engine->timers[child + 1]->wake_at_us < engine->timers[child]->wake_at_us)
			child++;
		if (engine->timers[child]->wake_at_us >= wait->wake_at_us)
			break;
		heap_put(engine, at, engine->timers[child]);
		at = child;
	}
	heap_put(engine, at, wait);
}

static void timer_rearm(struct engine *engine)
{
	if (engine->timers_count == 0 || engine->options.virtual_time) {
		timer_stop(&engine->timer);
		return;
	}
	int64_t left = engine->timers[0]->wake_at_us - clock_now_us(engine->options.clock);
	int64_t most = 60LL * 1000000; /* look again each minute at the latest: wall clocks are set */
	timer_start_us(&engine->timer, left < 0 ? 0 : left > most ? most : left);
}

static void heap_add(struct engine *engine, struct wait *wait)
{
	if (engine->timers_count == engine->timers_cap) {
		engine->timers_cap = engine->timers_cap ? engine->timers_cap * 2 : 64;
		engine->timers = mem_grow(engine->timers, engine->timers_cap, sizeof *engine->timers);
	}
	heap_up(engine, engine->timers_count++, wait);
	if (engine->timers[0] == wait)
		timer_rearm(engine);
}

static void heap_remove(struct engine *engine, struct wait *wait)
{
	size_t at = wait->heap_at - 1;
	struct wait *last = engine->timers[--engine->timers_count];
	wait->heap_at = 0;
	if (last == wait)
		return;
	if (at > 0 && engine->timers[(at - 1) / 2]->wake_at_us > last->wake_at_us)
		heap_up(engine, at, last);
	else
		heap_down(engine, at, last);
}

/* ---- waits ---- */

static struct wait_key *wait_key_find(struct engine *engine, const char *kind, const char *name, bool make)
{
	struct buf text;
	buf_init(&text, 4096);
	buf_addf(&text, "%s\n%s", kind, name);
	struct wait_key *key;
	HASH_FIND(hh, engine->waits, buf_text(&text), text.n, key);
	if (!key && make) {
		key = mem_alloc(sizeof *key);
		key->text = mem_copy(buf_str(&text));
		TAILQ_INIT(&key->waits);
		HASH_ADD_KEYPTR(hh, engine->waits, key->text, text.n, key);
	}
	buf_free(&text);
	return key;
}

struct wait *wait_new(struct run *run, uint32_t effect, const char *effect_name, const char *digest, const char *kind, const char *name,
                      int64_t wake_at_us, const json_t *detail)
{
	struct wait *wait = mem_alloc(sizeof *wait);
	wait->run = run;
	wait->effect = effect;
	wait->effect_name = mem_copy(str_of(effect_name));
	strncpy(wait->digest, digest, DIGEST_TEXT_SIZE - 1);
	wait->kind = mem_copy(str_of(kind));
	wait->name = mem_copy(str_of(name));
	wait->wake_at_us = wake_at_us;
	wait->detail = detail ? json_copy((json_t *)(uintptr_t)detail) : json_object();
	json_put_text(wait->detail, "effect", effect_name);
	json_put_text(wait->detail, "digest", wait->digest);
	TAILQ_INSERT_TAIL(&run->waits, wait, link);
	run->waits_count++;
	return wait;
}

void wait_attach(struct wait *wait, struct issued *issued)
{
	wait->issued = issued;
	issued->wait = wait;
}

void wait_free(struct wait *wait)
{
	struct engine *engine = wait->run->engine;
	if (wait->heap_at)
		heap_remove(engine, wait);
	if (wait->key) {
		TAILQ_REMOVE(&wait->key->waits, wait, named);
		if (wait->key->turn == wait)
			wait->key->turn = NULL;
		if (TAILQ_EMPTY(&wait->key->waits)) {
			HASH_DEL(engine->waits, wait->key);
			free(wait->key->text);
			free(wait->key);
		}
	}
	TAILQ_REMOVE(&wait->run->waits, wait, link);
	wait->run->waits_count--;
	json_decref(wait->detail);
	free(wait->effect_name);
	free(wait->kind);
	free(wait->name);
	free(wait);
}

struct wait *wait_find(struct run *run, uint32_t effect)
{
	struct wait *wait;
	TAILQ_FOREACH(wait, &run->waits, link)
		if (wait->effect == effect)
			return wait;
	return NULL;
}

int64_t run_wake_at(const struct run *run)
{
	int64_t first = 0;
	const struct wait *wait;
	TAILQ_FOREACH(wait, &run->waits, link)
		if (wait->wake_at_us && (!first || wait->wake_at_us < first))
			first = wait->wake_at_us;
	return first;
}

/* ---- how a wait ends ---- */

/* tx: what ends it, in the same transaction as its journal row; taken. Returns what carries the outcome. */
static struct issued *wait_ending(struct wait *wait, struct store_tx *tx)
{
	struct run *run = wait->run;
	struct issued *issued = wait->issued;
	if (!issued) {
		issued = issued_new(run, wait->effect, wait->effect_name, wait->digest);
		issued->orphan = true;
		wait_attach(wait, issued);
	}
	wait->resolving = true;
	if (issued->effect.tx)
		store_tx_free(issued->effect.tx);
	issued->effect.tx = tx;
	return issued;
}

void wait_resolve(struct wait *wait, json_t *ok, struct store_tx *tx)
{
	struct issued *issued = wait_ending(wait, tx);
	issued_set_ok(issued, ok);
	json_decref(ok);
	issued_ready(issued, READY_APPLY);
}

void wait_resolve_error(struct wait *wait, const char *code, const char *message, json_t *more, struct store_tx *tx)
{
	struct issued *issued = wait_ending(wait, tx);
	issued_set_error(issued, code, message, more);
	issued_ready(issued, READY_APPLY);
}

void wait_resume(struct wait *wait, struct store_tx *tx)
{
	issued_ready(wait_ending(wait, tx), READY_RESUME);
}

struct wait_look {
	struct engine *engine;
	char run[UUID_TEXT_SIZE];
	uint32_t effect;
};

static void found_signal(struct wait *wait, struct store_tx *read)
{
	const struct store_result *r = store_tx_result(read, 0);
	if (r->rows == 0)
		return;
	json_t *ok = json_object(), *payload = json_read(store_text(r, 0, 3), FRAME_PAYLOAD_MAX, NULL, NULL);
	json_put_str(ok, "id", store_text(r, 0, 1));
	json_put_str(ok, "name", store_text(r, 0, 2));
	json_put(ok, "payload", payload);
	json_put_int(ok, "at", store_int(r, 0, 4));
	struct store_tx *tx = store_tx_new(wait->run->engine->options.store, str_of(wait->run->tenant->name));
	struct buf by;
	buf_init(&by, 64);
	buf_addf(&by, "%s/%u", wait->run->id, wait->effect);
	store_tx_add(tx, STATEMENT_signal_consume, STORE_MUST, "it", store_int(r, 0, 0), buf_text(&by));
	buf_free(&by);
	wait_resolve(wait, ok, tx);
}

static void found_approval(struct wait *wait, struct store_tx *read)
{
	const struct store_result *r = store_tx_result(read, 0);
	if (r->rows == 0 || str_is(store_text(r, 0, 2), "pending"))
		return;
	json_t *ok = json_object();
	json_put_str(ok, "id", store_text(r, 0, 0));
	json_put_str(ok, "decision", store_text(r, 0, 2));
	json_put(ok, "note", store_is_null(r, 0, 4) ? NULL : json_new_str(store_text(r, 0, 4)));
	json_put(ok, "by", store_is_null(r, 0, 5) ? NULL : json_new_str(store_text(r, 0, 5)));
	json_put_int(ok, "at", store_int(r, 0, 6));
	wait_resolve(wait, ok, store_tx_new(wait->run->engine->options.store, str_of(wait->run->tenant->name)));
}

static void found_child(struct wait *wait, struct store_tx *read)
{
	const struct store_result *r = store_tx_result(read, 0);
	if (r->rows == 0 || !run_state_is_final(store_text(r, 0, 4)))
		return;
	json_t *ok = json_object();
	json_put_str(ok, "status", store_text(r, 0, 4));
	json_put(ok, "output", store_is_null(r, 0, 18) ? NULL : json_read(store_text(r, 0, 18), FRAME_PAYLOAD_MAX, NULL, NULL));
	json_put(ok, "error", store_is_null(r, 0, 19) ? NULL : json_read(store_text(r, 0, 19), FRAME_PAYLOAD_MAX, NULL, NULL));
	wait_resolve(wait, ok, store_tx_new(wait->run->engine->options.store, str_of(wait->run->tenant->name)));
}

static void wait_check(struct wait *wait);
static void wait_expire(struct wait *wait);

static bool takes_turns(const struct wait *wait)
{
	return strcmp(wait->kind, "signal") == 0;
}

static bool comes_later(const struct wait *wait)
{
	return wait->key && wait->key->turn && wait->key->turn != wait;
}

/* There is no signal, so there was none for those either whose deadline passed before their turn. */
static void turn_ends(struct wait *wait)
{
	struct engine *engine = wait->run->engine;
	char *name = mem_copy(str_of(wait->name));
	wait->key->turn = NULL;
	while (wait) {
		struct wait_key *key = wait_key_find(engine, "signal", name, false);
		wait = key ? TAILQ_FIRST(&key->waits) : NULL;
		while (wait && (!wait->due || wait->resolving || wait->run->over))
			wait = TAILQ_NEXT(wait, named);
		if (wait)
			wait_expire(wait);
	}
	free(name);
}

void wait_ended(struct wait *wait)
{
	struct wait *next = NULL;
	if (wait->key && wait->key->turn == wait) {
		next = TAILQ_FIRST(&wait->key->waits);
		while (next && (next == wait || next->resolving))
			next = TAILQ_NEXT(next, named);
	}
	wait_free(wait);
	if (next)
		wait_check(next);
}

/* What came may have come unheard: forget the run, its rows know. */
static void look_failed(struct store_tx *tx, struct wait_look *look)
{
	char why[256];
	struct run *run;
	HASH_FIND_STR(look->engine->runs, look->run, run);
	snprintf(why, sizeof why, "%s", store_tx_error(tx));
	store_tx_free(tx);
	free(look);
	run_park(run, why);
}

static void look_on_read(struct store_tx *tx, int code, void *arg)
{
	struct wait_look *look = arg;
	struct run *run;
	HASH_FIND_STR(look->engine->runs, look->run, run);
	struct wait *wait = run ? wait_find(run, look->effect) : NULL;
	if (wait && wait->checking) {
		wait->checking = false;
		bool again = wait->check_again;
		wait->check_again = false;
		if (code != 0 && !run->over) {
			look_failed(tx, look);
			return;
		}
		if (!wait->resolving && !run->over) {
			if (strcmp(wait->kind, "signal") == 0)
				found_signal(wait, tx);
			else if (strcmp(wait->kind, "approval") == 0)
				found_approval(wait, tx);
			else if (strcmp(wait->kind, "outcome") == 0)
				found_outcome(wait, tx);
			else
				found_child(wait, tx);
		}
		/* the wait may have ended and been freed by now */
		HASH_FIND_STR(look->engine->runs, look->run, run);
		wait = run ? wait_find(run, look->effect) : NULL;
		if (wait && again && !wait->resolving)
			wait_check(wait);
		else if (wait && takes_turns(wait) && !wait->resolving)
			turn_ends(wait);
		else if (wait && wait->due && !wait->resolving && !run->over)
			wait_expire(wait);
		HASH_FIND_STR(look->engine->runs, look->run, run);
		if (run)
			run_maybe_doze(run);
	}
	engine_maybe_jump(look->engine);
	engine_maybe_drained(look->engine);
	store_tx_free(tx);
	free(look);
}

static void wait_check(struct wait *wait)
{
	struct run *run = wait->run;
	if (!wait->registered || wait->resolving || run->over || strcmp(wait->kind, "timer") == 0)
		return;
	struct wait *asking = takes_turns(wait) && comes_later(wait) ? wait->key->turn : wait;
	if (asking->checking) {
		asking->check_again = true;
		return;
	}
	if (asking != wait)
		return; /* its end lets the next one look */
	if (takes_turns(wait))
		wait->key->turn = wait;
	wait->checking = true;
	struct wait_look *look = mem_alloc(sizeof *look);
	look->engine = run->engine;
	memcpy(look->run, run->id, sizeof look->run);
	look->effect = wait->effect;
	struct store_tx *tx = store_tx_new(run->engine->options.store, str_of(run->tenant->name));
	if (strcmp(wait->kind, "signal") == 0)
		store_tx_add(tx, STATEMENT_signal_first, STORE_ANY, "tt", run->id, strchr(wait->name, '/') + 1);
	else if (strcmp(wait->kind, "approval") == 0)
		store_tx_add(tx, STATEMENT_approval_state, STORE_ANY, "t", wait->name);
	else if (strcmp(wait->kind, "outcome") == 0)
		store_tx_add(tx, STATEMENT_outcome_state, STORE_ANY, "ti", run->id, (int64_t)wait->effect);
	else /* of a chain, the run that is the last now */
		store_tx_add(tx, STATEMENT_run_load_last, STORE_ANY, "t", wait->name);
	store_submit_read(tx, look_on_read, look);
}

void wait_look_again(struct wait *wait)
{
	wait_check(wait);
}

void waits_check(struct engine *engine, const char *kind, const char *name)
{
	struct wait_key *key = wait_key_find(engine, kind, name, false);
	struct wait *wait, *next;
	for (wait = key ? TAILQ_FIRST(&key->waits) : NULL; wait; wait = next) {
		next = TAILQ_NEXT(wait, named);
		wait_check(wait);
		if (takes_turns(wait) && key->turn)
			return;
	}
}

/* Nothing came before its deadline. */
static void wait_expire(struct wait *wait)
{
	struct engine *engine = wait->run->engine;
	json_t *ok;
	struct store_tx *tx = store_tx_new(engine->options.store, str_of(wait->run->tenant->name));
	if (strcmp(wait->kind, "timer") == 0) {
		ok = json_object();
	} else if (strcmp(wait->kind, "approval") == 0) {
		int64_t now = clock_now_us(engine->options.clock);
		ok = json_object();
		json_put_text(ok, "id", wait->name);
		json_put_text(ok, "decision", "expired");
		json_put(ok, "note", NULL);
		json_put(ok, "by", NULL);
		json_put_int(ok, "at", now);
		store_tx_add(tx, STATEMENT_approval_expire, STORE_MUST, "ti", wait->name, now);
	} else {
		ok = json_null();
	}
	wait_resolve(wait, ok, tx);
}

static void wait_due(struct wait *wait)
{
	heap_remove(wait->run->engine, wait);
	if (wait->checking || comes_later(wait))
		wait->due = true; /* what came in time counts: the look decides */
	else if (!wait->resolving && !wait->run->over)
		wait_expire(wait);
}

void waits_fire_due(struct engine *engine)
{
	int64_t now = clock_now_us(engine->options.clock);
	while (engine->timers_count && engine->timers[0]->wake_at_us <= now)
		wait_due(engine->timers[0]);
	timer_rearm(engine);
}

/* ---- a wait whose row is on disk ---- */

void wait_register(struct wait *wait)
{
	struct run *run = wait->run;
	wait->registered = true;
	wait->key = wait_key_find(run->engine, wait->kind, wait->name, true);
	TAILQ_INSERT_TAIL(&wait->key->waits, wait, named);
	if (wait->wake_at_us)
		heap_add(run->engine, wait);
	wait_check(wait);
}
