/* perigee replay: does today's code do what the journal says? */
#include "cli/commands.h"
#include "cli/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JOURNAL_MAX (256u << 20)

/* Columns of run_load and journal_load. */
static const struct column run_columns[] = {
	{ "id", 't', false }, { "agent", 't', false }, { "capability", 't', false }, { "status", 't', false }, { "input", 'j', false },
	{ "output", 'j', false }, { "error", 'j', false }, { "bundle", 't', false }, { "created_at", 'm', false },
	{ "started_at", 'm', false }, { "ended_at", 'm', false }, { "parent", 't', false }, { "cost_nanos", 'i', false }, { "tokens", 'i', false },
	{ "cpu_us", 'i', false }, { "subject", 't', false }, { "forked_from", 'j', false }, { 0 },
};
static const struct column journal_columns[] = {
	{ "index", 'i', false }, { "effect", 'i', false }, { "name", 't', false }, { "digest", 't', false }, { "at", 'm', false },
	{ "outcome", 'j', false }, { 0 },
};

static json_t *
journal_of_run(struct host *host, const char *tenant, const char *id)
{
	struct store_tx *tx = store_tx_new(host->store, str_of(tenant));
	store_tx_add(tx, STATEMENT_run_get, STORE_ANY, "t", id);
	json_t *runs = data_read(tx, run_columns);
	if (!runs || json_array_size(runs) == 0) {
		if (runs)
			cli_fail(EXIT_FAILED, "tenant %s has no run %s: perigee runs lists them", tenant, id);
		json_decref(runs);
		return NULL;
	}
	tx = store_tx_new(host->store, str_of(tenant));
	store_tx_add(tx, STATEMENT_journal_list, STORE_ANY, "tii", id, (int64_t)-1, (int64_t)1000000);
	json_t *outcomes = data_read(tx, journal_columns);
	if (!outcomes) {
		json_decref(runs);
		return NULL;
	}
	json_t *journal = json_object();
	json_put(journal, "run", json_incref(json_array_get(runs, 0)));
	json_put(journal, "outcomes", outcomes);
	json_decref(runs);
	return journal;
}

/* NULL after telling why. */
static json_t *
read_document(const char *path)
{
	struct buf text;
	struct errbuf e;
	int code = cli_read_file(path, JOURNAL_MAX, &text, &e);
	if (code) {
		cli_fail(EXIT_USAGE, "%s", e.text);
		return NULL;
	}
	json_t *document = json_read(buf_str(&text), JOURNAL_MAX, &code, &e);
	buf_free(&text);
	if (!document)
		cli_fail(EXIT_USAGE, "%s: %s", path, e.text);
	return document;
}

/* Completes a journal that came over HTTP: `items` are its outcomes, and the run is an answer of its own. False: it is none. */
static bool
is_whole(json_t *journal, json_t *run)
{
	json_t *items = json_object_get(journal, "items");
	if (run)
		json_put(journal, "run", json_incref(run));
	if (json_is_array(items) && !json_member(journal, "outcomes"))
		json_put(journal, "outcomes", json_incref(items));
	return json_is_object(json_member(journal, "run")) && json_is_array(json_member(journal, "outcomes"));
}

/* With pages of more to come the journal would be taken for a run that stopped there. */
static bool
is_cut(const json_t *journal)
{
	const json_t *next = json_member(journal, "next_cursor");
	return next && !json_is_null(next);
}

static json_t *
journal_of_file(const char *path, const char *run_path)
{
	json_t *journal = read_document(path), *run = journal && run_path ? read_document(run_path) : NULL;
	if (!journal || (run_path && !run)) {
		json_decref(journal);
		return NULL;
	}
	bool whole = json_is_object(journal) && is_whole(journal, run);
	json_decref(run);
	if (whole && !is_cut(journal))
		return journal;
	if (whole)
		cli_fail(EXIT_USAGE, "%s is the first page of a journal: ask on with ?cursor= (and ?limit=200) and join the items", path);
	else
		cli_fail(EXIT_USAGE, "%s is no journal: it needs {run, outcomes} as perigee runs RUN --journal --json prints it, or the {items} of GET "
		         "/v1/runs/ID/journal and with them --run FILE, the answer of GET /v1/runs/ID", path);
	json_decref(journal);
	return NULL;
}

struct replaying {
	bool done;
	int code;
	json_t *result;
	char *text;
};

static void
replay_on_done(void *arg, int code, const json_t *result, const char *text)
{
	struct replaying *r = arg;
	r->code = code;
	r->result = result ? json_incref((json_t *)(uintptr_t)result) : NULL;
	r->text = mem_copy(str_of(text));
	r->done = true;
}

static void
print_side(const char *mark, const char *colour, const json_t *side, const struct style *style)
{
	struct buf out;
	buf_init(&out, 1 << 20);
	buf_addf(&out, "%s%s ", colour, mark);
	if (side && !json_is_null(side))
		json_write(&out, side);
	else
		buf_add_text(&out, "(nothing)");
	buf_addf(&out, "%s\n", style->off);
	cli_write(STDOUT_FILENO, &out);
	buf_free(&out);
}

/* A run that has not come to its end by itself: its script goes on where the journal stops, and rightly so. */
static bool
is_open(const json_t *journal)
{
	struct str status = json_member_str(json_member(journal, "run"), "status");
	return str_is(status, "queued") || str_is(status, "running") || str_is(status, "waiting") || str_is(status, "cancelled");
}

static int
print_result(const json_t *result, const json_t *journal, bool json)
{
	struct style style = style_of(STDOUT_FILENO);
	struct str status = json_member_str(result, "status");
	size_t outcomes = json_array_size(json_member(journal, "outcomes"));
	bool so_far = str_is(status, "incomplete") && is_open(journal), same = so_far || str_is(status, "same");

	if (json) {
		data_print_one(json_incref((json_t *)(uintptr_t)result), true);
	} else if (so_far) {
		printf("%ssame%s so far: %zu outcomes, every effect as recorded; the run had not ended\n", style.green, style.off, outcomes);
	} else if (same) {
		printf("%ssame%s: %zu outcomes, every effect as recorded\n", style.green, style.off, outcomes);
	} else {
		printf("%s%.*s%s at effect %lld of %zu outcomes:\n", style.red, STR_ARG(status), style.off,
		       (long long)json_member_int(result, "at", 0), outcomes);
		fflush(stdout);
		print_side("- recorded:", style.red, json_member(result, "expected"), &style);
		print_side("+ now:     ", style.green, json_member(result, "actual"), &style);
	}
	return same ? EXIT_DONE : EXIT_FAILED;
}

/* The journal that is asked for; NULL with *code after telling why. */
static json_t *
find_journal(const char *what, const char *run_path, const char *tenant, const char *config, const struct setting_flags *flags, int *code)
{
	struct settings settings;
	struct host host;
	*code = EXIT_USAGE;
	if (run_path || strchr(what, '/') || str_ends(str_of(what), ".json") || access(what, F_OK) == 0 || strcmp(what, "-") == 0)
		return journal_of_file(what, run_path);
	*code = host_begin(config, flags, (struct host_options){ .without_engine = true, .read_only = true }, &settings, &host);
	if (*code >= 0)
		return NULL;
	*code = EXIT_FAILED;
	json_t *journal = journal_of_run(&host, tenant, what);
	host_end(&settings, &host);
	return journal;
}

static int
replay(struct host *host, const char *tenant, const json_t *journal, const char *root, bool json)
{
	struct errbuf e;
	struct replaying r = { 0 };
	int code = host_load(host, tenant, root, NULL, &e);
	if (code)
		return cli_fail(EXIT_FAILED, "%s", e.text);
	engine_replay(host->engine, str_of(tenant), journal, replay_on_done, &r);
	host_wait(host, &r.done);
	if (r.code)
		code = cli_fail(cli_exit_code(r.code), "replay: %s", *r.text ? r.text : err_title(r.code));
	else
		code = print_result(r.result, journal, json);
	free(r.text);
	json_decref(r.result);
	return code;
}

static int
run(const struct command *command, int argc, char **argv)
{
	const char *config = NULL, *tenant = TENANT_OTHERWISE, *bundle = NULL, *run_path = NULL;
	bool json = false;
	struct setting_flags flags = { 0 };
	struct words words;
	const struct option options[] = {
		{ "--run", "FILE", "with FILE: its run, where it holds only the outcomes", &run_path, NULL, NULL },
		{ "--bundle", "PATH", "replay against the scripts of this root", &bundle, NULL, NULL },
		{ "--json", NULL, "for machines", NULL, &json, NULL },
		OPTION_TENANT(tenant), OPTION_CONFIG(config), OPTION_ROOT, OPTION_STORE, { 0 },
	};
	int code = options_parse(command, options, &flags, argc, argv, 1, 1, &words);
	if (code >= 0)
		return code;

	struct settings settings;
	struct host host;
	json_t *journal = find_journal(words.items[0], run_path, tenant, config, &flags, &code);
	if (!journal)
		return code;
	code = host_begin(config, &flags, (struct host_options){ .scratch = true }, &settings, &host);
	if (code < 0) {
		code = replay(&host, tenant, journal, bundle ? bundle : settings.root, json);
		host_end(&settings, &host);
	}
	json_decref(journal);
	return code;
}

const struct command command_replay = {
	"replay", "RUN|FILE [OPTIONS]", "Replay a journal against today's scripts; exit 1 and a diff where they differ",
	"Nothing is stored and no effect is performed: the script gets the recorded outcomes in the recorded order.\n"
	"A run that has not ended is the same so far, exit 0. A FILE comes from perigee runs RUN --journal --json, or over HTTP:\n"
	"  GET /v1/runs/ID/journal?limit=200 > journal.json   GET /v1/runs/ID > run.json   perigee replay journal.json --run run.json", run,
};
