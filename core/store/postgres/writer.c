/*
 * Group commit. Happy path: everything that waits is one batch (batch.h), sent in one go: BEGIN, what holds for the transaction, the lease, a section for each
 * tenant. When every operation did what it must, COMMIT, and all of it is complete: two round trips, one fsync.
 *
 * Failure modes: an operation that fails undoes the batch, which is then done again carefully: each transaction in a savepoint of its own, so that only
 * those fail that must. Lost locks and deadlocks: again, a few times. Connection lost before COMMIT was sent: nothing has happened, again on a
 * new one. Lost after that: the server is asked what became of the transaction; when it cannot tell, everything ends with ERR_STORE, and
 * whoever gets that reads before it decides. The lease is gone: nothing of this owner is written any more.
 */
#include "store/postgres/batch.h"
#include "store/postgres/postgres.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
	ATTEMPTS_MAX = 5,
	PROOF_US = 3000000,
	MEASURE_FIRST = 250,          /* rows written by this process; then at each doubling, until the server's own daemon has had its turn */
	MEASURE_LAST = 1000000,
	LOCK_TIMEOUT_MS = 2000,
	IDLE_TIMEOUT_MS = 5000,       /* of a transaction without an owner whose host was stopped in the middle */
};

enum outcome {
	OUTCOME_HELD,
	OUTCOME_REFUSED,              /* an operation failed: carefully now */
	OUTCOME_AGAIN,                /* nothing was written; another try may succeed */
	OUTCOME_UNKNOWN,              /* lost after COMMIT was sent */
	OUTCOME_FAILED,               /* nothing was written, and nothing will be */
};

struct writing {
	struct postgres *engine;
	struct link *link;
	struct batch batch;
	struct store_tx *list;
	int64_t deadline_us, changed;
	char xid[24], started[80], owner[OWNER_SIZE];
	bool begun, owned;
	struct errbuf error;
};

/* -- judging answers ------------------------------------------------------------------------------------------------------ */

static bool is_transient(const char *state)
{
	static const char *const states[] = { "40001", "40P01", "55P03", "57014" };

	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++)
		if (strcmp(states[i], state) == 0)
			return true;
	return false;
}

/* Is it the storage that fails, for whoever comes? */
static bool is_of_storage(const char *state)
{
	return strncmp(state, "53", 2) == 0 || strncmp(state, "58", 2) == 0 || strncmp(state, "XX", 2) == 0 || strcmp(state, "25006") == 0;
}

static enum outcome judge(struct writing *w, const struct link_answer *answer, const char *doing)
{
	(void)link_explain(w->link, answer, doing, &w->error);
	if (answer->kind == LINK_BROKEN || link_lost_statement(w->link, answer) || is_transient(answer->state))
		return OUTCOME_AGAIN;
	return is_of_storage(answer->state) ? OUTCOME_FAILED : OUTCOME_REFUSED;
}

/* Read what is left of a section. */
static enum outcome drain(struct writing *w, enum outcome outcome)
{
	struct link_answer answer;

	do
		answer = link_next(w->link, w->deadline_us);
	while (answer.kind != LINK_SYNCED && answer.kind != LINK_BROKEN);
	return answer.kind == LINK_BROKEN ? OUTCOME_AGAIN : outcome;
}

static void roll_back(struct writing *w)
{
	if (w->begun)
		(void)link_run(w->link, "ROLLBACK", w->deadline_us);
	w->begun = false;
}

/* -- the head of a transaction ---------------------------------------------------------------------------------------------- */

static struct store_value text_value(const char *text)
{
	return (struct store_value){ .type = STORE_TEXT, .text = str_of(text) };
}

static struct str tenant_of(const struct store_tx *tx)
{
	return (struct str){ tx->tenant, tx->tenant_length };
}

static void send_head(struct writing *w, const struct store_tx *first)
{
	char lock[24], idle[24], application[OWNER_SIZE + 16];
	struct store_value values[4], owner = text_value(w->owner);
	int idle_ms = w->owned ? w->engine->lease_ms / 4 : IDLE_TIMEOUT_MS;

	snprintf(lock, sizeof(lock), "%d", LOCK_TIMEOUT_MS);
	snprintf(idle, sizeof(idle), "%d", idle_ms);
	snprintf(application, sizeof(application), "perigee %s", w->owner);
	values[0] = text_value(lock);
	values[1] = text_value(idle);
	values[2] = text_value(application);
	values[3] = (struct store_value){ .type = STORE_TEXT, .text = tenant_of(first) };
	link_command(w->link, "BEGIN");
	w->begun = true;
	BUG_ON(link_exec(w->link, STATEMENT_session_begin, values, STR(""), NULL) != 0);
	if (w->owned)
		BUG_ON(link_exec(w->link, STATEMENT_worker_held, &owner, STR(""), NULL) != 0);
}

static enum outcome read_head(struct writing *w)
{
	struct link_answer answer = link_next(w->link, w->deadline_us);

	if (answer.kind != LINK_ROWS)
		return judge(w, &answer, "begin");
	answer = link_next(w->link, w->deadline_us);
	if (answer.kind != LINK_ROWS)
		return judge(w, &answer, "begin");
	snprintf(w->xid, sizeof(w->xid), "%s", PQgetvalue(answer.result, 0, 0));
	if (!w->owned)
		return OUTCOME_HELD;
	answer = link_next(w->link, w->deadline_us);
	if (answer.kind != LINK_ROWS)
		return judge(w, &answer, "lease");
	if (PQntuples(answer.result) > 0)
		return OUTCOME_HELD;
	keeper_lost(w->engine);
	err_set(&w->error, ERR_STORE, "the lease of this worker has ended and others go on with its runs: nothing is written any more");
	return OUTCOME_FAILED;
}

static void send_tenant(struct writing *w, const struct store_tx *tx)
{
	struct store_value value = { .type = STORE_TEXT, .text = tenant_of(tx) };

	BUG_ON(link_exec(w->link, STATEMENT_session_tenant, &value, STR(""), NULL) != 0);
}

static enum outcome commit(struct writing *w)
{
	struct link_answer answer;

	if (!w->link->usable)
		return OUTCOME_AGAIN;     /* COMMIT was never sent */
	snprintf(w->started, sizeof(w->started), "%s", w->link->started);
	link_command(w->link, "COMMIT");
	link_sync(w->link);
	answer = link_next(w->link, w->deadline_us);
	if (answer.kind == LINK_BROKEN) {
		(void)link_explain(w->link, &answer, "commit", &w->error);
		return OUTCOME_UNKNOWN;
	}
	w->begun = false;
	if (answer.kind == LINK_ROWS && strcmp(PQcmdStatus(answer.result), "COMMIT") == 0)
		goto held;
	if (answer.kind == LINK_ROWS) {
		err_set(&w->error, ERR_STORE, "%s: commit: the server rolled back", w->engine->shared.place.shown);
		return drain(w, OUTCOME_AGAIN);
	}
	return drain(w, judge(w, &answer, "commit"));
held:
	(void)drain(w, OUTCOME_HELD);     /* whatever comes after it: it is on disk */
	return OUTCOME_HELD;
}

/* -- one operation ---------------------------------------------------------------------------------------------------------- */

static const char *name_of(const struct store_op *op)
{
	return postgres_statements[op->statement].name;
}

/* Take the answer of one operation. REFUSED: the transaction's code and text are set. */
static enum outcome read_op(struct writing *w, struct store_tx *tx, size_t i)
{
	struct link_answer answer = link_next(w->link, w->deadline_us);
	struct store_op *op = &tx->ops[i];
	struct errbuf e = { "" };
	enum outcome outcome;

	if (answer.kind != LINK_ROWS) {
		outcome = judge(w, &answer, name_of(op));
		if (strcmp(answer.state, "23505") == 0)
			store_tx_fail(tx, ERR_CONFLICT, i, "%s: %s", name_of(op), PQresultErrorField(answer.result, PG_DIAG_MESSAGE_PRIMARY));
		else
			store_tx_fail(tx, ERR_STORE, i, "%s", w->error.text);
		return outcome;
	}
	if (pg_result_take(answer.result, &postgres_statements[op->statement], &tx->arena, &op->result, &e) != 0) {
		store_tx_fail(tx, ERR_STORE, i, "%s", e.text);
		return OUTCOME_REFUSED;
	}
	if (op->expect == STORE_MUST && op->result.rows == 0 && op->result.changed == 0) {
		store_tx_fail(tx, ERR_CONFLICT, i, "%s: nothing matched", name_of(op));
		return OUTCOME_REFUSED;
	}
	w->changed += op->result.changed;
	return OUTCOME_HELD;
}

static enum outcome send_op(struct writing *w, struct store_tx *tx, size_t i)
{
	struct errbuf e = { "" };

	if (link_exec(w->link, tx->ops[i].statement, tx->ops[i].values, tenant_of(tx), &e) == 0)
		return OUTCOME_HELD;
	store_tx_fail(tx, ERR_STORE, i, "%s", e.text);
	return OUTCOME_REFUSED;
}

/* -- all at once ------------------------------------------------------------------------------------------------------------ */

static enum outcome send_step(struct writing *w, const struct batch_step *step, struct str tenant)
{
	struct store_op **ops = &w->batch.ops[step->first];
	int code;

	if (step->count == 1)
		code = link_exec(w->link, step->statement, ops[0]->values, tenant, &w->error);
	else
		code = link_exec_many(w->link, (enum statement)(postgres_statements[step->statement].many - 1), ops, step->count, tenant, &w->error);
	return code == 0 ? OUTCOME_HELD : OUTCOME_REFUSED;
}

/* The rows of a step that answers, or of one that was sent in its form for one. */
static enum outcome take_rows(struct writing *w, const struct batch_step *step, const PGresult *result)
{
	struct store_op **ops = &w->batch.ops[step->first];
	struct store_tx **txs = &w->batch.op_txs[step->first];
	const struct store_statement *statement = &postgres_statements[step->statement];
	int code;

	if (step->count == 1)
		code = pg_result_take(result, statement, &txs[0]->arena, &ops[0]->result, &w->error);
	else
		code = pg_result_share(result, &postgres_statements[statement->many - 1], ops, txs, step->count, &w->error);
	for (size_t i = 0; i < step->count && code == 0; i++) {
		if (ops[i]->expect == STORE_MUST && ops[i]->result.rows == 0 && ops[i]->result.changed == 0)
			code = ERR_CONFLICT;
		w->changed += ops[i]->result.changed;
	}
	return code == 0 ? OUTCOME_HELD : OUTCOME_REFUSED;
}

static enum outcome read_step(struct writing *w, const struct batch_step *step)
{
	struct link_answer answer = link_next(w->link, w->deadline_us);
	struct store_op **ops = &w->batch.ops[step->first];
	int64_t changed;

	if (answer.kind != LINK_ROWS)
		return judge(w, &answer, name_of(ops[0]));
	if (step->answers || step->count == 1)
		return take_rows(w, step, answer.result);
	changed = pg_changed(answer.result);
	w->changed += changed;
	if (step->counted && changed != (int64_t)step->count)
		return OUTCOME_REFUSED;
	for (size_t i = 0; i < step->count; i++)
		ops[i]->result = (struct store_result){ .changed = step->counted ? 1 : changed };
	return OUTCOME_HELD;
}

static enum outcome send_block(struct writing *w, const struct batch_block *block)
{
	struct batch *b = &w->batch;
	enum outcome outcome = OUTCOME_HELD;

	if (block->merged) {
		for (size_t s = 0; s < block->step_count && outcome == OUTCOME_HELD; s++)
			outcome = send_step(w, &b->steps[block->first_step + s], tenant_of(b->txs[block->first_tx]));
		return outcome;
	}
	for (size_t t = block->first_tx; t < block->first_tx + block->tx_count; t++)
		for (size_t i = 0; i < b->txs[t]->count && outcome == OUTCOME_HELD; i++)
			outcome = send_op(w, b->txs[t], i);
	return outcome;
}

static enum outcome read_block(struct writing *w, const struct batch_block *block)
{
	struct batch *b = &w->batch;
	enum outcome outcome = OUTCOME_HELD;

	if (block->merged) {
		for (size_t s = 0; s < block->step_count && outcome == OUTCOME_HELD; s++)
			outcome = read_step(w, &b->steps[block->first_step + s]);
		return outcome;
	}
	for (size_t t = block->first_tx; t < block->first_tx + block->tx_count; t++)
		for (size_t i = 0; i < b->txs[t]->count && outcome == OUTCOME_HELD; i++)
			outcome = read_op(w, b->txs[t], i);
	return outcome;
}

static bool starts_section(const struct batch *b, const struct batch_block *block)
{
	return block->first_tx > 0 && !tx_same_tenant(b->txs[block->first_tx], b->txs[block->first_tx - 1]);
}

static enum outcome read_blocks(struct writing *w, size_t sent)
{
	struct batch *b = &w->batch;
	enum outcome outcome = OUTCOME_HELD;
	struct link_answer answer;

	for (size_t i = 0; i < sent && outcome == OUTCOME_HELD; i++) {
		if (starts_section(b, &b->blocks[i])) {
			answer = link_next(w->link, w->deadline_us);
			if (answer.kind != LINK_ROWS)
				return judge(w, &answer, "tenant");
		}
		outcome = read_block(w, &b->blocks[i]);
	}
	return outcome;
}

/* Everything in one go. */
static enum outcome write_all(struct writing *w)
{
	struct batch *b = &w->batch;
	enum outcome outcome, sent = OUTCOME_HELD;
	size_t i;

	send_head(w, b->txs[0]);
	for (i = 0; i < b->block_count && sent == OUTCOME_HELD; i++) {
		if (starts_section(b, &b->blocks[i]))
			send_tenant(w, b->txs[b->blocks[i].first_tx]);
		sent = send_block(w, &b->blocks[i]);
	}
	link_sync(w->link);
	outcome = read_head(w);
	if (outcome == OUTCOME_HELD && sent == OUTCOME_HELD)
		outcome = read_blocks(w, b->block_count);
	else if (outcome == OUTCOME_HELD)
		outcome = sent;
	outcome = drain(w, outcome);
	return outcome == OUTCOME_HELD ? commit(w) : outcome;
}

/* -- carefully -------------------------------------------------------------------------------------------------------------- */

/* One transaction within a savepoint; HELD also when it failed alone. */
static enum outcome write_one(struct writing *w, struct store_tx *tx, bool last_try)
{
	enum outcome outcome, sent = OUTCOME_HELD;
	struct link_answer answer;
	size_t count = 0;

	link_command(w->link, "SAVEPOINT one");
	for (; count < tx->count && sent == OUTCOME_HELD; count += sent == OUTCOME_HELD)
		sent = send_op(w, tx, count);
	link_sync(w->link);
	answer = link_next(w->link, w->deadline_us);
	outcome = answer.kind == LINK_ROWS ? OUTCOME_HELD : judge(w, &answer, "savepoint");
	for (size_t i = 0; i < count && outcome == OUTCOME_HELD; i++)
		outcome = read_op(w, tx, i);
	if (outcome == OUTCOME_HELD)
		outcome = sent;
	outcome = drain(w, outcome);
	if (outcome == OUTCOME_HELD)
		return link_run(w->link, "RELEASE one", w->deadline_us).kind == LINK_ROWS ? OUTCOME_HELD : OUTCOME_AGAIN;
	if (outcome != OUTCOME_REFUSED && !(outcome == OUTCOME_AGAIN && last_try && w->link->usable))
		return outcome;
	return link_run(w->link, "ROLLBACK TO one", w->deadline_us).kind == LINK_ROWS ? OUTCOME_HELD : OUTCOME_AGAIN;
}

static enum outcome write_each(struct writing *w, bool last_try)
{
	struct batch *b = &w->batch;
	enum outcome outcome;
	struct link_answer answer;

	send_head(w, b->txs[0]);
	link_sync(w->link);
	outcome = drain(w, read_head(w));
	for (size_t t = 0; t < b->count && outcome == OUTCOME_HELD; t++) {
		if (t > 0 && !tx_same_tenant(b->txs[t], b->txs[t - 1])) {
			send_tenant(w, b->txs[t]);
			link_sync(w->link);
			answer = link_next(w->link, w->deadline_us);
			outcome = drain(w, answer.kind == LINK_ROWS ? OUTCOME_HELD : judge(w, &answer, "tenant"));
		}
		if (outcome == OUTCOME_HELD)
			outcome = write_one(w, b->txs[t], last_try);
	}
	return outcome == OUTCOME_HELD ? commit(w) : outcome;
}

/* -- what became of it ------------------------------------------------------------------------------------------------------ */

/* The server still knows what became of a transaction, as long as it is the same server, started once and recovered never since. */
static enum outcome find_out(struct writing *w)
{
	struct store_value id = text_value(w->xid);
	int64_t until_us = clock_monotonic_us() + PROOF_US;
	struct timespec pause = { .tv_nsec = 20000000 };
	struct store_result r;
	struct arena arena;
	enum outcome outcome = OUTCOME_UNKNOWN;
	struct str status;

	arena_init(&arena);
	while (outcome == OUTCOME_UNKNOWN && clock_monotonic_us() < until_us) {
		if (link_ready(w->link, until_us, NULL) != 0 || strcmp(w->link->started, w->started) != 0 ||
		    platform_ask(w->link, STATEMENT_transaction_status, "t", &id, &arena, &r, NULL) != 0 || r.rows != 1)
			break;
		status = store_text(&r, 0, 0);
		if (str_is(status, "committed"))
			outcome = OUTCOME_HELD;
		else if (str_is(status, "aborted"))
			outcome = OUTCOME_AGAIN;
		else if (!str_is(status, "in progress"))
			break;
		else
			(void)nanosleep(&pause, NULL);
	}
	arena_fini(&arena);
	w->begun = false;
	return outcome;
}

/* -- a batch ---------------------------------------------------------------------------------------------------------------- */

static void clear(struct writing *w)
{
	w->changed = 0;
	for (size_t t = 0; t < w->batch.count; t++) {
		struct store_tx *tx = w->batch.txs[t];

		tx->code = 0;
		tx->error[0] = '\0';
		for (size_t i = 0; i < tx->count; i++)
			tx->ops[i].result = (struct store_result){ 0 };
	}
}

static void rest(int attempt)
{
	uint32_t random;
	struct timespec pause = { 0 };

	rng_fill(&rng_system, &random, sizeof(random));
	pause.tv_nsec = (long)(random % 10000000u) * (1 << attempt) / 4;
	(void)nanosleep(&pause, NULL);
}

/* Alone in its batch, and it is known which operation failed: nothing needs to be done again. */
static bool failed_alone(const struct writing *w)
{
	return w->batch.count == 1 && w->batch.txs[0]->code != 0;
}

static enum outcome attempt_batch(struct writing *w, bool *careful, int attempt)
{
	enum outcome outcome;

	clear(w);
	if (link_ready(w->link, clock_monotonic_us() + AWAY_US, &w->error) != 0)
		return OUTCOME_FAILED;
	w->deadline_us = clock_monotonic_us() + ANSWER_US;
	w->begun = false;
	outcome = *careful ? write_each(w, attempt + 1 >= ATTEMPTS_MAX) : write_all(w);
	if (outcome == OUTCOME_UNKNOWN)
		outcome = find_out(w);
	if (outcome != OUTCOME_HELD && w->link->usable)
		roll_back(w);
	if (outcome == OUTCOME_REFUSED && !*careful && !failed_alone(w)) {
		*careful = true;
		return OUTCOME_AGAIN;
	}
	if (outcome == OUTCOME_AGAIN && !*careful && attempt + 2 >= ATTEMPTS_MAX)
		*careful = true;
	return outcome;
}

/* Returns whether the batch is on disk, or each of it was refused for a reason of its own. */
static bool write_batch(struct writing *w)
{
	enum outcome outcome = OUTCOME_AGAIN;
	bool careful = false;
	int attempt;

	w->owned = keeper_owner(w->engine, w->owner);
	for (attempt = 0; attempt < ATTEMPTS_MAX && outcome == OUTCOME_AGAIN; attempt++) {
		bool was = careful;

		outcome = attempt_batch(w, &careful, attempt);
		if (outcome == OUTCOME_AGAIN && was == careful)
			rest(attempt);
	}
	if (outcome == OUTCOME_HELD || (outcome == OUTCOME_REFUSED && failed_alone(w)))
		return true;
	if (outcome == OUTCOME_UNKNOWN)
		err_wrap(&w->error, ERR_STORE, "nobody knows whether it was written");
	for (size_t t = 0; t < w->batch.count; t++)
		store_tx_fail(w->batch.txs[t], ERR_STORE, 0, "%s", w->error.text);
	return false;
}

/* Refuse what cannot be written at all; the rest stays in the list. */
static void refuse(struct writing *w)
{
	struct store_tx **p = &w->list, *tx;
	struct errbuf e = { "" };
	int code;

	while ((tx = *p) != NULL) {
		code = 0;
		if (w->engine->read_only)
			code = err_set(&e, ERR_STORE, "the store is opened read-only");
		else if (tx->tenant_length > 0 && !tenants_know(w->engine, tenant_of(tx)))
			code = tenants_look(w->engine, w->link, tenant_of(tx), &e);
		if (code == 0) {
			p = &tx->next;
			continue;
		}
		*p = tx->next;
		tx->next = NULL;
		store_tx_fail(tx, code, 0, "%s", e.text);
		store_complete(w->engine->store, tx, NULL, -1);
	}
}

/* Tables that were empty a moment ago have grown: the server should know before it plans much by what it knew. */
static void have_measured(struct postgres *engine, int64_t changed)
{
	engine->written += changed;
	if (engine->written < engine->measure_at || engine->measure_at > MEASURE_LAST)
		return;
	engine->measure_at = engine->written * 2;
	keeper_post(engine, QUESTION_MEASURE, STR(""), NULL);
}

static void serve(struct writing *w)
{
	struct store_commit done;
	int64_t began_us = clock_monotonic_us();
	bool held;

	refuse(w);
	if (w->list == NULL)
		return;
	batch_plan(&w->batch, w->list);
	held = write_batch(w);
	done.seconds = (double)(clock_monotonic_us() - began_us) / 1e6;
	done.rows = w->changed;
	if (held)
		have_measured(w->engine, w->changed);
	store_complete(w->engine->store, w->list, held && w->changed > 0 ? &done : NULL, held);
}

static void fail_list(struct postgres *engine, struct store_tx *list, const char *text)
{
	for (struct store_tx *tx = list; tx != NULL; tx = tx->next)
		store_tx_fail(tx, ERR_STORE, 0, "%s", text);
	store_complete(engine->store, list, NULL, 0);
}

void *writer_run(void *arg)
{
	struct writing w = { .engine = arg };
	struct postgres *engine = arg;

	engine->measure_at = MEASURE_FIRST;
	batch_init(&w.batch, BATCH_MAX);
	while ((w.list = queue_take(&engine->writes, BATCH_MAX, BATCH_BYTES_MAX)) != NULL) {
		w.error.text[0] = '\0';
		w.link = lane_take(engine, &engine->writer_link, clock_monotonic_us() + AWAY_US, &w.error);
		if (w.link == NULL) {
			fail_list(engine, w.list, w.error.text);
			continue;
		}
		serve(&w);
		lane_give(w.link);
	}
	batch_fini(&w.batch);
	return NULL;
}
