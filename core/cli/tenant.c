/* perigee tenant: make, list, move and delete tenants, say what each may have. */
#include "base/ids.h"
#include "cli/commands.h"
#include "cli/dumps.h"
#include "cli/host.h"
#include "store/dump.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHT_MOST 10000

static int
create(struct host *host, const char *name, const char *title, const char *database)
{
	struct errbuf e;
	if (!name_is_valid(str_of(name)))
		return cli_fail(EXIT_USAGE, "'%s' is no tenant name: lower-case letters, digits, - and _, a letter first", name);
	if (database && store_tenant_place(host->store, str_of(name), title ? title : name, database, &e))
		return cli_fail(EXIT_NO_HOST, "%s", e.text);
	bool existed = !database && store_tenant_exists(host->store, str_of(name));
	if (!database && store_tenant_create(host->store, str_of(name), title ? title : name, &e))
		return cli_fail(EXIT_NO_HOST, "%s", e.text);
	printf("tenant %s %s\n", name, existed ? "was there already" : "created");
	return EXIT_DONE;
}

static void
print_limit(int64_t limit, const char *otherwise)
{
	if (limit)
		printf("  %11lld", (long long)limit);
	else
		printf("  %11s", otherwise);
}

/* Every tenant as {tenant, title, weight, concurrency, runs}; NULL with e. */
static json_t *
read_all(struct host *host, struct errbuf *e)
{
	json_t *all = json_array();
	char *after = mem_copy(STR(""));
	size_t rows;

	do {
		struct store_tx *tx = store_tx_new(host->store, STR(""));
		store_tx_add(tx, STATEMENT_tenant_limits_list, STORE_ANY, "ti", after, INT64_C(200));
		int code = store_read_now(tx, e);
		const struct store_result *r = code ? NULL : store_tx_result(tx, 0);
		rows = r ? r->rows : 0;
		for (size_t i = 0; i < rows; i++) {
			json_t *row = json_object();
			json_put_str(row, "tenant", store_text(r, i, 0));
			json_put_str(row, "title", store_text(r, i, 1));
			json_put_int(row, "weight", store_int(r, i, 3));
			json_put_int(row, "concurrency", store_int(r, i, 4));
			json_put_int(row, "runs", store_int(r, i, 5));
			json_array_append_new(all, row);
		}
		free(after);
		after = rows ? mem_copy(store_text(r, rows - 1, 0)) : NULL;
		store_tx_free(tx);
		if (code) {
			json_decref(all);
			return NULL;
		}
	} while (rows);
	return all;
}

static int
list(struct host *host, bool json)
{
	struct errbuf e;
	json_t *all = read_all(host, &e), *row;
	size_t index;

	if (!all)
		return cli_fail(EXIT_NO_HOST, "%s", e.text);
	if (!json && json_array_size(all))
		printf("%-30s  %6s  %11s  %11s\n", "tenant", "weight", "concurrency", "runs");
	json_array_foreach(all, index, row) {
		if (json) {
			char *text = json_to_text(row);
			printf("%s\n", text);
			free(text);
			continue;
		}
		printf("%-30s  %6lld", json_string_value(json_member(row, "tenant")), (long long)json_member_int(row, "weight", 0));
		print_limit(json_member_int(row, "concurrency", 0), "-");
		print_limit(json_member_int(row, "runs", 0), "-");
		printf("\n");
	}
	json_decref(all);
	return EXIT_DONE;
}

/* A limit as it was typed: false when it is none; "none" is 0. */
static bool
read_limit(const char *text, int64_t least, int64_t most, bool may_be_none, int64_t *out)
{
	*out = 0;
	return (may_be_none && strcmp(text, "none") == 0) || str_to_int(str_of(text), least, most, out);
}

struct limits {
	const char *weight, *concurrency, *runs, *retention;
};

/* How long what ended is kept: "" is the operator's rules again. The exit code, -1 to go on. */
static int
set_retention(struct host *host, const char *name, const char *text)
{
	struct retention_rules rules = { 0 };
	struct errbuf e;
	if (retention_parse(str_of(text), &rules, &e))
		return cli_fail(EXIT_USAGE, "--%s", e.text);
	struct store_tx *tx = store_tx_new(host->store, STR(""));
	store_tx_add(tx, STATEMENT_tenant_set_retention, STORE_MUST, "tt", name, *text ? text : NULL);
	int code = store_write_now(tx, &e);
	store_tx_free(tx);
	if (code == ERR_CONFLICT)
		return cli_fail(EXIT_USAGE, "no tenant \"%s\"; perigee tenant create %s makes it", name, name);
	return code ? cli_fail(EXIT_NO_HOST, "%s", e.text) : -1;
}

static int
set(struct host *host, const char *name, const struct limits *limits)
{
	struct errbuf e;
	int64_t weight = 0, concurrency = 0, runs = 0;

	if (!limits->weight && !limits->concurrency && !limits->runs && !limits->retention)
		return cli_fail(EXIT_USAGE, "perigee tenant set NAME takes --weight, --concurrency, --runs or --retention");
	int retained = limits->retention ? set_retention(host, name, limits->retention) : -1;
	if (retained >= 0)
		return retained;
	if (!limits->weight && !limits->concurrency && !limits->runs) {
		printf("tenant %s: taken up in the next round (retention.every)\n", name);
		return EXIT_DONE;
	}
	if (limits->weight && !read_limit(limits->weight, 1, WEIGHT_MOST, false, &weight))
		return cli_fail(EXIT_USAGE, "--weight %s is not a whole number from 1 to %d", limits->weight, WEIGHT_MOST);
	if (limits->concurrency && !read_limit(limits->concurrency, 1, 1000000, true, &concurrency))
		return cli_fail(EXIT_USAGE, "--concurrency %s is not a whole number from 1 to 1000000, or none", limits->concurrency);
	if (limits->runs && !read_limit(limits->runs, 1, 100000000, true, &runs))
		return cli_fail(EXIT_USAGE, "--runs %s is not a whole number from 1 to 100000000, or none", limits->runs);
	char types[] = "tiii";
	struct store_tx *tx = store_tx_new(host->store, STR(""));
	/* which of them are given is in the type letters: n is null, and takes no argument */
	int64_t given[3];
	size_t count = 0;
	if (limits->weight)
		given[count++] = weight;
	if (limits->concurrency)
		given[count++] = concurrency;
	if (limits->runs)
		given[count++] = runs;
	types[1] = limits->weight ? 'i' : 'n';
	types[2] = limits->concurrency ? 'i' : 'n';
	types[3] = limits->runs ? 'i' : 'n';
	store_tx_add(tx, STATEMENT_tenant_set_limits, STORE_MUST, types, name, given[0], count > 1 ? given[1] : 0, count > 2 ? given[2] : 0);
	int code = store_write_now(tx, &e);
	store_tx_free(tx);
	if (code == ERR_CONFLICT)
		return cli_fail(EXIT_USAGE, "no tenant \"%s\"; perigee tenant create %s makes it", name, name);
	if (code)
		return cli_fail(EXIT_NO_HOST, "%s", e.text);
	printf("tenant %s: a host that serves takes this up within seconds\n", name);
	return EXIT_DONE;
}

static int
erase(struct host *host, const char *name, bool sure)
{
	struct errbuf e;
	if (!sure)
		return cli_fail(EXIT_USAGE, "this cannot be undone: perigee tenant export %s FILE first, then perigee tenant delete %s --yes", name, name);
	int code = store_tenant_delete(host->store, str_of(name), &e);
	if (code)
		return cli_fail(code == ERR_NOT_FOUND ? EXIT_USAGE : EXIT_NO_HOST, "%s", e.text);
	printf("tenant %s deleted\n", name);
	return EXIT_DONE;
}

struct given {
	const char *title, *database, *as;
	struct limits limits;
	bool json, sure;
};

static int verb_create(struct host *host, char **words, const struct given *given) { return create(host, words[1], given->title, given->database); }
static int verb_set(struct host *host, char **words, const struct given *given) { return set(host, words[1], &given->limits); }
static int verb_list(struct host *host, char **words, const struct given *given) { (void)words; return list(host, given->json); }
static int verb_export(struct host *host, char **words, const struct given *given) { (void)given; return dumps_write(host, words[1], words[2]); }
static int verb_import(struct host *host, char **words, const struct given *given) { return dumps_read(host, words[1], NULL, given->as); }
static int verb_delete(struct host *host, char **words, const struct given *given) { return erase(host, words[1], given->sure); }

static const struct verb {
	const char *name, *words;
	size_t count;
	bool reads;
	int (*run)(struct host *host, char **words, const struct given *given);
} verbs[] = {
	{ "create", "NAME", 2, false, verb_create }, { "set", "NAME", 2, false, verb_set }, { "list", "", 1, true, verb_list },
	{ "export", "NAME FILE", 3, true, verb_export }, { "import", "FILE", 2, false, verb_import }, { "delete", "NAME", 2, false, verb_delete },
};
#define VERBS (sizeof verbs / sizeof *verbs)

static int
run(const struct command *command, int argc, char **argv)
{
	const char *config = NULL;
	struct given given = { 0 };
	struct setting_flags flags = { 0 };
	struct words words;
	const struct option options[] = {
		{ "--title", "TEXT", "with create: what people call it", &given.title, NULL, NULL },
		{ "--weight", "N", "with set: its part of the cells when all tenants want some (100)", &given.limits.weight, NULL, NULL },
		{ "--concurrency", "N", "with set: computing cells at most, over all workers; none: no limit", &given.limits.concurrency, NULL, NULL },
		{ "--runs", "N", "with set: unfinished runs at most; none: limits.runs_per_tenant", &given.limits.runs, NULL, NULL },
		{ "--retention", "RULES", "with set: how long what ended is kept, like succeeded=7d,failed=forever; '': as the operator's", &given.limits.retention, NULL, NULL },
		{ "--json", NULL, "with list: one object a line", NULL, &given.json, NULL },
		{ "--database", "URL", "with create: where its data lives, when not in this store", &given.database, NULL, NULL },
		{ "--as", "NAME", "with import: under another name, without its keys", &given.as, NULL, NULL },
		{ "--yes", NULL, "with delete: everything of it, for good", NULL, &given.sure, NULL },
		OPTION_CONFIG(config), OPTION_STORE, { 0 },
	};
	int code = options_parse(command, options, &flags, argc, argv, 1, 3, &words);
	if (code >= 0)
		return code;
	const struct verb *verb = verbs;
	while (verb < verbs + VERBS && strcmp(words.items[0], verb->name) != 0)
		verb++;
	if (verb == verbs + VERBS)
		return cli_fail(EXIT_USAGE, "perigee tenant create NAME, set NAME, list, export NAME FILE, import FILE or delete NAME; not '%s'", words.items[0]);
	if (words.count != verb->count)
		return cli_fail(EXIT_USAGE, "usage: perigee tenant %s %s", verb->name, verb->words);

	struct settings settings;
	struct host host;
	struct host_options host_options = { .without_engine = true, .read_only = verb->reads };
	code = host_begin(config, &flags, host_options, &settings, &host);
	if (code >= 0)
		return code;
	code = verb->run(&host, words.items, &given);
	host_end(&settings, &host);
	return code;
}

const struct command command_tenant = {
	"tenant", "create NAME | set NAME | list | export NAME FILE | import FILE | delete NAME [OPTIONS]", "Make, list and move tenants, say what each may have",
	"set: a tenant of weight 300 starts three times as many runs as one of 100 while both have some to start.", run,
};
