/* Which tenants there are: a cache that only grows, filled by the keeper every second and by whoever meets a name that it does not have. */
#include "store/postgres/postgres.h"

#include <stdio.h>
#include <string.h>

bool tenants_know(struct postgres *engine, struct str tenant)
{
	bool known;

	pthread_mutex_lock(&engine->lock);
	known = json_object_getn(engine->tenants, tenant.p, tenant.n) != NULL;
	pthread_mutex_unlock(&engine->lock);
	return known;
}

void tenants_learn(struct postgres *engine, struct str tenant)
{
	pthread_mutex_lock(&engine->lock);
	json_object_setn_new(engine->tenants, tenant.p, tenant.n, json_true());
	pthread_mutex_unlock(&engine->lock);
}

int platform_ask(struct link *link, enum statement statement, const char *types, const struct store_value *values, struct arena *arena,
    struct store_result *out, struct errbuf *e)
{
	const struct store_statement *what = &postgres_statements[statement];
	int64_t deadline_us = clock_monotonic_us() + ANSWER_US;
	struct link_answer answer;
	int code;

	*out = (struct store_result){ 0 };
	BUG_ON(strlen(types) != (size_t)what->params);
	for (int attempt = 0;; attempt++) {
		bool again;

		code = link_exec(link, statement, values, STR(""), e);
		if (code != 0)
			return code;
		link_sync(link);
		answer = link_next(link, deadline_us);
		if (answer.kind == LINK_ROWS)
			code = pg_result_take(answer.result, what, arena, out, e);
		else
			code = link_explain(link, &answer, what->name, e);
		again = attempt == 0 && link_lost_statement(link, &answer);
		while (answer.kind != LINK_SYNCED && answer.kind != LINK_BROKEN)
			answer = link_next(link, deadline_us);
		if (!again)
			return code;
	}
}

int tenants_look(struct postgres *engine, struct link *link, struct str tenant, struct errbuf *e)
{
	struct store_value name = { .type = STORE_TEXT, .text = tenant };
	struct store_result r;
	struct arena arena;
	int code;

	arena_init(&arena);
	code = link_ready(link, clock_monotonic_us() + AWAY_US, e);
	if (code == 0)
		code = platform_ask(link, STATEMENT_tenant_here, "t", &name, &arena, &r, e);
	if (code == 0 && r.rows == 0)
		code = err_set(e, ERR_NOT_FOUND, "%.*s: no such tenant: create it with perigee tenant create", STR_ARG(tenant));
	else if (code == 0)
		tenants_learn(engine, tenant);
	arena_fini(&arena);
	return code;
}

int tenants_read(struct postgres *engine, struct link *link, struct errbuf *e)
{
	const int64_t page = 1000;
	struct store_value values[2] = { { .type = STORE_TEXT, .text = STR("") }, { .type = STORE_INT, .integer = page } };
	char after[STORE_TENANT_SIZE] = "";
	struct store_result r;
	struct arena arena;
	int code;

	arena_init(&arena);
	do {
		arena_reset(&arena);
		values[0].text = str_of(after);
		code = platform_ask(link, STATEMENT_tenants_here, "ti", values, &arena, &r, e);
		for (size_t i = 0; code == 0 && i < r.rows; i++)
			tenants_learn(engine, store_text(&r, i, 0));
		if (code == 0 && r.rows > 0)
			snprintf(after, sizeof(after), "%.*s", STR_ARG(store_text(&r, r.rows - 1, 0)));
	} while (code == 0 && r.rows == (size_t)page);
	arena_fini(&arena);
	return code;
}

/* The tenant's row and what a tenant begins with, in one transaction. */
int tenants_make(struct postgres *engine, struct link *link, struct str tenant, const char *title, struct errbuf *e)
{
	struct store_value values[3] = { { .type = STORE_TEXT, .text = tenant }, { .type = STORE_TEXT, .text = str_of(title) },
		{ .type = STORE_INT, .integer = clock_now_us(engine->clock) } };
	int64_t deadline_us = clock_monotonic_us() + ANSWER_US;
	struct link_answer answer = { .kind = LINK_ROWS };
	int code = 0;

	link_command(link, "BEGIN");
	BUG_ON(link_exec(link, STATEMENT_session_tenant, values, STR(""), NULL) != 0);
	code = link_exec(link, STATEMENT_tenant_insert, values, STR(""), e);
	if (code == 0)
		code = link_exec(link, STATEMENT_tenant_provision, NULL, tenant, e);
	link_command(link, code == 0 ? "COMMIT" : "ROLLBACK");
	link_sync(link);
	while (answer.kind != LINK_SYNCED && answer.kind != LINK_BROKEN) {
		answer = link_next(link, deadline_us);
		if ((answer.kind == LINK_FAILED || answer.kind == LINK_BROKEN) && code == 0)
			code = link_explain(link, &answer, "create tenant", e);
		(void)link_lost_statement(link, &answer);
	}
	if (code == 0)
		tenants_learn(engine, tenant);
	else if (link->usable)
		(void)link_run(link, "ROLLBACK", deadline_us);
	return code;
}
