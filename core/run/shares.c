/*
 * What each tenant may have: weight, cells, unfinished runs. The platform's table says so; it is read every two seconds, and a tenant without a row of its own
 * there has the operator's settings. A limit of cells holds over all live workers, each of which takes an equal part, at least one.
 */
#include "run/run_internal.h"

#include "base/log.h"

#define READ_US 2000000
#define COUNT_US 100000           /* the age of a count that still holds, where counting is dear */
#define COUNT_DEAR 10000          /* runs: more take milliseconds to count */
#define COUNT_MOST INT64_C(1000000)

static void tenant_apply(struct engine *engine, struct tenant *tenant)
{
	size_t workers = engine->workers_alive ? engine->workers_alive : 1, share = 0;
	if (tenant->concurrency > 0) {
		share = (size_t)tenant->concurrency / workers;
		share = share ? share : 1;
	}
	queue_set_limits(&engine->queue, tenant, tenant->weight, share);
}

static void shares_on_read(struct store_tx *tx, int code, void *arg)
{
	struct engine *engine = arg;
	const struct store_result *r = store_tx_result(tx, 0);
	engine->shares_reading = false;
	if (code) {
		log_event(LOG_WARN, "tenants.limits", "error", store_tx_error(tx), "next", "the last ones stay in force", NULL);
		store_tx_free(tx);
		return;
	}
	for (struct tenant *tenant = engine->tenants; tenant; tenant = tenant->hh.next) {
		tenant->weight = WEIGHT_OTHERWISE;
		tenant->concurrency = tenant->runs_most = 0;
	}
	for (size_t i = 0; i < r->rows; i++) {
		struct tenant *tenant = engine_tenant(engine, store_text(r, i, 0));
		if (!tenant)
			continue;
		tenant->weight = store_int(r, i, 1);
		tenant->concurrency = store_int(r, i, 2);
		tenant->runs_most = store_int(r, i, 3);
	}
	for (struct tenant *tenant = engine->tenants; tenant; tenant = tenant->hh.next)
		tenant_apply(engine, tenant);
	store_tx_free(tx);
	engine_schedule(engine);
}

void shares_read(struct engine *engine)
{
	int64_t now = clock_monotonic_us();
	if (engine->shares_reading || (engine->shares_read_us && now - engine->shares_read_us < READ_US))
		return;
	engine->shares_reading = true;
	engine->shares_read_us = now;
	struct store_tx *tx = store_tx_new(engine->options.store, STR(""));
	store_tx_add(tx, STATEMENT_tenant_limits, STORE_ANY, "");
	store_submit_read(tx, shares_on_read, engine);
}

int64_t tenant_runs_most(const struct engine *engine, const struct tenant *tenant)
{
	return tenant->runs_most ? tenant->runs_most : engine->options.runs_per_tenant_max;
}

/* ---- unfinished runs, of all workers ---- */

bool tenant_wants_count(const struct engine *engine, const struct tenant *tenant)
{
	int64_t most = tenant_runs_most(engine, tenant), known = (int64_t)tenant_unfinished(tenant);
	bool alone = engine->workers_alive <= 1 && tenant->elsewhere == 0;
	if (alone || !most || known * 2 + 16 * (int64_t)engine->workers_alive < most)
		return false;
	return most <= COUNT_DEAR || clock_monotonic_us() - tenant->counted_us > COUNT_US;
}

void tenant_count_add(const struct engine *engine, const struct tenant *tenant, struct store_tx *tx)
{
	int64_t most = tenant_runs_most(engine, tenant);
	store_tx_add(tx, STATEMENT_runs_unfinished, STORE_ANY, "i", most && most < COUNT_MOST ? most + 1 : COUNT_MOST);
}

void tenant_counted(struct tenant *tenant, const struct store_result *r)
{
	size_t all = (size_t)store_int(r, 0, 0);
	tenant->elsewhere = all > tenant->runs ? all - tenant->runs : 0;
	tenant->counted_us = clock_monotonic_us();
}

/* ---- metrics ---- */

void shares_declare(struct engine *engine)
{
	struct metrics *m = engine->options.metrics;
	const char *const labels[] = { "tenant", NULL };
	engine->queue_length = metric_declare(m, METRIC_GAUGE, "perigee_tenant_queue_length", "Runs that are to be started, in the workers' queues", labels, NULL);
	engine->tenant_active = metric_declare(m, METRIC_GAUGE, "perigee_tenant_active", "Cells of the tenant that compute", labels, NULL);
	engine->tenant_backlog = metric_declare(m, METRIC_GAUGE, "perigee_tenant_backlog",
	                                        "Runs in the store that no worker has claimed yet (counted to 10,000)", labels, NULL);
	engine->tenant_weight = metric_declare(m, METRIC_GAUGE, "perigee_tenant_weight", "Part of the cells that the tenant gets when all want some", labels, NULL);
	engine->tenant_concurrency = metric_declare(m, METRIC_GAUGE, "perigee_tenant_concurrency",
	                                            "Computing cells that the tenant may have, over all workers; 0: no limit", labels, NULL);
	metric_combine(engine->tenant_backlog, COMBINE_MOST);
	metric_combine(engine->tenant_weight, COMBINE_MOST);
	metric_combine(engine->tenant_concurrency, COMBINE_MOST);
}

/* By the difference to what was said last: what several tenants share ("other") is their sum. */
static void tell(struct metric *metric, const char *tenant, size_t now, size_t *told)
{
	if (now != *told || now == 0)
		metric_add(metric, (double)now - (double)*told, (const char *[]){ tenant });
	*told = now;
}

void engine_measure(struct engine *engine)
{
	struct metrics *m = engine->options.metrics;
	for (struct tenant *tenant = engine->tenants; tenant; tenant = tenant->hh.next) {
		tell(engine->queue_length, tenant->name, tenant->queue.count, &tenant->told_queued);
		tell(engine->tenant_active, tenant->name, tenant->queue.computing, &tenant->told_computing);
		tell(engine->tenant_backlog, tenant->name, tenant->backlog, &tenant->told_backlog);
		if (!metrics_shows_tenant(m, tenant->name))
			continue;
		metric_set(engine->tenant_weight, (double)tenant->weight, (const char *[]){ tenant->name });
		metric_set(engine->tenant_concurrency, (double)tenant->concurrency, (const char *[]){ tenant->name });
	}
}
