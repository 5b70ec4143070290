/*
 * perigee test: specs inside real cells. Each *_spec.lua is a run of its own tenant in a store that goes with it, under a clock that stands until
 * everything waits: a spec that sleeps for three days takes no time.
 */
#include "cli/commands.h"
#include "cli/host.h"
#include "cli/invoke.h"
#include "cli/test_report.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_BYTES_MAX (1u << 20)
#define FILES_BYTES_MAX (12u << 20)   /* of all together: they go to a cell in one frame */
#define FOLDER_DEPTH_MAX 16

struct collection {
	const char *root;
	json_t *files;       /* path → text: specs and what they may read */
	json_t *specs;       /* array of paths */
	size_t bytes;
	struct errbuf e;
};

/* The name under which a file is known: below the root without it, else as it was given. */
static const char *
name_in_root(const struct collection *c, const char *path)
{
	size_t n = strlen(c->root);
	if (strcmp(c->root, ".") != 0 && strncmp(path, c->root, n) == 0 && path[n] == '/')
		path += n + 1;
	return strncmp(path, "./", 2) == 0 ? path + 2 : path;
}

static int
add_file(struct collection *c, const char *path, bool as_spec)
{
	struct buf text;
	const char *name = name_in_root(c, path);
	bool is_spec = str_ends(str_of(path), "_spec.lua");

	if (!json_object_get(c->files, name)) {
		int code = cli_read_file(path, FILE_BYTES_MAX, &text, &c->e);
		if (code)
			return code == ERR_TOO_LARGE && !is_spec ? 0 : code;
		bool readable = utf8_is_valid(buf_str(&text)) && !memchr(buf_text(&text), '\0', text.n);
		c->bytes += text.n;
		if (readable)
			json_put_str(c->files, name, buf_str(&text));
		buf_free(&text);
		if (!readable && is_spec)
			return err_set(&c->e, ERR_INVALID, "%s is not UTF-8 text", path);
		if (c->bytes > FILES_BYTES_MAX)
			return err_set(&c->e, ERR_TOO_LARGE, "specs and their files are more than %u MiB: give paths", FILES_BYTES_MAX >> 20);
	}
	if (!as_spec || !is_spec)
		return 0;
	size_t index;
	json_t *known;
	json_array_foreach(c->specs, index, known)
		if (strcmp(json_string_value(known), name) == 0)
			return 0;
	json_array_append_new(c->specs, json_string(name));
	return 0;
}

static int add_path(struct collection *c, const char *path, bool as_spec, unsigned depth);

static int
add_folder(struct collection *c, const char *path, bool as_spec, unsigned depth)
{
	struct dirent **entries;
	int code = 0, count = scandir(path, &entries, NULL, alphasort);

	if (count < 0)
		return err_set(&c->e, ERR_IO, "cannot read %s: %s", path, strerror(errno));
	for (int i = 0; i < count; i++) {
		if (entries[i]->d_name[0] != '.' && !code) {
			char *below = path_join(path, entries[i]->d_name);
			code = add_path(c, below, as_spec, depth + 1);
			free(below);
		}
		free(entries[i]);
	}
	free(entries);
	return code;
}

static int
add_path(struct collection *c, const char *path, bool as_spec, unsigned depth)
{
	struct stat status;
	if (depth > FOLDER_DEPTH_MAX)
		return 0;
	if (stat(path, &status) != 0)
		return err_set(&c->e, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
	if (S_ISDIR(status.st_mode))
		return add_folder(c, path, as_spec, depth);
	return S_ISREG(status.st_mode) ? add_file(c, path, as_spec) : 0;
}

static int
collect(struct collection *c, const struct words *words)
{
	static const char *const readable[] = { "spec", "tests/lua", "examples" };
	int code = 0;

	for (size_t i = 0; i < words->count && !code; i++)
		code = add_path(c, words->items[i], true, 0);
	for (size_t i = 0; i < sizeof readable / sizeof *readable && !code; i++) {
		char *path = path_join(c->root, readable[i]);
		struct stat status;
		if (stat(path, &status) == 0)
			code = add_path(c, path, words->count == 0 && i < 2, 0);
		free(path);
	}
	return code;
}

/* -- running ---------------------------------------------------------------------------------------------------------- */

struct spec_run {
	struct report *report;
	const char *path;
	bool done;
};

static void
test_on_done(void *arg, const struct invocation_end *end)
{
	struct spec_run *s = arg;
	s->done = true;
	if (end->code) {
		json_t *error = json_object();
		json_put_text(error, "code", err_name(end->code));
		json_put_text(error, "message", end->text);
		report_broken_file(s->report, s->path, error, end->took_us);
		json_decref(error);
	} else if (strcmp(end->status, "succeeded") == 0 && json_is_array(json_member(end->output, "tests"))) {
		report_file(s->report, s->path, json_member(end->output, "tests"), end->took_us);
	} else {
		report_broken_file(s->report, s->path, end->error, end->took_us);
	}
}

static int
run_specs(struct host *host, const struct collection *c, const char *filter, struct report *report)
{
	json_t *start = json_object(), *spec, *input = json_object();
	struct errbuf e;
	size_t index;
	int code = 0;

	json_put(start, "files", json_incref(c->files));
	if (filter)
		json_put_text(start, "filter", filter);
	json_array_foreach(c->specs, index, spec) {
		char tenant[32];
		snprintf(tenant, sizeof tenant, "spec-%zu", index + 1);
		if ((code = host_load(host, tenant, c->root, NULL, &e))) {
			code = cli_fail(EXIT_FAILED, "%s", e.text);
			break;
		}
		host->seed = 0;
		struct spec_run s = { report, json_string_value(spec), false };
		struct run_request request = {
			.tenant = str_of(tenant), .agent = "spec", .capability = "run", .input = input, .spec = str_of(s.path), .spec_start = start,
		};
		invocation_start(host, &request, false, test_on_done, &s);
		host_wait(host, &s.done);
	}
	json_decref(input);
	json_decref(start);
	return code;
}

static int
run(const struct command *command, int argc, char **argv)
{
	const char *config = NULL, *output = NULL, *filter = NULL;
	struct setting_flags flags = { 0 };
	struct words words;
	const struct option options[] = {
		{ "--output", "FORM", "spec (for people), tap or junit", &output, NULL, NULL },
		{ "--filter", "TEXT", "only tests with this in their name", &filter, NULL, NULL },
		OPTION_CONFIG(config), OPTION_ROOT, { 0 },
	};
	int code = options_parse(command, options, &flags, argc, argv, 0, 1000, &words);
	if (code >= 0)
		return code;
	enum report_form form = REPORT_SPEC;
	if (output && strcmp(output, "tap") == 0)
		form = REPORT_TAP;
	else if (output && strcmp(output, "junit") == 0)
		form = REPORT_JUNIT;
	else if (output && strcmp(output, "spec") != 0)
		return cli_fail(EXIT_USAGE, "--output is tap, junit or spec, not '%s'", output);

	struct settings settings;
	struct host host;
	code = host_begin(config, &flags, (struct host_options){ .scratch = true, .virtual_time = true, .roomy = true }, &settings, &host);
	if (code >= 0)
		return code;
	struct collection c = { .root = settings.root, .files = json_object(), .specs = json_array() };
	struct report report;
	if (collect(&c, &words)) {
		code = cli_fail(EXIT_USAGE, "%s", c.e.text);
	} else if (json_array_size(c.specs) == 0) {
		code = cli_fail(EXIT_USAGE, "no *_spec.lua %s%s: write one, or give its path", words.count ? "there" : "in spec/ or tests/lua/ of ",
		                words.count ? "" : settings.root);
	} else {
		report_begin(&report, form);
		code = run_specs(&host, &c, filter, &report);
		report_end(&report);
		if (!code && report.failed)
			code = EXIT_FAILED;
		else if (!code && report.number == 0)
			code = cli_fail(EXIT_FAILED, filter ? "no test has '%s' in its name" : "the specs hold no test%s", filter ? filter : "");
	}
	json_decref(c.files);
	json_decref(c.specs);
	host_end(&settings, &host);
	return code;
}

const struct command command_test = {
	"test", "[PATHS] [OPTIONS]", "Run specs (*_spec.lua) inside real cells, under a clock of their own",
	"Without paths: spec/ and tests/lua/ of the root. Specs read the texts of spec/, tests/lua/ and examples/ through the module perigee.testing.\n"
	"Exit 1 when a test failed; a spec that crashes, loops or is killed is a failed test.",
	run,
};
