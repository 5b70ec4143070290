#include "store/postgres/dump.h"

#include "base/crypto.h"
#include "store/postgres/guard.h"
#include "store/postgres/migrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NAME_MAX_BYTES = 64,
	SQL_MAX = 16384,
	IN_FLIGHT_MAX = 256,           /* rows sent before the answers are looked at */
	DELETED_AT_ONCE = 10000,
};
/* pg_type.h */
enum { OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23 };

/* -- connection ----------------------------------------------------------------------------------------------------------- */

static int dump_connect(const struct place *place, PGconn **out, struct errbuf *e)
{
	PGconn *connection = PQconnectdbParams((const char *const *)place->keys, (const char *const *)place->values, 0);
	int code;

	*out = NULL;
	if (PQstatus(connection) != CONNECTION_OK)
		code = err_set(e, ERR_STORE, "%s: %s", place->shown, PQerrorMessage(connection));
	else
		code = postgres_guard(connection, e);
	if (code == 0)
		*out = connection;
	else
		PQfinish(connection);
	return code;
}

/* The tenant's section of a transaction that has begun. */
static int enter_tenant(PGconn *connection, const char *tenant, struct errbuf *e)
{
	return postgres_ask(connection, "enter tenant", "SELECT set_config('perigee.tenant', $1, true)", 1, &tenant, NULL, e);
}

/* Tables of tenants, without what is made from others. */
static const char tables_sql[] =
	"SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped"
	" WHERE c.relnamespace = 'perigee'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> 'counters' ORDER BY c.relname COLLATE \"C\"";
static const char columns_sql[] =
	"SELECT attname FROM pg_attribute WHERE attrelid = format('perigee.%I', $1::text)::regclass AND attnum > 0 AND NOT attisdropped"
	" AND attname <> 'tenant_id' AND NOT ($1 = 'tenants' AND attname = 'database') ORDER BY attnum";

/* -- out ------------------------------------------------------------------------------------------------------------------ */

static int value_take(const PGresult *row, int column, char *bytes, size_t room, struct store_value *out)
{
	Oid type = PQftype(row, column);
	struct str text = { PQgetvalue(row, 0, column), (size_t)PQgetlength(row, 0, column) };

	*out = (struct store_value){ .type = STORE_NULL };
	if (PQgetisnull(row, 0, column))
		return 0;
	if (type == OID_INT8 || type == OID_INT4 || type == OID_INT2) {
		out->type = STORE_INT;
		return str_to_int(text, INT64_MIN, INT64_MAX, &out->integer) ? 0 : ERR_BUG;
	}
	if (type == OID_BOOL) {
		out->type = STORE_INT;
		out->integer = text.p[0] == 't';
		return 0;
	}
	out->type = type == OID_BYTEA ? STORE_BLOB : STORE_TEXT;
	out->text = text;
	if (type != OID_BYTEA)
		return 0;
	/* bytea as text: \x and two hex digits a byte */
	if (text.n < 2 || text.n / 2 - 1 > room || !hex_decode((struct str){ text.p + 2, text.n - 2 }, (uint8_t *)bytes, text.n / 2 - 1))
		return ERR_BUG;
	out->text = (struct str){ bytes, text.n / 2 - 1 };
	return 0;
}

static int row_take(const PGresult *row, struct buf *bytes, struct dump_writer *w, struct errbuf *e)
{
	struct store_value values[DUMP_COLUMNS_MAX];
	int columns = PQnfields(row);

	buf_reset(bytes);
	for (int i = 0; i < columns; i++) {
		size_t room = (size_t)PQgetlength(row, 0, i) / 2 + 1;
		char *to = buf_room(bytes, room);

		if (to == NULL || value_take(row, i, to, room, &values[i]) != 0)
			return err_set(e, ERR_STORE, "column %s has a value that cannot be written", PQfname(row, i));
		bytes->n += room;
	}
	dump_row(w, values, (size_t)columns);
	return 0;
}

/* A row at a time, however many there are. */
static int rows_dump(PGconn *connection, const char *sql, const char *parameter, struct dump_writer *w, struct errbuf *e)
{
	struct buf bytes;
	PGresult *row;
	int code = 0;

	if (!PQsendQueryParams(connection, sql, 1, NULL, &parameter, NULL, NULL, 0) || !PQsetSingleRowMode(connection))
		return err_set(e, ERR_STORE, "dump: %s", PQerrorMessage(connection));
	buf_init(&bytes, (size_t)512 << 20);
	while ((row = PQgetResult(connection)) != NULL) {
		if (code == 0 && PQresultStatus(row) == PGRES_SINGLE_TUPLE)
			code = row_take(row, &bytes, w, e);
		else if (code == 0 && PQresultStatus(row) != PGRES_TUPLES_OK)
			code = err_set(e, ERR_STORE, "dump: %s", PQresultErrorMessage(row));
		PQclear(row);
	}
	buf_free(&bytes);
	return code;
}

static int table_dump(PGconn *connection, const char *table, const char *where, const char *parameter, struct dump_writer *w, struct errbuf *e)
{
	const char *names[DUMP_COLUMNS_MAX];
	char sql[SQL_MAX];
	PGresult *columns = NULL;
	size_t n, count;
	int code = postgres_ask(connection, "read columns", columns_sql, 1, &table, &columns, e);

	if (code != 0)
		return code;
	count = (size_t)PQntuples(columns);
	BUG_ON(count > DUMP_COLUMNS_MAX);
	n = (size_t)snprintf(sql, sizeof(sql), "SELECT ");
	for (size_t i = 0; i < count; i++) {
		names[i] = PQgetvalue(columns, (int)i, 0);
		n += (size_t)snprintf(sql + n, sizeof(sql) - n, "%s\"%s\"", i ? ", " : "", names[i]);
	}
	snprintf(sql + n, sizeof(sql) - n, " FROM perigee.\"%s\" WHERE %s = $1 ORDER BY 1, 2", table, where);
	dump_table(w, table, names, count);
	code = rows_dump(connection, sql, parameter, w, e);
	dump_rows_end(w);
	PQclear(columns);
	return code;
}

static int tenant_dump(PGconn *connection, const char *tenant, unsigned parts, struct dump_writer *w, struct errbuf *e)
{
	bool data = *tenant != '\0' && (parts & DUMP_DATA) != 0, platform = (parts & DUMP_PLATFORM) != 0;
	PGresult *tables = NULL;
	int code = postgres_ask(connection, "begin", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", 0, NULL, NULL, e);

	if (code == 0 && data)
		code = enter_tenant(connection, tenant, e);
	if (code == 0 && data)
		code = postgres_ask(connection, "list tables", tables_sql, 0, NULL, &tables, e);
	for (int i = 0; code == 0 && i < PQntuples(tables); i++)
		code = table_dump(connection, PQgetvalue(tables, i, 0), "tenant_id", tenant, w, e);
	PQclear(tables);
	if (code == 0 && platform && *tenant != '\0')
		code = table_dump(connection, "tenants", "id", tenant, w, e);
	if (code == 0 && platform)
		code = table_dump(connection, "keys", "tenant", tenant, w, e);
	return code;
}

int postgres_dump_tenant(const struct place *place, struct str tenant, unsigned parts, struct dump_writer *w, struct errbuf *e)
{
	PGconn *connection;
	char *name;
	int code = dump_connect(place, &connection, e);

	if (code != 0)
		return code;
	name = mem_copy(tenant);
	if ((parts & DUMP_DATA) != 0)
		dump_tenant(w, tenant);
	code = tenant_dump(connection, name, parts, w, e);
	free(name);
	PQfinish(connection);
	return code;
}

/* -- in ------------------------------------------------------------------------------------------------------------------- */

struct load {
	PGconn *connection;
	struct dump_reader *r;
	const char *tenant;
	struct buf scratch;
	size_t columns;
	size_t tenant_column;          /* the column of a platform's table that names the tenant; DUMP_COLUMNS_MAX: none */
	bool of_tenant;                /* tenant_id comes first */
	size_t in_flight;
};

static int refuse_line(const struct load *l, struct errbuf *e, const char *why, struct str what)
{
	return err_set(e, ERR_INVALID, "line %lld: %s '%.*s' here: use the newer perigee that wrote it", (long long)l->r->line, why, STR_ARG(what));
}

static bool column_is_known(const PGresult *columns, struct str name)
{
	for (int i = 0; i < PQntuples(columns); i++)
		if (str_is(name, PQgetvalue(columns, i, 0)))
			return true;
	return false;
}

/* Prepares the INSERT of the table that the reader stands at. */
static int insert_prepare(struct load *l, const char *table, const char *tenant_column, const char *conflict, struct errbuf *e)
{
	const json_t *names = json_member(l->r->value, "columns");
	PGresult *known = NULL, *prepared;
	char sql[SQL_MAX];
	size_t n, count = json_array_size(names), first = l->of_tenant ? 1 : 0;
	int code = postgres_ask(l->connection, "read columns", columns_sql, 1, &table, &known, e);

	if (code != 0)
		return refuse_line(l, e, "no table", str_of(table));
	l->tenant_column = DUMP_COLUMNS_MAX;
	l->columns = count;
	n = (size_t)snprintf(sql, sizeof(sql), "INSERT INTO perigee.\"%s\" (%s", table, l->of_tenant ? "tenant_id" : "");
	for (size_t i = 0; i < count && code == 0; i++) {
		struct str name = json_str(json_array_get(names, i));

		if (i >= DUMP_COLUMNS_MAX || !column_is_known(known, name))
			code = refuse_line(l, e, "the table has no column", name);
		else
			n += (size_t)snprintf(sql + n, sizeof(sql) - n, "%s\"%.*s\"", i + first ? ", " : "", STR_ARG(name));
		if (code == 0 && tenant_column != NULL && str_is(name, tenant_column))
			l->tenant_column = i;
	}
	PQclear(known);
	if (code != 0)
		return code;
	n += (size_t)snprintf(sql + n, sizeof(sql) - n, ") VALUES (");
	for (size_t i = 0; i < count + first; i++)
		n += (size_t)snprintf(sql + n, sizeof(sql) - n, "%s$%zu", i ? ", " : "", i + 1);
	snprintf(sql + n, sizeof(sql) - n, ") %s", conflict);
	prepared = PQprepare(l->connection, "", sql, 0, NULL);
	if (PQresultStatus(prepared) != PGRES_COMMAND_OK)
		code = err_set(e, ERR_STORE, "table %s: %s", table, PQresultErrorMessage(prepared));
	PQclear(prepared);
	return code;
}

/* The answers of what was sent; the first fault counts. */
static int answers_take(struct load *l, struct errbuf *e)
{
	PGresult *result;
	bool synced = false;
	int code = 0;

	if (!PQpipelineSync(l->connection))
		return err_set(e, ERR_STORE, "load: %s", PQerrorMessage(l->connection));
	while (!synced) {
		result = PQgetResult(l->connection);
		if (result == NULL) {
			if (PQstatus(l->connection) != CONNECTION_OK)
				return err_set(e, ERR_STORE, "load: %s", PQerrorMessage(l->connection));
			continue;
		}
		synced = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
		if (PQresultStatus(result) == PGRES_FATAL_ERROR && code == 0)
			code = err_set(e, ERR_STORE, "load, before line %lld: %s", (long long)l->r->line, PQresultErrorMessage(result));
		PQclear(result);
	}
	l->in_flight = 0;
	return code;
}

/* A value as PostgreSQL reads it from text, in the scratch buffer (which never moves: room for the row was made). */
static int cell_text(struct load *l, const json_t *cell, const char **out, struct errbuf *e)
{
	struct buf *b = &l->scratch;
	struct str hex = json_member_str(cell, "hex");
	size_t at = b->n;

	*out = NULL;
	if (json_is_null(cell))
		return 0;
	if (json_is_integer(cell))
		buf_addf(b, "%lld", (long long)json_integer_value(cell));
	else if (json_is_string(cell))
		buf_add_str(b, json_str(cell));
	else if (hex.p != NULL)
		buf_addf(b, "\\x%.*s", STR_ARG(hex));
	else
		return err_set(e, ERR_INVALID, "line %lld: a value that is no integer, text, bytes or null", (long long)l->r->line);
	buf_add_char(b, '\0');
	BUG_ON(b->full);
	*out = b->p + at;
	return 0;
}

static size_t row_bytes(const json_t *row)
{
	size_t n = 0, i;
	json_t *cell;

	json_array_foreach((json_t *)(uintptr_t)row, i, cell)
		n += json_is_string(cell) ? json_string_length(cell) + 1 : json_is_object(cell) ? json_member_str(cell, "hex").n + 4 : 24;
	return n;
}

static int row_insert(struct load *l, struct errbuf *e)
{
	const char *values[DUMP_COLUMNS_MAX + 1];
	size_t first = l->of_tenant ? 1 : 0;
	int code = 0;

	if (json_array_size(l->r->value) != l->columns)
		return err_set(e, ERR_INVALID, "line %lld: a row of another length", (long long)l->r->line);
	buf_reset(&l->scratch);
	if (buf_room(&l->scratch, row_bytes(l->r->value)) == NULL)
		return err_set(e, ERR_TOO_LARGE, "line %lld: a row that is too long", (long long)l->r->line);
	values[0] = l->tenant;
	for (size_t i = 0; i < l->columns && code == 0; i++)
		code = cell_text(l, json_array_get(l->r->value, i), &values[i + first], e);
	if (code == 0 && l->tenant_column < l->columns)
		values[l->tenant_column + first] = l->tenant;
	if (code != 0)
		return code;
	if (!PQsendQueryPrepared(l->connection, "", (int)(l->columns + first), values, NULL, NULL, 0))
		return err_set(e, ERR_STORE, "load: %s", PQerrorMessage(l->connection));
	return ++l->in_flight < IN_FLIGHT_MAX ? 0 : answers_take(l, e);
}

static int table_load(struct load *l, bool with_keys, struct errbuf *e)
{
	struct str name = json_member_str(l->r->value, "table");
	bool keys = str_is(name, "keys"), tenants = str_is(name, "tenants"), skip = keys && !with_keys;
	enum dump_item item = DUMP_ROW;
	char table[NAME_MAX_BYTES];
	int code = 0;

	if (name.n >= sizeof(table) || (*l->tenant == '\0' && !keys))
		return refuse_line(l, e, "no table", name);
	snprintf(table, sizeof(table), "%.*s", STR_ARG(name));
	l->of_tenant = !keys && !tenants;
	if (!skip)
		code = insert_prepare(l, table, keys ? "tenant" : tenants ? "id" : NULL, keys ? "ON CONFLICT DO NOTHING" : "", e);
	if (code == 0 && !PQenterPipelineMode(l->connection))
		code = err_set(e, ERR_STORE, "load: %s", PQerrorMessage(l->connection));
	while (code == 0 && item == DUMP_ROW) {
		code = dump_next(l->r, &item, e);
		if (code == 0 && item == DUMP_ROW && !skip)
			code = row_insert(l, e);
	}
	if (code == 0)
		code = answers_take(l, e);
	if (code == 0 && !PQexitPipelineMode(l->connection))
		code = err_set(e, ERR_STORE, "load: %s", PQerrorMessage(l->connection));
	return code;
}

/* What is made from the rows: the last numbers, and runs that nobody owns. */
static int tenant_settle(struct load *l, struct errbuf *e)
{
	static const char seqs_sql[] =
		"SELECT format('INSERT INTO perigee.counters (tenant_id, name, last) SELECT $1, %L, coalesce(max(seq), 0) FROM perigee.%I WHERE tenant_id = $1', c.relname, c.relname)"
		" FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'seq' JOIN pg_attribute t ON t.attrelid = c.oid AND t.attname = 'tenant_id'"
		" WHERE c.relnamespace = 'perigee'::regnamespace AND c.relkind IN ('r', 'p')";
	PGresult *statements = NULL;
	int code = postgres_ask(l->connection, "list numbered tables", seqs_sql, 0, NULL, &statements, e);

	for (int i = 0; code == 0 && i < PQntuples(statements); i++)
		code = postgres_ask(l->connection, "set counters", PQgetvalue(statements, i, 0), 1, &l->tenant, NULL, e);
	PQclear(statements);
	if (code == 0)
		code = postgres_ask(l->connection, "release runs",
		    "UPDATE perigee.runs SET owner = NULL, fence = fence + 1 WHERE tenant_id = $1 AND ended_at IS NULL", 1, &l->tenant, NULL, e);
	if (code == 0)
		code = postgres_ask(l->connection, "offer runs",
		    "INSERT INTO perigee.tenant_ready (tenant, ready_at) SELECT $1, 0 WHERE EXISTS (SELECT 1 FROM perigee.runs WHERE tenant_id = $1 AND ended_at IS NULL)"
		    " ON CONFLICT (tenant) DO UPDATE SET marks = tenant_ready.marks + 1", 1, &l->tenant, NULL, e);
	return code;
}

static int tenant_load(struct load *l, bool with_keys, struct errbuf *e)
{
	enum dump_item item;
	int code = postgres_ask(l->connection, "begin", "BEGIN", 0, NULL, NULL, e);

	if (code == 0 && *l->tenant != '\0')
		code = enter_tenant(l->connection, l->tenant, e);
	while (code == 0 && (code = dump_next(l->r, &item, e)) == 0 && item == DUMP_TABLE)
		code = table_load(l, with_keys, e);
	if (code == 0)
		dump_hold(l->r);
	if (code == 0 && *l->tenant != '\0')
		code = tenant_settle(l, e);
	if (code == 0)
		code = postgres_ask(l->connection, "commit", "COMMIT", 0, NULL, NULL, e);
	return code;
}

int postgres_load_tenant(const struct place *place, struct str tenant, struct dump_reader *r, bool with_keys, struct errbuf *e)
{
	struct load l = { .r = r };
	char *name = mem_copy(tenant);
	int code = dump_connect(place, &l.connection, e);

	if (code == 0) {
		l.tenant = name;
		buf_init(&l.scratch, (size_t)512 << 20);
		code = tenant_load(&l, with_keys, e);
		buf_free(&l.scratch);
		PQfinish(l.connection);      /* what was not committed is undone */
	}
	free(name);
	return code;
}

/* -- gone ----------------------------------------------------------------------------------------------------------------- */

/* In bounded pieces: a large tenant holds no long transaction. */
static int table_empty(PGconn *connection, const char *table, const char *tenant, struct errbuf *e)
{
	PGresult *result = NULL;
	char sql[SQL_MAX];
	bool more = true;
	int code = 0;

	snprintf(sql, sizeof(sql), "DELETE FROM perigee.\"%s\" WHERE tenant_id = $1 AND ctid = ANY (ARRAY(SELECT ctid FROM perigee.\"%s\" WHERE tenant_id = $1 LIMIT %d))",
	    table, table, DELETED_AT_ONCE);
	while (more && code == 0) {
		code = postgres_ask(connection, "begin", "BEGIN", 0, NULL, NULL, e);
		if (code == 0)
			code = enter_tenant(connection, tenant, e);
		if (code == 0)
			code = postgres_ask(connection, "delete", sql, 1, &tenant, &result, e);
		more = code == 0 && strcmp(PQcmdTuples(result), "0") != 0;
		PQclear(result);
		result = NULL;
		if (code == 0)
			code = postgres_ask(connection, "commit", "COMMIT", 0, NULL, NULL, e);
	}
	return code;
}

int postgres_tenant_delete(const struct place *place, struct str tenant, struct errbuf *e)
{
	PGresult *tables = NULL;
	PGconn *connection;
	const char *name;
	char *copy;
	int code = dump_connect(place, &connection, e);

	if (code != 0)
		return code;
	name = copy = mem_copy(tenant);
	/* Keys first: nobody calls any more. The tenant's own row last: until then the command can be given again. */
	code = postgres_ask(connection, "delete keys", "DELETE FROM perigee.keys WHERE tenant = $1", 1, &name, NULL, e);
	if (code == 0)
		code = postgres_ask(connection, "list tables", tables_sql, 0, NULL, &tables, e);
	for (int i = 0; code == 0 && i < PQntuples(tables); i++)
		code = table_empty(connection, PQgetvalue(tables, i, 0), name, e);
	PQclear(tables);
	if (code == 0)
		code = table_empty(connection, "counters", name, e);
	if (code == 0)
		code = postgres_ask(connection, "delete tenant", "DELETE FROM perigee.tenants WHERE id = $1", 1, &name, NULL, e);
	free(copy);
	PQfinish(connection);
	return code;
}
