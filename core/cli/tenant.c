/* perigee tenant: make and list tenants. */
#include "base/ids.h"
#include "cli/commands.h"
#include "cli/host.h"

#include <stdio.h>
#include <string.h>

static int
create(struct host *host, const char *name, const char *title)
{
	struct errbuf e;
	if (!name_is_valid(str_of(name)))
		return cli_fail(EXIT_USAGE, "'%s' is no tenant name: lower-case letters, digits, - and _, a letter first", name);
	bool existed = store_tenant_exists(host->store, str_of(name));
	if (store_tenant_create(host->store, str_of(name), title ? title : name, &e))
		return cli_fail(EXIT_NO_HOST, "%s", e.text);
	printf("tenant %s %s\n", name, existed ? "was there already" : "created");
	return EXIT_DONE;
}

static int
list(struct host *host)
{
	json_t *names = store_tenant_names(host->store), *name;
	size_t index;
	json_array_foreach(names, index, name)
		puts(json_string_value(name));
	json_decref(names);
	return EXIT_DONE;
}

static int
run(const struct command *command, int argc, char **argv)
{
	const char *config = NULL, *title = NULL;
	struct setting_flags flags = { 0 };
	struct words words;
	const struct option options[] = {
		{ "--title", "TEXT", "with create: what people call it", &title, NULL, NULL }, OPTION_CONFIG(config), OPTION_STORE, { 0 },
	};
	int code = options_parse(command, options, &flags, argc, argv, 1, 2, &words);
	if (code >= 0)
		return code;
	bool creating = strcmp(words.items[0], "create") == 0;
	if (!creating && strcmp(words.items[0], "list") != 0)
		return cli_fail(EXIT_USAGE, "perigee tenant create NAME, or perigee tenant list; not '%s'", words.items[0]);
	if (creating != (words.count == 2))
		return cli_fail(EXIT_USAGE, "usage: perigee tenant %s", creating ? "create NAME" : "list");

	struct settings settings;
	struct host host;
	struct host_options host_options = { .without_engine = true, .read_only = !creating };
	code = host_begin(config, &flags, host_options, &settings, &host);
	if (code >= 0)
		return code;
	code = creating ? create(&host, words.items[1], title) : list(&host);
	host_end(&settings, &host);
	return code;
}

const struct command command_tenant = { "tenant", "create NAME | list [OPTIONS]", "Make and list tenants", NULL, run };
