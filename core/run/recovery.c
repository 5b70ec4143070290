/*
 * Taking over: runs whose owner is gone (killed, shut down, fenced). The store says who is (store_owners_lost); its runs are taken tenant by tenant, in
 * pieces, each with a new fence: should the old owner still live, its next append changes no row. Several workers may do so at once, a run goes to one of
 * them. What was queued or running is adopted; what waits stays a row, its deadlines are read and its waits looked through (dormant.c, sweeping.c). When no
 * run is left the owner is forgotten; a take-over that was cut short is begun again by the next sweep.
 */
#include "run/run_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define PIECE_RUNS 500         /* of one statement */
#define TENANTS_AT_ONCE 16
#define BACKLOG_MAX 20000      /* rows to be adopted: the rest of a take-over waits for the next sweep, or for another worker */

struct takeover {
	struct takeover *next;             /* of engine->takeovers */
	struct engine *engine;
	char *owner;
	bool known;                        /* the store told it is lost, and wants to hear that nothing is left */
	bool incomplete;
	json_t *tenants;                   /* names */
	size_t next_tenant, under_way;
	size_t taken;
};

struct piece {
	struct takeover *takeover;
	struct tenant *tenant;
	size_t waiting;                    /* taken so far in this tenant */
};

static void takeover_go_on(struct takeover *takeover);

static void takeover_log(const struct takeover *takeover)
{
	struct buf count;
	if (!takeover->taken)
		return;
	buf_init(&count, 32);
	buf_addf(&count, "%zu", takeover->taken);
	log_event(LOG_INFO, "runs.taken_over", "from", takeover->owner, "runs", buf_text(&count), NULL);
	buf_free(&count);
}

static void mail_on_forgotten(struct store_tx *tx, int code, void *arg)
{
	(void)arg;
	if (code) /* rows that nobody reads: harmless */
		log_event(LOG_WARN, "recovery.failed", "error", store_tx_error(tx), NULL);
	store_tx_free(tx);
}

static void takeover_end(struct takeover *takeover)
{
	struct engine *engine = takeover->engine;
	takeover_log(takeover);
	if (!takeover->incomplete && takeover->known) {
		struct store_tx *tx = store_tx_new(engine->options.store, STR(""));
		store_owner_forget(engine->options.store, takeover->owner);
		store_tx_add(tx, STATEMENT_mail_forget, STORE_ANY, "t", takeover->owner);
		store_submit_write(tx, mail_on_forgotten, NULL);
	}
	struct takeover **at = &engine->takeovers;
	while (*at != takeover)
		at = &(*at)->next;
	*at = takeover->next;
	json_decref(takeover->tenants);
	free(takeover->owner);
	free(takeover);
}

static void piece_take(struct piece *piece);

static void piece_end(struct piece *piece)
{
	struct takeover *takeover = piece->takeover;
	if (piece->waiting) {
		dormant_read_again(takeover->engine, piece->tenant);
		waits_sweep_all(takeover->engine, piece->tenant);
	}
	free(piece);
	takeover->under_way--;
	takeover_go_on(takeover);
}

static void piece_on_taken(struct store_tx *tx, int code, void *arg)
{
	struct piece *piece = arg;
	struct takeover *takeover = piece->takeover;
	struct engine *engine = takeover->engine;
	const struct store_result *taken = code ? NULL : store_tx_result(tx, 0);
	size_t waiting = 0;
	bool left = false, again = false;
	if (code) {
		log_event(LOG_ERROR, "recovery.failed", "tenant", piece->tenant->name, "error", store_tx_error(tx), NULL);
		takeover->incomplete = true;
	} else {
		for (size_t i = 0; i < taken->rows; i++) {
			char *id = mem_copy(store_text(taken, i, 0));
			if (str_is(store_text(taken, i, 1), "waiting"))
				waiting++;
			else
				run_adopt_row(engine, piece->tenant, id, ADOPT_TAKEN);
			free(id);
		}
		takeover->taken += taken->rows;
		left = store_tx_result(tx, 1)->rows > 0;
		again = left && taken->rows > 0 && adoptions_count(engine) < BACKLOG_MAX && !engine->draining;
		takeover->incomplete |= left && !again; /* another worker is at them, or there are enough for now */
	}
	if (waiting)
		dormant_count(piece->tenant, (int64_t)waiting);
	piece->waiting += waiting;
	store_tx_free(tx);
	if (again)
		piece_take(piece);
	else
		piece_end(piece);
}

static void piece_take(struct piece *piece)
{
	struct engine *engine = piece->takeover->engine;
	struct store_tx *tx = store_tx_new(engine->options.store, str_of(piece->tenant->name));
	store_tx_add(tx, STATEMENT_runs_take_over, STORE_ANY, "tti", engine->owner, piece->takeover->owner, (int64_t)PIECE_RUNS);
	store_tx_add(tx, STATEMENT_runs_left, STORE_ANY, "t", piece->takeover->owner);
	store_submit_write(tx, piece_on_taken, piece);
}

static void takeover_go_on(struct takeover *takeover)
{
	struct engine *engine = takeover->engine;
	while (takeover->under_way < TENANTS_AT_ONCE && takeover->next_tenant < json_array_size(takeover->tenants)) {
		struct tenant *tenant = engine_tenant(engine, json_str(json_array_get(takeover->tenants, takeover->next_tenant++)));
		if (!tenant)
			continue;
		struct piece *piece = mem_alloc(sizeof *piece);
		piece->takeover = takeover;
		piece->tenant = tenant;
		takeover->under_way++;
		piece_take(piece);
	}
	if (takeover->under_way == 0)
		takeover_end(takeover);
}

static void takeover_begin(struct engine *engine, struct str owner, json_t *tenants /* taken */, bool known)
{
	for (const struct takeover *other = engine->takeovers; other; other = other->next)
		if (str_is(owner, other->owner)) {
			json_decref(tenants);
			return;
		}
	struct takeover *takeover = mem_alloc(sizeof *takeover);
	takeover->engine = engine;
	takeover->owner = mem_copy(owner);
	takeover->known = known;
	takeover->tenants = tenants;
	takeover->next = engine->takeovers;
	engine->takeovers = takeover;
	takeover_go_on(takeover);
}

static void recover_on_lost(int code, const json_t *lost, int64_t alive, void *arg)
{
	struct engine *engine = arg;
	size_t i;
	json_t *owner;
	if (code) {
		log_event(LOG_ERROR, "recovery.failed", "error", "the store does not say which workers are gone", NULL);
		return;
	}
	engine->workers_alive = alive > 0 ? (size_t)alive : 1;
	if (engine->draining || engine->closing)
		return;
	json_array_foreach((json_t *)(uintptr_t)lost, i, owner)
		if (!str_is(json_str(owner), engine->owner))
			takeover_begin(engine, json_str(owner), store_tenant_names(engine->options.store), true);
}

void engine_recover(struct engine *engine)
{
	if (!engine->draining && !engine->closing)
		store_owners_lost(engine->options.store, recover_on_lost, engine);
}

/* ---- owners that nobody knows ---- */

#define OWNER_TRUSTED_US 60000000  /* one that was found alive is not asked for again so soon */

struct known_owner {
	char *id;
	int64_t seen_us;                   /* monotonic; alive then */
	UT_hash_handle hh;
};

void owner_seen(struct engine *engine, struct tenant *tenant, struct str id)
{
	struct known_owner *owner;
	int64_t now = clock_monotonic_us();
	if (str_is(id, engine->owner))
		return;
	HASH_FIND(hh, engine->owners, id.p, id.n, owner);
	if (owner && now - owner->seen_us < OWNER_TRUSTED_US)
		return;
	if (!store_owner_is_alive(engine->options.store, id)) {
		/* lost, or of a store that this tenant came from: an owner is there before its first run */
		json_t *names = json_array();
		json_array_append_new(names, json_string(tenant->name));
		takeover_begin(engine, id, names, false);
		return;
	}
	if (!owner) {
		owner = mem_alloc(sizeof *owner);
		owner->id = mem_copy(id);
		HASH_ADD_KEYPTR(hh, engine->owners, owner->id, id.n, owner);
	}
	owner->seen_us = now;
}

void recovery_free(struct engine *engine)
{
	struct known_owner *owner, *next;
	HASH_ITER(hh, engine->owners, owner, next) {
		HASH_DEL(engine->owners, owner);
		free(owner->id);
		free(owner);
	}
	struct takeover *takeover;
	while ((takeover = engine->takeovers)) {
		engine->takeovers = takeover->next;
		json_decref(takeover->tenants);
		free(takeover->owner);
		free(takeover);
	}
}
