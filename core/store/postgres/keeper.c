/*
 * The keeper: the thread that renews the lease, knows the tenants and answers what is asked about owners. On a connection of its own, so that a long
 * batch does not delay a renewal.
 *
 * A lease is counted from the moment when its renewal was *sent*, on a clock that goes on while the machine sleeps: what we believe to hold ends
 * before what the database believes. Nothing here decides that a lease is lost but the database: no row for it that is not condemned.
 */
#include "store/postgres/postgres.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	TENANTS_EVERY_US = 1000000,
	TENANTS_MANY = 5000,                /* more names than this are read every so many seconds */
	TENANTS_MANY_EVERY_US = 10000000,
	LOOK_EVERY_US = 1000000,            /* at the server, while nothing else asks it */
};

int64_t boottime_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

enum store_lease keeper_lease(const struct postgres *engine)
{
	if (!engine->owned)
		return STORE_LEASE_HELD;
	if (engine->lost)
		return STORE_LEASE_LOST;
	return boottime_us() - engine->renewed_us > (int64_t)engine->lease_ms * 1000 / 3 * 2 ? STORE_LEASE_DOUBTFUL : STORE_LEASE_HELD;
}

void keeper_lost(struct postgres *engine)
{
	if (!engine->lost)
		log_event(LOG_ERROR, "lease.lost", "store", engine->shared.place.shown, NULL);
	engine->lost = true;
}

bool keeper_owner(struct postgres *engine, char out[OWNER_SIZE])
{
	pthread_mutex_lock(&engine->lock);
	snprintf(out, OWNER_SIZE, "%s", engine->owner);
	pthread_mutex_unlock(&engine->lock);
	return out[0] != '\0';
}

/* -- asking the keeper ---------------------------------------------------------------------------------------------------- */

static struct question *question_new(enum question_kind kind, struct str name, struct store_tx *tx)
{
	struct question *q = mem_alloc(sizeof(*q));

	q->kind = kind;
	q->tx = tx;
	snprintf(q->name, sizeof(q->name), "%.*s", STR_ARG(name));
	return q;
}

/* Under the lock. */
static void put(struct postgres *engine, struct question *q)
{
	*engine->end = q;
	engine->end = &q->next;
	pthread_cond_signal(&engine->asked);
}

void keeper_post(struct postgres *engine, enum question_kind kind, struct str name, struct store_tx *tx)
{
	struct question *q = question_new(kind, name, tx);

	pthread_mutex_lock(&engine->lock);
	put(engine, q);
	pthread_mutex_unlock(&engine->lock);
}

static struct timespec after(int64_t us)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += us / 1000000;
	t.tv_nsec += us % 1000000 * 1000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

int keeper_ask(struct postgres *engine, enum question_kind kind, struct str name, int64_t wait_us, bool *answer, struct errbuf *e)
{
	struct question *q = question_new(kind, name, NULL);
	struct timespec until = after(wait_us);
	int code;

	q->waited = true;
	pthread_mutex_lock(&engine->lock);
	put(engine, q);
	while (!q->finished && pthread_cond_timedwait(&engine->answered, &engine->lock, &until) != ETIMEDOUT)
		;
	if (!q->finished) {
		q->waited = false;       /* the keeper frees it */
		pthread_mutex_unlock(&engine->lock);
		return err_set(e, ERR_STORE, "%s: no answer in time", engine->shared.place.shown);
	}
	pthread_mutex_unlock(&engine->lock);
	code = q->code;
	if (answer != NULL)
		*answer = q->answer;
	if (code != 0)
		err_set(e, code, "%s", q->error.text);
	free(q);
	return code;
}

/* -- owners --------------------------------------------------------------------------------------------------------------- */

struct keeping {
	struct postgres *engine;
	struct link *link;
	struct arena arena;
	int64_t renew_at_us, tenants_at_us;  /* monotonic */
	bool failing;
};

static int ask_about(struct keeping *k, enum statement statement, const char *name, struct store_result *r, struct errbuf *e)
{
	struct store_value value = { .type = STORE_TEXT, .text = str_of(name) };

	return platform_ask(k->link, statement, name != NULL ? "t" : "", &value, &k->arena, r, e);
}

static int64_t lease_us(const struct postgres *engine)
{
	return (int64_t)engine->lease_ms * 1000;
}

static int register_owner(struct keeping *k, struct question *q)
{
	struct postgres *engine = k->engine;
	char host[128] = "";
	struct store_value values[4];
	struct store_result r;
	int64_t sent_us = boottime_us();
	int code;

	(void)gethostname(host, sizeof(host) - 1);
	values[0] = (struct store_value){ .type = STORE_TEXT, .text = str_of(q->name) };
	values[1] = (struct store_value){ .type = STORE_TEXT, .text = str_of(host) };
	values[2] = (struct store_value){ .type = STORE_INT, .integer = getpid() };
	values[3] = (struct store_value){ .type = STORE_INT, .integer = lease_us(engine) };
	code = platform_ask(k->link, STATEMENT_worker_register, "ttii", values, &k->arena, &r, &q->error);
	if (code == 0 && r.changed == 0)
		code = err_set(&q->error, ERR_STORE, "owner %s: another process runs or ran under this name", q->name);
	if (code != 0)
		return code;
	pthread_mutex_lock(&engine->lock);
	snprintf(engine->owner, sizeof(engine->owner), "%s", q->name);
	pthread_mutex_unlock(&engine->lock);
	engine->renewed_us = sent_us;
	engine->lost = false;
	engine->owned = true;
	k->renew_at_us = clock_monotonic_us() + lease_us(engine) / 6;
	return 0;
}

static int release_owner(struct keeping *k, struct question *q)
{
	struct postgres *engine = k->engine;
	char owner[OWNER_SIZE];
	struct store_result r;

	if (!keeper_owner(engine, owner))
		return 0;
	engine->lost = true;             /* from here on nothing is started, whatever becomes of the row */
	return ask_about(k, STATEMENT_worker_release, owner, &r, &q->error);
}

static void renew(struct keeping *k)
{
	struct postgres *engine = k->engine;
	struct store_value values[2] = { { .type = STORE_TEXT }, { .type = STORE_INT, .integer = lease_us(engine) } };
	int64_t sent_us = boottime_us();
	char owner[OWNER_SIZE];
	struct store_result r;

	if (engine->lost || !keeper_owner(engine, owner))
		return;
	values[0].text = str_of(owner);
	if (platform_ask(k->link, STATEMENT_worker_renew, "ti", values, &k->arena, &r, NULL) != 0)
		return;
	if (r.changed > 0)
		engine->renewed_us = sent_us;
	else
		keeper_lost(engine);
}

/* Whose lease has lapsed is condemned: its transactions end, then its row says that no other may begin. */
static int condemn(struct keeping *k, struct errbuf *e)
{
	struct store_result lapsed, r;
	char id[OWNER_SIZE], application[OWNER_SIZE + 16];
	int code = ask_about(k, STATEMENT_workers_lapsed, NULL, &lapsed, e);

	for (size_t i = 0; code == 0 && i < lapsed.rows; i++) {
		snprintf(id, sizeof(id), "%.*s", STR_ARG(store_text(&lapsed, i, 0)));
		snprintf(application, sizeof(application), "perigee %s", id);
		application[63] = '\0';          /* as the server cuts it */
		code = ask_about(k, STATEMENT_worker_cut, application, &r, e);
		if (code == 0)
			code = ask_about(k, STATEMENT_worker_condemn, id, &r, e);
		if (code == 0 && r.changed > 0)
			log_event(LOG_WARN, "owner.condemned", "owner", id, NULL);
	}
	return code;
}

static void find_lost(struct keeping *k, struct question *q)
{
	struct store_tx *tx = q->tx;
	struct store_result condemned, alive;
	struct store_value *values;
	int code = condemn(k, &q->error);

	if (code == 0)
		code = ask_about(k, STATEMENT_workers_condemned, NULL, &condemned, &q->error);
	if (code == 0)
		code = ask_about(k, STATEMENT_workers_alive, NULL, &alive, &q->error);
	if (code != 0) {
		store_tx_fail(tx, code, 0, "%s", q->error.text);
	} else {
		values = store_result_make(tx, 0, condemned.rows, 1);
		for (size_t i = 0; i < condemned.rows; i++)
			values[i] = (struct store_value){ .type = STORE_TEXT, .text = arena_copy(&tx->arena, store_text(&condemned, i, 0)) };
		tx->ops[0].result.changed = store_int(&alive, 0, 0);
	}
	store_complete(k->engine->store, tx, NULL, -1);
	q->tx = NULL;
}

/* -- answering ------------------------------------------------------------------------------------------------------------ */

static void answer(struct keeping *k, struct question *q)
{
	struct postgres *engine = k->engine;
	struct store_result r;

	switch (q->kind) {
	case QUESTION_REGISTER: q->code = register_owner(k, q); break;
	case QUESTION_RELEASE: q->code = release_owner(k, q); break;
	case QUESTION_FORGET: q->code = ask_about(k, STATEMENT_worker_forget, q->name, &r, &q->error); break;
	case QUESTION_LOST: find_lost(k, q); break;
	case QUESTION_ALIVE:
		q->code = ask_about(k, STATEMENT_worker_is_alive, q->name, &r, &q->error);
		q->answer = q->code == 0 && r.rows > 0;
		break;
	case QUESTION_TENANT: q->code = tenants_look(engine, k->link, str_of(q->name), &q->error); break;
	case QUESTION_TENANTS: q->code = tenants_read(engine, k->link, &q->error); break;
	case QUESTION_MEASURE:
		if (ask_about(k, STATEMENT_tables_measure, NULL, &r, &q->error) != 0 && k->link->usable)     /* a lost connection is told elsewhere */
			log_event(LOG_WARN, "store.unmeasured", "store", engine->shared.place.shown, "error", q->error.text, NULL);
		break;
	}
	if (k->link != NULL && k->link->usable)
		arena_reset(&k->arena);
}

static void finish(struct postgres *engine, struct question *q)
{
	pthread_mutex_lock(&engine->lock);
	q->finished = true;
	if (q->waited)
		q = NULL;
	pthread_cond_broadcast(&engine->answered);
	pthread_mutex_unlock(&engine->lock);
	free(q);
}

static void fail(struct postgres *engine, struct question *q, const struct errbuf *e)
{
	q->code = err_set(&q->error, ERR_STORE, "%s", e->text);
	if (q->tx != NULL) {
		store_tx_fail(q->tx, ERR_STORE, 0, "%s", e->text);
		store_complete(engine->store, q->tx, NULL, -1);
		q->tx = NULL;
	}
}

/* -- by itself ------------------------------------------------------------------------------------------------------------ */

/* Whoever waits for the loop to hear that the store is there again hears it from here. */
static void look(struct keeping *k)
{
	struct store_result r;
	bool up = ask_about(k, STATEMENT_server_state, NULL, &r, NULL) == 0 && r.rows > 0 && store_int(&r, 0, 0) == 1;

	if (k->failing && up)
		store_complete(k->engine->store, NULL, NULL, 1);
	if (!up && !k->engine->read_only)
		store_complete(k->engine->store, NULL, NULL, 0);
	k->failing = !up;
}

static void do_what_is_due(struct keeping *k)
{
	struct postgres *engine = k->engine;
	int64_t now_us = clock_monotonic_us();
	bool many;

	if (now_us >= k->renew_at_us) {
		k->renew_at_us = now_us + (engine->owned ? lease_us(engine) / 6 : LOOK_EVERY_US);
		look(k);
		renew(k);
	}
	if (now_us >= k->tenants_at_us && k->link->usable) {
		if (tenants_read(engine, k->link, NULL) != 0)
			k->failing = true;
		pthread_mutex_lock(&engine->lock);
		many = json_object_size(engine->tenants) > TENANTS_MANY;
		pthread_mutex_unlock(&engine->lock);
		k->tenants_at_us = now_us + (many ? TENANTS_MANY_EVERY_US : TENANTS_EVERY_US);
	}
	arena_reset(&k->arena);
}

/* Wait for a question or for what is due; NULL: the time has come. */
static struct question *wait_for_question(struct keeping *k)
{
	struct postgres *engine = k->engine;
	int64_t due_us = k->renew_at_us < k->tenants_at_us ? k->renew_at_us : k->tenants_at_us, left_us = due_us - clock_monotonic_us();
	struct timespec until = after(left_us > 0 ? left_us : 0);
	struct question *q;

	pthread_mutex_lock(&engine->lock);
	while (engine->first == NULL && !engine->stopping && left_us > 0 && pthread_cond_timedwait(&engine->asked, &engine->lock, &until) != ETIMEDOUT)
		;
	q = engine->first;
	if (q != NULL) {
		engine->first = q->next;
		if (engine->first == NULL)
			engine->end = &engine->first;
		q->next = NULL;
	}
	pthread_mutex_unlock(&engine->lock);
	return q;
}

static bool is_stopping(struct postgres *engine)
{
	bool stopping;

	pthread_mutex_lock(&engine->lock);
	stopping = engine->stopping && engine->first == NULL;
	pthread_mutex_unlock(&engine->lock);
	return stopping;
}

static void turn(struct keeping *k, struct question *q)
{
	struct postgres *engine = k->engine;
	int64_t now_us = clock_monotonic_us();
	struct errbuf e = { "" };

	k->link = lane_take(engine, &engine->keeper_link, now_us + (q != NULL ? AWAY_US : 1), &e);
	if (k->link == NULL) {
		if (!k->failing)
			store_complete(engine->store, NULL, NULL, 0);
		k->failing = true;
		if (now_us >= k->renew_at_us)
			k->renew_at_us = now_us + LOOK_EVERY_US / 4;
		if (now_us >= k->tenants_at_us)
			k->tenants_at_us = now_us + TENANTS_EVERY_US;
		if (q != NULL)
			fail(engine, q, &e);
	} else {
		do_what_is_due(k);
		if (q != NULL)
			answer(k, q);
		lane_give(k->link);
	}
	if (q != NULL)
		finish(engine, q);
}

void *keeper_run(void *arg)
{
	struct keeping k = { .engine = arg };

	arena_init(&k.arena);
	k.renew_at_us = k.tenants_at_us = clock_monotonic_us() + TENANTS_EVERY_US;
	while (!is_stopping(k.engine))
		turn(&k, wait_for_question(&k));
	arena_fini(&k.arena);
	return NULL;
}
