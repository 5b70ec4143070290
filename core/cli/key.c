/* perigee key: make, list and revoke API keys. */
#include "api/router.h"
#include "cli/commands.h"
#include "cli/data.h"
#include "store/keys.h"

#include <stdio.h>
#include <string.h>

static const struct column key_columns[] = {
	{ "id", 't', true }, { "prefix", 't', true }, { "tenant", 't', true }, { "scopes", 'j', true }, { "title", 't', true },
	{ "created_at", 'm', true }, { "expires_at", 'm', false }, { "revoked_at", 'm', true }, { "last_used_at", 'm', true }, { 0 },
};

struct wishes {
	const char *tenant, *title, *scopes, *expires;
	bool json, operator;
};

/* "runs:read,records:*" → an array. New reference. */
static json_t *
parse_scopes(const char *text)
{
	json_t *scopes = json_array();
	while (text && *text) {
		size_t n = strcspn(text, ", ");
		if (n)
			json_array_append_new(scopes, json_new_str((struct str){ text, n }));
		text += n + (text[n] ? 1 : 0);
	}
	if (!json_array_size(scopes))
		json_array_append_new(scopes, json_string("*"));
	return scopes;
}

/* -1: go on; else the exit code of a refusal that names the scopes there are. */
static int
check_scopes(const json_t *scopes)
{
	struct buf known;
	int code = -1;

	for (size_t i = 0; i < json_array_size(scopes) && code < 0; i++) {
		struct str word = json_str(json_array_get(scopes, i));
		bool given = false;

		for (unsigned scope = SCOPE_AGENTS_READ; scope < SCOPES; scope++)
			given |= scope_is_given(word, (enum scope)scope);
		if (given)
			continue;
		buf_init(&known, 1000);
		for (unsigned scope = SCOPE_AGENTS_READ; scope < SCOPES; scope++)
			buf_addf(&known, "%s ", scope_name((enum scope)scope));
		code = cli_fail(EXIT_USAGE, "no scope '%.*s': there are %sand *; records:* is both of a family", STR_ARG(word), buf_text(&known));
		buf_free(&known);
	}
	return code;
}

static int
create(struct host *host, const struct wishes *w)
{
	struct key_made made;
	struct errbuf e = { "" };
	int64_t lifetime_ms = 0;
	const char *tenant = w->operator ? "" : w->tenant;

	if (w->expires && (!str_to_duration_ms(str_of(w->expires), &lifetime_ms) || lifetime_ms <= 0))
		return cli_fail(EXIT_USAGE, "--expires is a duration like 24h or 90d, not '%s'", w->expires);
	if (*tenant && !store_tenant_exists(host->store, str_of(tenant)))
		return cli_fail(EXIT_USAGE, "no tenant %s: perigee tenant create %s makes it, perigee tenant list shows what there is", tenant, tenant);
	json_t *scopes = parse_scopes(w->scopes);
	int refused = check_scopes(scopes);
	if (refused >= 0) {
		json_decref(scopes);
		return refused;
	}
	struct key_request request = {
		.tenant = str_of(tenant), .scopes = scopes, .title = w->title ? w->title : "made on the command line",
		.expires_at_us = lifetime_ms ? clock_now_us(&host->clock) + lifetime_ms * 1000 : 0,
	};
	struct store_tx *tx = store_tx_new(host->store, STR(""));
	keys_tx_create(tx, &request, &host->clock, &host->rng, &made);
	int code = store_write_now(tx, &e);
	store_tx_free(tx);
	json_decref(scopes);
	if (code)
		return cli_fail(EXIT_NO_HOST, "the key was not stored: %s", e.text);
	printf("key: %s\nid: %s\n", made.text, made.id);
	fprintf(stderr, "shown this once: only its digest is stored\n");
	return EXIT_DONE;
}

static int
list(struct host *host, const struct wishes *w)
{
	struct errbuf e = { "" };
	struct store_tx *tx = store_tx_new(host->store, STR(""));
	size_t op = 0;
	int code = keys_tx_list(tx, str_of(w->operator ? "" : w->tenant), 200, STR(""), &op, &e);
	if (!code)
		code = store_read_now(tx, &e);
	json_t *items = json_array();
	if (!code) {
		const struct store_result *r = store_tx_result(tx, op);
		for (size_t i = 0; i < r->rows; i++)
			json_array_append_new(items, keys_json(r, i));
	}
	store_tx_free(tx);
	if (!code)
		return data_print_list(items, key_columns, w->json);
	json_decref(items);
	return cli_fail(EXIT_NO_HOST, "cannot read keys: %s", e.text);
}

static int
revoke(struct host *host, const struct wishes *w, const char *id)
{
	struct errbuf e = { "" };
	struct store_tx *tx = store_tx_new(host->store, STR(""));
	keys_tx_revoke(tx, str_of(w->operator ? "" : w->tenant), str_of(id), clock_now_us(&host->clock));
	int code = store_write_now(tx, &e);
	store_tx_free(tx);
	if (code == ERR_CONFLICT)
		return cli_fail(EXIT_FAILED, "tenant %s has no live key %s: perigee key list shows ids", w->tenant, id);
	if (code)
		return cli_fail(EXIT_NO_HOST, "the key was not revoked: %s", e.text);
	printf("key %s revoked; hosts stop taking it within two seconds\n", id);
	return EXIT_DONE;
}

static int
run(const struct command *command, int argc, char **argv)
{
	const char *config = NULL;
	struct wishes w = { .tenant = TENANT_OTHERWISE };
	struct setting_flags flags = { 0 };
	struct words words;
	const struct option options[] = {
		{ "--title", "TEXT", "with create: what it is for", &w.title, NULL, NULL },
		{ "--scopes", "LIST", "with create: like runs:read,records:* (everything of its tenant)", &w.scopes, NULL, NULL },
		{ "--expires", "TIME", "with create: after so long, like 90d (never)", &w.expires, NULL, NULL },
		{ "--operator", NULL, "an operator's key, of no tenant: makes tenants and keys", NULL, &w.operator, NULL },
		{ "--json", NULL, "with list: for machines", NULL, &w.json, NULL },
		OPTION_TENANT(w.tenant), OPTION_CONFIG(config), OPTION_STORE, { 0 },
	};
	int code = options_parse(command, options, &flags, argc, argv, 1, 2, &words);
	if (code >= 0)
		return code;
	const char *verb = words.items[0];
	bool creating = strcmp(verb, "create") == 0, listing = strcmp(verb, "list") == 0, revoking = strcmp(verb, "revoke") == 0;
	if (!creating && !listing && !revoking)
		return cli_fail(EXIT_USAGE, "perigee key create, list or revoke ID; not '%s'", verb);
	if (revoking != (words.count == 2))
		return cli_fail(EXIT_USAGE, "usage: perigee key %s%s", verb, revoking ? " ID" : "");

	struct settings settings;
	struct host host;
	code = host_begin(config, &flags, (struct host_options){ .without_engine = true, .read_only = listing }, &settings, &host);
	if (code >= 0)
		return code;
	if (creating)
		code = create(&host, &w);
	else
		code = listing ? list(&host, &w) : revoke(&host, &w, words.items[1]);
	host_end(&settings, &host);
	return code;
}

const struct command command_key = {
	"key", "create | list | revoke ID [OPTIONS]", "Make, list and revoke API keys", "A key's text is shown once, when it is made.", run,
};
