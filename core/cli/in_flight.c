/*
 * Every unfinished run of a store against another bundle.
 *
 *     a page of runs → their journals and waits, many in one read → a cell each, many at once → what differs, with both sides
 *
 * The store is only read, and nothing of it stays in memory but what is being replayed.
 */
#include "cli/in_flight.h"

#include "cli/cli.h"
#include "cli/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_RUNS 500
#define BATCH_RUNS 64            /* journals in one read, and replays side by side */
#define BATCH_OUTCOMES 20000     /* or fewer runs, where journals are long */
#define SHOWN_BYTES 300
#define PROGRESS_US 1000000

/* Columns of unfinished_page, journal_load and waits_of_run. */
static const struct column run_columns[] = {
	{ "id", 't', false }, { "agent", 't', false }, { "capability", 't', false }, { "bundle", 't', false }, { "status", 't', false },
	{ "input", 'j', false }, { "spec", 'j', false }, { "created_at", 'i', false }, { "journal_length", 'i', false },
	{ "forked_from", 'j', false }, { 0 },
};
static const struct column journal_columns[] = {
	{ "index", 'i', false }, { "effect", 'i', false }, { "name", 't', false }, { "digest", 't', false }, { "outcome", 'j', false }, { 0 },
};

struct survey {
	struct host *from, *scratch;
	const struct in_flight *options;
	size_t checked, same, under_way;
	bool batch_done;
	json_t *differing;
	struct style style;
	int64_t told_us;
	int code;
};

struct one {
	struct survey *survey;
	json_t *journal;
};

/* -- what comes out --------------------------------------------------------------------------------------------------- */

static void
keep_difference(struct survey *s, const json_t *run, const json_t *result)
{
	static const char *const members[] = { "status", "index", "expected", "actual", "error" };
	json_t *item = json_object();
	json_put_str(item, "run", json_member_str(run, "id"));
	json_put_str(item, "agent", json_member_str(run, "agent"));
	json_put_str(item, "capability", json_member_str(run, "capability"));
	json_put_str(item, "bundle", json_member_str(run, "bundle"));
	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		if (json_member(result, members[i]) && !json_is_null(json_member(result, members[i])))
			json_put(item, members[i], json_incref((json_t *)(uintptr_t)json_member(result, members[i])));
	json_array_append_new(s->differing, item);
}

static void
one_on_done(void *arg, int code, const json_t *result, const char *text)
{
	struct one *one = arg;
	struct survey *s = one->survey;
	struct str status = json_member_str(result, "status");
	s->checked++;
	if (code) {
		json_t *refused = json_object();
		json_put_text(refused, "status", "failed");
		json_put_text(refused, "error", text);
		keep_difference(s, json_member(one->journal, "run"), refused);
		json_decref(refused);
	} else if (str_is(status, "same") || str_is(status, "incomplete")) {
		s->same++;
	} else {
		keep_difference(s, json_member(one->journal, "run"), result);
	}
	json_decref(one->journal);
	free(one);
	s->batch_done = --s->under_way == 0;
}

static void
tell_progress(struct survey *s)
{
	int64_t now = clock_monotonic_us();
	if (now - s->told_us < PROGRESS_US)
		return;
	s->told_us = now;
	fprintf(stderr, "%zu runs checked, %zu differ\n", s->checked, json_array_size(s->differing));
}

/* -- reading ---------------------------------------------------------------------------------------------------------- */

/* {effect, name, digest} of what each wait was issued as. */
static json_t *
waits_of(const struct store_result *r)
{
	json_t *waits = json_array();
	for (size_t i = 0; i < r->rows; i++) {
		json_t *detail = json_read(store_text(r, i, 5), SIZE_MAX, NULL, NULL), *wait = json_object();
		json_put_int(wait, "effect", store_int(r, i, 0));
		json_put_str(wait, "name", json_member_str(detail, "effect"));
		json_put_str(wait, "digest", json_member_str(detail, "digest"));
		json_array_append_new(waits, wait);
		json_decref(detail);
	}
	return waits;
}

static void
begin_one(struct survey *s, json_t *run, const struct store_result *journal, const struct store_result *waits)
{
	struct one *one = mem_alloc(sizeof *one);
	one->survey = s;
	one->journal = json_object();
	json_put(one->journal, "run", json_incref(run));
	json_put(one->journal, "outcomes", data_rows(journal, journal_columns));
	json_put(one->journal, "waits", waits_of(waits));
	s->under_way++;
	engine_replay(s->scratch->engine, str_of(s->options->tenant), one->journal, one_on_done, one);
}

/* How many runs from `first` on go into one read. */
static size_t
batch_of(const json_t *runs, size_t first)
{
	size_t n = 0;
	int64_t outcomes = 0;
	while (first + n < json_array_size(runs) && n < BATCH_RUNS) {
		outcomes += json_member_int(json_array_get(runs, first + n), "journal_length", 0);
		if (n > 0 && outcomes > BATCH_OUTCOMES)
			break;
		n++;
	}
	return n;
}

static int
check_batch(struct survey *s, const json_t *runs, size_t first, size_t n)
{
	struct errbuf e = { "" };
	struct store_tx *tx = store_tx_new(s->from->store, str_of(s->options->tenant));
	for (size_t i = first; i < first + n; i++) {
		struct str id = json_member_str(json_array_get(runs, i), "id");
		store_tx_add(tx, STATEMENT_journal_load, STORE_ANY, "s", id);
		store_tx_add(tx, STATEMENT_waits_of_run, STORE_ANY, "s", id);
	}
	if (store_read_now(tx, &e)) {
		store_tx_free(tx);
		return cli_fail(EXIT_NO_HOST, "cannot read the store: %s", e.text);
	}
	s->batch_done = false;
	for (size_t i = 0; i < n; i++)
		begin_one(s, json_array_get(runs, first + i), store_tx_result(tx, 2 * i), store_tx_result(tx, 2 * i + 1));
	store_tx_free(tx);
	host_wait(s->scratch, &s->batch_done);
	tell_progress(s);
	return 0;
}

/* The next page; its last id goes into *after. Returns how many, or -1 after telling why. */
static int
check_page(struct survey *s, char **after)
{
	struct store_tx *tx = store_tx_new(s->from->store, str_of(s->options->tenant));
	store_tx_add(tx, STATEMENT_unfinished_page, STORE_ANY, "ti", *after, (int64_t)PAGE_RUNS);
	json_t *runs = data_read(tx, run_columns);
	size_t count = json_array_size(runs);
	s->code = runs ? 0 : EXIT_NO_HOST;
	for (size_t at = 0; s->code == 0 && at < count;) {
		size_t n = batch_of(runs, at);
		s->code = check_batch(s, runs, at, n);
		at += n;
	}
	if (count) {
		free(*after);
		*after = mem_copy(json_member_str(json_array_get(runs, count - 1), "id"));
	}
	json_decref(runs);
	return s->code ? -1 : (int)count;
}

/* -- printing --------------------------------------------------------------------------------------------------------- */

static void
add_side(struct buf *out, const char *mark, const char *colour, const json_t *side, const struct style *style)
{
	size_t before = out->n;
	if (!side)
		return;
	buf_addf(out, "  %s%s ", colour, mark);
	json_write(out, side);
	if (out->n - before > SHOWN_BYTES) {
		size_t n = before + SHOWN_BYTES;
		while (n > before && ((unsigned char)out->p[n] & 0xc0) == 0x80)
			n--;
		out->n = n;
		buf_add_text(out, "…");
	}
	buf_addf(out, "%s\n", style->off);
}

static void
print_differences(const struct survey *s)
{
	struct buf out;
	size_t i;
	json_t *item;
	buf_init(&out, 256u << 20);
	json_array_foreach(s->differing, i, item) {
		const json_t *expected = json_member(item, "expected"), *actual = json_member(item, "actual");
		struct str run = json_member_str(item, "run"), agent = json_member_str(item, "agent"), capability = json_member_str(item, "capability");
		struct str name = json_member_str(expected, "name");
		buf_addf(&out, "%s%.*s%s %.*s.%.*s: ", s->style.bold, STR_ARG(run), s->style.off, STR_ARG(agent), STR_ARG(capability));
		if (json_member(item, "index"))
			buf_addf(&out, "differs at outcome %lld, ", (long long)json_member_int(item, "index", 0));
		else
			buf_addf(&out, "%s", expected ? "differs at " : "would fail");
		if (expected)
			buf_addf(&out, "effect %lld, %.*s", (long long)json_member_int(expected, "effect", 0), STR_ARG(name));
		buf_add_char(&out, '\n');
		add_side(&out, "- recorded:", s->style.red, expected, &s->style);
		add_side(&out, "+ now:     ", s->style.green, actual ? actual : json_member(item, "error"), &s->style);
	}
	if (json_array_size(s->differing))
		buf_addf(&out, "%zu unfinished runs: %zu go on as they are, %zu do not\n", s->checked, s->same, json_array_size(s->differing));
	else
		buf_addf(&out, "%zu unfinished runs: all of them go on\n", s->checked);
	fflush(stdout);
	cli_write(STDOUT_FILENO, &out);
	buf_free(&out);
}

static void
print_json(const struct survey *s)
{
	json_t *all = json_object();
	json_put_int(all, "checked", (int64_t)s->checked);
	json_put_int(all, "same", (int64_t)s->same);
	json_put(all, "differing", json_incref(s->differing));
	data_print_one(all, true);
}

int
in_flight_check(struct host *from, struct host *scratch, const struct in_flight *options)
{
	struct survey s = {
		.from = from, .scratch = scratch, .options = options, .differing = json_array(), .style = style_of(STDOUT_FILENO),
		.told_us = clock_monotonic_us(),
	};
	char *after = mem_copy(STR(""));
	while (check_page(&s, &after) == PAGE_RUNS)
		;
	free(after);
	if (s.code == 0 && options->json)
		print_json(&s);
	else if (s.code == 0)
		print_differences(&s);
	if (s.code == 0 && json_array_size(s.differing))
		s.code = EXIT_FAILED;
	json_decref(s.differing);
	return s.code;
}
