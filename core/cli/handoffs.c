/* perigee handoffs: what agents handed to one another, and what is dead. */
#include "cli/commands.h"
#include "cli/data.h"
#include "cli/names.h"
#include "store/handoffs.h"

#include <stdio.h>
#include <string.h>

struct choices {
	const char *config, *tenant, *status, *correlation, *type, *limit_text;
	bool json;
	int64_t limit;
};

static const struct column columns[] = {
	{ "id", 't', true }, { "status", 't', true }, { "type", 't', true }, { "version", 'i', true }, { "sender", 't', true }, { "receiver", 't', true },
	{ "created_at", 't', true }, { "reasons", 'j', true }, { 0 },
};

static int
list(struct host *host, const struct choices *c)
{
	struct errbuf e = { "" };
	struct store_tx *tx = store_tx_new(host->store, str_of(c->tenant));
	int code = handoffs_tx_list(tx, str_of(c->status), str_of(c->correlation), str_of(c->type), c->limit, STR(""), &e);
	if (code == 0)
		code = store_read_now(tx, &e);
	json_t *page = code ? NULL : handoffs_list_json(store_tx_result(tx, 0), c->limit);
	store_tx_free(tx);
	if (code)
		return cli_fail(EXIT_NO_HOST, "cannot read the store: %s", e.text);
	json_t *items = json_incref((json_t *)(uintptr_t)json_member(page, "items"));
	json_decref(page);
	return data_print_list(items, columns, c->json);
}

static int
show(struct host *host, const struct choices *c, const char *id)
{
	struct errbuf e = { "" };
	struct store_tx *tx = store_tx_new(host->store, str_of(c->tenant));
	store_tx_add(tx, STATEMENT_handoff_get, STORE_ANY, "t", id);
	int code = store_read_now(tx, &e);
	json_t *one = code == 0 && store_tx_result(tx, 0)->rows ? handoffs_json(store_tx_result(tx, 0), 0) : NULL;
	store_tx_free(tx);
	if (code)
		return cli_fail(EXIT_NO_HOST, "cannot read the store: %s", e.text);
	return one ? data_print_one(one, c->json) : cli_fail(EXIT_FAILED, "tenant %s has no hand-off %s: perigee handoffs lists them", c->tenant, id);
}

static int
replay(struct host *host, const struct choices *c, const char *id)
{
	struct errbuf e = { "" };
	struct store_tx *tx = store_tx_new(host->store, str_of(c->tenant));
	store_tx_add(tx, STATEMENT_handoff_ask, STORE_MUST, "ti", id, clock_now_us(&clock_system));
	int code = store_write_now(tx, &e);
	store_tx_free(tx);
	if (code == ERR_CONFLICT)
		return cli_fail(EXIT_FAILED, "tenant %s has no dead hand-off %s: perigee handoffs --status dead lists them", c->tenant, id);
	if (code)
		return cli_fail(EXIT_NO_HOST, "cannot write to the store: %s", e.text);
	printf("%s starts again when a host that serves looks: within seconds\n", id);
	return EXIT_DONE;
}

static int
run(const struct command *command, int argc, char **argv)
{
	struct choices c = { .tenant = TENANT_OTHERWISE };
	struct setting_flags flags = { 0 };
	struct words words;
	const struct option options[] = {
		{ "--status", "STATUS", "started, done or dead", &c.status, NULL, NULL },
		{ "--correlation", "ID", "only of this chain", &c.correlation, NULL, NULL },
		{ "--type", "TYPE", "only of this type", &c.type, NULL, NULL },
		{ "--limit", "N", "at most so many, newest first (50)", &c.limit_text, NULL, NULL },
		{ "--json", NULL, "for machines", NULL, &c.json, NULL },
		OPTION_TENANT(c.tenant), OPTION_CONFIG(c.config), OPTION_STORE, { 0 },
	};
	int code = options_parse(command, options, &flags, argc, argv, 0, 2, &words);
	if (code >= 0)
		return code;
	if ((c.limit = data_limit(c.limit_text)) < 0)
		return EXIT_USAGE;
	const char *verb = words.count ? words.items[0] : "list";
	bool lists = strcmp(verb, "list") == 0 && words.count < 2, shows = strcmp(verb, "show") == 0 && words.count == 2;
	if (!lists && !shows && (strcmp(verb, "replay") != 0 || words.count != 2))
		return cli_fail(EXIT_USAGE, "perigee handoffs list, or show or replay with an ID");
	if (c.status && strcmp(c.status, "started") && strcmp(c.status, "done") && strcmp(c.status, "dead"))
		return cli_fail(EXIT_USAGE, "no status %s; known: started, done, dead", c.status);
	struct settings settings;
	struct host host;
	code = host_begin(c.config, &flags, (struct host_options){ .without_engine = true, .read_only = lists || shows }, &settings, &host);
	if (code >= 0)
		return code;
	code = names_need_tenant(&host, c.tenant);
	if (code < 0)
		code = lists ? list(&host, &c) : shows ? show(&host, &c, words.items[1]) : replay(&host, &c, words.items[1]);
	host_end(&settings, &host);
	return code;
}

const struct command command_handoffs = {
	"handoffs", "[list | show ID | replay ID] [OPTIONS]", "What agents handed to one another; start dead ones again", NULL, run,
};
