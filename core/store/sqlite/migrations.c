/* What `perigee migrate` shows and does with a folder of SQLite files: each has its own chain, platform.db the shared one, every tenant's file the tenant one. */
#include "store/migrations.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ids.h"
#include "store/sqlite/connection.h"

/* What a file has, looked at without writing a byte; a file that is not there has nothing. */
static int applied_of(const char *path, const char *chain, json_t *applied, struct errbuf *e)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *s = NULL;
	int rc, code = 0;

	if (access(path, F_OK) != 0)
		return 0;
	rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_busy_timeout(db, 5000);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(db, "SELECT number, name, checksum, applied_at FROM migrations WHERE chain = ?1 ORDER BY number", -1, &s, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(s, 1, chain, -1, SQLITE_STATIC);
	while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		json_t *row = json_array();

		json_array_append_new(row, json_integer(sqlite3_column_int(s, 0)));
		json_array_append_new(row, json_string((const char *)sqlite3_column_text(s, 1)));
		json_array_append_new(row, json_string((const char *)sqlite3_column_text(s, 2)));
		json_array_append_new(row, json_integer(sqlite3_column_int64(s, 3)));
		json_array_append_new(applied, row);
		rc = SQLITE_OK;
	}
	if (rc != SQLITE_DONE)
		code = err_set(e, ERR_STORE, "%s: read migrations: %s", path, sqlite3_errmsg(db));
	sqlite3_finalize(s);
	sqlite3_close(db);
	return code;
}

static int status_of(const char *folder, const char *file, const char *chain, json_t *report, struct errbuf *e)
{
	json_t *applied = json_array(), *row;
	char path[CONNECTION_PATH_MAX + 512], sum[SHA256_HEX_SIZE];
	int known = migrations_known(chain, "sqlite"), code;
	size_t i;

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	code = applied_of(path, chain, applied, e);
	for (int number = 1; number <= known && code == 0; number++) {
		const struct store_migration *m = migrations_find(chain, "sqlite", number);
		const char *state = "missing";
		int64_t at = 0;

		migrations_checksum(m, sum);
		json_array_foreach(applied, i, row)
			if (json_integer_value(json_array_get(row, 0)) == number) {
				const char *had = json_string_value(json_array_get(row, 2));
				state = had != NULL && strcmp(had, sum) == 0 ? "applied" : "altered";
				at = json_integer_value(json_array_get(row, 3));
			}
		migrations_report(report, file, chain, number, m->name, sum, at, state);
	}
	json_array_foreach(applied, i, row)
		if (code == 0 && json_integer_value(json_array_get(row, 0)) > known)
			migrations_report(report, file, chain, (int)json_integer_value(json_array_get(row, 0)), json_string_value(json_array_get(row, 1)),
			    json_string_value(json_array_get(row, 2)), json_integer_value(json_array_get(row, 3)), "newer");
	json_decref(applied);
	return code;
}

static int is_database(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return entry->d_name[0] != '.' && n > 3 && strcmp(entry->d_name + n - 3, ".db") == 0;
}

static int status(const char *folder, json_t *report, struct errbuf *e)
{
	struct dirent **entries = NULL;
	char path[CONNECTION_PATH_MAX + 16], file[300];
	int code = status_of(folder, "platform.db", "shared", report, e), n;

	snprintf(path, sizeof(path), "%s/tenants", folder);
	n = scandir(path, &entries, is_database, alphasort);
	for (int i = 0; i < n; i++) {
		snprintf(file, sizeof(file), "tenants/%s", entries[i]->d_name);
		if (code == 0)
			code = status_of(folder, file, "tenant", report, e);
		free(entries[i]);
	}
	free(entries);
	return code;
}

/* Opening a file for writing brings it up to date. */
static int up(const char *path, const struct clock *clock, struct errbuf *e)
{
	char url[CONNECTION_PATH_MAX + 8];
	struct store_options options = { .url = url, .clock = clock, .create = true };
	struct folder folder = { .path = (char *)(uintptr_t)path, .clock = clock };
	struct store *store;
	json_t *names, *name;
	size_t i;
	int code;

	snprintf(url, sizeof(url), "sqlite:%s", path);
	code = store_open(&options, &store, e);
	if (code != 0)
		return code;
	names = store_tenant_names(store);
	json_array_foreach(names, i, name) {
		struct connection *c = NULL;

		if (code == 0)
			code = connection_open(&folder, json_str(name), CONNECTION_WRITE, &c, e);
		connection_close(c);
	}
	json_decref(names);
	store_close(store);
	return code;
}

static bool was_applied(const json_t *before, const json_t *row)
{
	static const char *const same[] = { "place", "chain", "number", "state" };
	const json_t *other;
	size_t i, k;

	json_array_foreach(before, i, other) {
		for (k = 0; k < sizeof(same) / sizeof(*same) && json_equal(json_member(other, same[k]), json_member(row, same[k])) != 0; k++)
			;
		if (k == sizeof(same) / sizeof(*same))
			return true;
	}
	return false;
}

int sqlite_migrations(const char *path, bool apply, const struct clock *clock, json_t *report, struct errbuf *e)
{
	json_t *before, *after, *row;
	size_t i;
	int code;

	if (*path == '\0' || strlen(path) >= CONNECTION_PATH_MAX)
		return err_set(e, ERR_STORE, "sqlite: a folder is wanted, like sqlite:.perigee");
	if (!apply)
		return status(path, report, e);
	before = json_array();
	after = json_array();
	code = status(path, before, e);
	if (code == 0)
		code = up(path, clock, e);
	if (code == 0)
		code = status(path, after, e);
	json_array_foreach(after, i, row)
		if (code == 0 && !was_applied(before, row))
			json_array_append(report, row);
	json_decref(before);
	json_decref(after);
	return code;
}
