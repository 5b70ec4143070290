/* perigee events, perigee approvals: lists; dead letters and another try for them. */
#include "cli/commands.h"
#include "cli/data.h"
#include "cli/names.h"

#include <stdio.h>
#include <string.h>

static const struct column event_columns[] = {
	{ "seq", 'i', true }, { "id", 't', true }, { "type", 't', true }, { "source", 't', false }, { "subject", 't', true }, { "data", 'j', true },
	{ "at", 'm', true }, { "run", 't', false }, { 0 },
};
static const struct column approval_columns[] = {
	{ "id", 't', true }, { "run", 't', false }, { "effect", 'i', false }, { "title", 't', true }, { "body", 't', false },
	{ "subject", 't', true }, { "owner", 't', true }, { "status", 't', true }, { "decision", 't', false }, { "note", 't', false },
	{ "asked_at", 'm', true }, { "expires_at", 'm', false }, { "decided_at", 'm', false }, { "decided_by", 't', true }, { 0 },
};

static const struct column dead_columns[] = {
	{ "id", 't', true }, { "event", 't', true }, { "type", 't', true }, { "source", 't', false }, { "subject", 't', false }, { "agent", 't', true },
	{ "capability", 't', true }, { "key", 't', false }, { "attempts", 'i', true }, { "runs", 't', false }, { "error", 'j', true }, { "dead_at", 'm', true },
	{ "data", 'j', false }, { "at", 'm', false }, { 0 },
};

struct choices {
	const char *config, *tenant, *type, *after, *delivery;
	bool all, json;
	int64_t limit, after_seq;
};

static int
print(struct store_tx *tx, const struct column *columns, bool json)
{
	json_t *rows = data_read(tx, columns);
	return rows ? data_print_list(rows, columns, json) : EXIT_NO_HOST;
}

static int
list_events(struct host *host, const struct choices *c)
{
	struct store_tx *tx = store_tx_new(host->store, str_of(c->tenant));
	if (c->type)
		store_tx_add(tx, STATEMENT_event_list_of_type, STORE_ANY, "iit", c->after_seq, c->limit, c->type);
	else
		store_tx_add(tx, STATEMENT_event_list, STORE_ANY, "ii", c->after_seq, c->limit);
	return print(tx, event_columns, c->json);
}

static int
list_dead(struct host *host, const struct choices *c)
{
	struct store_tx *tx = store_tx_new(host->store, str_of(c->tenant));
	store_tx_add(tx, STATEMENT_deliveries_dead, STORE_ANY, "iti", INT64_MAX, "~", c->limit);
	return print(tx, dead_columns, c->json);
}

/* In the store; the host that runs on it finds the delivery within seconds. */
static int
replay_dead(struct host *host, const struct choices *c)
{
	struct errbuf e = { "" };
	struct store_tx *tx = store_tx_new(host->store, str_of(c->tenant));
	store_tx_add(tx, STATEMENT_delivery_replay, STORE_MUST, "t", c->delivery);
	int code = store_write_now(tx, &e);
	store_tx_free(tx);
	if (code == ERR_CONFLICT)
		return cli_fail(EXIT_FAILED, "tenant %s has no dead letter %s: perigee events dead lists them", c->tenant, c->delivery);
	if (code)
		return cli_fail(EXIT_NO_HOST, "%s", e.text);
	printf("%s is delivered again\n", c->delivery);
	return EXIT_DONE;
}

static int
list_approvals(struct host *host, const struct choices *c)
{
	struct store_tx *tx = store_tx_new(host->store, str_of(c->tenant));
	if (c->all)
		store_tx_add(tx, STATEMENT_approval_list, STORE_ANY, "iti", INT64_MAX, "~", c->limit);
	else
		store_tx_add(tx, STATEMENT_approval_list_of_status, STORE_ANY, "itit", INT64_MAX, "~", c->limit, "pending");
	return print(tx, approval_columns, c->json);
}

typedef int (*print_fn)(struct host *host, const struct choices *c);

/* Settings, store and tenant, then print. */
static int
list(struct choices *c, struct setting_flags *flags, const char **limit, print_fn print_list)
{
	struct settings settings;
	struct host host;
	int code;
	if ((c->limit = data_limit(*limit)) < 0)
		return EXIT_USAGE;
	if (c->after && !str_to_int(str_of(c->after), 0, INT64_MAX, &c->after_seq))
		return cli_fail(EXIT_USAGE, "--after is the seq of an event, not '%s'", c->after);
	code = host_begin(c->config, flags, (struct host_options){ .without_engine = true, .read_only = print_list != replay_dead }, &settings, &host);
	if (code >= 0)
		return code;
	code = names_need_tenant(&host, c->tenant);
	if (code < 0)
		code = print_list(&host, c);
	host_end(&settings, &host);
	return code;
}

static int
run_events(const struct command *command, int argc, char **argv)
{
	struct choices c = { .tenant = TENANT_OTHERWISE };
	struct setting_flags flags = { 0 };
	const char *limit = NULL;
	const struct option options[] = {
		{ "--type", "TYPE", "only events of this type", &c.type, NULL, NULL },
		{ "--after", "SEQ", "only later ones", &c.after, NULL, NULL },
		{ "--limit", "N", "at most so many, oldest first (50)", &limit, NULL, NULL },
		{ "--json", NULL, "for machines", NULL, &c.json, NULL },
		OPTION_TENANT(c.tenant), OPTION_CONFIG(c.config), OPTION_STORE, { 0 },
	};
	struct words words;
	int code = options_parse(command, options, &flags, argc, argv, 0, 2, &words);
	if (code >= 0)
		return code;
	if (words.count == 0)
		return list(&c, &flags, &limit, list_events);
	if (c.type || c.after)
		return cli_fail(EXIT_USAGE, "--type and --after go with the list of events");
	if (words.count == 1 && strcmp(words.items[0], "dead") == 0)
		return list(&c, &flags, &limit, list_dead);
	if (words.count != 2 || strcmp(words.items[0], "replay") != 0)
		return cli_fail(EXIT_USAGE, "perigee events, perigee events dead, or perigee events replay ID");
	c.delivery = words.items[1];
	return list(&c, &flags, &limit, replay_dead);
}

static int
run_approvals(const struct command *command, int argc, char **argv)
{
	struct choices c = { .tenant = TENANT_OTHERWISE };
	struct setting_flags flags = { 0 };
	const char *limit = NULL;
	const struct option options[] = {
		{ "--all", NULL, "also those that are decided", NULL, &c.all, NULL },
		{ "--limit", "N", "at most so many, newest first (50)", &limit, NULL, NULL },
		{ "--json", NULL, "for machines", NULL, &c.json, NULL },
		OPTION_TENANT(c.tenant), OPTION_CONFIG(c.config), OPTION_STORE, { 0 },
	};
	struct words words;
	int code = options_parse(command, options, &flags, argc, argv, 0, 0, &words);
	return code >= 0 ? code : list(&c, &flags, &limit, list_approvals);
}

const struct command command_events = {
	"events", "[dead | replay ID] [OPTIONS]", "List events, oldest first; dead letters, and another try for one",
	"`perigee events dead` lists the events that a capability failed to take each time, newest first; `perigee events replay ID` delivers one of them again,\n"
	"with all its attempts.", run_events,
};
const struct command command_approvals = {
	"approvals", "[OPTIONS]", "List what waits for a person's decision",
	"Decide over HTTP: POST /v1/approvals/ID {\"decision\": \"approved\", \"note\": \"…\"}", run_approvals,
};
