/*
 * store [--url sqlite:FOLDER] [--effects N] [--flight N]: how fast the store alone takes the transactions of effects. Each is what
 * `records.put` costs: the run's row with its fence, a journal row, the record and its history. Runs of ten effects, so many in
 * flight, one tenant; a run's birth counts as time, not as an effect. Prints one line; the store is a fresh folder below TMPDIR
 * unless one is named.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/ids.h"
#include "store/records.h"

enum { EFFECTS_PER_RUN = 10, FLIGHT_MAX = 4096, RECORD_NOTES_BYTES = 200, OUTCOME_BYTES = 300 };

struct bench {
	struct store *store;
	struct loop *loop;
	int64_t wanted, begun;
	int in_flight;
	json_t *body;
	char outcome[OUTCOME_BYTES + 1];
};

struct slot {
	struct bench *bench;
	char run[UUID_TEXT_SIZE];
	int64_t effects;
};

static void slot_next(struct slot *slot);

static void slot_on_done(struct store_tx *tx, int code, void *arg)
{
	struct slot *slot = arg;

	if (code != 0) {
		fprintf(stderr, "%s\n", store_tx_error(tx));
		exit(1);
	}
	store_tx_free(tx);
	slot_next(slot);
}

static void add_birth(struct store_tx *tx, struct slot *slot, int64_t now_us)
{
	uuid_format(uuid_new(&clock_system, &rng_system), slot->run);
	store_tx_add(tx, STATEMENT_run_insert, STORE_MUST, "ttttsjtnninnisn", slot->run, "sales", "qualify", "bundle", STR("queued"), slot->bench->body,
	    "deal", now_us, (int64_t)0, STR("owner"));
}

static void add_effect(struct store_tx *tx, struct slot *slot, int64_t now_us)
{
	struct record_change change = { .kind = STR("deal"), .id = str_of(slot->run), .body = slot->bench->body, .run = str_of(slot->run), .at_us = now_us };
	struct record_plan plan = { slot->effects, slot->effects + 1 };

	store_tx_add(tx, STATEMENT_run_append, STORE_MUST, "tiii", slot->run, (int64_t)1, slot->effects + 1, now_us);
	store_tx_add(tx, STATEMENT_journal_insert, STORE_ANY, "tiittti", slot->run, slot->effects, slot->effects + 1, "records.put",
	    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", slot->bench->outcome, now_us);
	records_tx_change(tx, &change, &plan);
}

static void slot_next(struct slot *slot)
{
	struct bench *bench = slot->bench;
	int64_t now_us = clock_now_us(&clock_system);
	struct store_tx *tx;

	if (slot->effects == EFFECTS_PER_RUN)
		slot->run[0] = '\0';
	if (bench->begun >= bench->wanted) {
		if (--bench->in_flight == 0)
			loop_stop(bench->loop);
		return;
	}
	tx = store_tx_new(bench->store, STR("bench"));
	if (slot->run[0] == '\0') {
		slot->effects = 0;
		add_birth(tx, slot, now_us);
	} else {
		add_effect(tx, slot, now_us);
		slot->effects++;
		bench->begun++;
	}
	store_submit_write(tx, slot_on_done, slot);
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void run(struct bench *bench, int flight)
{
	static struct slot slots[FLIGHT_MAX];
	struct rusage before, after;
	double wall, n;
	int64_t began_us;

	getrusage(RUSAGE_SELF, &before);
	began_us = clock_monotonic_us();
	bench->in_flight = flight;
	for (int i = 0; i < flight; i++) {
		slots[i].bench = bench;
		slot_next(&slots[i]);
	}
	loop_run(bench->loop);
	wall = (double)(clock_monotonic_us() - began_us) / 1e6;
	getrusage(RUSAGE_SELF, &after);
	n = (double)bench->wanted;
	printf("store: %d in flight: %.0f effects/s; per effect %.1f us of wall, %.1f us of user and %.1f us of system time\n", flight, n / wall,
	    wall * 1e6 / n, (seconds(after.ru_utime) - seconds(before.ru_utime)) * 1e6 / n, (seconds(after.ru_stime) - seconds(before.ru_stime)) * 1e6 / n);
}

static int entry_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void bench_fill(struct bench *bench)
{
	char notes[RECORD_NOTES_BYTES + 1];

	memset(notes, 'x', RECORD_NOTES_BYTES);
	notes[RECORD_NOTES_BYTES] = '\0';
	bench->body = json_object();
	json_put_text(bench->body, "title", "A deal about something");
	json_put_text(bench->body, "stage", "negotiation");
	json_put_text(bench->body, "notes", notes);
	json_put_int(bench->body, "amount", 123456);
	memset(bench->outcome, 'y', OUTCOME_BYTES);
	bench->outcome[0] = bench->outcome[OUTCOME_BYTES - 1] = '"';
}

int main(int argc, char **argv)
{
	struct store_options options = { .clock = &clock_system, .create = true };
	struct bench bench = { .wanted = 100000 };
	char folder[256] = "", url[300];
	struct errbuf e = { "" };
	int flight = 256;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--url") == 0)
			options.url = argv[i + 1];
		else if (strcmp(argv[i], "--effects") == 0)
			bench.wanted = atoll(argv[i + 1]);
		else if (strcmp(argv[i], "--flight") == 0)
			flight = atoi(argv[i + 1]);
	}
	if (flight < 1 || flight > FLIGHT_MAX || bench.wanted < 1) {
		fprintf(stderr, "usage: store [--url sqlite:FOLDER] [--effects N] [--flight 1-%d]\n", FLIGHT_MAX);
		return 2;
	}
	if (options.url == NULL) {
		snprintf(folder, sizeof(folder), "%s/perigee-bench-XXXXXX", getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
		if (mkdtemp(folder) == NULL)
			return 3;
		snprintf(url, sizeof(url), "sqlite:%s", folder);
		options.url = url;
	}
	bench.loop = options.loop = loop_new();
	if (crypto_setup() != 0 || store_open(&options, &bench.store, &e) != 0 || store_tenant_create(bench.store, STR("bench"), "", &e) != 0) {
		fprintf(stderr, "%s\n", e.text);
		return 3;
	}
	bench_fill(&bench);
	run(&bench, flight);
	store_close(bench.store);
	loop_free(bench.loop);
	json_decref(bench.body);
	if (folder[0] != '\0')
		nftw(folder, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}
