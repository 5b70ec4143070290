/* The PostgreSQL engine: opening, closing, and what the shell asks of it. See postgres.h. */
#include "store/postgres/dump.h"
#include "store/postgres/postgres.h"

#include "base/ids.h"
#include "base/log.h"
#if __has_include("store/postgres/guard.h")
#include "store/postgres/guard.h"
#define HAS_GUARD
#endif

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ASK_US = 5000000,             /* what blocks by contract: registering, tenants */
	MISS_US = 100000,             /* what may run in the loop: a name that nobody knows */
	WAITS_A_SECOND = 20,
	RELEASE_US = 2000000,
};

/* -- sharing connections -------------------------------------------------------------------------------------------------- */

static struct link *link_at(struct postgres *engine, int i)
{
	if (i == 0)
		return &engine->writer_link;
	return i == 1 ? &engine->keeper_link : &engine->readers[i - 2].link;
}

struct link *lane_take(struct postgres *engine, struct link *own, int64_t deadline_us, struct errbuf *e)
{
	struct link *other;

	bool may, crowded;

	pthread_mutex_lock(&own->busy);
	/* Until it may try again, a lane without a connection does not wait for one: it shares. */
	may = own->usable || !own->crowded || own->next_try_us <= clock_monotonic_us();
	if (may && link_ready(own, deadline_us, e) == 0)
		return own;
	crowded = own->crowded;
	pthread_mutex_unlock(&own->busy);
	if (!crowded)
		return NULL;
	/* The server has no connection for this lane: one of the others'. Each holds it for one round only. */
	for (int i = 0; i < 2 + engine->reader_count; i++) {
		other = link_at(engine, i);
		if (other == own)
			continue;
		pthread_mutex_lock(&other->busy);
		if (other->usable && link_ready(other, deadline_us, NULL) == 0)
			return other;
		pthread_mutex_unlock(&other->busy);
	}
	if (!may)
		err_set(e, ERR_STORE, "%s: the server has no connection left for this worker: raise max_connections or the role's limit", engine->shared.place.shown);
	return NULL;
}

void lane_give(struct link *link)
{
	pthread_mutex_unlock(&link->busy);
}

/* -- tenants -------------------------------------------------------------------------------------------------------------- */

static int tenant_create(void *impl, struct str tenant, const char *title, struct errbuf *e)
{
	struct postgres *engine = impl;
	struct link *link;
	int code;

	if (engine->read_only)
		return err_set(e, ERR_STORE, "%s: the store is opened read-only", engine->shared.place.shown);
	link = lane_take(engine, &engine->keeper_link, clock_monotonic_us() + ASK_US, e);
	if (link == NULL)
		return ERR_STORE;
	code = tenants_make(engine, link, tenant, title != NULL ? title : "", e);
	if (code != 0 && engine->shared.unprepared && link_ready(link, clock_monotonic_us() + AWAY_US, e) == 0)
		code = tenants_make(engine, link, tenant, title != NULL ? title : "", e);
	lane_give(link);
	return code != 0 ? err_wrap(e, code, "create tenant %.*s", STR_ARG(tenant)) : 0;
}

/* May the loop wait for an answer? So many times a second, each time for MISS_US at most. */
static bool may_wait(struct postgres *engine)
{
	int64_t now_us = clock_monotonic_us();
	bool may;

	pthread_mutex_lock(&engine->lock);
	if (now_us - engine->waits_from_us >= 1000000) {
		engine->waits_from_us = now_us;
		engine->waits = 0;
	}
	may = engine->waits++ < WAITS_A_SECOND;
	pthread_mutex_unlock(&engine->lock);
	return may;
}

static bool tenant_exists(void *impl, struct str tenant)
{
	struct postgres *engine = impl;

	if (tenants_know(engine, tenant))
		return true;
	if (!may_wait(engine)) {
		keeper_post(engine, QUESTION_TENANT, tenant, NULL);
		return false;
	}
	return keeper_ask(engine, QUESTION_TENANT, tenant, MISS_US, NULL, NULL) == 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static json_t *tenant_names(void *impl)
{
	struct postgres *engine = impl;
	json_t *names = json_array(), *value;
	const char **sorted, *name;
	size_t n = 0;

	if (may_wait(engine))
		(void)keeper_ask(engine, QUESTION_TENANTS, STR(""), MISS_US, NULL, NULL);
	pthread_mutex_lock(&engine->lock);
	sorted = mem_array(json_object_size(engine->tenants) + 1, sizeof(*sorted));
	json_object_foreach(engine->tenants, name, value)
		sorted[n++] = name;
	qsort(sorted, n, sizeof(*sorted), compare_names);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(names, json_string(sorted[i]));
	pthread_mutex_unlock(&engine->lock);
	free(sorted);
	return names;
}

/* -- owners --------------------------------------------------------------------------------------------------------------- */

static bool owner_is_valid(struct str owner)
{
	if (owner.n == 0 || owner.n >= OWNER_SIZE)
		return false;
	for (size_t i = 0; i < owner.n; i++)
		if (isalnum((unsigned char)owner.p[i]) == 0 && owner.p[i] != '-' && owner.p[i] != '_')
			return false;
	return true;
}

static int owner_register(void *impl, const char *owner, struct errbuf *e)
{
	struct postgres *engine = impl;

	if (engine->read_only)
		return err_set(e, ERR_STORE, "%s: the store is opened read-only", engine->shared.place.shown);
	if (!owner_is_valid(str_of(owner)))
		return err_set(e, ERR_INVALID, "owner '%s': letters, digits, - and _ only", owner);
	(void)keeper_ask(engine, QUESTION_RELEASE, STR(""), ASK_US, NULL, NULL);
	return keeper_ask(engine, QUESTION_REGISTER, str_of(owner), ASK_US, NULL, e);
}

static bool owner_is_alive(void *impl, struct str owner)
{
	struct postgres *engine = impl;
	bool alive = false;

	if (!owner_is_valid(owner))
		return false;
	/* Cannot tell: then nobody takes its runs. */
	return keeper_ask(engine, QUESTION_ALIVE, owner, RELEASE_US, &alive, NULL) != 0 || alive;
}

static enum store_lease lease(void *impl)
{
	return keeper_lease(impl);
}

static void owners_lost(void *impl, struct store_tx *tx)
{
	keeper_post(impl, QUESTION_LOST, STR(""), tx);
}

static void owner_forget(void *impl, struct str owner)
{
	keeper_post(impl, QUESTION_FORGET, owner, NULL);
}

static void owner_release(void *impl)
{
	(void)keeper_ask(impl, QUESTION_RELEASE, STR(""), RELEASE_US, NULL, NULL);
}

/* -- opening and closing -------------------------------------------------------------------------------------------------- */

#ifdef HAS_GUARD
static int greet(PGconn *conn, void *arg, struct errbuf *e)
{
	(void)arg;
	return postgres_guard(conn, e);
}
#endif

static void engine_free(struct postgres *engine)
{
	link_fini(&engine->writer_link);
	link_fini(&engine->keeper_link);
	for (int i = 0; i < engine->reader_count; i++)
		link_fini(&engine->readers[i].link);
	queue_fini(&engine->writes);
	queue_fini(&engine->reads);
	place_free(&engine->shared.place);
	pthread_cond_destroy(&engine->asked);
	pthread_cond_destroy(&engine->answered);
	pthread_mutex_destroy(&engine->lock);
	json_decref(engine->tenants);
	free(engine);
}

static struct postgres *engine_new(struct store *store, const struct store_options *options)
{
	struct postgres *engine = mem_alloc(sizeof(*engine));
	pthread_condattr_t monotonic;

	engine->store = store;
	engine->clock = options->clock;
	engine->read_only = options->read_only;
	engine->lease_ms = options->lease_ms > 0 ? options->lease_ms : STORE_LEASE_MS;
	engine->tenants = json_object();
	engine->end = &engine->first;
	pthread_mutex_init(&engine->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&engine->asked, &monotonic);
	pthread_cond_init(&engine->answered, &monotonic);
	pthread_condattr_destroy(&monotonic);
	queue_init(&engine->writes);
	engine->writes.lingers = true;
	queue_init(&engine->reads);
	link_init(&engine->writer_link, &engine->shared);
	link_init(&engine->keeper_link, &engine->shared);
	return engine;
}

/* The first look at the server: is it there, may we be there, is everything as it must be, does it take writes? */
static int first_look(struct postgres *engine, struct errbuf *e)
{
	struct link *link = &engine->writer_link;
	struct store_result r = { 0 };
	struct arena arena;
	int code;

#ifdef HAS_GUARD
	engine->shared.greet = greet;
#endif
	code = link_ready(link, 0, e);        /* one try */
	engine->shared.greet = NULL;
	if (code != 0)
		return code;
	arena_init(&arena);
	code = platform_ask(link, STATEMENT_server_state, "", NULL, &arena, &r, e);
	if (code == 0 && !engine->read_only && (r.rows == 0 || store_int(&r, 0, 0) == 0))
		code = err_set(e, ERR_STORE, "%s: it is read-only (a replica, or default_transaction_read_only): name the primary in the store's URL",
		    engine->shared.place.shown);
	arena_fini(&arena);
	return code != 0 ? code : tenants_read(engine, link, e);
}

/* The others' connections now, so that it shows whether the server has enough. */
static void connect_others(struct postgres *engine)
{
	struct errbuf e = { "" };
	char text[32];
	int have = 0;
	bool keeper = link_ready(&engine->keeper_link, clock_monotonic_us() + ASK_US, &e) == 0;

	for (int i = 0; keeper && i < engine->reader_count && !engine->shared.crowded; i++)
		have += link_ready(&engine->readers[i].link, clock_monotonic_us() + ASK_US, &e) == 0;
	if (!engine->shared.crowded)
		return;
	snprintf(text, sizeof(text), "%d of %d", have, engine->reader_count);
	log_event(LOG_WARN, "store.crowded", "store", engine->shared.place.shown, "readers", text, "advice",
	    "the server has too few connections for this worker: lanes share", NULL);
}

static void start(struct postgres *engine)
{
	sigset_t all, before;

	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	BUG_ON(pthread_create(&engine->writer, NULL, writer_run, engine) != 0);
	BUG_ON(pthread_create(&engine->keeper, NULL, keeper_run, engine) != 0);
	for (int i = 0; i < engine->reader_count; i++)
		BUG_ON(pthread_create(&engine->readers[i].thread, NULL, reader_run, &engine->readers[i]) != 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static int engine_open(struct store *store, const struct store_options *options, const char *url, void **out, struct errbuf *e)
{
	struct postgres *engine = engine_new(store, options);
	int code;

	code = place_parse(&engine->shared.place, url, e);
	if (code == 0)
		code = first_look(engine, e);
	if (code != 0) {
		engine_free(engine);
		return err_wrap(e, ERR_STORE, "open store");
	}
	for (; engine->reader_count < engine->shared.place.readers; engine->reader_count++) {
		struct reader *reader = &engine->readers[engine->reader_count];

		reader->engine = engine;
		link_init(&reader->link, &engine->shared);
	}
	connect_others(engine);
	start(engine);
	*out = engine;
	return 0;
}

static void engine_close(void *impl)
{
	struct postgres *engine = impl;

	queue_stop(&engine->writes);
	queue_stop(&engine->reads);
	pthread_join(engine->writer, NULL);
	for (int i = 0; i < engine->reader_count; i++)
		pthread_join(engine->readers[i].thread, NULL);
	if (engine->owned && !engine->lost)
		owner_release(engine);
	pthread_mutex_lock(&engine->lock);
	engine->stopping = true;
	pthread_cond_signal(&engine->asked);
	pthread_mutex_unlock(&engine->lock);
	pthread_join(engine->keeper, NULL);
	engine_free(engine);
}

static void engine_submit(void *impl, struct store_tx *tx)
{
	struct postgres *engine = impl;

	queue_put(tx->write ? &engine->writes : &engine->reads, tx);
}

/* -- whole tenants -------------------------------------------------------------------------------------------------------- */

static int engine_dump(void *impl, struct str tenant, unsigned parts, struct dump_writer *w, struct errbuf *e)
{
	struct postgres *engine = impl;

	return postgres_dump_tenant(&engine->shared.place, tenant, parts, w, e);
}

static int engine_load(void *impl, struct str tenant, struct dump_reader *r, bool with_keys, struct errbuf *e)
{
	struct postgres *engine = impl;
	int code = postgres_load_tenant(&engine->shared.place, tenant, r, with_keys, e);

	if (code == 0 && tenant.n > 0)
		tenants_learn(engine, tenant);
	return code;
}

static int engine_tenant_delete(void *impl, struct str tenant, struct errbuf *e)
{
	struct postgres *engine = impl;

	return postgres_tenant_delete(&engine->shared.place, tenant, e);
}

const struct store_engine store_engine_postgres = {
	.scheme = "postgres",
	.statements = postgres_statements,
	.open = engine_open,
	.close = engine_close,
	.submit = engine_submit,
	.tenant_create = tenant_create,
	.tenant_exists = tenant_exists,
	.tenant_names = tenant_names,
	.dump = engine_dump,
	.load = engine_load,
	.tenant_delete = engine_tenant_delete,
	.owner_register = owner_register,
	.owner_is_alive = owner_is_alive,
	.lease = lease,
	.owners_lost = owners_lost,
	.owner_forget = owner_forget,
	.owner_release = owner_release,
};
