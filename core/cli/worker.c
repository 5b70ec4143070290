#include "cli/worker.h"

#include "api/api.h"
#include "base/log.h"
#include "base/metrics_board.h"
#include "cli/examples.h"
#include "cli/host.h"
#include "cli/newcomer.h"
#include "net/file_watch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PUBLISH_US 1000000   /* the age of what other workers tell of this one */
#define AGAIN_LOOKS 5        /* looks between two tries at a tenant whose database was away */
#define LOOK_US 1000000      /* how long a tenant that was made beside us waits for its bundle */

struct worker {
	const struct worker_options *options;
	struct host host;
	struct api *api;
	struct file_watch *files;
	struct examples *examples;
	struct watch on_terminate, on_hangup;
	struct timer drain_timeout, look, publish;
	json_t *again;              /* names of those whose store failed meanwhile: every few looks they are tried again */
	unsigned looks;
	json_t *loaded;             /* names of the tenants whose bundle was asked for: a tenant made meanwhile is none of them */
	bool api_drained, engine_drained, draining;
	int code;
};

/* -- bundles ---------------------------------------------------------------------------------------------------------- */

static void
log_faults(const char *tenant, const json_t *report)
{
	struct buf text;
	buf_init(&text, 1 << 16);
	host_write_report(report, ".", &text);
	for (char *line = text.p, *end; line && *line; line = end + 1) {
		end = strchr(line, '\n');
		if (!end)
			break;
		*end = '\0';
		log_event(LOG_ERROR, "bundle.refused", "tenant", tenant, "error", line, "next", "the old bundle keeps serving; save again", NULL);
	}
	buf_free(&text);
}

struct reloading {
	struct worker *worker;
	char *tenant;
};

/* The store's fault is no fault of the scripts: try again. */
static void
note_load(struct worker *w, const char *tenant, int code)
{
	if (code == ERR_STORE || code == ERR_NOT_FOUND)
		json_put(w->again, tenant, json_true());
}

static void
worker_on_loaded(void *arg, int code, const json_t *manifest, const json_t *report, const char *digest)
{
	struct reloading *r = arg;
	(void)manifest;
	(void)digest;
	note_load(r->worker, r->tenant, code);
	if (code && report)
		log_faults(r->tenant, report);
	else if (code)
		log_event(LOG_ERROR, "bundle.refused", "tenant", r->tenant, "error", err_title(code), NULL);
	free(r->tenant);
	free(r);
}

static void
reload_tenant(struct worker *w, const char *tenant)
{
	struct bundle *bundle = NULL;
	struct errbuf e;

	json_put(w->loaded, tenant, json_true());
	if (bundle_collect(w->options->settings->root, tenant, &bundle, &e)) {
		log_event(LOG_ERROR, "bundle.refused", "tenant", tenant, "error", e.text, NULL);
		return;
	}
	struct reloading *r = mem_alloc(sizeof *r);
	r->worker = w;
	r->tenant = mem_copy(str_of(tenant));
	engine_load_bundle(worker_on_loaded, r, w->host.engine, str_of(tenant), bundle);
}

static void
worker_on_files_changed(void *arg)
{
	struct worker *w = arg;
	json_t *names = store_tenant_names(w->host.store), *name;
	size_t index;
	if (!w->draining)
		json_array_foreach(names, index, name)
			reload_tenant(w, json_string_value(name));
	json_decref(names);
}

/* A tenant that another process made (`perigee tenant create`) gets its bundle without being told about. */
static void
worker_on_look(void *arg)
{
	struct worker *w = arg;
	json_t *names = store_tenant_names(w->host.store), *name;
	size_t index;
	if (++w->looks % AGAIN_LOOKS == 0) {
		const char *tenant;
		json_t *value;
		json_object_foreach(w->again, tenant, value)
			json_object_del(w->loaded, tenant);
		json_object_clear(w->again);
	}
	if (!w->draining)
		json_array_foreach(names, index, name)
			if (!json_member(w->loaded, json_string_value(name)))
				reload_tenant(w, json_string_value(name));
	json_decref(names);
	timer_start_us(&w->look, LOOK_US);
}

/* Every tenant's bundle, before the first request. A broken one is told and the rest goes on: its author mends it and saves. */
static void
load_all(struct worker *w)
{
	json_t *names = store_tenant_names(w->host.store), *name;
	size_t index;
	json_array_foreach(names, index, name) {
		struct errbuf e = { "" };
		json_t *report = NULL;
		const char *tenant = json_string_value(name);
		json_put(w->loaded, tenant, json_true());
		int code = host_load(&w->host, tenant, w->options->settings->root, &report, &e);
		note_load(w, tenant, code);
		if (code) {
			if (report)
				log_faults(tenant, report);
			else
				log_event(LOG_ERROR, "bundle.refused", "tenant", tenant, "error", e.text, NULL);
		}
		json_decref(report);
	}
	json_decref(names);
}

/* -- the end ---------------------------------------------------------------------------------------------------------- */

static void
stop_when_drained(struct worker *w)
{
	if (w->api_drained && w->engine_drained)
		loop_stop(w->host.loop);
}

static void
worker_on_api_drained(void *arg)
{
	struct worker *w = arg;
	w->api_drained = true;
	stop_when_drained(w);
}

static void
worker_on_engine_drained(void *arg)
{
	struct worker *w = arg;
	w->engine_drained = true;
	stop_when_drained(w);
}

static void
worker_on_drain_timeout(void *arg)
{
	struct worker *w = arg;
	log_event(LOG_WARN, "worker.drain_timeout", "next", "what is left goes on when a host starts again", NULL);
	loop_stop(w->host.loop);
}

static void
begin_drain(struct worker *w)
{
	if (w->draining)
		return;
	w->draining = true;
	timer_start_us(&w->drain_timeout, w->options->settings->drain_timeout_ms * 1000);
	api_drain(w->api, worker_on_api_drained, w);
	engine_drain(w->host.engine, worker_on_engine_drained, w);
}

static void
worker_on_terminate(int signal, int what, void *arg)
{
	(void)signal;
	(void)what;
	begin_drain(arg);
}

static void
worker_on_hangup(int signal, int what, void *arg)
{
	(void)signal;
	(void)what;
	log_event(LOG_INFO, "scripts.reload", NULL);
	worker_on_files_changed(arg);
}

static void
worker_on_examples_done(void *arg, size_t runs, size_t failures)
{
	struct worker *w = arg;
	(void)runs;
	if (w->options->exit_after_examples) {
		w->code = failures ? EXIT_FAILED : EXIT_DONE;
		begin_drain(w);
	} else {
		char *example = examples_first(w->examples);
		newcomer_print_invitation(w->options->address, example);
		free(example);
	}
}

/* -- metrics ---------------------------------------------------------------------------------------------------------- */

static void
worker_on_publish(void *arg)
{
	struct worker *w = arg;
	engine_measure(w->host.engine);
	metrics_publish(w->host.metrics);
	timer_start_us(&w->publish, PUBLISH_US);
}

static int
setup_metrics(struct worker *w, struct errbuf *e)
{
	(void)e;
	metrics_join(w->host.metrics, w->options->board, w->options->board_slot);
	struct metric *workers = metric_declare(w->host.metrics, METRIC_GAUGE, "perigee_workers", "Worker processes of this host", NULL, NULL);
	metric_set(workers, 1, NULL);
	timer_init(&w->publish, w->host.loop, worker_on_publish, w);
	timer_start_us(&w->publish, PUBLISH_US);
	return 0;
}

static void
teardown_metrics(struct worker *w)
{
	metrics_publish(w->host.metrics); /* what it counted stays in the sum */
	timer_fini(&w->publish);
}

/* -- parts, set up in this order and torn down in the reverse --------------------------------------------------------- */

static int
setup_host(struct worker *w, struct errbuf *e)
{
	struct host_options options = { .settings = w->options->settings, .serves = true };
	return host_open(&options, &w->host, e);
}

static void
teardown_host(struct worker *w)
{
	host_close(&w->host);
}

/* Stopped for longer than its lease and started again: before anything else is done. */
static struct store *leased;

static void
worker_on_continue(int signal)
{
	(void)signal;
	if (leased && store_lease(leased) == STORE_LEASE_LOST)
		_exit(ENGINE_EXIT_FENCED);
}

static int
setup_signals(struct worker *w, struct errbuf *e)
{
	struct sigaction on_continue = { .sa_handler = worker_on_continue, .sa_flags = SA_RESTART };
	(void)e;
	leased = w->host.store;
	sigaction(SIGCONT, &on_continue, NULL);
	watch_signal_init(&w->on_terminate, w->host.loop, SIGTERM, worker_on_terminate, w);
	watch_signal_init(&w->on_hangup, w->host.loop, SIGHUP, worker_on_hangup, w);
	watch_start(&w->on_terminate);
	watch_start(&w->on_hangup);
	timer_init(&w->drain_timeout, w->host.loop, worker_on_drain_timeout, w);
	return 0;
}

static void
teardown_signals(struct worker *w)
{
	signal(SIGCONT, SIG_DFL);
	leased = NULL;
	timer_fini(&w->drain_timeout);
	watch_fini(&w->on_terminate);
	watch_fini(&w->on_hangup);
}

static void
worker_on_events(void *arg, const char *tenant)
{
	struct worker *w = arg;
	api_events_changed(w->api, tenant);
}

static int
setup_api(struct worker *w, struct errbuf *e)
{
	const struct settings *s = w->options->settings;
	struct http_limits limits = http_limits_default;
	limits.body_bytes = (size_t)s->limit_body_bytes;
	limits.connections = (size_t)s->limit_connections;
	struct api_options options = {
		.loop = w->host.loop, .store = w->host.store, .engine = w->host.engine, .metrics = w->host.metrics, .clock = &w->host.clock,
		.bus = w->host.bus, .rng = &w->host.rng, .limits = &limits, .version = PERIGEE_VERSION, .runs_per_tenant_max = s->limit_runs_per_tenant,
	};
	int code = api_new(&options, &w->api, e);
	if (code == 0)
		bus_on_events(w->host.bus, worker_on_events, w);
	return code;
}

static void
teardown_api(struct worker *w)
{
	bus_on_events(w->host.bus, NULL, NULL);
	api_free(w->api);
}

static int
setup_tenants(struct worker *w, struct errbuf *e)
{
	if (w->options->index != 0)
		return 0;
	return newcomer_provide(&w->host, w->options, e);
}

static int
setup_bundles(struct worker *w, struct errbuf *e)
{
	(void)e;
	w->loaded = json_object();
	w->again = json_object();
	timer_init(&w->look, w->host.loop, worker_on_look, w);
	load_all(w);
	timer_start_us(&w->look, LOOK_US);
	engine_recover(w->host.engine);
	return 0;
}

static void
teardown_bundles(struct worker *w)
{
	timer_fini(&w->look);
	json_decref(w->loaded);
	json_decref(w->again);
}

static int
setup_files(struct worker *w, struct errbuf *e)
{
	const char *root = w->options->settings->root;
	if (!w->options->dev || w->options->index != 0)
		return 0;
	char *scripts = path_join(root, "scripts"), *methodology = path_join(root, "methodology"), *tenants = path_join(root, "tenants");
	int code = file_watch_new(w->host.loop, (const char *[]){ scripts, methodology, tenants, NULL }, worker_on_files_changed, w, &w->files, e);
	free(scripts);
	free(methodology);
	free(tenants);
	if (code)
		log_event(LOG_WARN, "files.unwatched", "why", e->text, "next", "after a change: kill -HUP", NULL);
	return 0;
}

static void
teardown_files(struct worker *w)
{
	file_watch_free(w->files);
}

static int
setup_service(struct worker *w, struct errbuf *e)
{
	int code = api_accept(w->api, w->options->listen_fd, e);
	if (code)
		return code;
	api_set_started(w->api);
	if (w->options->index == 0 && w->options->first)
		newcomer_print_ready(w->options);
	if (write(w->options->ready_fd, "r", 1) != 1)
		return err_set(e, ERR_UNAVAILABLE, "the master is gone");
	return 0;
}

static int
setup_examples(struct worker *w, struct errbuf *e)
{
	if (!w->options->examples || w->options->index != 0 || !w->options->first)
		return 0;
	return examples_start(&w->host, w->options->examples, TENANT_OTHERWISE, worker_on_examples_done, w, &w->examples, e);
}

static void
teardown_examples(struct worker *w)
{
	examples_free(w->examples);
}

static const struct {
	int (*setup)(struct worker *w, struct errbuf *e);
	void (*teardown)(struct worker *w);   /* NULL: nothing to undo */
} parts[] = {
	{ setup_host, teardown_host },
	{ setup_signals, teardown_signals },
	{ setup_metrics, teardown_metrics },
	{ setup_api, teardown_api },
	{ setup_tenants, NULL },
	{ setup_bundles, teardown_bundles },
	{ setup_files, teardown_files },
	{ setup_service, NULL },
	{ setup_examples, teardown_examples },
};
#define PARTS (sizeof parts / sizeof *parts)

int
worker_main(const struct worker_options *options)
{
	struct worker w = { .options = options };
	struct errbuf e = { "" };
	size_t ready = 0;

	for (; ready < PARTS; ready++) {
		int code = parts[ready].setup(&w, &e);
		if (code) {
			w.code = cli_fail(cli_exit_code(code) == EXIT_FAILED ? EXIT_FAILED : EXIT_NO_HOST, "%s", e.text);
			break;
		}
	}
	if (ready == PARTS)
		loop_run(w.host.loop);
	while (ready > 0) {
		ready--;
		if (parts[ready].teardown)
			parts[ready].teardown(&w);
	}
	return w.code;
}
