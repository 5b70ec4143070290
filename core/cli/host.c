#include "cli/host.h"

#include "base/log.h"
#include "net/http_client.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define METRIC_SERIES_MAX 2000
/* A spec file is many runs in one. */
#define SPEC_CPU_MS 20000
#define SPEC_WALL_MS 60000
/* Specs start here, always: a test that passes today passes tomorrow. 2026-01-05T09:00:00Z, a Monday morning. */
#define VIRTUAL_START_US INT64_C(1767603600000000)

/* -- temporary folders ------------------------------------------------------------------------------------------------ */

char *
scratch_make(struct errbuf *e)
{
	const char *base = getenv("TMPDIR");
	struct buf path;

	buf_init(&path, 4096);
	buf_addf(&path, "%s/perigee-XXXXXX", base && *base ? base : "/tmp");
	char *folder = buf_take(&path);
	if (!mkdtemp(folder)) {
		err_set(e, ERR_UNAVAILABLE, "no temporary folder in %s: %s; set TMPDIR", base && *base ? base : "/tmp", strerror(errno));
		free(folder);
		return NULL;
	}
	return folder;
}

static int
remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

void
scratch_remove(const char *folder)
{
	if (folder)
		nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* -- parts ------------------------------------------------------------------------------------------------------------ */

/* Chance from a seed (SplitMix64): specs draw the same numbers each time. */
static void
seeded_fill(void *context, void *p, size_t n)
{
	uint64_t *state = context;
	unsigned char *at = p;
	for (size_t i = 0; i < n; i += 8) {
		uint64_t z = (*state += 0x9e3779b97f4a7c15u);
		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
		z ^= z >> 31;
		memcpy(at + i, &z, n - i < 8 ? n - i : 8);
	}
}

static int
setup_sources(struct host *h, struct errbuf *e)
{
	(void)e;
	h->clock = clock_system;
	h->rng = rng_system;
	if (h->options.virtual_time) {
		h->manual.now_us = VIRTUAL_START_US;
		h->clock = clock_manual_source(&h->manual);
		h->rng = (struct rng){ seeded_fill, &h->seed };
	}
	h->metrics = metrics_new(METRIC_SERIES_MAX);
	return 0;
}

static void
teardown_sources(struct host *h)
{
	metrics_free(h->metrics);
}

static int
setup_loop(struct host *h, struct errbuf *e)
{
	h->loop = loop_new();
	return h->loop ? 0 : err_set(e, ERR_UNAVAILABLE, "the event loop does not start");
}

static void
teardown_loop(struct host *h)
{
	loop_free(h->loop);
}

static int
setup_scratch(struct host *h, struct errbuf *e)
{
	struct buf url;
	if (!h->options.scratch) {
		h->store_url = mem_copy(str_of(h->settings->store));
		return 0;
	}
	if (!(h->scratch_folder = scratch_make(e)))
		return ERR_UNAVAILABLE;
	buf_init(&url, 4200);
	buf_addf(&url, "sqlite:%s", h->scratch_folder);
	h->store_url = buf_take(&url);
	return 0;
}

static void
teardown_scratch(struct host *h)
{
	scratch_remove(h->scratch_folder);
	free(h->scratch_folder);
	free(h->store_url);
}

static int
setup_store(struct host *h, struct errbuf *e)
{
	struct store_options options = {
		.url = h->store_url, .loop = h->loop, .metrics = h->metrics, .clock = &h->clock,
		.create = !h->options.read_only, .read_only = h->options.read_only, .lease_ms = (int)h->settings->lease_ms,
	};
	int code = store_open(&options, &h->store, e);
	if (code) {
		char *shown = settings_url_shown(h->store_url);
		err_wrap(e, code, "store %s", shown);
		free(shown);
	}
	return code;
}

static void
teardown_store(struct host *h)
{
	store_close(h->store);
}

static int
setup_http(struct host *h, struct errbuf *e)
{
	struct http_client_options options = { .loop = h->loop, .egress = h->settings->egress };
	return h->options.without_engine ? 0 : http_client_new(&options, &h->http, e);
}

static void
teardown_http(struct host *h)
{
	http_client_free(h->http);
}

static int
setup_bus(struct host *h, struct errbuf *e)
{
	const struct settings *s = h->settings;
	if (!h->options.serves)
		return 0;
	struct bus_options options = {
		.loop = h->loop, .store = h->store, .metrics = h->metrics, .rng = &h->rng, .redis_url = s->redis, .stream_length = s->events_stream_length,
	};
	return bus_new(&options, &h->bus, e);
}

static void
teardown_bus(struct host *h)
{
	bus_free(h->bus);
}

static void
host_on_hint(void *arg, struct str text)
{
	struct host *h = arg;
	engine_hint_received(h->engine, text);
}

static int
setup_engine(struct host *h, struct errbuf *e)
{
	const struct settings *s = h->settings;
	if (h->options.without_engine)
		return 0;
	struct engine_options options = {
		.loop = h->loop, .store = h->store, .metrics = h->metrics, .clock = &h->clock, .rng = &h->rng,
		.virtual_time = h->options.virtual_time ? &h->manual : NULL,
		.http = h->http, .cell_program = s->cell_program,
		.cell_memory_bytes = h->options.roomy ? 4 * s->cell_memory_bytes : s->cell_memory_bytes,
		.cell_cpu_ms = h->options.roomy ? SPEC_CPU_MS : s->cell_cpu_ms,
		.cell_wall_ms = h->options.roomy ? SPEC_WALL_MS : s->cell_wall_ms,
		.resident_max = (size_t)s->cell_resident,
		.keeps_schedules = h->options.serves,
		.children_max = s->limit_children,
		.runs_per_tenant_max = s->limit_runs_per_tenant, .workers = (size_t)s->workers, .retention = s->retention,
	};
	if (h->bus) {
		options.send_hint = bus_send_hint;
		options.send_hint_arg = h->bus;
	}
	int code = engine_new(&options, &h->engine, e);
	if (code == 0 && h->bus) {
		bus_on_hints(h->bus, host_on_hint, h);
		bus_attach(h->bus, h->engine);
	}
	return code;
}

static void
teardown_engine(struct host *h)
{
	engine_free(h->engine);
}

static const struct part {
	const char *name;
	int (*setup)(struct host *h, struct errbuf *e);
	void (*teardown)(struct host *h);
} parts[] = {
	{ "sources", setup_sources, teardown_sources },
	{ "loop", setup_loop, teardown_loop },
	{ "folder", setup_scratch, teardown_scratch },
	{ "store", setup_store, teardown_store },
	{ "http", setup_http, teardown_http },
	{ "bus", setup_bus, teardown_bus },
	{ "engine", setup_engine, teardown_engine },
};
#define PARTS (sizeof parts / sizeof *parts)

int
host_open(const struct host_options *options, struct host *out, struct errbuf *e)
{
	*out = (struct host){ .settings = options->settings, .options = *options };
	for (; out->ready < PARTS; out->ready++) {
		int code = parts[out->ready].setup(out, e);
		if (code) {
			if (parts[out->ready].setup == setup_scratch)
				teardown_scratch(out);
			host_close(out);
			return code;
		}
	}
	return 0;
}

void
host_close(struct host *host)
{
	while (host->ready > 0)
		parts[--host->ready].teardown(host);
	*host = (struct host){ 0 };
}

int
host_begin(const char *config, const struct setting_flags *flags, struct host_options options, struct settings *settings, struct host *host)
{
	struct errbuf e = { "" };
	enum log_level level = LOG_WARN;
	int code = settings_read(config, flags, settings, &e);
	if (code) {
		settings_free(settings);
		return cli_fail(code == ERR_UNAVAILABLE ? EXIT_NO_HOST : EXIT_USAGE, "%s", e.text);
	}
	/* A command's own output is what matters: it says less than a server unless asked to. */
	bool asked = strcmp(settings_origin(settings, "log.level"), "PERIGEE_LOG_LEVEL") == 0;
	if (asked && !log_level_parse(str_of(settings->log_level), &level))
		level = LOG_WARN;
	log_setup(STDERR_FILENO, style_of(STDERR_FILENO).is_terminal ? LOG_COLOUR : LOG_TEXT, level);
	options.settings = settings;
	code = host_open(&options, host, &e);
	if (code) {
		settings_free(settings);
		return cli_fail(EXIT_NO_HOST, "%s", e.text);
	}
	return -1;
}

void
host_end(struct settings *settings, struct host *host)
{
	host_close(host);
	settings_free(settings);
}

void
host_wait(struct host *host, const bool *done)
{
	while (!*done)
		loop_run_once(host->loop);
}

/* -- bundles ---------------------------------------------------------------------------------------------------------- */

struct loading {
	bool done;
	int code;
	json_t *report;
};

static void
loading_on_loaded(void *arg, int code, const json_t *manifest, const json_t *report, const char *digest)
{
	struct loading *l = arg;
	(void)manifest;
	(void)digest;
	l->code = code;
	l->report = report ? json_incref((json_t *)(uintptr_t)report) : NULL;
	l->done = true;
}

int
host_load(struct host *host, const char *tenant, const char *root, json_t **report, struct errbuf *e)
{
	struct bundle *bundle = NULL;
	struct loading loading = { 0 };

	if (report)
		*report = NULL;
	if (!store_tenant_exists(host->store, str_of(tenant))) {
		int made = store_tenant_create(host->store, str_of(tenant), tenant, e);
		if (made)
			return err_wrap(e, made, "tenant %s", tenant);
	}
	int code = bundle_collect(root, tenant, &bundle, e);
	if (code)
		return code;
	engine_load_bundle(loading_on_loaded, &loading, host->engine, str_of(tenant), bundle);
	host_wait(host, &loading.done);
	if (loading.code) {
		struct str message = json_member_str(loading.report, "message"), file = json_member_str(loading.report, "file");
		err_set(e, loading.code, "the bundle of %s does not load: %.*s%s%.*s (perigee check lists every error)", root, STR_ARG(file),
		        file.n ? ": " : "", STR_ARG(message));
	}
	if (report && loading.code)
		*report = loading.report;
	else
		json_decref(loading.report);
	return loading.code;
}

static void
write_fault(const json_t *fault, const char *root, struct buf *out)
{
	struct str file = json_member_str(fault, "file"), message = json_member_str(fault, "message");
	int64_t line = json_member_int(fault, "line", 0);

	if (file.n && strcmp(root, ".") != 0)
		buf_addf(out, "%s/", root);
	buf_addf(out, "%.*s", STR_ARG(file));
	if (file.n && line > 0)
		buf_addf(out, ":%lld", (long long)line);
	buf_addf(out, "%s%.*s\n", file.n ? ": " : "", STR_ARG(message));
}

void
host_write_report(const json_t *report, const char *root, struct buf *out)
{
	const json_t *errors = json_member(report, "errors");
	if (!json_array_size(errors)) {
		write_fault(report, root, out);
		return;
	}
	for (size_t i = 0; i < json_array_size(errors); i++)
		write_fault(json_array_get(errors, i), root, out);
}
