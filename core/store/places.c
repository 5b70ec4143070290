#include "store/places.h"

#include "base/log.h"
#include "store/postgres/place.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RETRY_US 5000000               /* after an opening that failed */

struct placed {
	struct placed *next;
	struct store *store;
	char *url;
	struct store_options options;
	const struct store_engine *engine;
	pthread_mutex_t lock;              /* over what follows */
	pthread_cond_t opened;
	void *impl;                        /* NULL: not open */
	bool opening, started;             /* started: thread is to be joined */
	int64_t tried_us;
	struct errbuf why;
	pthread_t thread;
};

struct places {
	struct store *store;
	struct store_options options;
	struct placed *first;
	json_t *of;                        /* tenant → URL */
};

static const struct store_engine *const engines[] = { &store_engine_sqlite, &store_engine_postgres };

const struct store_engine *places_engine(const char *url, const char **path, struct errbuf *e)
{
	if (place_is(url)) {
		*path = url;
		return &store_engine_postgres;
	}
	for (size_t i = 0; i < sizeof(engines) / sizeof(*engines); i++) {
		size_t n = strlen(engines[i]->scheme);

		if (strncmp(url, engines[i]->scheme, n) == 0 && url[n] == ':') {
			*path = url + n + 1;
			return engines[i];
		}
	}
	err_set(e, ERR_STORE, "store '%s': no such kind of store here; use sqlite:FOLDER, postgres://USER@HOST/DATABASE or a libpq keyword string", url);
	return NULL;
}

struct places *places_new(struct store *store, const struct store_options *options)
{
	struct places *places = mem_alloc(sizeof(*places));

	places->store = store;
	places->options = *options;
	places->options.url = NULL;
	places->options.metrics = NULL;
	places->of = json_object();
	return places;
}

/* -- opening -------------------------------------------------------------------------------------------------------------- */

static void *placed_open(void *arg)
{
	struct placed *p = arg;
	const char *path = NULL;
	struct errbuf e = { "" };
	void *impl = NULL;
	int code = ERR_STORE;

	p->engine = places_engine(p->url, &path, &e);
	if (p->engine != NULL)
		code = p->engine->open(p->store, &p->options, path, &impl, &e);
	pthread_mutex_lock(&p->lock);
	p->impl = code == 0 ? impl : NULL;
	p->why = e;
	p->opening = false;
	pthread_cond_broadcast(&p->opened);
	pthread_mutex_unlock(&p->lock);
	if (code != 0)
		log_event(LOG_ERROR, "store.place", "error", e.text, "next", "its tenants wait; it is tried again", NULL);
	return NULL;
}

/* Under the lock. */
static void placed_start(struct placed *p)
{
	int64_t now_us = clock_monotonic_us();

	if (p->impl != NULL || p->opening || (p->tried_us != 0 && now_us - p->tried_us < RETRY_US))
		return;
	if (p->started)
		pthread_join(p->thread, NULL);
	p->tried_us = now_us;
	p->opening = true;
	p->started = pthread_create(&p->thread, NULL, placed_open, p) == 0;
	if (!p->started) {
		p->opening = false;
		err_set(&p->why, ERR_STORE, "no thread could be started");
	}
}

static struct placed *placed_get(struct places *places, const char *url)
{
	pthread_condattr_t monotonic;
	struct placed *p;

	for (p = places->first; p != NULL; p = p->next)
		if (strcmp(p->url, url) == 0)
			return p;
	p = mem_alloc(sizeof(*p));
	p->store = places->store;
	p->url = mem_copy(str_of(url));
	p->options = places->options;
	p->options.url = p->url;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&p->opened, &monotonic);
	pthread_condattr_destroy(&monotonic);
	p->next = places->first;
	places->first = p;
	return p;
}

void places_free(struct places *places)
{
	struct placed *p;

	if (places == NULL)
		return;
	while ((p = places->first) != NULL) {
		places->first = p->next;
		if (p->started)
			pthread_join(p->thread, NULL);
		if (p->impl != NULL)
			p->engine->close(p->impl);
		pthread_cond_destroy(&p->opened);
		pthread_mutex_destroy(&p->lock);
		free(p->url);
		free(p);
	}
	json_decref(places->of);
	free(places);
}

/* -- who lives where ------------------------------------------------------------------------------------------------------ */

void places_learn_one(struct places *places, struct str tenant, struct str url)
{
	char *text = mem_copy(url);
	struct placed *p = placed_get(places, text);

	json_object_setn_new(places->of, tenant.p, tenant.n, json_string(text));
	pthread_mutex_lock(&p->lock);
	placed_start(p);
	pthread_mutex_unlock(&p->lock);
	free(text);
}

void places_forget(struct places *places, struct str tenant)
{
	json_object_deln(places->of, tenant.p, tenant.n);
}

void places_learn(struct places *places, const struct store_result *rows)
{
	json_object_clear(places->of);
	for (size_t i = 0; i < rows->rows; i++)
		places_learn_one(places, store_text(rows, i, 0), store_text(rows, i, 1));
}

/* Under the lock. Until the opening has ended, or until then (monotonic). */
static void wait_opened(struct placed *p, int64_t until_us)
{
	struct timespec until = { .tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000 };

	while (p->opening && pthread_cond_timedwait(&p->opened, &p->lock, &until) != ETIMEDOUT)
		;
}

void places_wait(struct places *places, int wait_ms)
{
	int64_t until_us = clock_monotonic_us() + (int64_t)wait_ms * 1000;

	for (struct placed *p = places->first; p != NULL; p = p->next) {
		pthread_mutex_lock(&p->lock);
		wait_opened(p, until_us);
		pthread_mutex_unlock(&p->lock);
	}
}

static struct placed *placed_of(struct places *places, struct str tenant)
{
	const char *url = json_string_value(json_object_getn(places->of, tenant.p, tenant.n));

	return url != NULL ? placed_get(places, url) : NULL;
}

bool places_find(struct places *places, struct str tenant, int wait_ms, const struct store_engine **engine, void **impl)
{
	struct placed *p = placed_of(places, tenant);

	if (p == NULL)
		return false;
	pthread_mutex_lock(&p->lock);
	placed_start(p);
	if (wait_ms > 0)
		wait_opened(p, clock_monotonic_us() + (int64_t)wait_ms * 1000);
	*engine = p->engine;
	*impl = p->impl;
	pthread_mutex_unlock(&p->lock);
	return true;
}

void places_explain(struct places *places, struct str tenant, struct errbuf *e)
{
	struct placed *p = placed_of(places, tenant);

	if (p == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	err_set(e, ERR_STORE, "the database of tenant %.*s is not there: %s", STR_ARG(tenant), p->opening || p->why.text[0] == '\0' ? "it is being opened" : p->why.text);
	pthread_mutex_unlock(&p->lock);
}

void places_add_names(const struct places *places, json_t *names)
{
	const char *name;
	json_t *url;
	size_t i;

	json_object_foreach(places->of, name, url) {
		for (i = 0; i < json_array_size(names) && strcmp(json_string_value(json_array_get(names, i)), name) < 0; i++)
			;
		json_array_insert_new(names, i, json_string(name));
	}
}
