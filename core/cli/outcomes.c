/* perigee outcomes: effects that left the host and whose outcome nobody knows; list them, decide them. */
#include "store/outcomes.h"

#include "cli/commands.h"
#include "cli/data.h"
#include "cli/names.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALUE_MAX (8u << 20)

static const struct column outcome_columns[] = {
	{ "run", 't', true }, { "effect", 'i', true }, { "attempt", 'i', false }, { "name", 't', true }, { "class", 't', false }, { "key", 't', false },
	{ "request", 'j', true }, { "sent_at", 't', true }, { "unknown_at", 't', false }, { "status", 't', true }, { "result", 'j', false },
	{ "error", 'j', false }, { "note", 't', false }, { "decided_at", 't', false }, { "decided_by", 't', false }, { 0 },
};

struct wishes {
	const char *tenant, *limit, *result, *error, *note;
	bool all, json, happened, not_happened, failed;
};

static int
list(struct host *host, const struct wishes *w, int64_t limit)
{
	struct errbuf e = { "" };
	struct store_tx *tx = store_tx_new(host->store, str_of(w->tenant));
	size_t op = 0;
	int code = outcomes_tx_list(tx, str_of(w->all ? "" : "unknown"), limit, STR(""), &op, &e);
	json_t *items = json_array();
	if (!code)
		code = store_read_now(tx, &e);
	if (!code) {
		json_t *page = outcomes_list_json(store_tx_result(tx, op), limit);
		json_array_extend(items, (json_t *)(uintptr_t)json_member(page, "items"));
		json_decref(page);
	}
	store_tx_free(tx);
	if (!code)
		return data_print_list(items, outcome_columns, w->json);
	json_decref(items);
	return cli_fail(EXIT_NO_HOST, "cannot read outcomes: %s", e.text);
}

/* Who decides, for the record: the person at this terminal. */
static void
write_actor(char *out, size_t size)
{
	const struct passwd *who = getpwuid(getuid());
	snprintf(out, size, "operator:%s", who ? who->pw_name : "unknown");
}

/* JSON as text, or in a file after @, or - for standard input. New reference; NULL after telling. */
static json_t *
read_value(const char *option, const char *text)
{
	struct errbuf e = { "" };
	struct buf file = { 0 };
	json_t *value = NULL;
	bool from_file = text[0] == '@' || strcmp(text, "-") == 0;
	int code = from_file ? cli_read_file(text[0] == '@' ? text + 1 : text, VALUE_MAX, &file, &e) : 0;
	if (!code)
		value = json_read(from_file ? buf_str(&file) : str_of(text), VALUE_MAX, &code, &e);
	buf_free(&file);
	if (!value)
		cli_fail(EXIT_USAGE, "%s takes JSON, @FILE or -: %s", option, e.text);
	return value;
}

/* What is there instead of something to decide. */
static int
tell_state(struct host *host, const struct wishes *w, const struct outcome_decision *decision)
{
	struct errbuf e = { "" };
	struct store_tx *tx = store_tx_new(host->store, str_of(w->tenant));
	size_t op = outcomes_tx_get(tx, decision->run, decision->effect);
	int code = store_read_now(tx, &e);
	json_t *outcome = code == 0 && store_tx_result(tx, op)->rows ? outcomes_json(store_tx_result(tx, op), 0) : NULL;
	store_tx_free(tx);
	if (code)
		return cli_fail(EXIT_NO_HOST, "cannot read outcomes: %s", e.text);
	if (outcome && outcome_is_decided_so(outcome, decision)) {
		code = data_print_one(outcome, w->json);
	} else if (outcome) {
		code = cli_fail(EXIT_FAILED, "effect %lld of this run is %.*s already, by %.*s", (long long)decision->effect,
		                STR_ARG(json_member_str(outcome, "status")), STR_ARG(json_member_str(outcome, "decided_by")));
		json_decref(outcome);
	} else {
		code = cli_fail(EXIT_FAILED, "nobody has to decide about that effect: perigee outcomes lists what waits");
	}
	return code;
}

static int
decide(struct host *host, const struct wishes *w, const struct outcome_decision *decision)
{
	struct errbuf e = { "" };
	struct store_tx *tx = store_tx_new(host->store, str_of(w->tenant));
	outcomes_tx_decide(tx, decision);
	size_t op = outcomes_tx_get(tx, decision->run, decision->effect);
	int code = store_write_now(tx, &e);
	json_t *outcome = code == 0 && store_tx_result(tx, op)->rows ? outcomes_json(store_tx_result(tx, op), 0) : NULL;
	store_tx_free(tx);
	if (code == ERR_CONFLICT)
		return tell_state(host, w, decision);
	if (code)
		return cli_fail(EXIT_NO_HOST, "the decision was not stored: %s", e.text);
	return data_print_one(outcome, w->json);
}

static int
resolve(struct host *host, const struct wishes *w, const char *run, int64_t effect)
{
	struct errbuf e = { "" };
	char by[100];
	write_actor(by, sizeof by);
	struct outcome_decision decision = {
		.run = str_of(run), .effect = effect, .status = w->happened ? "happened" : w->failed ? "failed" : "not_happened", .note = str_of(w->note),
		.by = str_of(by), .at_us = clock_now_us(&host->clock),
	};
	json_t *result = w->happened ? w->result ? read_value("--result", w->result) : json_object() : NULL;
	json_t *error = w->failed ? w->error ? read_value("--error", w->error) : json_object() : NULL;
	int code = (w->happened && !result) || (w->failed && !error) ? EXIT_USAGE : -1;
	decision.result = result;
	decision.error = error;
	if (code < 0 && outcome_decision_check(&decision, &e))
		code = cli_fail(EXIT_USAGE, "%s", e.text);
	if (code < 0)
		code = decide(host, w, &decision);
	json_decref(result);
	json_decref(error);
	return code;
}

static int
check_words(const struct words *words, const struct wishes *w, int64_t *effect)
{
	const char *verb = words->count ? words->items[0] : "list";
	bool resolving = strcmp(verb, "resolve") == 0;
	int decisions = w->happened + w->not_happened + w->failed;
	if (!resolving && (strcmp(verb, "list") != 0 || words->count > 1))
		return cli_fail(EXIT_USAGE, "perigee outcomes [list], or resolve RUN EFFECT; not '%s'", words->items[words->count - 1]);
	if (resolving && (words->count != 3 || decisions != 1))
		return cli_fail(EXIT_USAGE, "perigee outcomes resolve RUN EFFECT and one of --happened, --not-happened, --failed");
	if (!resolving && (decisions || w->result || w->error || w->note))
		return cli_fail(EXIT_USAGE, "a decision goes with one effect: perigee outcomes resolve RUN EFFECT --not-happened");
	if ((w->result && !w->happened) || (w->error && !w->failed))
		return cli_fail(EXIT_USAGE, "--result goes with --happened, --error with --failed");
	if (resolving && !str_to_int(str_of(words->items[2]), 1, UINT32_MAX, effect))
		return cli_fail(EXIT_USAGE, "EFFECT is a number, as perigee outcomes shows it; not '%s'", words->items[2]);
	return -1;
}

static int
run(const struct command *command, int argc, char **argv)
{
	const char *config = NULL;
	struct wishes w = { .tenant = TENANT_OTHERWISE };
	struct setting_flags flags = { 0 };
	struct words words;
	const struct option options[] = {
		{ "--happened", NULL, "with resolve: it happened; the run goes on with --result", NULL, &w.happened, NULL },
		{ "--not-happened", NULL, "with resolve: it did not; it is done again", NULL, &w.not_happened, NULL },
		{ "--failed", NULL, "with resolve: the run catches --error", NULL, &w.failed, NULL },
		{ "--result", "JSON", "what the script sees, as JSON, @FILE or - ({})", &w.result, NULL, NULL },
		{ "--error", "JSON", "what it catches, like {\"code\": \"payment.refused\"} ({})", &w.error, NULL, NULL },
		{ "--note", "TEXT", "why, for the record", &w.note, NULL, NULL },
		{ "--all", NULL, "with list: also those that are decided", NULL, &w.all, NULL },
		{ "--limit", "N", "with list: at most so many, newest first (50)", &w.limit, NULL, NULL },
		{ "--json", NULL, "for machines", NULL, &w.json, NULL },
		OPTION_TENANT(w.tenant), OPTION_CONFIG(config), OPTION_STORE, { 0 },
	};
	int code = options_parse(command, options, &flags, argc, argv, 0, 3, &words);
	int64_t effect = 0, limit;
	if (code >= 0 || (code = check_words(&words, &w, &effect)) >= 0)
		return code;
	if ((limit = data_limit(w.limit)) < 0)
		return EXIT_USAGE;

	struct settings settings;
	struct host host;
	code = host_begin(config, &flags, (struct host_options){ .without_engine = true, .read_only = effect == 0 }, &settings, &host);
	if (code >= 0)
		return code;
	code = names_need_tenant(&host, w.tenant);
	if (code < 0)
		code = effect ? resolve(&host, &w, words.items[1], effect) : list(&host, &w, limit);
	host_end(&settings, &host);
	return code;
}

const struct command command_outcomes = {
	"outcomes", "[list | resolve RUN EFFECT] [OPTIONS]", "List effects whose outcome nobody knows, and decide them",
	"A host that ends while a request is on its way cannot know whether it happened. Where its class is unsafe, its run waits\n"
	"until somebody decides: look at the other side, then perigee outcomes resolve RUN EFFECT --happened --result '{\"status\": 200}'.", run,
};
