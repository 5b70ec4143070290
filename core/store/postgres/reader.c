/*
 * Reading. A section of a pipeline is what PostgreSQL runs as one transaction: the tenant's name (which ends with it), the statements. A transaction
 * that asks several questions is a section of its own, with one snapshot for all. Those that ask one share a section with the others
 * of their tenant, and the same question with a form for many is asked once for all (batch.h): each statement sees what was committed when
 * it began, so each still sees all that was complete before it was submitted. Many sections are under way at once, but for one at a time behind a pooler.
 *
 * Failure modes: a question that fails fails its own section, and those who shared it are asked apart; a lost connection: what was not answered is
 * asked again, once, on a new one.
 */
#include "store/postgres/batch.h"
#include "store/postgres/postgres.h"

#include <string.h>

enum { READS_MAX = 128 };        /* taken in one go: the first answers leave while the last are still worked on */

struct reading {
	struct postgres *engine;
	struct link *link;
	struct store_tx *list;
	int64_t deadline_us;
	struct batch batch;             /* those that share sections */
};

/* Where the next one of a list of transactions goes. */
struct chain {
	struct store_tx *first, **end;
};

static void chain_init(struct chain *c)
{
	c->first = NULL;
	c->end = &c->first;
}

static void chain_put(struct chain *c, struct store_tx *tx)
{
	tx->next = NULL;
	*c->end = tx;
	c->end = &tx->next;
}

static void chain_put_all(struct chain *c, struct store_tx *list)
{
	struct store_tx *tx;

	while ((tx = list) != NULL) {
		list = tx->next;
		chain_put(c, tx);
	}
}

static struct str tenant_of(const struct store_tx *tx)
{
	return (struct str){ tx->tenant, tx->tenant_length };
}

/* What cannot be asked at all. */
static int check(struct reading *r, struct store_tx *tx)
{
	struct errbuf e = { "" };
	int code = 0;

	for (size_t i = 0; i < tx->count; i++)
		if (postgres_statements[tx->ops[i].statement].writes) {
			store_tx_fail(tx, ERR_STORE, i, "%s writes, and this transaction was submitted as a read", postgres_statements[tx->ops[i].statement].name);
			return ERR_STORE;
		}
	if (tx->tenant_length > 0 && !tenants_know(r->engine, tenant_of(tx)))
		code = tenants_look(r->engine, r->link, tenant_of(tx), &e);
	if (code != 0)
		store_tx_fail(tx, code, 0, "%s", e.text);
	return code;
}

/* Returns how many of the operations were sent: all, but for one whose values do not fit. */
static size_t send_read(struct reading *r, struct store_tx *tx)
{
	struct store_value tenant = { .type = STORE_TEXT, .text = tenant_of(tx) };
	struct errbuf e = { "" };
	size_t i;

	if (tx->count > 1)
		link_command(r->link, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY");
	BUG_ON(link_exec(r->link, STATEMENT_session_tenant, &tenant, STR(""), NULL) != 0);
	for (i = 0; i < tx->count; i++)
		if (link_exec(r->link, tx->ops[i].statement, tx->ops[i].values, tenant_of(tx), &e) != 0) {
			store_tx_fail(tx, ERR_STORE, i, "%s", e.text);
			break;
		}
	link_sync(r->link);
	return i;
}

static bool take_answer(struct reading *r, struct store_tx *tx, size_t i, const struct link_answer *answer, bool *again)
{
	struct store_op *op = &tx->ops[i];
	struct errbuf e = { "" };

	if (answer->kind == LINK_ROWS && pg_result_take(answer->result, &postgres_statements[op->statement], &tx->arena, &op->result, &e) == 0) {
		if (op->expect != STORE_MUST || op->result.rows > 0)
			return true;
		store_tx_fail(tx, ERR_CONFLICT, i, "%s: nothing matched", postgres_statements[op->statement].name);
		return false;
	}
	*again = answer->kind == LINK_BROKEN || link_lost_statement(r->link, answer);
	if (answer->kind != LINK_ROWS)
		(void)link_explain(r->link, answer, postgres_statements[op->statement].name, &e);
	store_tx_fail(tx, ERR_STORE, i, "%s", e.text);
	return false;
}

/* The answers of one section. Returns whether it is to be asked again. */
static bool read_answers(struct reading *r, struct store_tx *tx, size_t sent)
{
	struct link_answer answer = { .kind = LINK_ROWS };
	bool held = true, again = false;
	struct errbuf e = { "" };
	int heads = tx->count > 1 ? 2 : 1;

	for (int i = 0; i < heads && held; i++) {
		answer = link_next(r->link, r->deadline_us);
		held = answer.kind == LINK_ROWS;
		if (held)
			continue;
		again = answer.kind == LINK_BROKEN || link_lost_statement(r->link, &answer);
		(void)link_explain(r->link, &answer, "read", &e);
		store_tx_fail(tx, ERR_STORE, 0, "%s", e.text);
	}
	for (size_t i = 0; i < sent && held; i++) {
		answer = link_next(r->link, r->deadline_us);
		held = take_answer(r, tx, i, &answer, &again);
	}
	while (answer.kind != LINK_SYNCED && answer.kind != LINK_BROKEN)
		answer = link_next(r->link, r->deadline_us);
	return again;
}

static void clear(struct store_tx *tx)
{
	tx->code = 0;
	tx->error[0] = '\0';
	for (size_t i = 0; i < tx->count; i++)
		tx->ops[i].result = (struct store_result){ 0 };
}

/* Ask what `first` links, each in a section of its own, in one go; what must be asked again stays in the list that is returned. */
static struct store_tx *ask(struct reading *r, struct store_tx *first)
{
	struct store_tx *next;
	struct chain again;
	size_t sent[READS_MAX], n = 0;

	chain_init(&again);
	for (struct store_tx *tx = first; tx != NULL; tx = tx->next) {
		clear(tx);
		sent[n++] = send_read(r, tx);
	}
	n = 0;
	for (struct store_tx *tx = first; tx != NULL; tx = next) {
		next = tx->next;
		tx->next = NULL;
		if (read_answers(r, tx, sent[n++]))
			chain_put(&again, tx);
		else
			store_complete(r->engine->store, tx, NULL, -1);
	}
	return again.first;
}

static struct store_tx *ask_one_by_one(struct reading *r, struct store_tx *list)
{
	struct chain again;
	struct store_tx *tx;

	chain_init(&again);
	while ((tx = list) != NULL) {
		list = tx->next;
		tx->next = NULL;
		chain_put_all(&again, ask(r, tx));
	}
	return again.first;
}

/* -- sharing sections ------------------------------------------------------------------------------------------------------- */

/* Take out of the list those that may share a section, planned: those with a form for many stand together. */
static void plan_shared(struct reading *r)
{
	struct chain many, one, apart;

	chain_init(&many);
	chain_init(&one);
	chain_init(&apart);
	for (struct store_tx *tx = r->list, *next; tx != NULL; tx = next) {
		next = tx->next;
		clear(tx);
		chain_put(tx->count != 1 ? &apart : batch_can_merge(tx) ? &many : &one, tx);
	}
	*many.end = one.first;
	batch_plan(&r->batch, many.first);
	r->list = apart.first;
}

/* A section: the blocks from `at` on that are of one tenant and planned alike; returns where the next one begins. */
static size_t section_end(const struct batch *b, size_t at)
{
	size_t end = at + 1;

	while (end < b->block_count && b->blocks[end].merged == b->blocks[at].merged &&
	    tx_same_tenant(b->txs[b->blocks[end].first_tx], b->txs[b->blocks[at].first_tx]))
		end++;
	return end;
}

static bool send_shared_block(struct reading *r, const struct batch_block *block)
{
	const struct batch *b = &r->batch;
	struct str tenant = tenant_of(b->txs[block->first_tx]);
	int code = 0;

	for (size_t t = 0; !block->merged && t < block->tx_count && code == 0; t++)
		code = link_exec(r->link, b->txs[block->first_tx + t]->ops[0].statement, b->txs[block->first_tx + t]->ops[0].values, tenant, NULL);
	for (size_t s = 0; block->merged && s < block->step_count && code == 0; s++) {
		const struct batch_step *step = &b->steps[block->first_step + s];

		if (step->count == 1)
			code = link_exec(r->link, step->statement, b->ops[step->first]->values, tenant, NULL);
		else
			code = link_exec_many(r->link, (enum statement)(postgres_statements[step->statement].many - 1), &b->ops[step->first], step->count, tenant, NULL);
	}
	return code == 0;
}

/* Returns whether all of it was sent. */
static bool send_shared(struct reading *r, size_t at, size_t end)
{
	const struct batch_block *first = &r->batch.blocks[at];
	struct store_value tenant = { .type = STORE_TEXT, .text = tenant_of(r->batch.txs[first->first_tx]) };
	bool held = true;

	BUG_ON(link_exec(r->link, first->merged ? STATEMENT_session_look : STATEMENT_session_tenant, &tenant, STR(""), NULL) != 0);
	for (; at < end && held; at++)
		held = send_shared_block(r, &r->batch.blocks[at]);
	link_sync(r->link);
	return held;
}

static bool take_step(struct reading *r, const struct batch_step *step)
{
	struct link_answer answer = link_next(r->link, r->deadline_us);
	const struct store_statement *statement = &postgres_statements[step->statement];
	struct store_op **ops = &r->batch.ops[step->first];
	struct store_tx **txs = &r->batch.op_txs[step->first];

	if (answer.kind != LINK_ROWS)
		return false;
	if (step->count == 1)
		return pg_result_take(answer.result, statement, &txs[0]->arena, &ops[0]->result, NULL) == 0;
	return pg_result_share(answer.result, &postgres_statements[statement->many - 1], ops, txs, step->count, NULL) == 0;
}

static bool take_shared_block(struct reading *r, const struct batch_block *block)
{
	const struct batch *b = &r->batch;
	struct link_answer answer;
	bool held = true;

	for (size_t t = 0; !block->merged && t < block->tx_count && held; t++) {
		struct store_tx *tx = b->txs[block->first_tx + t];

		answer = link_next(r->link, r->deadline_us);
		held = answer.kind == LINK_ROWS &&
		    pg_result_take(answer.result, &postgres_statements[tx->ops[0].statement], &tx->arena, &tx->ops[0].result, NULL) == 0;
	}
	for (size_t s = 0; block->merged && s < block->step_count && held; s++)
		held = take_step(r, &b->steps[block->first_step + s]);
	return held;
}

/* The answers of one section. Those whose question is answered are complete; when anything failed, all of them are asked apart. */
static void take_shared(struct reading *r, size_t at, size_t end, bool sent, struct chain *apart)
{
	const struct batch *b = &r->batch;
	size_t first = b->blocks[at].first_tx, last = b->blocks[end - 1].first_tx + b->blocks[end - 1].tx_count;
	bool held = link_next(r->link, r->deadline_us).kind == LINK_ROWS && sent;
	struct link_answer answer;
	struct chain done;

	for (; at < end && held; at++)
		held = take_shared_block(r, &b->blocks[at]);
	do
		answer = link_next(r->link, r->deadline_us);
	while (answer.kind != LINK_SYNCED && answer.kind != LINK_BROKEN);
	chain_init(&done);
	for (size_t t = first; t < last; t++) {
		struct store_tx *tx = b->txs[t];

		if (held && tx->ops[0].expect == STORE_MUST && tx->ops[0].result.rows == 0)
			store_tx_fail(tx, ERR_CONFLICT, 0, "%s: nothing matched", postgres_statements[tx->ops[0].statement].name);
		chain_put(held ? &done : apart, tx);
	}
	if (done.first != NULL)
		store_complete(r->engine->store, done.first, NULL, -1);
}

/* Ask those that may share sections; who is left in r->list is asked apart. */
static void ask_shared(struct reading *r)
{
	bool sent[READS_MAX];
	struct chain apart;
	size_t n = 0;

	plan_shared(r);
	chain_init(&apart);
	for (size_t at = 0; at < r->batch.block_count; at = section_end(&r->batch, at))
		sent[n++] = send_shared(r, at, section_end(&r->batch, at));
	n = 0;
	for (size_t at = 0; at < r->batch.block_count; at = section_end(&r->batch, at))
		take_shared(r, at, section_end(&r->batch, at), sent[n++], &apart);
	*apart.end = r->list;
	r->list = apart.first;
}

/* -- a reader ----------------------------------------------------------------------------------------------------------------- */

static void fail_list(struct reading *r, struct store_tx *list, const char *text)
{
	for (struct store_tx *tx = list; tx != NULL; tx = tx->next)
		if (tx->code == 0 || text[0] != '\0')
			store_tx_fail(tx, ERR_STORE, 0, "%s", text);
	if (list != NULL)
		store_complete(r->engine->store, list, NULL, 0);
}

static void refuse(struct reading *r)
{
	struct store_tx **p = &r->list, *tx;

	while ((tx = *p) != NULL) {
		if (check(r, tx) == 0) {
			p = &tx->next;
			continue;
		}
		*p = tx->next;
		tx->next = NULL;
		store_complete(r->engine->store, tx, NULL, -1);
	}
}

static void serve(struct reading *r)
{
	struct errbuf e = { "" };

	refuse(r);
	if (r->list != NULL && r->list->next != NULL && !r->engine->shared.unprepared && link_ready(r->link, clock_monotonic_us() + AWAY_US, &e) == 0) {
		r->deadline_us = clock_monotonic_us() + ANSWER_US;
		ask_shared(r);
	}
	for (int attempt = 0; attempt < 3 && r->list != NULL; attempt++) {
		e.text[0] = '\0';
		if (link_ready(r->link, clock_monotonic_us() + AWAY_US, &e) != 0)
			break;
		r->deadline_us = clock_monotonic_us() + ANSWER_US;
		r->list = r->engine->shared.unprepared ? ask_one_by_one(r, r->list) : ask(r, r->list);
	}
	fail_list(r, r->list, e.text);
}

void *reader_run(void *arg)
{
	struct reader *reader = arg;
	struct reading r = { .engine = reader->engine };
	struct errbuf e;

	batch_init(&r.batch, READS_MAX);
	while ((r.list = queue_take(&r.engine->reads, READS_MAX, SIZE_MAX)) != NULL) {
		e.text[0] = '\0';
		r.link = lane_take(r.engine, &reader->link, clock_monotonic_us() + AWAY_US, &e);
		if (r.link == NULL) {
			fail_list(&r, r.list, e.text);
			continue;
		}
		serve(&r);
		lane_give(r.link);
	}
	batch_fini(&r.batch);
	return NULL;
}
