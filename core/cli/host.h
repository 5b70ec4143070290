/*
 * A host in this process: loop, store, engine, as every command needs them that runs scripts or reads data. Parts are set up in the
 * order of one list (host.c) and torn down in the reverse. The master of `perigee serve` has none: each of its workers does.
 */
#pragma once

#include "base/clock.h"
#include "base/metrics.h"
#include "cli/settings.h"
#include "net/loop.h"
#include "run/bus.h"
#include "run/engine.h"
#include "store/store.h"

struct host_options {
	const struct settings *settings;
	bool scratch;               /* a store in a temporary folder that goes with the host */
	bool virtual_time;          /* a clock that stands until everything waits, and chance from a seed: `perigee test` */
	bool without_engine;        /* data only */
	bool read_only;             /* the store: fails where there is none, and nothing is made or migrated */
	bool serves;                /* fires schedules, starts dead hand-offs again when asked */
	bool roomy;                 /* cells may take longer and more: specs are many runs in one */
};

struct host {
	const struct settings *settings;
	struct host_options options;
	struct loop *loop;
	struct metrics *metrics;
	struct clock clock;
	struct clock_manual manual;
	struct rng rng;
	uint64_t seed;
	char *scratch_folder;
	char *store_url;
	struct store *store;
	struct http_client *http;
	struct bus *bus;            /* NULL unless it serves */
	struct engine *engine;
	size_t ready;               /* parts that are set up */
};

/* Set up what the options ask for. On failure everything is torn down again. */
MUST_CHECK int host_open(const struct host_options *options, struct host *out, struct errbuf *e);
void host_close(struct host *host);
/* Both, as a command begins: read the settings (into *settings), then open. What goes wrong is told on standard error. Returns -1 to go on, else the exit code,
 * and then there is nothing to end. */
MUST_CHECK int host_begin(const char *config, const struct setting_flags *flags, struct host_options options, struct settings *settings, struct host *host);
void host_end(struct settings *settings, struct host *host);

/* Make the tenant where it is missing and put the bundle of `root` live for it; waits. On a broken bundle ERR_INVALID, and *report (may be NULL; new reference)
 * holds {file, line, message, errors}. */
MUST_CHECK int host_load(struct host *host, const char *tenant, const char *root, json_t **report, struct errbuf *e);
/* "scripts/agents/sales.lua:3: unexpected symbol" for each error of a report. */
void host_write_report(const json_t *report, const char *root, struct buf *out);

/* A temporary folder for data, owned; NULL with e. */
char *scratch_make(struct errbuf *e);
void scratch_remove(const char *folder);   /* with everything in it; NULL is nothing */

/* Run the loop until *done. */
void host_wait(struct host *host, const bool *done);
