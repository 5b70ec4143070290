#include "store/sqlite/lane.h"

#include "store/sqlite/execute.h"

#include <signal.h>
#include <string.h>

/* One commit serves at most so many: the last of them waits for all before it. */
enum { ROUND_MAX = 512 };

/* -- one tenant's part of a round ------------------------------------------------------------------------------------- */

static void fail_all(struct store_tx *first, const char *text)
{
	for (struct store_tx *tx = first; tx != NULL; tx = tx->next)
		store_tx_fail(tx, ERR_STORE, 0, "%s", text);
}

/* Run one write among several; its failure leaves no trace in the part. */
static enum executed write_one(struct connection *c, struct store_tx *tx)
{
	enum executed outcome;

	if (connection_control(c, CONTROL_SAVEPOINT) != SQLITE_OK)
		return EXECUTED_BROKEN;
	outcome = execute_tx(c, tx);
	if (outcome == EXECUTED_NOT && connection_control(c, CONTROL_ROLLBACK_TO) != SQLITE_OK)
		return EXECUTED_BROKEN;
	if (outcome != EXECUTED_BROKEN && connection_control(c, CONTROL_RELEASE) != SQLITE_OK)
		return EXECUTED_BROKEN;
	return outcome;
}

/* Returns false when nothing of the part holds; the reason is in the text. */
static bool write_all(struct connection *c, struct store_tx *first, struct errbuf *e)
{
	bool alone;
	enum executed outcome;
	int rc;

	BUG_ON(first == NULL);
	alone = first->next == NULL;
	rc = connection_control(c, CONTROL_BEGIN_WRITE);
	if (rc != SQLITE_OK) {
		connection_explain(c, rc, "write", e);
		return false;
	}
	for (struct store_tx *tx = first; tx != NULL; tx = tx->next) {
		outcome = alone ? execute_tx(c, tx) : write_one(c, tx);
		if (outcome == EXECUTED_BROKEN) {
			connection_explain(c, sqlite3_extended_errcode(c->db), "write", e);
			if (tx->error[0] != '\0')
				err_set(e, ERR_STORE, "%s", tx->error);
			return false;
		}
		if (alone && outcome == EXECUTED_NOT)
			return connection_control(c, CONTROL_ROLLBACK) == SQLITE_OK;
	}
	rc = connection_control(c, CONTROL_COMMIT);
	if (rc != SQLITE_OK) {
		connection_explain(c, rc, "commit", e);
		return false;
	}
	return true;
}

static int64_t now_us(void)
{
	return clock_monotonic_us();
}

static void part_write(struct lane *lane, struct connection *c)
{
	struct store_tx *first = c->first;
	struct store_commit commit;
	int64_t started_us = now_us(), rows = sqlite3_total_changes64(c->db);
	struct errbuf e = { "" };
	bool held;

	c->first = NULL;
	c->end = &c->first;
	held = write_all(c, first, &e);
	commit.seconds = (double)(now_us() - started_us) / 1e6;
	commit.rows = sqlite3_total_changes64(c->db) - rows;
	if (!held) {
		fail_all(first, e.text);
		if (sqlite3_get_autocommit(c->db) == 0)
			(void)connection_control(c, CONTROL_ROLLBACK);
		pool_drop(&lane->pool, c);
	}
	store_complete(lane->store, first, held && commit.rows > 0 ? &commit : NULL, held);
}

static void part_read(struct lane *lane, struct connection *c)
{
	struct store_tx *first = c->first;
	bool one_look, broken = false;
	struct errbuf e = { "" };
	int rc = SQLITE_OK;

	BUG_ON(first == NULL);
	one_look = first->next == NULL && first->count <= 1;   /* a statement alone has a snapshot of its own */
	c->first = NULL;
	c->end = &c->first;
	if (!one_look)
		rc = connection_control(c, CONTROL_BEGIN_READ);
	if (rc != SQLITE_OK) {
		connection_explain(c, rc, "read", &e);
		fail_all(first, e.text);
		broken = true;
	}
	for (struct store_tx *tx = first; tx != NULL && rc == SQLITE_OK; tx = tx->next)
		broken = execute_tx(c, tx) == EXECUTED_BROKEN && connection_is_broken_by(sqlite3_errcode(c->db)) ? true : broken;
	if (sqlite3_get_autocommit(c->db) == 0)
		(void)connection_control(c, CONTROL_COMMIT);
	if (broken)
		pool_drop(&lane->pool, c);
	store_complete(lane->store, first, NULL, -1);
}

/* -- rounds ----------------------------------------------------------------------------------------------------------- */

static void serve_parts(struct lane *lane, struct connection **parts)
{
	struct connection *c;

	while ((c = *parts) != NULL) {
		*parts = c->group_next;
		c->group_next = NULL;
		if (lane->mode == CONNECTION_WRITE)
			part_write(lane, c);
		else
			part_read(lane, c);
	}
}

static void refuse(struct lane *lane, struct store_tx *tx, int code, const char *text)
{
	store_tx_fail(tx, code, 0, "%s", text);
	store_complete(lane->store, tx, NULL, -1);
}

static void serve_round(struct lane *lane, struct store_tx *list)
{
	struct connection *parts = NULL, **parts_end = &parts, *c;
	struct store_tx *tx;
	struct errbuf e;
	bool crowded;
	int code;

	while ((tx = list) != NULL) {
		list = tx->next;
		tx->next = NULL;
		if (tx->write && lane->folder->read_only) {
			refuse(lane, tx, ERR_STORE, "the store is opened read-only");
			continue;
		}
		code = pool_get(&lane->pool, (struct str){ tx->tenant, tx->tenant_length }, &c, &crowded, &e);
		if (crowded) {
			serve_parts(lane, &parts);
			parts_end = &parts;
			code = pool_get(&lane->pool, (struct str){ tx->tenant, tx->tenant_length }, &c, &crowded, &e);
		}
		if (code != 0) {
			refuse(lane, tx, code, e.text);
			continue;
		}
		BUG_ON(c == NULL);
		if (c->first == NULL) {
			*parts_end = c;
			parts_end = &c->group_next;
		}
		*c->end = tx;
		c->end = &tx->next;
	}
	serve_parts(lane, &parts);
}

/* Under the lock: at most ROUND_MAX from the front. */
static struct store_tx *take_round(struct lane *lane)
{
	struct store_tx *first = lane->first, **p = &lane->first;

	for (int n = 0; *p != NULL && n < ROUND_MAX; n++)
		p = &(*p)->next;
	lane->first = *p;
	*p = NULL;
	if (lane->first == NULL)
		lane->end = &lane->first;
	return first;
}

static void *lane_run(void *arg)
{
	struct lane *lane = arg;
	struct store_tx *list;

	for (;;) {
		pthread_mutex_lock(&lane->lock);
		while (lane->first == NULL && !lane->stopping) {
			lane->idle = true;
			pthread_cond_wait(&lane->work, &lane->lock);
		}
		lane->idle = false;
		list = lane->first != NULL ? take_round(lane) : NULL;
		pthread_mutex_unlock(&lane->lock);
		if (list == NULL)
			break;
		serve_round(lane, list);
	}
	pool_fini(&lane->pool);
	return NULL;
}

void lane_submit(struct lane *lane, struct store_tx *tx)
{
	bool wake;

	tx->next = NULL;
	pthread_mutex_lock(&lane->lock);
	BUG_ON(lane->stopping);
	*lane->end = tx;
	lane->end = &tx->next;
	wake = lane->idle;
	lane->idle = false;
	pthread_mutex_unlock(&lane->lock);
	if (wake)
		pthread_cond_signal(&lane->work);
}

void lane_start(struct lane *lane, struct store *store, const struct folder *folder, enum connection_mode mode, size_t connections_max)
{
	sigset_t all, before;

	*lane = (struct lane){ .store = store, .folder = folder, .mode = mode };
	lane->end = &lane->first;
	pool_init(&lane->pool, folder, mode, connections_max);
	pthread_mutex_init(&lane->lock, NULL);
	pthread_cond_init(&lane->work, NULL);
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	BUG_ON(pthread_create(&lane->thread, NULL, lane_run, lane) != 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void lane_stop(struct lane *lane)
{
	pthread_mutex_lock(&lane->lock);
	lane->stopping = true;
	pthread_mutex_unlock(&lane->lock);
	pthread_cond_signal(&lane->work);
	pthread_join(lane->thread, NULL);
	pthread_cond_destroy(&lane->work);
	pthread_mutex_destroy(&lane->lock);
}
