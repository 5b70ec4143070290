#include "run/hints.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define MAIL_AT_ONCE 1000
#define LOST_AGAIN_US 300000   /* who hands over says so first and lets go then */

/* ---- what a hint does ---- */

static void on_wake(struct engine *engine, struct tenant *tenant, const char *name)
{
	if (tenant)
		engine_wake_run(engine, tenant, name);
}

static void on_cancel(struct engine *engine, struct tenant *tenant, const char *name)
{
	json_t *error = error_new("run.cancelled", "cancelled on request");
	for (const char *id = name; tenant && *id;) {
		size_t n = strcspn(id, ",");
		run_cancelled(engine, tenant, (struct str){ id, n }, error);
		id += n + (id[n] == ',');
	}
	json_decref(error);
	engine_schedule(engine);
}

static void on_lost(struct engine *engine, struct tenant *tenant, const char *name)
{
	(void)tenant;
	(void)name;
	engine_recover(engine);
	timer_start_us(&engine->lost_again, LOST_AGAIN_US);
}

static const struct {
	const char *kind;
	void (*act)(struct engine *engine, struct tenant *tenant, const char *name);
} kinds[] = { { "wake", on_wake }, { "cancel", on_cancel }, { "lost", on_lost } };

static void deliver(struct engine *engine, struct str tenant_name, struct str kind, const char *name)
{
	struct tenant *tenant = tenant_name.n ? engine_tenant(engine, tenant_name) : NULL;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !engine->closing; i++)
		if (str_is(kind, kinds[i].kind))
			kinds[i].act(engine, tenant, name);
}

/* ---- to others ---- */

static void mail_on_put(struct store_tx *tx, int code, void *arg)
{
	(void)arg;
	if (code) /* a hint may be lost */
		log_event(LOG_WARN, "hint.lost", "error", store_tx_error(tx), NULL);
	store_tx_free(tx);
}

static struct store_tx *mail_new(struct engine *engine, const char *worker, const char *tenant, const char *kind, const char *name)
{
	struct store_tx *tx = store_tx_new(engine->options.store, STR(""));
	store_tx_add(tx, STATEMENT_mail_put, STORE_ANY, "tttti", worker, tenant, kind, name, clock_now_us(engine->options.clock));
	return tx;
}

void hint(struct engine *engine, struct str owner, const char *tenant, const char *kind, const char *name)
{
	if (!owner.n || engine->closing)
		return;
	if (str_is(owner, engine->owner)) {
		deliver(engine, str_of(tenant), str_of(kind), name);
		return;
	}
	char *worker = mem_copy(owner);
	struct buf text;
	buf_init(&text, 1 << 20);
	buf_addf(&text, "%s\t%s\t%s", kind, tenant, name); /* one line: the bus joins them */
	const struct engine_options *options = &engine->options;
	if (!options->send_hint || !options->send_hint(options->send_hint_arg, worker, buf_text(&text)))
		store_submit_write(mail_new(engine, worker, tenant, kind, name), mail_on_put, NULL);
	buf_free(&text);
	free(worker);
}

void hint_wake_all(struct engine *engine, const char *tenant, const struct store_result *rows)
{
	for (size_t i = 0; i < rows->rows; i++) {
		char *run = mem_copy(store_text(rows, i, 0));
		hint(engine, store_text(rows, i, 1), tenant, "wake", run);
		free(run);
	}
}

void hint_hand_over(struct engine *engine)
{
	struct errbuf e;
	struct store_tx *tx = mail_new(engine, HINT_ANY_WORKER, "", "lost", engine->owner);
	if (store_write_now(tx, &e)) /* then the others find out by themselves, some seconds later */
		log_event(LOG_WARN, "hint.lost", "error", e.text, NULL);
	store_tx_free(tx);
}

/* ---- from others ---- */

void engine_hint_received(struct engine *engine, struct str text)
{
	const char *first = text.n ? memchr(text.p, '\t', text.n) : NULL;
	const char *second = first ? memchr(first + 1, '\t', text.n - (size_t)(first + 1 - text.p)) : NULL;
	if (!second)
		return;
	struct str kind = { text.p, (size_t)(first - text.p) }, tenant = { first + 1, (size_t)(second - first - 1) };
	char *name = mem_copy((struct str){ second + 1, text.n - (size_t)(second + 1 - text.p) });
	deliver(engine, tenant, kind, name);
	free(name);
}


static void mail_on_taken(struct store_tx *tx, int code, void *arg)
{
	struct engine *engine = arg;
	engine->mail_asked = false;
	if (code)
		log_event(LOG_WARN, "hint.lost", "error", store_tx_error(tx), NULL);
	const struct store_result *r = code ? NULL : store_tx_result(tx, 0);
	for (size_t i = 0; r && i < r->rows; i++) {
		char *name = mem_copy(store_text(r, i, 2));
		deliver(engine, store_text(r, i, 0), store_text(r, i, 1), name);
		free(name);
	}
	bool more = r && r->rows == MAIL_AT_ONCE;
	store_tx_free(tx);
	if (more)
		hints_poll(engine);
}

/* A look writes nothing; only what is there is taken. */
static void mail_on_looked(struct store_tx *tx, int code, void *arg)
{
	struct engine *engine = arg;
	bool there = code == 0 && store_tx_result(tx, 0)->rows > 0;
	store_tx_free(tx);
	if (!there) {
		engine->mail_asked = false;
		return;
	}
	struct store_tx *take = store_tx_new(engine->options.store, STR(""));
	store_tx_add(take, STATEMENT_mail_take, STORE_ANY, "ti", engine->owner, (int64_t)MAIL_AT_ONCE);
	store_submit_write(take, mail_on_taken, engine);
}

void hints_poll(struct engine *engine)
{
	if (engine->mail_asked || engine->closing || engine->draining)
		return;
	engine->mail_asked = true;
	struct store_tx *tx = store_tx_new(engine->options.store, STR(""));
	store_tx_add(tx, STATEMENT_mail_waiting, STORE_ANY, "t", engine->owner);
	store_submit_read(tx, mail_on_looked, engine);
}
