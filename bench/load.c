/*
 * load: runs of so many durable effects with so many in flight, on a store of any kind. One line of JSON, as the peers' programs print it.
 *
 *     build/bench/load --store URL [--flight N] [--runs N] [--steps N] [--root bench/root]
 *
 * Each effect's outcome is on disk before the next one begins; here an effect also writes a record and its history.
 */
#include "base/crypto.h"
#include "base/log.h"
#include "cli/host.h"
#include "cli/invoke.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TENANT "bench"
#define NUMBER_MOST 10000000

struct load {
	struct host host;
	size_t runs, started, ended, failed, flight;
	int64_t steps;
	const char *phase;
	int64_t salt;
	double *took_ms;
	bool done;
};

static void start_next(struct load *l);

static void
on_done(void *arg, const struct invocation_end *end)
{
	struct load *l = arg;
	l->took_ms[l->ended++] = (double)end->took_us / 1e3;
	if ((end->code || strcmp(end->status, "succeeded") != 0) && l->failed++ == 0) {
		struct str message = json_member_str(end->error, "message");
		fprintf(stderr, "load: a run ended %s: %s %.*s\n", end->status, end->text, STR_ARG(message));
	}
	if (l->started < l->runs)
		start_next(l);
	l->done = l->ended == l->runs;
}

static void
start_next(struct load *l)
{
	json_t *input = json_object();
	char id[96];
	snprintf(id, sizeof id, "%s-%lld-%zu", l->phase, (long long)l->salt, l->started++);
	json_put_text(input, "id", id);
	json_put_int(input, "count", l->steps);
	struct run_request request = { .tenant = STR(TENANT), .agent = "bench", .capability = "effects", .input = input };
	invocation_start(&l->host, &request, false, on_done, l);
	json_decref(input);
}

/* Seconds for `runs` of them. */
static double
drive(struct load *l, const char *phase, size_t runs)
{
	l->phase = phase;
	l->runs = runs;
	l->started = l->ended = 0;
	l->done = false;
	l->took_ms = mem_array(runs, sizeof *l->took_ms);
	int64_t began = clock_monotonic_us();
	for (size_t i = 0; i < l->flight && i < runs; i++)
		start_next(l);
	host_wait(&l->host, &l->done);
	return (double)(clock_monotonic_us() - began) / 1e6;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Commits so far: the histogram's count. */
static double
commits(struct load *l)
{
	static const char name[] = "\nperigee_commit_seconds_count ";
	struct buf text;
	buf_init(&text, 4u << 20);
	metrics_write(l->host.metrics, &text);
	const char *at = strstr(buf_text(&text), name);
	double count = at ? strtod(at + sizeof name - 1, NULL) : 0;
	buf_free(&text);
	return count;
}

static int
measure(struct load *l, size_t runs)
{
	size_t warm = l->flight < 20 ? 20 : l->flight;
	l->salt = clock_now_us(&clock_system);
	drive(l, "warm", warm < runs ? warm : runs);
	free(l->took_ms);
	double before = commits(l), seconds = drive(l, "run", runs), effects = (double)runs * (double)l->steps;
	qsort(l->took_ms, runs, sizeof *l->took_ms, compare);
	printf("{\"runs\":%zu,\"steps\":%.0f,\"seconds\":%.6f,\"per_second\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"commits_per_step\":%.4f}\n", runs, effects, seconds,
	       effects / seconds, l->took_ms[runs / 2], l->took_ms[runs * 99 / 100], (commits(l) - before) / effects);
	free(l->took_ms);
	return l->failed ? EXIT_FAILED : EXIT_DONE;
}

static int
run(const struct command *command, int argc, char **argv)
{
	static struct load l;
	const char *flight = "1", *runs = "200", *steps = "10", *root = "bench/root", *store = NULL;
	struct settings settings;
	struct errbuf e;
	struct words words;
	const struct option options[] = {
		{ "--store", "URL", "where runs are kept (a temporary SQLite folder)", &store, NULL, NULL },
		{ "--flight", "N", "runs in flight (1)", &flight, NULL, NULL },
		{ "--runs", "N", "runs (200)", &runs, NULL, NULL },
		{ "--steps", "N", "durable effects a run (10)", &steps, NULL, NULL },
		{ "--root", "DIR", "the bench agents (bench/root)", &root, NULL, NULL },
		{ 0 },
	};
	int64_t flight_n, runs_n;
	int code = options_parse(command, options, NULL, argc, argv, 0, 0, &words);
	if (code >= 0)
		return code;
	if (!str_to_int(str_of(flight), 1, NUMBER_MOST, &flight_n) || !str_to_int(str_of(runs), 1, NUMBER_MOST, &runs_n) ||
	    !str_to_int(str_of(steps), 1, NUMBER_MOST, &l.steps))
		return cli_fail(EXIT_USAGE, "--flight, --runs and --steps are numbers from 1 on");
	if (settings_read(NULL, NULL, &settings, &e))
		return cli_fail(EXIT_NO_HOST, "%s", e.text);
	if (store) {
		free(settings.store);
		settings.store = mem_copy(str_of(store));
	}
	settings.limit_runs_per_tenant = NUMBER_MOST;
	settings.cell_wall_ms = 30000;
	l.flight = (size_t)flight_n;
	struct host_options host = { .settings = &settings, .scratch = !store };
	if (host_open(&host, &l.host, &e) || host_load(&l.host, TENANT, root, NULL, &e))
		return cli_fail(EXIT_NO_HOST, "%s", e.text);
	code = measure(&l, (size_t)runs_n);
	host_end(&settings, &l.host);
	return code;
}

int
main(int argc, char **argv)
{
	static const struct command load = { "load", "[OPTIONS]", "Runs of durable effects, so many in flight", NULL, run };
	signal(SIGPIPE, SIG_IGN);
	log_setup(STDERR_FILENO, LOG_TEXT, LOG_ERROR);
	if (crypto_setup())
		return EXIT_NO_HOST;
	return load.run(&load, argc, argv);
}
