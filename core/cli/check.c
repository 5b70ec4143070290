/* perigee check: does this bundle load? */
#include "cli/commands.h"
#include "cli/host.h"
#include "cli/in_flight.h"
#include "cli/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
is_folder(const char *path)
{
	struct stat status;
	return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* The root to which a path belongs: the path itself, or the nearest folder above it that holds scripts/ or methodology/. Owned; NULL when there is none. */
static char *
find_root(const char *path)
{
	char *at = mem_copy(str_of(path));
	for (;;) {
		char *scripts = path_join(at, "scripts"), *methodology = path_join(at, "methodology");
		bool found = is_folder(scripts) || is_folder(methodology);
		free(scripts);
		free(methodology);
		if (found)
			return at;
		if (strcmp(at, ".") == 0 || strcmp(at, "/") == 0)
			break;
		char *above = path_folder(at);
		free(at);
		at = above;
	}
	free(at);
	return NULL;
}

static int
check_root(struct host *host, const char *tenant, const char *root)
{
	json_t *report = NULL;
	struct errbuf e;
	struct buf out;
	int code = host_load(host, tenant, root, &report, &e);

	if (code == 0) {
		const json_t *manifest = engine_manifest(host->engine, str_of(tenant));
		printf("%s: %zu agents, %zu playbooks, %zu kinds; bundle %.12s\n", root, json_object_size(json_member(manifest, "agents")),
		       json_object_size(json_member(manifest, "playbooks")), json_object_size(json_member(manifest, "kinds")),
		       engine_bundle_digest(host->engine, str_of(tenant)));
		return EXIT_DONE;
	}
	if (!report)
		return cli_fail(code == ERR_STORE || code == ERR_UNAVAILABLE ? EXIT_NO_HOST : EXIT_FAILED, "%s", e.text);
	buf_init(&out, 1 << 20);
	host_write_report(report, root, &out);
	fflush(stdout);
	cli_write(STDOUT_FILENO, &out);
	buf_free(&out);
	json_decref(report);
	return EXIT_FAILED;
}

static int
check_paths(struct host *host, const char *tenant, const struct words *words, const char *root)
{
	int worst = EXIT_DONE;
	char *last = NULL;
	if (words->count == 0)
		return check_root(host, tenant, root);
	for (size_t i = 0; i < words->count; i++) {
		char *found = find_root(words->items[i]);
		int code;
		if (!found)
			code = cli_fail(EXIT_USAGE, "%s: neither it nor a folder above it holds scripts/ or methodology/", words->items[i]);
		else if (last && strcmp(last, found) == 0)
			code = EXIT_DONE;   /* another file of the same bundle */
		else
			code = check_root(host, tenant, found);
		if (code > worst)
			worst = code;
		free(last);
		last = found;
	}
	free(last);
	return worst;
}

/* The unfinished runs of the configured store against the scripts of a root. */
static int
check_in_flight(const char *config, const struct setting_flags *flags, const char *tenant, const char *path, bool json)
{
	struct settings settings, scratch_settings;
	struct host from, scratch;
	struct errbuf e = { "" };
	int code = host_begin(config, flags, (struct host_options){ .without_engine = true, .read_only = true }, &settings, &from);
	if (code >= 0)
		return code;
	code = names_need_tenant(&from, tenant);
	if (code < 0)
		code = host_begin(config, flags, (struct host_options){ .scratch = true }, &scratch_settings, &scratch);
	if (code < 0) {
		char *found = path ? find_root(path) : NULL;
		struct in_flight options = { .tenant = tenant, .root = found ? found : scratch_settings.root, .json = json };
		if (path && !found)
			code = cli_fail(EXIT_USAGE, "%s: neither it nor a folder above it holds scripts/ or methodology/", path);
		else if (host_load(&scratch, tenant, options.root, NULL, &e))
			code = cli_fail(EXIT_FAILED, "%s", e.text);
		else
			code = in_flight_check(&from, &scratch, &options);
		free(found);
		host_end(&scratch_settings, &scratch);
	}
	host_end(&settings, &from);
	return code;
}

static int
run(const struct command *command, int argc, char **argv)
{
	const char *config = NULL, *tenant = TENANT_OTHERWISE;
	bool in_flight = false, json = false;
	struct setting_flags flags = { 0 };
	struct words words;
	const struct option options[] = {
		{ "--in-flight", NULL, "replay the unfinished runs of the store against it: exit 1 when any of them differs", NULL, &in_flight, NULL },
		{ "--json", NULL, "with --in-flight: for machines", NULL, &json, NULL },
		OPTION_CONFIG(config), OPTION_ROOT, OPTION_STORE, OPTION_TENANT(tenant), { 0 },
	};
	int code = options_parse(command, options, &flags, argc, argv, 0, 1000, &words);
	if (code >= 0)
		return code;

	if (in_flight && words.count > 1)
		return cli_fail(EXIT_USAGE, "--in-flight: one root at a time");
	if (json && !in_flight)
		return cli_fail(EXIT_USAGE, "--json goes with --in-flight");
	if (in_flight)
		return check_in_flight(config, &flags, tenant, words.count ? words.items[0] : NULL, json);

	struct settings settings;
	struct host host;
	code = host_begin(config, &flags, (struct host_options){ .scratch = true }, &settings, &host);
	if (code >= 0)
		return code;
	code = names_need_tenant(&host, tenant);
	if (code < 0)
		code = check_paths(&host, tenant, &words, settings.root);
	host_end(&settings, &host);
	return code;
}

const struct command command_check = {
	"check", "[PATHS] [OPTIONS]", "Load a bundle and its configuration, print file:line: message for every error",
	"A path is a root folder or a file below one; without any, the root of the configuration. Nothing is stored and nothing runs.\n"
	"`perigee check --in-flight --store URL` asks of a new bundle, before it goes live, whether every run that is under way could go on with it.", run,
};
