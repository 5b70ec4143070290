/* perigee records: what scripts stored. */
#include "cli/commands.h"
#include "cli/data.h"
#include "cli/names.h"

static const struct column record_columns[] = {
	{ "kind", 't', true }, { "id", 't', true }, { "version", 'i', true }, { "updated_at", 'm', true }, { "run", 't', false },
	{ "actor", 't', true }, { "body", 'j', true }, { 0 },
};
static const struct column history_columns[] = {
	{ "version", 'i', true }, { "at", 'm', true }, { "run", 't', true }, { "actor", 't', true }, { "body", 'j', true }, { 0 },
};

static int
list_records(struct host *host, const char *tenant, const char *kind, int64_t limit, bool json)
{
	struct store_tx *tx = store_tx_new(host->store, str_of(tenant));
	store_tx_add(tx, STATEMENT_record_list, STORE_ANY, "tnnnnnnnnit", kind, limit, "");
	json_t *rows = data_read(tx, record_columns);
	if (!rows)
		return EXIT_NO_HOST;
	int code = json_array_size(rows) ? -1 : names_need_kind(host, tenant, kind);
	if (code < 0)
		return data_print_list(rows, record_columns, json);
	json_decref(rows);
	return code;
}

static int
show_record(struct host *host, const char *tenant, const char *kind, const char *id, bool json)
{
	struct store_tx *tx = store_tx_new(host->store, str_of(tenant));
	store_tx_add(tx, STATEMENT_record_get, STORE_ANY, "tt", kind, id);
	json_t *rows = data_read(tx, record_columns);
	if (!rows)
		return EXIT_NO_HOST;
	json_t *item = json_incref(json_array_get(rows, 0));
	json_decref(rows);
	int code = item ? -1 : names_need_kind(host, tenant, kind);
	if (code >= 0)
		return code;
	return item ? data_print_one(item, json)
	            : cli_fail(EXIT_FAILED, "tenant %s has no %s %s: perigee records %s lists them", tenant, kind, id, kind);
}

static int
show_history(struct host *host, const char *tenant, const char *kind, const char *id, int64_t limit, bool json)
{
	struct store_tx *tx = store_tx_new(host->store, str_of(tenant));
	store_tx_add(tx, STATEMENT_record_history_list, STORE_ANY, "ttii", kind, id, INT64_MAX, limit);
	json_t *rows = data_read(tx, history_columns);
	return rows ? data_print_list(rows, history_columns, json) : EXIT_NO_HOST;
}

static int
run(const struct command *command, int argc, char **argv)
{
	const char *config = NULL, *tenant = TENANT_OTHERWISE, *limit_text = NULL;
	bool json = false, history = false;
	struct setting_flags flags = { 0 };
	struct words words;
	const struct option options[] = {
		{ "--history", NULL, "with ID: every version, newest first", NULL, &history, NULL },
		{ "--limit", "N", "at most so many (50)", &limit_text, NULL, NULL },
		{ "--json", NULL, "for machines", NULL, &json, NULL },
		OPTION_TENANT(tenant), OPTION_CONFIG(config), OPTION_STORE, { 0 },
	};
	int code = options_parse(command, options, &flags, argc, argv, 1, 2, &words);
	if (code >= 0)
		return code;
	int64_t limit = data_limit(limit_text);
	if (limit < 0)
		return EXIT_USAGE;
	if (history && words.count < 2)
		return cli_fail(EXIT_USAGE, "--history goes with one record: perigee records KIND ID --history");

	struct settings settings;
	struct host host;
	code = host_begin(config, &flags, (struct host_options){ .without_engine = true, .read_only = true }, &settings, &host);
	if (code >= 0)
		return code;
	const char *kind = words.items[0];
	code = names_need_tenant(&host, tenant);
	if (code < 0 && history)
		code = show_history(&host, tenant, kind, words.items[1], limit, json);
	else if (code < 0 && words.count == 2)
		code = show_record(&host, tenant, kind, words.items[1], json);
	else if (code < 0)
		code = list_records(&host, tenant, kind, limit, json);
	host_end(&settings, &host);
	return code;
}

const struct command command_records = {
	"records", "KIND [ID] [OPTIONS]", "List the records of a kind, or show one with its history", "For example: perigee records deal", run,
};
