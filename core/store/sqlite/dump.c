#include "store/sqlite/dump.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TABLES_MAX = 64, NAME_MAX_BYTES = 64, SQL_MAX = 8192 };

struct table {
	char name[NAME_MAX_BYTES];
	char columns[DUMP_COLUMNS_MAX][NAME_MAX_BYTES];
	const char *names[DUMP_COLUMNS_MAX];
	size_t count;
	size_t tenant_column;          /* the one that names the tenant, in the platform's tables; DUMP_COLUMNS_MAX: none */
};

/* Names come from our own schema or are compared with it; quoted all the same. */
static bool name_is_plain(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] != '_' && !(name.p[i] >= 'a' && name.p[i] <= 'z') && !(name.p[i] >= '0' && name.p[i] <= '9'))
			return false;
	return name.n > 0 && name.n < NAME_MAX_BYTES;
}

static int prepare(struct connection *c, const char *sql, sqlite3_stmt **out, struct errbuf *e)
{
	int rc = sqlite3_prepare_v2(c->db, sql, -1, out, NULL);

	return rc == SQLITE_OK ? 0 : connection_explain(c, rc, "dump", e);
}

/* The columns of a table, in their order; no column: no such table. */
static int table_read(struct connection *c, const char *name, struct table *t, struct errbuf *e)
{
	sqlite3_stmt *s = NULL;
	int rc = SQLITE_DONE, code = prepare(c, "SELECT name FROM pragma_table_info(?1) WHERE NOT (?1 = 'tenants' AND name = 'database') ORDER BY cid", &s, e);

	memset(t, 0, sizeof(*t));
	snprintf(t->name, sizeof(t->name), "%s", name);
	if (code == 0 && (rc = sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC)) == SQLITE_OK)
		while ((rc = sqlite3_step(s)) == SQLITE_ROW && t->count < DUMP_COLUMNS_MAX) {
			snprintf(t->columns[t->count], NAME_MAX_BYTES, "%s", (const char *)sqlite3_column_text(s, 0));
			t->names[t->count] = t->columns[t->count];
			t->count++;
		}
	sqlite3_finalize(s);
	if (code == 0 && rc != SQLITE_DONE)
		code = connection_explain(c, rc, "read columns", e);
	return code;
}

static size_t tables_list(struct connection *c, char names[][NAME_MAX_BYTES], struct errbuf *e)
{
	sqlite3_stmt *s = NULL;
	size_t n = 0;

	if (prepare(c, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~' AND name <> 'migrations' ORDER BY name", &s, e) == 0)
		while (n < TABLES_MAX && sqlite3_step(s) == SQLITE_ROW)
			snprintf(names[n++], NAME_MAX_BYTES, "%s", (const char *)sqlite3_column_text(s, 0));
	sqlite3_finalize(s);
	return n;
}

/* -- out ------------------------------------------------------------------------------------------------------------------ */

static struct store_value cell_value(sqlite3_stmt *s, int column)
{
	struct store_value v = { .type = STORE_NULL };

	switch (sqlite3_column_type(s, column)) {
	case SQLITE_INTEGER:
		v.type = STORE_INT;
		v.integer = sqlite3_column_int64(s, column);
		break;
	case SQLITE_TEXT:
		v.type = STORE_TEXT;
		v.text.p = (const char *)sqlite3_column_text(s, column);
		v.text.n = (size_t)sqlite3_column_bytes(s, column);
		break;
	case SQLITE_BLOB:
		v.type = STORE_BLOB;
		v.text.p = sqlite3_column_blob(s, column);
		v.text.n = (size_t)sqlite3_column_bytes(s, column);
		break;
	default:
		break;
	}
	return v;
}

/* Rows in the order of the key; where: "" or a condition on ?1. */
static int table_dump(struct connection *c, const char *name, const char *where, struct str parameter, struct dump_writer *w, struct errbuf *e)
{
	struct store_value values[DUMP_COLUMNS_MAX];
	sqlite3_stmt *s = NULL;
	struct table t;
	char sql[SQL_MAX];
	size_t n;
	int rc, code = table_read(c, name, &t, e);

	if (code != 0)
		return code;
	n = (size_t)snprintf(sql, sizeof(sql), "SELECT ");
	for (size_t i = 0; i < t.count; i++)
		n += (size_t)snprintf(sql + n, sizeof(sql) - n, "%s\"%s\"", i ? ", " : "", t.names[i]);
	snprintf(sql + n, sizeof(sql) - n, " FROM \"%s\" %s ORDER BY 1, 2", name, where);
	code = prepare(c, sql, &s, e);
	if (code != 0)
		return code;
	if (*where != '\0' && (rc = sqlite3_bind_text(s, 1, parameter.p, (int)parameter.n, SQLITE_STATIC)) != SQLITE_OK) {
		sqlite3_finalize(s);
		return connection_explain(c, rc, "dump", e);
	}
	dump_table(w, name, t.names, t.count);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW && !w->failed) {
		for (size_t i = 0; i < t.count; i++)
			values[i] = cell_value(s, (int)i);
		dump_row(w, values, t.count);
	}
	sqlite3_finalize(s);
	dump_rows_end(w);
	return rc == SQLITE_DONE || w->failed ? 0 : connection_explain(c, rc, "dump", e);
}

/* One snapshot for all tables: writers go on beside it. */
static int data_dump(const struct folder *folder, struct str tenant, struct dump_writer *w, struct errbuf *e)
{
	char names[TABLES_MAX][NAME_MAX_BYTES];
	struct connection *c = NULL;
	size_t n;
	int rc, code;

	code = connection_open(folder, tenant, CONNECTION_READ, &c, e);
	if (code != 0)
		return code;
	rc = connection_control(c, CONTROL_BEGIN_READ);
	if (rc != SQLITE_OK)
		code = connection_explain(c, rc, "dump", e);
	n = code == 0 ? tables_list(c, names, e) : 0;
	for (size_t i = 0; i < n && code == 0; i++)
		code = table_dump(c, names[i], "", STR(""), w, e);
	connection_close(c);
	return code;
}

int sqlite_dump_tenant(const struct folder *folder, struct connection *platform, struct str tenant, unsigned parts, struct dump_writer *w, struct errbuf *e)
{
	int code = 0;

	if ((parts & DUMP_DATA) != 0) {
		dump_tenant(w, tenant);
		if (tenant.n > 0)
			code = data_dump(folder, tenant, w, e);
	}
	if (code == 0 && tenant.n > 0 && (parts & DUMP_PLATFORM) != 0)
		code = table_dump(platform, "tenants", "WHERE id = ?1", tenant, w, e);
	if (code == 0 && (parts & DUMP_PLATFORM) != 0)
		code = table_dump(platform, "keys", "WHERE tenant = ?1", tenant, w, e);
	return code;
}

/* -- in ------------------------------------------------------------------------------------------------------------------- */

/* An INSERT for the table that r stands at; every column must be there. */
static int insert_prepare(struct connection *c, const struct dump_reader *r, const char *tenant_column, struct table *t, sqlite3_stmt **out, struct errbuf *e)
{
	/* A key that is there stays as it is: it may have been revoked since. */
	struct str name = json_member_str(r->value, "table");
	const json_t *columns = json_member(r->value, "columns");
	char sql[SQL_MAX], plain[NAME_MAX_BYTES];
	size_t n, known;
	int code;

	if (!name_is_plain(name))
		return err_set(e, ERR_INVALID, "line %lld: a table's name that is none", (long long)r->line);
	snprintf(plain, sizeof(plain), "%.*s", STR_ARG(name));
	code = table_read(c, plain, t, e);
	if (code == 0 && t->count == 0)
		code = err_set(e, ERR_INVALID, "line %lld: no table '%s' here: use the newer perigee that wrote it", (long long)r->line, plain);
	if (code != 0)
		return code;
	t->tenant_column = DUMP_COLUMNS_MAX;
	n = (size_t)snprintf(sql, sizeof(sql), "INSERT OR %s INTO \"%s\" (", str_is(name, "keys") ? "IGNORE" : "REPLACE", plain);
	for (size_t i = 0; i < json_array_size(columns); i++) {
		struct str column = json_str(json_array_get(columns, i));

		for (known = 0; known < t->count && !str_is(column, t->columns[known]); known++)
			;
		if (known == t->count || i >= DUMP_COLUMNS_MAX)
			return err_set(e, ERR_INVALID, "line %lld: table %s has no column '%.*s' here: use the newer perigee that wrote it",
			    (long long)r->line, plain, STR_ARG(column));
		if (tenant_column != NULL && str_is(column, tenant_column))
			t->tenant_column = i;
		n += (size_t)snprintf(sql + n, sizeof(sql) - n, "%s\"%.*s\"", i ? ", " : "", STR_ARG(column));
	}
	n += (size_t)snprintf(sql + n, sizeof(sql) - n, ") VALUES (");
	for (size_t i = 0; i < json_array_size(columns); i++)
		n += (size_t)snprintf(sql + n, sizeof(sql) - n, "%s?%zu", i ? ", " : "", i + 1);
	snprintf(sql + n, sizeof(sql) - n, ")");
	t->count = json_array_size(columns);
	return prepare(c, sql, out, e);
}

static int row_bind(sqlite3_stmt *s, int at, const struct store_value *v)
{
	switch (v->type) {
	case STORE_INT: return sqlite3_bind_int64(s, at, v->integer);
	case STORE_TEXT: return sqlite3_bind_text64(s, at, v->text.p, v->text.n, SQLITE_TRANSIENT, SQLITE_UTF8);
	case STORE_BLOB: return sqlite3_bind_blob64(s, at, v->text.p, v->text.n, SQLITE_TRANSIENT);
	case STORE_NULL: break;
	}
	return sqlite3_bind_null(s, at);
}

static int row_insert(struct connection *c, sqlite3_stmt *s, const struct dump_reader *r, const struct table *t, struct str tenant, struct buf *scratch,
                      struct errbuf *e)
{
	struct store_value v = { .type = STORE_NULL };
	int rc = SQLITE_OK;

	if (json_array_size(r->value) != t->count)
		return err_set(e, ERR_INVALID, "line %lld: a row of another length", (long long)r->line);
	buf_reset(scratch);
	for (size_t i = 0; i < t->count && rc == SQLITE_OK; i++) {
		int code = dump_value(json_array_get(r->value, i), scratch, &v, e);

		if (code != 0)
			return err_wrap(e, code, "line %lld", (long long)r->line);
		if (i == t->tenant_column)
			v.text = tenant;
		rc = row_bind(s, (int)i + 1, &v);
	}
	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	sqlite3_reset(s);
	return rc == SQLITE_DONE || rc == SQLITE_OK ? 0 : connection_explain(c, rc, "load", e);
}

/* The rows of the table that r stands at, up to its end. skip: read and drop them. */
static int table_load(struct connection *c, struct dump_reader *r, const char *tenant_column, struct str tenant, bool skip, struct errbuf *e)
{
	sqlite3_stmt *s = NULL;
	struct buf scratch;
	struct table t;
	enum dump_item item = DUMP_ROW;
	int code = skip ? 0 : insert_prepare(c, r, tenant_column, &t, &s, e);

	buf_init(&scratch, (size_t)256 << 20);
	while (code == 0 && item == DUMP_ROW) {
		code = dump_next(r, &item, e);
		if (code == 0 && item == DUMP_ROW && !skip)
			code = row_insert(c, s, r, &t, tenant, &scratch, e);
	}
	buf_free(&scratch);
	sqlite3_finalize(s);
	return code;
}

static int run_sql(struct connection *c, const char *sql, struct errbuf *e)
{
	int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : connection_explain(c, rc, "load", e);
}

/* The tables of the tenant, then those of the platform: two files, each in one transaction, the tenant's first. */
static int tables_load(struct connection *c, struct connection *platform, struct str tenant, struct dump_reader *r, bool with_keys, struct errbuf *e)
{
	enum dump_item item;
	int code;

	while ((code = dump_next(r, &item, e)) == 0 && item == DUMP_TABLE) {
		bool keys = str_is(json_member_str(r->value, "table"), "keys");
		bool of_platform = keys || str_is(json_member_str(r->value, "table"), "tenants");

		if (!of_platform && c == NULL)
			return err_set(e, ERR_INVALID, "line %lld: a tenant's table where the platform's are", (long long)r->line);
		code = table_load(of_platform ? platform : c, r, keys ? "tenant" : of_platform ? "id" : NULL, tenant, keys && !with_keys, e);
		if (code != 0)
			return code;
	}
	if (code == 0)
		dump_hold(r);
	return code;
}

/* Somebody may have runs to take up. */
static int offer(struct connection *platform, struct str tenant, struct errbuf *e)
{
	sqlite3_stmt *s = NULL;
	int rc, code = prepare(platform, "INSERT INTO tenant_ready (tenant, ready_at) VALUES (?1, 0) ON CONFLICT (tenant) DO UPDATE SET marks = marks + 1", &s, e);

	if (code != 0)
		return code;
	rc = sqlite3_bind_text(s, 1, tenant.p, (int)tenant.n, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	sqlite3_finalize(s);
	return rc == SQLITE_DONE ? 0 : connection_explain(platform, rc, "load", e);
}

int sqlite_load_tenant(const struct folder *folder, struct connection *platform, struct str tenant, struct dump_reader *r, bool with_keys, struct errbuf *e)
{
	struct connection *c = NULL;
	int code = 0;

	if (tenant.n > 0)
		code = connection_open(folder, tenant, CONNECTION_WRITE, &c, e);
	if (code == 0)
		code = run_sql(platform, "BEGIN IMMEDIATE", e);
	if (code == 0 && c != NULL)
		code = run_sql(c, "BEGIN IMMEDIATE", e);
	if (code == 0)
		code = tables_load(c, platform, tenant, r, with_keys, e);
	if (code == 0 && c != NULL)
		code = run_sql(c, "UPDATE runs SET owner = NULL, fence = fence + 1 WHERE ended_at IS NULL; COMMIT", e);
	if (code == 0 && c != NULL)
		code = offer(platform, tenant, e);
	if (code == 0)
		code = run_sql(platform, "COMMIT", e);
	if (sqlite3_get_autocommit(platform->db) == 0)
		(void)sqlite3_exec(platform->db, "ROLLBACK", NULL, NULL, NULL);
	connection_close(c);
	return code;
}
