#include "cli/settings.h"
#include "net/redis_url.h"
#include "run/engine.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_FILE_MAX (1u << 20)
#define KEPT_MS_MAX (INT64_C(36500) * 86400000)   /* a hundred years */

enum setting_type { SETTING_TEXT, SETTING_COUNT, SETTING_DURATION, SETTING_SIZE, SETTING_TREE, SETTING_LIST };

struct setting_row {
	const char *path;          /* "cell.memory", as in perigee.lua */
	const char *environment;   /* NULL: none */
	enum setting_type type;
	size_t offset;             /* in struct settings: char *, int64_t or json_t * by type */
	const char *otherwise;     /* the built-in default; NULL: unset */
	int64_t least, most;       /* numbers */
	const char *choices;       /* texts: "text|json" */
	bool secret;
};

#define AT(field) offsetof(struct settings, field)
static const struct setting_row rows[SETTINGS_ROWS] = {
	{ "listen", "PERIGEE_LISTEN", SETTING_TEXT, AT(listen), "127.0.0.1:8080", 0, 0, NULL, false },
	{ "store", "PERIGEE_STORE", SETTING_TEXT, AT(store), "sqlite:.perigee", 0, 0, NULL, false },
	{ "redis", "PERIGEE_REDIS", SETTING_TEXT, AT(redis), NULL, 0, 0, NULL, true },
	{ "workers", "PERIGEE_WORKERS", SETTING_COUNT, AT(workers), "1", 1, 64, NULL, false },
	{ "root", NULL, SETTING_TEXT, AT(root), NULL, 0, 0, NULL, false },
	{ "log.format", "PERIGEE_LOG", SETTING_TEXT, AT(log_format), "text", 0, 0, "text|json", false },
	{ "log.level", "PERIGEE_LOG_LEVEL", SETTING_TEXT, AT(log_level), "info", 0, 0, "debug|info|warn|error", false },
	{ "drain_timeout", NULL, SETTING_DURATION, AT(drain_timeout_ms), "20s", 0, 3600000, NULL, false },
	{ "lease", NULL, SETTING_DURATION, AT(lease_ms), "10s", 1000, 600000, NULL, false },
	{ "cell.memory", NULL, SETTING_SIZE, AT(cell_memory_bytes), "64MiB", 4 << 20, INT64_C(4) << 30, NULL, false },
	{ "cell.cpu", NULL, SETTING_DURATION, AT(cell_cpu_ms), "250ms", 1, 600000, NULL, false },
	{ "cell.wall", NULL, SETTING_DURATION, AT(cell_wall_ms), "2s", 10, 600000, NULL, false },
	{ "cell.resident", NULL, SETTING_COUNT, AT(cell_resident), "500", 0, 1000000, NULL, false },
	{ "limits.body", NULL, SETTING_SIZE, AT(limit_body_bytes), "8MiB", 1024, 8 << 20, NULL, false },
	{ "limits.connections", NULL, SETTING_COUNT, AT(limit_connections), "10000", 1, 1000000, NULL, false },
	{ "limits.children", NULL, SETTING_COUNT, AT(limit_children), "1000", 1, 1000000, NULL, false },
	{ "limits.runs_per_tenant", NULL, SETTING_COUNT, AT(limit_runs_per_tenant), "1000", 1, 100000000, NULL, false },
	{ "limits.metrics_tenants", NULL, SETTING_COUNT, AT(metrics_tenants), "100", 0, 100000, NULL, false },
	{ "egress", NULL, SETTING_LIST, AT(egress), NULL, 0, 0, NULL, false },
	{ "retention.succeeded", NULL, SETTING_DURATION, AT(retention.keep_ms[RETAIN_SUCCEEDED]), "0s", 0, KEPT_MS_MAX, NULL, false },
	{ "retention.failed", NULL, SETTING_DURATION, AT(retention.keep_ms[RETAIN_FAILED]), "0s", 0, KEPT_MS_MAX, NULL, false },
	{ "retention.cancelled", NULL, SETTING_DURATION, AT(retention.keep_ms[RETAIN_CANCELLED]), "0s", 0, KEPT_MS_MAX, NULL, false },
	{ "retention.stuck", NULL, SETTING_DURATION, AT(retention.keep_ms[RETAIN_STUCK]), "0s", 0, KEPT_MS_MAX, NULL, false },
	{ "retention.events", NULL, SETTING_DURATION, AT(retention.keep_ms[RETAIN_EVENTS]), "0s", 0, KEPT_MS_MAX, NULL, false },
	{ "retention.every", NULL, SETTING_DURATION, AT(retention.every_ms), "1h", 100, 86400000, NULL, false },
	{ "events.stream_length", NULL, SETTING_COUNT, AT(events_stream_length), "100000", 1, INT64_C(1000000000), NULL, false },
	{ "providers", NULL, SETTING_TREE, AT(providers), NULL, 0, 0, NULL, false },
	{ "roles", NULL, SETTING_TREE, AT(roles), NULL, 0, 0, NULL, false },
	{ "admin_key", "PERIGEE_ADMIN_KEY", SETTING_TEXT, AT(admin_key), NULL, 0, 0, NULL, true },
	{ "master_key", "PERIGEE_MASTER_KEY", SETTING_TEXT, AT(master_key), NULL, 0, 0, NULL, true },
	{ "url", "PERIGEE_URL", SETTING_TEXT, AT(url), NULL, 0, 0, NULL, false },
	{ "key", "PERIGEE_KEY", SETTING_TEXT, AT(key), NULL, 0, 0, NULL, true },
};

static void *
field(const struct settings *s, const struct setting_row *row)
{
	return (char *)(uintptr_t)s + row->offset;
}

static bool
is_choice(const char *choices, const char *text)
{
	size_t length = strlen(text);
	for (const char *p = choices; p; p = strchr(p, '|'), p = p ? p + 1 : NULL)
		if (strncmp(p, text, length) == 0 && (p[length] == '|' || p[length] == '\0'))
			return true;
	return false;
}

static int
set_number(struct settings *s, const struct setting_row *row, const char *text, struct errbuf *e)
{
	int64_t value = 0;
	bool good = false;
	const char *like = "a whole number";

	if (row->type == SETTING_COUNT)
		good = str_to_int(str_of(text), row->least, row->most, &value);
	else if (row->type == SETTING_DURATION)
		good = str_to_duration_ms(str_of(text), &value), like = "a duration like 250ms, 2s or 5m";
	else
		good = str_to_size_bytes(str_of(text), &value), like = "a size like 512KiB or 64MiB";
	if (!good && row->type != SETTING_COUNT)
		return err_set(e, ERR_INVALID, "%s: '%s' is not %s", row->path, text, like);
	if (!good || value < row->least || value > row->most)
		return err_set(e, ERR_INVALID, "%s: '%s' is not %s from %lld to %lld%s", row->path, text, like, (long long)row->least,
		               (long long)row->most, row->type == SETTING_DURATION ? " ms" : row->type == SETTING_SIZE ? " bytes" : "");
	*(int64_t *)field(s, row) = value;
	return 0;
}

static int
set_text(struct settings *s, const struct setting_row *row, const char *text, const char *origin, struct errbuf *e)
{
	s->origins[row - rows] = origin;
	if (row->type == SETTING_TREE || row->type == SETTING_LIST)
		return err_set(e, ERR_INVALID, "%s: must be a table", row->path);
	if (row->type != SETTING_TEXT)
		return set_number(s, row, text, e);
	if (row->choices && !is_choice(row->choices, text))
		return err_set(e, ERR_INVALID, "%s: '%s' is none of %s", row->path, text, row->choices);
	if (row->offset == AT(redis) && *text) {
		struct redis_url url;
		int code = redis_url_read(text, &url, e);
		redis_url_free(&url);
		if (code)
			return code;
	}
	char **at = field(s, row);
	free(*at);
	*at = mem_copy(str_of(text));
	return 0;
}

static const struct setting_row *
find_row(const char *path)
{
	for (size_t i = 0; i < SETTINGS_ROWS; i++)
		if (strcmp(rows[i].path, path) == 0)
			return &rows[i];
	return NULL;
}

static bool
is_section(const char *path)
{
	size_t length = strlen(path);
	for (size_t i = 0; i < SETTINGS_ROWS; i++)
		if (strncmp(rows[i].path, path, length) == 0 && rows[i].path[length] == '.')
			return true;
	return false;
}

/* -- the file --------------------------------------------------------------------------------------------------------- */

struct config_file {
	const char *path;
	struct str text;
};

/* The line on which a key is given, for a message; 0 when it is not to be found. What is evaluated has no lines any more, so this
 * looks for `key =` and `"key"] =` as a reader would. */
static int
line_of_key(const struct config_file *file, const char *key)
{
	size_t length = strlen(key);
	int line = 1;
	for (size_t i = 0; i + length <= file->text.n; i++) {
		const char *p = file->text.p + i;
		if (*p == '\n')
			line++;
		if (memcmp(p, key, length) != 0 || (i > 0 && (isalnum((unsigned char)p[-1]) || p[-1] == '_')))
			continue;
		size_t k = i + length;
		while (k < file->text.n && strchr(" \t\"']", file->text.p[k]))
			k++;
		if (k < file->text.n && file->text.p[k] == '=')
			return line;
	}
	return 0;
}

static int
file_fault(const struct config_file *file, const char *key, int code, struct errbuf *e)
{
	int line = line_of_key(file, key);
	return line ? err_wrap(e, code, "%s:%d", file->path, line) : err_wrap(e, code, "%s", file->path);
}

/* What env "NAME" evaluates to: {"$env": "NAME", "default"?: value}. New reference; NULL when neither is there. */
static json_t *
resolve_environment(const json_t *marker)
{
	char *name = mem_copy(json_member_str(marker, "$env"));
	const char *value = getenv(name);
	free(name);
	if (value && *value)
		return json_new_str(str_of(value));
	const json_t *otherwise = json_member(marker, "default");
	return otherwise && !json_is_null(otherwise) ? json_deep_copy(otherwise) : NULL;
}

/* A copy of a tree in which each env() is replaced; one without value leaves its key out. New reference. */
static json_t *
resolve_tree(const json_t *value)
{
	if (json_is_object(value) && json_is_string(json_object_get(value, "$env"))) {
		return resolve_environment(value);
	} else if (json_is_object(value)) {
		json_t *copy = json_object();
		const char *key;
		json_t *member;
		json_object_foreach((json_t *)(uintptr_t)value, key, member) {
			json_t *resolved = resolve_tree(member);
			if (resolved)
				json_object_set_new(copy, key, resolved);
		}
		return copy;
	} else if (json_is_array(value)) {
		json_t *copy = json_array();
		size_t index;
		json_t *member;
		json_array_foreach(value, index, member) {
			json_t *resolved = resolve_tree(member);
			if (resolved)
				json_array_append_new(copy, resolved);
		}
		return copy;
	}
	return json_deep_copy(value);
}

/* Texts; an empty table may come as an object. */
static int
set_list(struct settings *s, const struct setting_row *row, const json_t *value, struct errbuf *e)
{
	json_t **at = field(s, row), *item;
	size_t i;
	bool good = json_is_array(value) || (json_is_object(value) && json_object_size(value) == 0);

	json_array_foreach(value, i, item)
		good = good && json_is_string(item);
	if (!good)
		return err_set(e, ERR_INVALID, "%s: must be a list of texts: { \"https://api.example.com\" }", row->path);
	json_decref(*at);
	*at = json_is_array(value) ? json_incref((json_t *)(uintptr_t)value) : json_array();
	return 0;
}

static int
set_value(struct settings *s, const struct setting_row *row, const json_t *value, struct errbuf *e)
{
	char number[32];

	s->origins[row - rows] = s->origin_file;
	if (row->type == SETTING_TREE) {
		json_t **at = field(s, row);
		if (!json_is_object(value) && !(json_is_array(value) && json_array_size(value) == 0))
			return err_set(e, ERR_INVALID, "%s: must be a table with names", row->path);
		json_decref(*at);
		*at = json_is_object(value) ? json_incref((json_t *)(uintptr_t)value) : json_object();
		return 0;
	}
	if (row->type == SETTING_LIST)
		return set_list(s, row, value, e);
	if (json_is_string(value)) {
		if (strlen(json_string_value(value)) != json_string_length(value))
			return err_set(e, ERR_INVALID, "%s: has a NUL byte", row->path);
		return set_text(s, row, json_string_value(value), s->origin_file, e);
	}
	if (json_is_integer(value) && row->type != SETTING_TEXT) {
		snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
		return set_text(s, row, number, s->origin_file, e);
	}
	return err_set(e, ERR_INVALID, "%s: must be a %s", row->path, row->type == SETTING_COUNT ? "whole number" : "string");
}

static void
add_known_keys(struct buf *b, const char *section)
{
	size_t length = strlen(section);
	const char *last = "";
	for (size_t i = 0; i < SETTINGS_ROWS; i++) {
		const char *rest = rows[i].path + length;
		if (strncmp(rows[i].path, section, length) != 0)
			continue;
		size_t n = strcspn(rest, ".");
		if (strncmp(last, rest, n) == 0 && last[n] == '.')
			continue;
		buf_addf(b, "%s%.*s", b->n ? ", " : "", (int)n, rest);
		last = rest;
	}
}

static int
apply_section(struct settings *s, const struct config_file *file, const char *section, const json_t *tree, struct errbuf *e)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)tree, key, value) {
		char path[160];
		snprintf(path, sizeof path, "%s%s", section, key);
		const struct setting_row *row = find_row(path);
		int code = 0;
		if (row) {
			code = set_value(s, row, value, e);
		} else if (!*section && is_section(path)) {
			snprintf(path, sizeof path, "%s.", key);
			if (!json_is_object(value) && json_array_size(value) == 0)
				continue;   /* an empty table */
			if (json_is_object(value)) {
				if ((code = apply_section(s, file, path, value, e)))
					return code;
				continue;
			}
			code = err_set(e, ERR_INVALID, "%s: must be a table", key);
		} else {
			struct buf known;
			buf_init(&known, 400);
			add_known_keys(&known, section);
			code = err_set(e, ERR_INVALID, "no setting '%s': there are %s", path, buf_text(&known));
			buf_free(&known);
		}
		if (code)
			return file_fault(file, key, code, e);
	}
	return 0;
}

static int
apply_file(struct settings *s, struct errbuf *e)
{
	struct buf text = { 0 };
	json_t *tree = NULL, *resolved = NULL;
	int code = cli_read_file(s->config, CONFIG_FILE_MAX, &text, e);

	if (code)
		return err_wrap(e, code, "configuration");
	struct config_file file = { s->config, buf_str(&text) };
	tree = engine_evaluate_config(s->cell_program, file.text, s->config, e);
	if (!tree) {
		code = ERR_INVALID;
		goto out;
	}
	if (!json_is_object(tree) && !(json_is_array(tree) && json_array_size(tree) == 0)) {
		code = err_set(e, ERR_INVALID, "%s: must return a table: return { listen = \"127.0.0.1:8080\" }", s->config);
		goto out;
	}
	resolved = resolve_tree(tree);
	if (json_is_object(resolved))
		code = apply_section(s, &file, "", resolved, e);
out:
	json_decref(resolved);
	json_decref(tree);
	buf_free(&text);
	return code;
}

/* -- all layers ------------------------------------------------------------------------------------------------------- */

static int
apply_environment(struct settings *s, struct errbuf *e)
{
	for (size_t i = 0; i < SETTINGS_ROWS; i++) {
		const char *value = rows[i].environment ? getenv(rows[i].environment) : NULL;
		if (!value || !*value)
			continue;
		int code = set_text(s, &rows[i], value, rows[i].environment, e);
		if (code)
			return err_wrap(e, code, "environment variable %s", rows[i].environment);
	}
	return 0;
}

static int
apply_flags(struct settings *s, const struct setting_flags *flags, struct errbuf *e)
{
	for (size_t i = 0; flags && i < flags->count; i++) {
		const struct setting_row *row = find_row(flags->items[i].path);
		BUG_ON(!row);
		int code = set_text(s, row, flags->items[i].text, "command line", e);
		if (code)
			return err_wrap(e, code, "command line");
	}
	return 0;
}

/* The path of this program, terminated. */
static bool
find_self(char *out, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", out, size - 1);
	out[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* perigee-cell beside this program or one above (a build and its tests), else in ../libexec/perigee (installed). */
static int
find_cell_program(struct settings *s, struct errbuf *e)
{
	char self[4096];

	if (!find_self(self, sizeof self))
		return err_set(e, ERR_UNAVAILABLE, "/proc is not mounted: perigee finds perigee-cell through it");
	static const char *const places[] = { "perigee-cell", "../perigee-cell", "../libexec/perigee/perigee-cell" };
	char *folder = path_folder(self);
	for (size_t i = 0; i < sizeof places / sizeof *places && !s->cell_program; i++) {
		s->cell_program = path_join(folder, places[i]);
		if (access(s->cell_program, X_OK) != 0) {
			free(s->cell_program);
			s->cell_program = NULL;
		}
	}
	int code = 0;
	if (!s->cell_program)
		code = err_set(e, ERR_UNAVAILABLE, "perigee-cell is not beside %s: run make, or make install", self);
	free(folder);
	return code;
}

static void
choose_file(struct settings *s, const char *config)
{
	const char *environment = getenv("PERIGEE_CONFIG");
	if (!config && environment && *environment)
		config = environment;
	if (!config && access("perigee.lua", F_OK) == 0)
		config = "perigee.lua";
	s->config = config ? mem_copy(str_of(config)) : NULL;
	s->origin_file = mem_copy(str_of(config ? config : ""));
}

/* The scripts that came with an installed program, where neither a configuration nor scripts are here; NULL otherwise. */
static char *
find_installed_root(const struct settings *s)
{
	char self[4096];

	if (s->config || access("scripts", F_OK) == 0 || access("methodology", F_OK) == 0 || !find_self(self, sizeof self))
		return NULL;
	char *folder = path_folder(self), *share = path_join(folder, "../share/perigee"), *scripts = path_join(share, "scripts");
	char *root = access(scripts, R_OK) == 0 ? realpath(share, NULL) : NULL;
	free(scripts);
	free(share);
	free(folder);
	return root;
}

/* A root in the file is meant from the file's folder; one on the command line from here. */
static void
settle_root(struct settings *s)
{
	char *folder = s->config ? path_folder(s->config) : mem_copy(STR("."));
	if (!s->root && (s->root = find_installed_root(s))) {
		s->origins[find_row("root") - rows] = "installed";
	} else if (!s->root) {
		s->root = mem_copy(str_of(folder));
	} else if (settings_origin(s, "root") == s->origin_file) {
		char *root = strcmp(s->root, ".") == 0 ? mem_copy(str_of(folder)) : path_join(folder, s->root);
		free(s->root);
		s->root = root;
	}
	free(folder);
}

int
settings_read(const char *config, const struct setting_flags *flags, struct settings *out, struct errbuf *e)
{
	int code = 0;

	*out = (struct settings){ 0 };
	out->providers = json_object();
	out->roles = json_object();
	out->egress = json_array();
	for (size_t i = 0; i < SETTINGS_ROWS; i++) {
		out->origins[i] = "default";
		if (rows[i].otherwise && (code = set_text(out, &rows[i], rows[i].otherwise, "default", e)))
			return code;
	}
	choose_file(out, config);
	if ((code = find_cell_program(out, e)))
		return code;
	if (out->config && (code = apply_file(out, e)))
		return code;
	if ((code = apply_environment(out, e)) || (code = apply_flags(out, flags, e)))
		return code;
	settle_root(out);
	return 0;
}

void
settings_free(struct settings *s)
{
	for (size_t i = 0; i < SETTINGS_ROWS; i++) {
		if (rows[i].type == SETTING_TEXT)
			free(*(char **)field(s, &rows[i]));
		else if (rows[i].type == SETTING_TREE || rows[i].type == SETTING_LIST)
			json_decref(*(json_t **)field(s, &rows[i]));
	}
	free(s->config);
	free(s->cell_program);
	free(s->origin_file);
	*s = (struct settings){ 0 };
}

bool
settings_equal(const struct settings *a, const struct settings *b)
{
	for (size_t i = 0; i < SETTINGS_ROWS; i++) {
		void *x = field(a, &rows[i]), *y = field(b, &rows[i]);
		if (rows[i].type == SETTING_TEXT) {
			const char *p = *(char **)x, *q = *(char **)y;
			if (!p != !q || (p && strcmp(p, q) != 0))
				return false;
		} else if (rows[i].type == SETTING_TREE || rows[i].type == SETTING_LIST) {
			if (!json_equal(*(json_t **)x, *(json_t **)y))
				return false;
		} else if (*(int64_t *)x != *(int64_t *)y) {
			return false;
		}
	}
	return true;
}

const char *
settings_origin(const struct settings *s, const char *path)
{
	const struct setting_row *row = find_row(path);
	BUG_ON(!row);
	return s->origins[row - rows];
}

/* The password of "scheme://user:password@host" and of "password=…" (a query's or libpq's words) as ***. */
char *
settings_url_shown(const char *url)
{
	static const char word[] = "password=";
	struct buf out;
	const char *authority = strstr(url, "://"), *at = NULL, *colon = NULL, *p = url;

	buf_init(&out, 64u << 10);
	if (authority) {
		authority += 3;
		for (const char *q = authority; *q && !strchr("/?", *q); q++)
			at = *q == '@' ? q : at;
		colon = at ? memchr(authority, ':', (size_t)(at - authority)) : NULL;
	}
	while (*p) {
		if (p == colon) {
			buf_add_text(&out, ":***");
			p = at;
		} else if (strncmp(p, word, sizeof word - 1) == 0) {
			buf_addf(&out, "%s***", word);
			p += sizeof word - 1;
			bool quoted = *p == '\'';
			for (p += quoted; *p && (quoted ? *p != '\'' : !strchr("& \t\n", *p)); p++)
				p += *p == '\\' && p[1];
			p += quoted && *p;
		} else {
			buf_add_char(&out, *p++);
		}
	}
	return buf_take(&out);
}

static void
add_shown(struct buf *out, const char *url)
{
	char *shown = settings_url_shown(url);
	buf_add_text(out, shown);
	free(shown);
}

void
settings_write(const struct settings *s, struct buf *out)
{
	for (size_t i = 0; i < SETTINGS_ROWS; i++) {
		const struct setting_row *row = &rows[i];
		buf_addf(out, "%-24s = ", row->path);
		if (row->type == SETTING_TREE || row->type == SETTING_LIST)
			json_write(out, *(json_t **)field(s, row));
		else if (row->type != SETTING_TEXT)
			buf_addf(out, "%lld", (long long)*(int64_t *)field(s, row));
		else if (!*(char **)field(s, row))
			buf_add_text(out, "-");
		else if (row->secret)
			buf_add_text(out, "(set)");
		else
			add_shown(out, *(char **)field(s, row));
		buf_addf(out, "   (%s)\n", s->origins[i]);
	}
}
