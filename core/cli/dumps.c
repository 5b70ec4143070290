/* perigee backup, perigee restore; and what perigee tenant export and import share with them. */
#include "cli/dumps.h"

#include "cli/commands.h"
#include "store/dump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
tell(const char *what, const char *tenant, int64_t rows)
{
	fprintf(stderr, "%s %s: %lld rows\n", what, *tenant ? tenant : "(platform)", (long long)rows);
}

/* -- out -------------------------------------------------------------------------------------------------------------- */

static int
write_tenants(struct host *host, const char *tenant, struct dump_writer *w, struct errbuf *e)
{
	json_t *names = tenant ? json_array() : store_tenant_names(host->store), *name;
	size_t index;
	int64_t before = 0;
	int code = 0;

	json_array_insert_new(names, 0, json_string(tenant ? tenant : ""));
	json_array_foreach(names, index, name) {
		code = store_dump_tenant(host->store, json_str(name), w, e);
		if (code)
			break;
		tell("written", json_string_value(name), w->rows - before);
		before = w->rows;
	}
	json_decref(names);
	return code;
}

int
dumps_write(struct host *host, const char *tenant, const char *path)
{
	struct errbuf e;
	struct dump_writer w;
	char *part = mem_array(strlen(path) + 6, 1);
	int code;

	sprintf(part, "%s.part", path);
	int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!file) {
		code = cli_fail(EXIT_FAILED, "%s: %s: choose a file in a folder that you may write", part, strerror(errno));
		free(part);
		return code;
	}
	dump_begin(&w, file, PERIGEE_VERSION, clock_now_us(&host->clock));
	code = write_tenants(host, tenant, &w, &e);
	int64_t rows = w.rows;
	if (code)
		dump_abandon(&w);
	else
		code = dump_end(&w, &e);
	if (fclose(file) != 0 && !code)
		code = err_set(&e, ERR_IO, "%s: %s", part, strerror(errno));
	if (!code && rename(part, path) != 0)
		code = err_set(&e, ERR_IO, "%s: %s", path, strerror(errno));
	if (code)
		unlink(part);
	else
		printf("%s: %lld rows\n", path, (long long)rows);
	free(part);
	return code ? cli_fail(code == ERR_NOT_FOUND ? EXIT_USAGE : EXIT_FAILED, "%s", e.text) : EXIT_DONE;
}

/* -- in --------------------------------------------------------------------------------------------------------------- */

struct reading {
	struct host *host;
	const char *only, *as;
	size_t loaded;
};

/* The tables of a tenant that is not wanted. */
static int
skip_tenant(struct dump_reader *r, struct errbuf *e)
{
	enum dump_item item;
	int code;
	while ((code = dump_next(r, &item, e)) == 0 && item != DUMP_TENANT && item != DUMP_END)
		;
	if (code == 0)
		dump_hold(r);
	return code;
}

static int
read_tenant(struct reading *reading, struct dump_reader *r, struct errbuf *e)
{
	char *tenant = mem_copy(json_member_str(r->value, "tenant"));
	int64_t before = r->rows;
	int code;

	if (reading->only ? strcmp(tenant, reading->only) != 0 : reading->as && *tenant == '\0') {
		code = skip_tenant(r, e);
	} else if (reading->as && reading->loaded > 0) {
		code = err_set(e, ERR_INVALID, "the file holds several tenants: --as goes with one, name it with --tenant");
	} else {
		const char *name = reading->as ? reading->as : tenant;
		code = store_load_tenant(reading->host->store, str_of(name), r, !reading->as, e);
		if (code == 0) {
			tell("read", name, r->rows - before);
			reading->loaded++;
		} else {
			code = err_wrap(e, code, "tenant %s", *name ? name : "(platform)");
		}
	}
	free(tenant);
	return code;
}

static int
read_all(struct reading *reading, FILE *file, struct errbuf *e)
{
	struct dump_reader r;
	enum dump_item item = DUMP_TENANT;
	int code = dump_open(&r, file, e);

	while (code == 0 && (code = dump_next(&r, &item, e)) == 0 && item != DUMP_END)
		code = item == DUMP_TENANT ? read_tenant(reading, &r, e) : err_set(e, ERR_INVALID, "line %lld: a tenant was due", (long long)r.line);
	dump_close(&r);
	if (code == 0 && reading->loaded == 0)
		code = err_set(e, ERR_NOT_FOUND, "the file holds no tenant %s", reading->only ? reading->only : "at all");
	return code;
}

int
dumps_read(struct host *host, const char *path, const char *only, const char *as)
{
	struct reading reading = { .host = host, .only = only, .as = as };
	struct errbuf e;
	int64_t rows;
	FILE *file = fopen(path, "re");

	if (!file)
		return cli_fail(EXIT_USAGE, "%s: %s", path, strerror(errno));
	/* All of it is checked before any of it is kept. */
	int code = dump_verify(file, &rows, &e);
	if (code == 0)
		code = read_all(&reading, file, &e);
	fclose(file);
	if (code)
		return cli_fail(code == ERR_STORE ? EXIT_NO_HOST : EXIT_FAILED, "%s: %s", path, e.text);
	return EXIT_DONE;
}

/* -- commands --------------------------------------------------------------------------------------------------------- */

static int
run_backup(const struct command *command, int argc, char **argv)
{
	const char *config = NULL, *tenant = NULL;
	struct setting_flags flags = { 0 };
	struct words words;
	const struct option options[] = { { "--tenant", "NAME", "this tenant alone", &tenant, NULL, NULL }, OPTION_CONFIG(config), OPTION_STORE, { 0 } };
	int code = options_parse(command, options, &flags, argc, argv, 1, 1, &words);
	if (code >= 0)
		return code;
	struct settings settings;
	struct host host;
	code = host_begin(config, &flags, (struct host_options){ .without_engine = true, .read_only = true }, &settings, &host);
	if (code >= 0)
		return code;
	code = dumps_write(&host, tenant, words.items[0]);
	host_end(&settings, &host);
	return code;
}

static int
run_restore(const struct command *command, int argc, char **argv)
{
	const char *config = NULL, *tenant = NULL, *as = NULL;
	struct setting_flags flags = { 0 };
	struct words words;
	const struct option options[] = {
		{ "--tenant", "NAME", "of the file's tenants this one", &tenant, NULL, NULL },
		{ "--as", "NAME", "under another name, without its keys", &as, NULL, NULL }, OPTION_CONFIG(config), OPTION_STORE, { 0 },
	};
	int code = options_parse(command, options, &flags, argc, argv, 1, 1, &words);
	if (code >= 0)
		return code;
	struct settings settings;
	struct host host;
	code = host_begin(config, &flags, (struct host_options){ .without_engine = true }, &settings, &host);
	if (code >= 0)
		return code;
	code = dumps_read(&host, words.items[0], tenant, as);
	host_end(&settings, &host);
	return code;
}

const struct command command_backup = {
	"backup", "FILE [OPTIONS]", "Write every tenant, or one, into a file while the host serves",
	"Each tenant as of one instant; runs, journals, records, evidence, keys (their digests). Any store reads it: perigee restore.", run_backup,
};
const struct command command_restore = {
	"restore", "FILE [OPTIONS]", "Read what perigee backup wrote into a store that lacks it",
	"The file is checked whole before anything is kept; a tenant that is there already is refused. Runs that had not ended go on.", run_restore,
};
