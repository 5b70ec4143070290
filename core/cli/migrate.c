/* perigee migrate: bring a store's schema up to this program's, and show what it has. */
#include "cli/commands.h"
#include "cli/data.h"
#include "cli/settings.h"
#include "store/migrations.h"

#include <stdio.h>
#include <string.h>

static const struct column columns[] = {
	{ "place", 't', true }, { "chain", 't', true }, { "number", 'i', true }, { "name", 't', true }, { "state", 't', true }, { "applied_at", 'm', true },
	{ "checksum", 't', true }, { NULL, 0, false },
};

/* How many migrations are in this state. */
static size_t
count_of(const json_t *report, const char *state)
{
	size_t index, count = 0;
	json_t *row;
	json_array_foreach((json_t *)(uintptr_t)report, index, row)
		count += str_equal(json_member_str(row, "state"), str_of(state));
	return count;
}

static int
up(const char *store)
{
	struct errbuf e = { "" };
	json_t *report, *row;
	size_t index;
	if (store_migrations_up(store, &clock_system, &report, &e))
		return cli_fail(EXIT_NO_HOST, "%s", e.text);
	json_array_foreach(report, index, row) {
		struct str place = json_member_str(row, "place"), chain = json_member_str(row, "chain"), name = json_member_str(row, "name");
		printf("applied %.*s%s%.*s/%04d_%.*s\n", STR_ARG(place), place.n ? " " : "", STR_ARG(chain), (int)json_member_int(row, "number", 0), STR_ARG(name));
	}
	if (json_array_size(report) == 0)
		puts("nothing to do: every migration was applied before");
	json_decref(report);
	return EXIT_DONE;
}

static int
status(const char *store, bool json)
{
	struct errbuf e = { "" };
	json_t *report;
	if (store_migrations_status(store, &report, &e))
		return cli_fail(EXIT_NO_HOST, "%s", e.text);
	size_t missing = count_of(report, "missing"), wrong = count_of(report, "altered") + count_of(report, "newer");
	int code = data_print_list(report, columns, json);
	if (wrong > 0)
		return cli_fail(EXIT_FAILED, "the store was not made by this program: run the perigee that applied its migrations, or restore a backup");
	if (missing > 0)
		return cli_fail(EXIT_FAILED, "%zu missing: run perigee migrate up", missing);
	return code;
}

static int
run(const struct command *command, int argc, char **argv)
{
	const char *config = NULL;
	bool json = false;
	struct setting_flags flags = { 0 };
	struct words words;
	const struct option options[] = { { "--json", NULL, "with status: one JSON document", NULL, &json, NULL }, OPTION_CONFIG(config), OPTION_STORE, { 0 } };
	int code = options_parse(command, options, &flags, argc, argv, 1, 1, &words);
	if (code >= 0)
		return code;
	bool upwards = strcmp(words.items[0], "up") == 0;
	if (!upwards && strcmp(words.items[0], "status") != 0)
		return cli_fail(EXIT_USAGE, "perigee migrate up, or perigee migrate status; not '%s'", words.items[0]);

	struct settings settings;
	struct errbuf e = { "" };
	code = settings_read(config, &flags, &settings, &e);
	if (code)
		code = cli_fail(cli_exit_code(code), "%s", e.text);
	else
		code = upwards ? up(settings.store) : status(settings.store, json);
	settings_free(&settings);
	return code;
}

const struct command command_migrate = {
	"migrate", "up | status [OPTIONS]", "Bring the store's schema up to date, or show it",
	"PostgreSQL: run `up` as a superuser or the owner of the database, directly, not through a pooler; hosts then connect as perigee_app and never migrate by themselves.\n"
	"SQLite: a store is brought up to date by whoever opens it; `up` does it for every tenant at once.\n"
	"`status` ends with 1 when something is missing, altered or newer than this program.\n",
	run,
};
