/* perigee runs: the list, one run, its journal and its log. */
#include "cli/commands.h"
#include "cli/data.h"
#include "cli/names.h"
#include "cli/session.h"
#include "store/runs.h"

#include <stdlib.h>
#include <string.h>

static const struct column run_columns[] = {
	{ "id", 't', true }, { "agent", 't', true }, { "capability", 't', true }, { "status", 't', true }, { "input", 'j', false },
	{ "output", 'j', false }, { "error", 'j', false }, { "bundle", 't', false }, { "created_at", 'm', true }, { "started_at", 'm', false },
	{ "ended_at", 'm', true }, { "parent", 't', false }, { "cost_nanos", 'i', false }, { "tokens", 'i', false }, { "cpu_us", 'i', true },
	{ "subject", 't', true }, { "forked_from", 'j', false }, { "retry_of", 't', false }, { "continued_from", 't', false },
	{ "continued_as", 't', false }, { 0 },
};
static const struct column journal_columns[] = {
	{ "index", 'i', true }, { "effect", 'i', true }, { "name", 't', true }, { "digest", 't', false }, { "at", 'm', true },
	{ "outcome", 'j', true }, { 0 },
};
static const struct column log_columns[] = {
	{ "n", 'i', false }, { "index", 'i', false }, { "at", 'm', true }, { "level", 't', true }, { "message", 't', true },
	{ "fields", 'j', true }, { 0 },
};

struct filters {
	const char *agent, *capability, *status, *subject, *waiting_for;
	bool json, journal, log;
	int64_t limit;
};

static int
list_runs(struct host *host, const char *tenant, const struct filters *f)
{
	struct store_tx *tx = store_tx_new(host->store, str_of(tenant));
	if (f->waiting_for)
		store_tx_add(tx, STATEMENT_run_list_waiting_for, STORE_ANY, "itittttt", INT64_MAX, "~", f->limit, f->agent, f->capability, f->status,
		             f->subject, f->waiting_for);
	else
		store_tx_add(tx, STATEMENT_run_list, STORE_ANY, "ititttt", INT64_MAX, "~", f->limit, f->agent, f->capability, f->status, f->subject);
	json_t *rows = data_read(tx, run_columns);
	if (!rows)
		return EXIT_NO_HOST;
	int code = f->agent && json_array_size(rows) == 0 ? names_need_agent(host, tenant, f->agent) : -1;
	if (code < 0)
		return data_print_list(rows, run_columns, f->json);
	json_decref(rows);
	return code;
}

/* What it waits for: kinds. */
static int
add_waits(struct host *host, const char *tenant, const char *id, json_t *run)
{
	struct errbuf e = { "" };
	struct store_tx *tx = store_tx_new(host->store, str_of(tenant));
	size_t op = runs_tx_waits(tx, str_of(id));
	int code = store_read_now(tx, &e);
	if (code)
		cli_fail(EXIT_NO_HOST, "cannot read the store: %s", e.text);
	else if (str_is(json_member_str(run, "status"), "waiting"))
		json_put(run, "waiting_for", runs_waits_json(store_tx_result(tx, op)));
	store_tx_free(tx);
	return code;
}

static int
show_run(struct host *host, const char *tenant, const char *id, const struct filters *f)
{
	struct store_tx *tx = store_tx_new(host->store, str_of(tenant));
	store_tx_add(tx, STATEMENT_run_get, STORE_ANY, "t", id);
	json_t *rows = data_read(tx, run_columns);
	if (!rows)
		return EXIT_NO_HOST;
	if (json_array_size(rows) == 0) {
		json_decref(rows);
		return cli_fail(EXIT_FAILED, "tenant %s has no run %s: perigee runs lists them", tenant, id);
	}
	json_t *run = json_incref(json_array_get(rows, 0));
	json_decref(rows);
	if (!f->journal && !f->log) {
		if (add_waits(host, tenant, id, run) == 0)
			return data_print_one(run, f->json);
		json_decref(run);
		return EXIT_NO_HOST;
	}

	const struct column *columns = f->journal ? journal_columns : log_columns;
	tx = store_tx_new(host->store, str_of(tenant));
	store_tx_add(tx, f->journal ? STATEMENT_journal_list : STATEMENT_run_log_list, STORE_ANY, "tii", id, (int64_t)-1, (int64_t)1000000);
	rows = data_read(tx, columns);
	if (!rows) {
		json_decref(run);
		return EXIT_NO_HOST;
	}
	if (!f->journal || !f->json) {
		json_decref(run);
		return data_print_list(rows, columns, f->json);
	}
	/* The whole journal as `perigee replay FILE` reads it. */
	json_t *whole = json_object();
	json_put(whole, "run", run);
	json_put(whole, "outcomes", rows);
	return data_print_one(whole, true);
}

/* `perigee runs retry RUN`: here, to its end. */
static int
retry_run(const char *config, const struct setting_flags *flags, const char *tenant, const char *id, const char *bundle)
{
	struct settings settings;
	struct session session = { 0 };
	struct errbuf e;
	int code = host_begin(config, flags, (struct host_options){ 0 }, &settings, &session.host);
	if (code >= 0)
		return code;
	code = names_need_tenant(&session.host, tenant);
	if (code < 0 && (code = host_load(&session.host, tenant, bundle ? bundle : settings.root, NULL, &e)))
		code = cli_fail(code == ERR_STORE ? EXIT_NO_HOST : EXIT_FAILED, "%s", e.text);
	else if (code == 0) {
		session_watch(&session);
		code = session_wait(&session, invocation_retry(&session.host, str_of(tenant), str_of(id), str_of(bundle ? "live" : ""), false,
		                                               session_on_done, &session));
	}
	session_print(&session);
	host_end(&settings, &session.host);
	return code;
}

static bool
is_status(const char *text)
{
	static const char *const known[] = { "queued", "running", "waiting", "succeeded", "failed", "cancelled", "stuck" };
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcmp(text, known[i]) == 0)
			return true;
	return false;
}

static bool
is_kind(const char *text)
{
	static const char *const known[] = { "timer", "signal", "approval", "child", "outcome" };
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcmp(text, known[i]) == 0)
			return true;
	return false;
}

static int
run(const struct command *command, int argc, char **argv)
{
	const char *config = NULL, *tenant = TENANT_OTHERWISE, *limit = NULL, *bundle = NULL;
	struct filters f = { 0 };
	struct setting_flags flags = { 0 };
	struct words words;
	const struct option options[] = {
		{ "--agent", "NAME", "only runs of this agent", &f.agent, NULL, NULL },
		{ "--capability", "NAME", "only runs of this capability", &f.capability, NULL, NULL },
		{ "--status", "STATUS", "queued, running, waiting, succeeded, failed, cancelled or stuck", &f.status, NULL, NULL },
		{ "--waiting-for", "KIND", "timer, signal, approval, child or outcome", &f.waiting_for, NULL, NULL },
		{ "--subject", "ID", "only runs about this (a deal)", &f.subject, NULL, NULL },
		{ "--limit", "N", "at most so many, newest first (50)", &limit, NULL, NULL },
		{ "--journal", NULL, "with RUN: its outcomes in order", NULL, &f.journal, NULL },
		{ "--log", NULL, "with RUN: what it logged", NULL, &f.log, NULL },
		{ "--json", NULL, "for machines", NULL, &f.json, NULL },
		{ "--bundle", "PATH", "with retry: go on with the scripts of this root also where RUN is stuck", &bundle, NULL, NULL },
		OPTION_TENANT(tenant), OPTION_CONFIG(config), OPTION_ROOT, OPTION_STORE, { 0 },
	};
	int code = options_parse(command, options, &flags, argc, argv, 0, 2, &words);
	if (code >= 0)
		return code;
	bool retry = words.count && strcmp(words.items[0], "retry") == 0;
	if (retry && words.count == 2)
		return retry_run(config, &flags, tenant, words.items[1], bundle);
	if (retry || words.count == 2)
		return cli_fail(EXIT_USAGE, retry ? "which run? perigee runs retry RUN" : "one run at a time: perigee runs RUN");
	if ((f.limit = data_limit(limit)) < 0)
		return EXIT_USAGE;
	if (f.status && !is_status(f.status))
		return cli_fail(EXIT_USAGE, "no status %s; known: queued, running, waiting, succeeded, failed, cancelled, stuck", f.status);
	if (f.waiting_for && !is_kind(f.waiting_for))
		return cli_fail(EXIT_USAGE, "no kind of wait %s; known: timer, signal, approval, child, outcome", f.waiting_for);
	if ((f.journal || f.log) && words.count == 0)
		return cli_fail(EXIT_USAGE, "--journal and --log go with a run: perigee runs RUN --journal");

	struct settings settings;
	struct host host;
	code = host_begin(config, &flags, (struct host_options){ .without_engine = true, .read_only = true }, &settings, &host);
	if (code >= 0)
		return code;
	code = names_need_tenant(&host, tenant);
	if (code < 0)
		code = words.count ? show_run(&host, tenant, words.items[0], &f) : list_runs(&host, tenant, &f);
	host_end(&settings, &host);
	return code;
}

const struct command command_runs = {
	"runs", "[RUN] [OPTIONS] | retry RUN", "List runs, show one with its journal and its log, or try one again",
	"`perigee runs retry RUN`: what is stuck goes on from its journal; what failed or was cancelled begins anew, with the scripts of today.\n"
	"`perigee runs RUN --journal --json` prints what `perigee replay FILE` reads.", run,
};
