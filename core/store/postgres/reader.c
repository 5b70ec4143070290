/*
 * Reading. Each read is one section of a pipeline, which PostgreSQL runs as one transaction: the tenant's name (which ends with it), the
 * statements. One that asks several questions has one snapshot for all. Many sections are under way at once, but for one at a time behind a pooler.
 *
 * Failure modes: a question that fails fails its own section; a lost connection: what was not answered is asked again, once, on a new one.
 */
#include "store/postgres/postgres.h"

#include <string.h>

enum { READS_MAX = 32 };        /* sections in one go: the first answers leave while the last are still worked on */

struct reading {
	struct postgres *engine;
	struct link *link;
	struct store_tx *list;
	int64_t deadline_us;
};

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

/* Ask what `first` links, in one go; what must be asked again stays in the list that is returned. */
static struct store_tx *ask(struct reading *r, struct store_tx *first)
{
	struct store_tx *again = NULL, **end = &again, *next;
	size_t sent[READS_MAX], n = 0;

	for (struct store_tx *tx = first; tx != NULL; tx = tx->next) {
		clear(tx);
		sent[n++] = send_read(r, tx);
	}
	n = 0;
	for (struct store_tx *tx = first; tx != NULL; tx = next) {
		next = tx->next;
		tx->next = NULL;
		if (read_answers(r, tx, sent[n++])) {
			*end = tx;
			end = &tx->next;
		} else {
			store_complete(r->engine->store, tx, NULL, -1);
		}
	}
	return again;
}

static struct store_tx *ask_one_by_one(struct reading *r, struct store_tx *list)
{
	struct store_tx *again = NULL, **end = &again, *tx;

	while ((tx = list) != NULL) {
		list = tx->next;
		tx->next = NULL;
		*end = ask(r, tx);
		if (*end != NULL)
			end = &(*end)->next;
	}
	return again;
}

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
	return NULL;
}
