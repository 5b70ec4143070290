/*
 * bench: what the host does in a second, and what it costs. One measure per line: value (median of the rounds), target, verdict.
 *
 *     build/bench/bench [--rounds N] [--only NAME] [--root bench/root] [--calls FILE]
 *
 * Everything is real: cells, journal, SQLite with synchronous=FULL in a temporary folder (TMPDIR says on which disk).
 */
#include "base/crypto.h"
#include "base/log.h"
#include "cli/host.h"
#include "cli/invoke.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS_MOST 99
#define TENANT "bench"
#define REST_US 300000            /* a host is measured at rest after this */

struct bench {
	struct settings settings;
	const char *root, *sales_root, *calls, *only;
	size_t rounds;
	bool missed;
};

/* -- runs in flight --------------------------------------------------------------------------------------------------- */

struct load {
	struct host *host;
	const char *capability;
	size_t total, started, ended, failed, flight;
	int64_t count;            /* effects a run */
	unsigned round;
	bool done;
	int64_t took_us;          /* of the last run */
	char last[64];
};

static void start_next(struct load *l);

static void
load_on_done(void *arg, const struct invocation_end *end)
{
	struct load *l = arg;
	l->ended++;
	l->took_us = end->took_us;
	snprintf(l->last, sizeof l->last, "%s", end->run ? end->run : "");
	if (end->code || strcmp(end->status, "succeeded") != 0) {
		struct str message = json_member_str(end->error, "message");
		if (l->failed++ == 0)
			fprintf(stderr, "bench: a run of %s ended %s: %s%.*s\n", l->capability, end->status, end->text, STR_ARG(message));
	}
	if (l->started < l->total)
		start_next(l);
	l->done = l->ended == l->total;
}

static void
start_next(struct load *l)
{
	json_t *input = json_object();
	char id[64];
	if (l->count) {
		snprintf(id, sizeof id, "%u-%zu", l->round, l->started);
		json_put_text(input, "id", id);
		json_put_int(input, "count", l->count);
	}
	l->started++;
	struct run_request request = { .tenant = STR(TENANT), .agent = "bench", .capability = l->capability, .input = input };
	invocation_start(l->host, &request, false, load_on_done, l);
	json_decref(input);
}

/* Seconds for all of them. */
static double
drive(struct load *l)
{
	int64_t began = clock_monotonic_us();
	for (size_t i = 0; i < l->flight && i < l->total; i++)
		start_next(l);
	host_wait(l->host, &l->done);
	return (double)(clock_monotonic_us() - began) / 1e6;
}

/* -- medians ---------------------------------------------------------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double
median(double *values, size_t n)
{
	qsort(values, n, sizeof *values, compare);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static void
tell(struct bench *b, const char *what, double value, const char *unit, double target, bool at_least)
{
	bool met = at_least ? value >= target : value <= target;
	printf("%-52s %10.*f %-8s target %s %-7g %s\n", what, value < 100 ? 2 : 0, value, unit, at_least ? "≥" : "≤", target, met ? "met" : "MISSED");
	fflush(stdout);
	b->missed |= !met;
}

static bool
open_host(struct bench *b, struct host *host, const char *root)
{
	struct errbuf e;
	struct host_options options = { .settings = &b->settings, .scratch = true };
	if (host_open(&options, host, &e) || host_load(host, TENANT, root, NULL, &e)) {
		fprintf(stderr, "bench: %s\n", e.text);
		exit(EXIT_NO_HOST);
	}
	return true;
}

/* -- measures --------------------------------------------------------------------------------------------------------- */

static void
measure_load(struct bench *b, const char *what, const char *capability, size_t total, size_t flight, int64_t count, double per_run, double target)
{
	double values[ROUNDS_MOST];
	struct host host;
	open_host(b, &host, b->root);
	for (size_t i = 0; i <= b->rounds; i++) {     /* the first warms up */
		struct load l = { .host = &host, .capability = capability, .total = total, .flight = flight, .count = count, .round = (unsigned)i };
		double seconds = drive(&l);
		if (i > 0)
			values[i - 1] = (double)(total - l.failed) * per_run / seconds;
	}
	tell(b, what, median(values, b->rounds), "/s", target, true);
	host_close(&host);
}

static void
measure_trivial(struct bench *b)
{
	measure_load(b, "trivial activations, 64 in flight", "trivial", 2000, 64, 0, 1, 1800);
}

static void
measure_effects(struct bench *b)
{
	measure_load(b, "durable effects, 256 runs in flight", "effects", 1024, 256, 20, 20, 8000);
}

static void
measure_alone(struct bench *b)
{
	double values[ROUNDS_MOST];
	struct host host;
	open_host(b, &host, b->root);
	for (size_t i = 0; i <= b->rounds; i++) {
		struct load l = { .host = &host, .capability = "effects", .total = 1, .flight = 1, .count = 10, .round = (unsigned)i };
		double seconds = drive(&l);
		if (i > 0)
			values[i - 1] = seconds * 1e3;
	}
	tell(b, "one run of ten durable effects, alone", median(values, b->rounds), "ms", 15, false);
	host_close(&host);
}

static void
replay_on_done(void *arg, int code, const json_t *result, const char *text)
{
	bool *done = arg;
	if (code || !str_is(json_member_str(result, "status"), "same"))
		fprintf(stderr, "bench: the replay is not the same: %s\n", text);
	*done = true;
}

static json_t *
read_journal(struct host *host, const char *run)
{
	struct errbuf e;
	struct store_tx *tx = store_tx_new(host->store, STR(TENANT));
	store_tx_add(tx, STATEMENT_run_get, STORE_MUST, "t", run);
	store_tx_add(tx, STATEMENT_journal_list, STORE_ANY, "tii", run, (int64_t)-1, (int64_t)1000000);
	if (store_read_now(tx, &e)) {
		fprintf(stderr, "bench: %s\n", e.text);
		exit(EXIT_FAILED);
	}
	const struct store_result *r = store_tx_result(tx, 0), *rows = store_tx_result(tx, 1);
	json_t *journal = json_object(), *head = json_object(), *outcomes = json_array();
	json_put_text(head, "id", run);
	json_put_str(head, "agent", store_text(r, 0, 1));
	json_put_str(head, "capability", store_text(r, 0, 2));
	json_put(head, "input", json_read(store_text(r, 0, 4), SIZE_MAX, &(int){ 0 }, NULL));
	json_put(head, "created_at", json_new_time(store_int(r, 0, 8)));
	for (size_t i = 0; i < rows->rows; i++) {
		json_t *row = json_object();
		json_put_int(row, "index", store_int(rows, i, 0));
		json_put_int(row, "effect", store_int(rows, i, 1));
		json_put_str(row, "name", store_text(rows, i, 2));
		json_put_str(row, "digest", store_text(rows, i, 3));
		json_put(row, "outcome", json_read(store_text(rows, i, 5), SIZE_MAX, &(int){ 0 }, NULL));
		json_array_append_new(outcomes, row);
	}
	json_put(journal, "run", head);
	json_put(journal, "outcomes", outcomes);
	store_tx_free(tx);
	return journal;
}

static void
measure_replay(struct bench *b)
{
	double values[ROUNDS_MOST];
	struct host host;
	open_host(b, &host, b->root);
	struct load l = { .host = &host, .capability = "reads", .total = 1, .flight = 1, .count = 1000 };
	drive(&l);
	json_t *journal = read_journal(&host, l.last);
	for (size_t i = 0; i <= b->rounds; i++) {
		bool done = false;
		int64_t began = clock_monotonic_us();
		engine_replay(host.engine, STR(TENANT), journal, replay_on_done, &done);
		host_wait(&host, &done);
		if (i > 0)
			values[i - 1] = (double)(clock_monotonic_us() - began) / 1e3;
	}
	tell(b, "replay of a journal of 1,000 outcomes", median(values, b->rounds), "ms", 25, false);
	json_decref(journal);
	host_close(&host);
}

/* -- memory: what /proc says ------------------------------------------------------------------------------------------ */

static long
read_proc_kb(pid_t pid, const char *file, const char *const *names)
{
	char path[64], line[256];
	long total = 0;
	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		for (const char *const *name = names; *name; name++)
			if (strncmp(line, *name, strlen(*name)) == 0)
				total += strtol(line + strlen(*name), NULL, 10);
	if (f)
		fclose(f);
	return total;
}

static const char *const private_names[] = { "Private_Clean:", "Private_Dirty:", NULL };
static const char *const rss_names[] = { "VmRSS:", NULL };

static pid_t
parent_of(pid_t pid)
{
	return (pid_t)read_proc_kb(pid, "status", (const char *[]){ "PPid:", NULL });
}

/* Processes below `top`, into pids; how many. */
static size_t
descendants(pid_t top, pid_t *pids, size_t most)
{
	size_t n = 0;
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	while (proc && (entry = readdir(proc)) && n < most) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10), at = pid;
		for (int depth = 0; at > 1 && depth < 6; depth++) {
			at = parent_of(at);
			if (at == top) {
				pids[n++] = pid;
				break;
			}
		}
	}
	if (proc)
		closedir(proc);
	return n;
}

static void
measure_waiting(struct bench *b)
{
	enum { CELLS = 100 };
	double values[CELLS * 2];
	pid_t pids[CELLS * 2];
	struct host host;
	open_host(b, &host, b->root);
	size_t before = descendants(getpid(), pids, CELLS * 2);
	struct load l = { .host = &host, .capability = "waiting", .total = CELLS, .flight = CELLS };
	for (size_t i = 0; i < CELLS; i++)
		start_next(&l);
	int64_t deadline = clock_monotonic_us() + 5000000;
	while (engine_counts(host.engine).waiting < CELLS && clock_monotonic_us() < deadline)
		loop_run_once(host.loop);
	size_t n = descendants(getpid(), pids, CELLS * 2), cells = 0;
	for (size_t i = 0; i < n; i++) {
		/* zygote and stem are heavier than any cell: drop as many of the heaviest as were there before */
		values[cells++] = (double)read_proc_kb(pids[i], "smaps_rollup", private_names);
	}
	qsort(values, cells, sizeof *values, compare);
	cells = cells > before + 1 ? cells - before - 1 : 0;
	if (cells)
		tell(b, "private memory of a waiting cell", median(values, cells), "KB", 200, false);
	else
		fprintf(stderr, "bench: no waiting cell found\n");
	host_close(&host);
	/* Their invocations end with the process: nothing waits for them any more. */
}

/* -- a host at rest --------------------------------------------------------------------------------------------------- */

static pid_t
spawn_host(const char *program, const char *root, const char *store, int *out)
{
	int pipes[2];
	if (pipe2(pipes, O_CLOEXEC))
		exit(EXIT_NO_HOST);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(pipes[1], STDOUT_FILENO);
		execl(program, "perigee", "dev", "--root", root, "--store", store, "--listen", "127.0.0.1:0", (char *)NULL);
		_exit(127);
	}
	close(pipes[1]);
	*out = pipes[0];
	return pid;
}

static void
measure_rest(struct bench *b)
{
	double ready[ROUNDS_MOST], worker[ROUNDS_MOST], all[ROUNDS_MOST];
	char program[4200];
	char *folder = path_folder(b->settings.cell_program);
	snprintf(program, sizeof program, "%s/perigee", folder);
	free(folder);
	for (size_t i = 0; i < b->rounds; i++) {
		struct errbuf e;
		char *scratch = scratch_make(&e), store[4200], text[4096];
		int out, status;
		size_t n = 0;
		snprintf(store, sizeof store, "sqlite:%s", scratch);
		int64_t began = clock_monotonic_us();
		pid_t pid = spawn_host(program, b->root, store, &out);
		memset(text, 0, sizeof text);
		while (!strstr(text, "listening on ") && n < sizeof text - 1) {
			ssize_t got = read(out, text + n, sizeof text - 1 - n);
			if (got <= 0)
				break;
			n += (size_t)got;
		}
		ready[i] = (double)(clock_monotonic_us() - began) / 1e3;
		pid_t pids[64];
		usleep(REST_US);
		size_t count = descendants(pid, pids, 64);
		double heaviest = 0, sum = (double)read_proc_kb(pid, "smaps_rollup", private_names);
		for (size_t k = 0; k < count; k++) {
			double rss = (double)read_proc_kb(pids[k], "status", rss_names);
			heaviest = parent_of(pids[k]) == pid && rss > heaviest ? rss : heaviest;
			sum += (double)read_proc_kb(pids[k], "smaps_rollup", private_names);
		}
		worker[i] = heaviest / 1024;
		all[i] = sum / 1024;
		kill(pid, SIGTERM);
		waitpid(pid, &status, 0);
		close(out);
		scratch_remove(scratch);
		free(scratch);
	}
	tell(b, "ready after exec (first start: store and key made)", median(ready, b->rounds), "ms", 150, false);
	tell(b, "host at rest: resident, worker", median(worker, b->rounds), "MB", 15, false);
	tell(b, "host at rest: private, all processes together", median(all, b->rounds), "MB", 15, false);
}

/* -- reading a call --------------------------------------------------------------------------------------------------- */

struct reading {
	bool done;
	char run[64];
	bool succeeded;
};

static void
reading_on_done(void *arg, const struct invocation_end *end)
{
	struct reading *r = arg;
	r->done = true;
	r->succeeded = end->code == 0 && strcmp(end->status, "succeeded") == 0;
	snprintf(r->run, sizeof r->run, "%s", end->run);
	if (!r->succeeded)
		fprintf(stderr, "bench: qualify ended %s: %s\n", end->status, end->text);
}

/* CPU of the cell, as the run's row has it, in ms; below 0 when it failed. */
static double
qualify(struct host *host, const json_t *input)
{
	struct reading r = { 0 };
	struct errbuf e;
	struct run_request request = { .tenant = STR(TENANT), .agent = "sales", .capability = "qualify", .input = (json_t *)(uintptr_t)input };
	invocation_start(host, &request, false, reading_on_done, &r);
	host_wait(host, &r.done);
	if (!r.succeeded)
		return -1;
	struct store_tx *tx = store_tx_new(host->store, STR(TENANT));
	store_tx_add(tx, STATEMENT_run_get, STORE_MUST, "t", r.run);
	double ms = store_read_now(tx, &e) ? -1 : (double)store_int(store_tx_result(tx, 0), 0, 14) / 1e3;
	store_tx_free(tx);
	return ms;
}

/* {"title"?, "text"|"transcript"|"body": …} as an input of qualify, under a deal of its own. New reference. */
static json_t *
input_of_call(const json_t *call, unsigned round, size_t index)
{
	static const char *const names[] = { "text", "transcript", "body", "content", NULL };
	struct str text = json_is_string(call) ? json_str(call) : (struct str){ 0 };
	char deal[64];
	for (const char *const *name = names; *name && !text.n; name++)
		text = json_member_str(call, *name);
	if (!text.n)
		return NULL;
	json_t *input = json_object(), *conversation = json_object();
	snprintf(deal, sizeof deal, "call-%u-%zu", round, index);
	json_put_text(input, "deal", deal);
	json_put_text(conversation, "form", "transcript");
	json_put_str(conversation, "text", text);
	json_put(input, "conversation", conversation);
	return input;
}

static void
measure_calls(struct bench *b)
{
	double values[ROUNDS_MOST * 16];
	size_t n = 0, index;
	struct buf text;
	struct errbuf e;
	int code;
	json_t *calls = NULL, *call;
	struct host host;

	if (!b->calls || access(b->calls, R_OK) != 0 || cli_read_file(b->calls, 16u << 20, &text, &e)) {
		printf("%-52s (no calls: give --calls FILE)\n", "reading one call into scorecards");
		return;
	}
	calls = json_read(buf_str(&text), 16u << 20, &code, &e);
	buf_free(&text);
	if (json_is_object(calls) && json_is_array(json_member(calls, "calls"))) {
		json_t *inner = json_incref(json_object_get(calls, "calls"));
		json_decref(calls);
		calls = inner;
	}
	if (json_is_object(json_member(calls, "conversation"))) {    /* the input of an example */
		json_t *one = json_array();
		json_array_append(one, json_object_get(calls, "conversation"));
		json_decref(calls);
		calls = one;
	}
	open_host(b, &host, b->sales_root);
	for (unsigned round = 0; round <= b->rounds; round++) {
		json_array_foreach(calls, index, call) {
			json_t *input = input_of_call(call, round, index);
			double ms = input && n < sizeof values / sizeof *values ? qualify(&host, input) : -1;
			if (round > 0 && ms >= 0)
				values[n++] = ms;
			json_decref(input);
		}
	}
	if (n)
		tell(b, "CPU to read one call into scorecards", median(values, n), "ms", 20, false);
	else
		printf("%-52s no call could be read\n", "CPU to read one call into scorecards");
	json_decref(calls);
	host_close(&host);
}

static const struct measure {
	const char *name;
	void (*run)(struct bench *b);
} measures[] = {
	{ "trivial", measure_trivial }, { "effects", measure_effects }, { "alone", measure_alone }, { "replay", measure_replay },
	{ "rest", measure_rest }, { "calls", measure_calls },
	{ "waiting", measure_waiting },     /* last: it leaves runs that nobody waits for */
};

static int
run(const struct command *command, int argc, char **argv)
{
	struct bench b = { .root = "bench/root", .sales_root = ".", .rounds = 5 };
	const char *rounds = NULL;
	struct errbuf e;
	struct words words;
	const struct option options[] = {
		{ "--rounds", "N", "take the median of so many (5)", &rounds, NULL, NULL },
		{ "--only", "NAME", "trivial, effects, alone, replay, rest, calls or waiting", &b.only, NULL, NULL },
		{ "--root", "DIR", "the bench agents (bench/root)", &b.root, NULL, NULL },
		{ "--sales-root", "DIR", "the sales agent (.)", &b.sales_root, NULL, NULL },
		{ "--calls", "FILE", "an array of call transcripts", &b.calls, NULL, NULL },
		{ 0 },
	};
	int64_t n = 5;
	int code = options_parse(command, options, NULL, argc, argv, 0, 0, &words);
	if (code >= 0)
		return code;
	if (rounds && !str_to_int(str_of(rounds), 1, ROUNDS_MOST, &n))
		return cli_fail(EXIT_USAGE, "--rounds is a number from 1 to %d", ROUNDS_MOST);
	b.rounds = (size_t)n;
	if (settings_read(NULL, NULL, &b.settings, &e))
		return cli_fail(EXIT_NO_HOST, "%s", e.text);
	b.settings.limit_runs_per_tenant = 1000000;
	b.settings.cell_wall_ms = 30000;
	bool any = false;
	for (size_t i = 0; i < sizeof measures / sizeof *measures; i++) {
		if (b.only && strcmp(b.only, measures[i].name) != 0)
			continue;
		any = true;
		measures[i].run(&b);
	}
	if (!any)
		code = cli_fail(EXIT_USAGE, "no measure '%s': bench --help lists them", b.only);
	settings_free(&b.settings);
	return any ? (b.missed ? EXIT_FAILED : EXIT_DONE) : code;
}

int
main(int argc, char **argv)
{
	static const struct command bench = { "bench", "[OPTIONS]", "Measure this host against its targets", NULL, run };
	signal(SIGPIPE, SIG_IGN);
	log_setup(STDERR_FILENO, LOG_TEXT, LOG_ERROR);
	if (crypto_setup())
		return EXIT_NO_HOST;
	return bench.run(&bench, argc, argv);
}
