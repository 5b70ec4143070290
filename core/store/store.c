/*
 * The shell round the engines: opening by URL, the freelist of transactions, and the mailbox through which completions come back to the loop.
 *
 * Happy path: store_submit_* hands the transaction to the engine; a thread of the engine runs it and calls store_complete, which
 * links it into the mailbox and wakes the loop (once, however many arrive before the loop looks); the loop takes the whole list and
 * calls each `done`. Waiting calls (…_now) are signalled directly and never see the mailbox. After store_close nothing is
 * delivered: what is in the mailbox then is freed. The mailbox has an eventfd of its own, not loop_post: it can be taken back.
 */
#include "store/engine.h"

#include "base/ids.h"
#include "store/dump.h"
#include "store/places.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	STORE_MAGIC = 0x53544f52,
	FREELIST_MAX = 1024,          /* transactions; more than are ever in flight at a usual load */
	PLACE_WAIT_MS = 10000,        /* for a tenant's own database, where waiting is allowed */
	COMMITS_MAX = 256,            /* group commits between two looks of the loop; later ones are not counted */
};

struct store {
	uint32_t magic;
	const struct store_engine *engine;
	void *impl;
	struct places *places;        /* tenants that live elsewhere */
	bool reading_places;
	struct loop *loop;
	struct watch mail_watch;
	int mail_fd;                  /* eventfd; -1 without a loop */
	pthread_mutex_t lock;         /* over what follows */
	pthread_cond_t waited_done;
	struct store_tx *mail_first, **mail_end;
	bool mail_signalled;
	struct store_commit commits[COMMITS_MAX];
	size_t commit_count;
	int up;
	struct store_tx *freelist;
	size_t freelist_count;
	/* loop thread only */
	struct metric *commit_seconds, *commit_rows, *up_gauge;
};

static const double rows_buckets[] = { 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 0 };

static void store_check(const struct store *store)
{
	BUG_ON(store == NULL || store->magic != STORE_MAGIC);
}

const struct store_statement *store_statement(const struct store *store, enum statement statement)
{
	BUG_ON((unsigned)statement >= STATEMENT_COUNT);
	return &store->engine->statements[statement];
}

/* -- freelist ------------------------------------------------------------------------------------------------------ */

struct store_tx *store_freelist_take(struct store *store)
{
	struct store_tx *tx;

	store_check(store);
	pthread_mutex_lock(&store->lock);
	tx = store->freelist;
	if (tx != NULL) {
		store->freelist = tx->next;
		store->freelist_count--;
	}
	pthread_mutex_unlock(&store->lock);
	if (tx == NULL)
		tx = store_tx_make();
	tx->next = NULL;
	return tx;
}

void store_freelist_give(struct store *store, struct store_tx *tx)
{
	store_check(store);
	store_tx_reset(tx);
	pthread_mutex_lock(&store->lock);
	if (store->freelist_count < FREELIST_MAX) {
		tx->next = store->freelist;
		store->freelist = tx;
		store->freelist_count++;
		tx = NULL;
	}
	pthread_mutex_unlock(&store->lock);
	store_tx_destroy(tx);
}

/* -- the mailbox --------------------------------------------------------------------------------------------------- */

static void mail_wake(struct store *store)
{
	uint64_t one = 1;

	while (write(store->mail_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void store_complete(struct store *store, struct store_tx *list, const struct store_commit *commit, int up)
{
	struct store_tx *tx, *next;
	bool wake = false, signal = false;

	pthread_mutex_lock(&store->lock);
	for (tx = list; tx != NULL; tx = next) {
		next = tx->next;
		tx->next = NULL;
		if (tx->waited) {
			tx->finished = signal = true;
			continue;
		}
		*store->mail_end = tx;
		store->mail_end = &tx->next;
		wake = true;
	}
	if (commit != NULL && store->commit_count < COMMITS_MAX)
		store->commits[store->commit_count++] = *commit;
	if (up >= 0 && up != store->up) {
		store->up = up;
		wake = true;
	}
	wake = wake && !store->mail_signalled && store->mail_fd >= 0;
	if (wake)
		store->mail_signalled = true;
	if (signal)
		pthread_cond_broadcast(&store->waited_done);
	pthread_mutex_unlock(&store->lock);
	if (wake)
		mail_wake(store);
}

static void count_commits(struct store *store, const struct store_commit *commits, size_t count, int up)
{
	if (store->commit_seconds == NULL)
		return;
	for (size_t i = 0; i < count; i++) {
		metric_observe(store->commit_seconds, commits[i].seconds, NULL);
		metric_observe(store->commit_rows, (double)commits[i].rows, NULL);
	}
	metric_set(store->up_gauge, up, NULL);
}

static void store_on_mail(int fd, int what, void *arg)
{
	struct store *store = arg;
	struct store_commit commits[COMMITS_MAX];
	struct store_tx *tx, *next;
	uint64_t ignored;
	size_t count;
	int up;

	(void)what;
	while (read(fd, &ignored, sizeof(ignored)) < 0 && errno == EINTR)
		;
	pthread_mutex_lock(&store->lock);
	tx = store->mail_first;
	store->mail_first = NULL;
	store->mail_end = &store->mail_first;
	store->mail_signalled = false;
	count = store->commit_count;
	memcpy(commits, store->commits, count * sizeof(*commits));
	store->commit_count = 0;
	up = store->up;
	pthread_mutex_unlock(&store->lock);
	count_commits(store, commits, count, up);
	for (; tx != NULL; tx = next) {
		next = tx->next;
		tx->next = NULL;
		tx->submitted = false;
		tx->done(tx, tx->code, tx->arg);
	}
}

/* -- submitting ---------------------------------------------------------------------------------------------------- */

/* To the engine of its tenant. */
static void route(struct store *store, struct store_tx *tx)
{
	const struct store_engine *engine = store->engine;
	void *impl = store->impl;
	struct errbuf why = { "" };
	struct str tenant = { tx->tenant, tx->tenant_length };

	if (tenant.n > 0 && places_find(store->places, tenant, tx->waited ? PLACE_WAIT_MS : 0, &engine, &impl) && impl == NULL) {
		places_explain(store->places, tenant, &why);
		store_tx_fail(tx, ERR_STORE, 0, "%s", why.text);
		store_complete(store, tx, NULL, -1);
		return;
	}
	engine->submit(impl, tx);
}

static void submit(struct store_tx *tx, bool write, bool waited, store_done_fn done, void *arg)
{
	struct store *store = tx->store;

	store_check(store);
	BUG_ON(tx->submitted);
	BUG_ON(!waited && (done == NULL || store->loop == NULL));
	tx->write = write;
	tx->waited = waited;
	tx->finished = false;
	tx->submitted = true;
	tx->done = done;
	tx->arg = arg;
	tx->code = 0;
	tx->error[0] = '\0';
	route(store, tx);
}

void store_submit_write(struct store_tx *tx, store_done_fn done, void *arg)
{
	submit(tx, true, false, done, arg);
}

void store_submit_read(struct store_tx *tx, store_done_fn done, void *arg)
{
	submit(tx, false, false, done, arg);
}

static int submit_and_wait(struct store_tx *tx, bool write, struct errbuf *e)
{
	struct store *store = tx->store;

	submit(tx, write, true, NULL, NULL);
	pthread_mutex_lock(&store->lock);
	while (!tx->finished)
		pthread_cond_wait(&store->waited_done, &store->lock);
	pthread_mutex_unlock(&store->lock);
	tx->submitted = false;
	if (tx->code != 0)
		err_set(e, tx->code, "%s", tx->error);
	return tx->code;
}

int store_write_now(struct store_tx *tx, struct errbuf *e)
{
	return submit_and_wait(tx, true, e);
}

int store_read_now(struct store_tx *tx, struct errbuf *e)
{
	return submit_and_wait(tx, false, e);
}

/* -- opening and closing ------------------------------------------------------------------------------------------- */

static void metrics_setup(struct store *store, struct metrics *metrics)
{
	if (metrics == NULL)
		return;
	store->commit_seconds = metric_declare(metrics, METRIC_HISTOGRAM, "perigee_commit_seconds",
	    "Time of a group commit, from its first statement until it is on disk", NULL, metric_seconds_buckets);
	store->commit_rows = metric_declare(metrics, METRIC_HISTOGRAM, "perigee_commit_batch_rows",
	    "Rows that a group commit wrote", NULL, rows_buckets);
	store->up_gauge = metric_declare(metrics, METRIC_GAUGE, "perigee_store_up",
	    "1 while the last commit succeeded, 0 after one that the store failed", NULL, NULL);
	metric_combine(store->up_gauge, COMBINE_LEAST);
	metric_set(store->up_gauge, 1, NULL);
}

static void mail_setup(struct store *store, struct loop *loop)
{
	store->mail_end = &store->mail_first;
	store->mail_fd = -1;
	store->loop = loop;
	if (loop == NULL)
		return;
	store->mail_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	BUG_ON(store->mail_fd < 0);
	watch_init(&store->mail_watch, loop, store->mail_fd, WATCH_READ, store_on_mail, store);
	watch_start(&store->mail_watch);
}

static void shell_free(struct store *store)
{
	struct store_tx *tx;

	while ((tx = store->mail_first) != NULL) {
		store->mail_first = tx->next;
		store_tx_destroy(tx);
	}
	while ((tx = store->freelist) != NULL) {
		store->freelist = tx->next;
		store_tx_destroy(tx);
	}
	if (store->mail_fd >= 0) {
		watch_stop(&store->mail_watch);
		watch_fini(&store->mail_watch);
		close(store->mail_fd);
	}
	pthread_cond_destroy(&store->waited_done);
	pthread_mutex_destroy(&store->lock);
	store->magic = 0;
	free(store);
}

/* Who lives elsewhere: at the beginning, waited for; later beside everything else. */
static int places_read(struct store *store, struct errbuf *e)
{
	struct store_tx *tx = store_tx_new(store, STR(""));
	int code;

	store_tx_add(tx, STATEMENT_tenant_places, STORE_ANY, "");
	code = store_read_now(tx, e);
	if (code == 0) {
		places_learn(store->places, store_tx_result(tx, 0));
		places_wait(store->places, PLACE_WAIT_MS);
	}
	store_tx_free(tx);
	return code;
}

static void places_on_read(struct store_tx *tx, int code, void *arg)
{
	struct store *store = arg;

	store->reading_places = false;
	if (code == 0)
		places_learn(store->places, store_tx_result(tx, 0));
	store_tx_free(tx);
}

static void places_refresh(struct store *store)
{
	struct store_tx *tx;

	if (store->loop == NULL || store->reading_places)
		return;
	store->reading_places = true;
	tx = store_tx_new(store, STR(""));
	store_tx_add(tx, STATEMENT_tenant_places, STORE_ANY, "");
	store_submit_read(tx, places_on_read, store);
}

int store_open(const struct store_options *options, struct store **out, struct errbuf *e)
{
	const struct store_engine *engine;
	const char *path = NULL;
	struct store *store;
	int code;

	*out = NULL;
	engine = places_engine(options->url, &path, e);
	if (engine == NULL)
		return ERR_STORE;
	store = mem_alloc(sizeof(*store));
	store->magic = STORE_MAGIC;
	store->engine = engine;
	store->up = 1;
	pthread_mutex_init(&store->lock, NULL);
	pthread_cond_init(&store->waited_done, NULL);
	mail_setup(store, options->loop);
	code = engine->open(store, options, path, &store->impl, e);
	if (code != 0) {
		shell_free(store);
		return code;
	}
	store->places = places_new(store, options);
	code = places_read(store, e);
	if (code != 0) {
		store_close(store);
		return code;
	}
	metrics_setup(store, options->metrics);
	*out = store;
	return 0;
}

void store_close(struct store *store)
{
	if (store == NULL)
		return;
	store_check(store);
	places_free(store->places);
	store->engine->close(store->impl);
	shell_free(store);
}

/* -- tenants and owners -------------------------------------------------------------------------------------------- */

int store_tenant_create(struct store *store, struct str tenant, const char *title, struct errbuf *e)
{
	store_check(store);
	if (!name_is_valid(tenant))
		return err_set(e, ERR_INVALID, "tenant name '%.*s': use a-z, 0-9, _ and -, a letter first, at most 63", STR_ARG(tenant));
	return store->engine->tenant_create(store->impl, tenant, title, e);
}

/* The other database first: a tenant that is known here is whole. */
int store_tenant_place(struct store *store, struct str tenant, const char *title, const char *url, struct errbuf *e)
{
	const struct store_engine *engine;
	struct store_tx *tx;
	void *impl;
	int code;

	store_check(store);
	if (!name_is_valid(tenant))
		return err_set(e, ERR_INVALID, "tenant name '%.*s': use a-z, 0-9, _ and -, a letter first, at most 63", STR_ARG(tenant));
	if (store_tenant_exists(store, tenant))
		return err_set(e, ERR_CONFLICT, "tenant %.*s is there already: export it, delete it, then create it where it shall be", STR_ARG(tenant));
	places_learn_one(store->places, tenant, str_of(url));
	(void)places_find(store->places, tenant, PLACE_WAIT_MS, &engine, &impl);
	if (impl == NULL)
		places_explain(store->places, tenant, e);
	code = impl == NULL ? ERR_STORE : engine->tenant_create(impl, tenant, title, e);
	if (code == 0) {
		tx = store_tx_new(store, STR(""));
		store_tx_add(tx, STATEMENT_tenant_place, STORE_MUST, "stit", tenant, title, clock_now_us(&clock_system), url);
		code = store_write_now(tx, e);
		store_tx_free(tx);
	}
	if (code != 0)
		places_forget(store->places, tenant);
	return code;
}

bool store_tenant_exists(struct store *store, struct str tenant)
{
	const struct store_engine *engine;
	void *impl;

	store_check(store);
	if (!name_is_valid(tenant))
		return false;
	return places_find(store->places, tenant, 0, &engine, &impl) || store->engine->tenant_exists(store->impl, tenant);
}

json_t *store_tenant_names(struct store *store)
{
	json_t *names;

	store_check(store);
	names = store->engine->tenant_names(store->impl);
	places_add_names(store->places, names);
	places_refresh(store);
	return names;
}

int store_dump_tenant(struct store *store, struct str tenant, struct dump_writer *w, struct errbuf *e)
{
	store_check(store);
	if (tenant.n > 0 && !store_tenant_exists(store, tenant))
		return err_set(e, ERR_NOT_FOUND, "no tenant %.*s: perigee tenant list shows them", STR_ARG(tenant));
	const struct store_engine *engine = store->engine;
	void *impl = store->impl;
	int code;

	if (!places_find(store->places, tenant, PLACE_WAIT_MS, &engine, &impl))
		return engine->dump(impl, tenant, DUMP_DATA | DUMP_PLATFORM, w, e);
	if (impl == NULL) {
		places_explain(store->places, tenant, e);
		return ERR_STORE;
	}
	code = engine->dump(impl, tenant, DUMP_DATA, w, e);
	return code != 0 ? code : store->engine->dump(store->impl, tenant, DUMP_PLATFORM, w, e);
}

int store_load_tenant(struct store *store, struct str tenant, struct dump_reader *r, bool with_keys, struct errbuf *e)
{
	store_check(store);
	if (tenant.n > 0 && !name_is_valid(tenant))
		return err_set(e, ERR_INVALID, "tenant name '%.*s': use a-z, 0-9, _ and -, a letter first, at most 63", STR_ARG(tenant));
	if (tenant.n > 0 && store_tenant_exists(store, tenant))
		return err_set(e, ERR_CONFLICT, "tenant %.*s is there already: take another name (--as NAME), or delete it first (perigee tenant delete)", STR_ARG(tenant));
	return store->engine->load(store->impl, tenant, r, with_keys, e);
}

int store_tenant_delete(struct store *store, struct str tenant, struct errbuf *e)
{
	store_check(store);
	if (!store_tenant_exists(store, tenant))
		return err_set(e, ERR_NOT_FOUND, "no tenant %.*s: perigee tenant list shows them", STR_ARG(tenant));
	const struct store_engine *engine;
	void *impl;
	int code = 0;

	if (places_find(store->places, tenant, PLACE_WAIT_MS, &engine, &impl)) {
		if (impl == NULL) {
			places_explain(store->places, tenant, e);
			return ERR_STORE;
		}
		code = engine->tenant_delete(impl, tenant, e);
		places_forget(store->places, tenant);
	}
	return code != 0 ? code : store->engine->tenant_delete(store->impl, tenant, e);
}

bool store_is_up(struct store *store)
{
	store_check(store);
	pthread_mutex_lock(&store->lock);
	bool up = store->up != 0;
	pthread_mutex_unlock(&store->lock);
	return up;
}

int store_owner_register(struct store *store, const char *owner, struct errbuf *e)
{
	store_check(store);
	return store->engine->owner_register(store->impl, owner, e);
}

bool store_owner_is_alive(struct store *store, struct str owner)
{
	store_check(store);
	return store->engine->owner_is_alive(store->impl, owner);
}

enum store_lease store_lease(struct store *store)
{
	store_check(store);
	return store->engine->lease(store->impl);
}

/* What is asked of an engine about owners travels as a transaction of the platform, so that its answer comes the same way. */
struct owners_question {
	store_owners_fn done;
	void *arg;
};

static void owners_on_answer(struct store_tx *tx, int code, void *arg)
{
	struct owners_question question = *(struct owners_question *)arg;   /* in the transaction's arena */
	json_t *lost = NULL;
	int64_t alive = 0;

	if (code == 0) {
		const struct store_result *r = store_tx_result(tx, 0);

		lost = json_array();
		alive = r->changed;
		for (size_t i = 0; i < r->rows; i++)
			json_array_append_new(lost, json_new_str(store_text(r, i, 0)));
	}
	store_tx_free(tx);
	question.done(code, lost, alive, question.arg);
	json_decref(lost);
}

void store_owners_lost(struct store *store, store_owners_fn done, void *arg)
{
	struct store_tx *tx = store_tx_new(store, STR(""));
	struct owners_question *question = arena_alloc(&tx->arena, sizeof(*question));

	store_check(store);
	BUG_ON(done == NULL || store->loop == NULL);
	*question = (struct owners_question){ done, arg };
	tx->count = 1;
	tx->ops[0] = (struct store_op){ 0 };
	tx->submitted = true;
	tx->done = owners_on_answer;
	tx->arg = question;
	store->engine->owners_lost(store->impl, tx);
}

void store_owner_forget(struct store *store, const char *owner)
{
	store_check(store);
	store->engine->owner_forget(store->impl, str_of(owner));
}

void store_owner_release(struct store *store)
{
	store_check(store);
	store->engine->owner_release(store->impl);
}
