#include "store/sqlite/execute.h"


#include <string.h>

static int bind(sqlite3_stmt *s, int at, const struct store_value *v)
{
	/* STATIC: the transaction's arena outlives the statement's run. */
	switch (v->type) {
	case STORE_NULL: return sqlite3_bind_null(s, at);
	case STORE_INT: return sqlite3_bind_int64(s, at, v->integer);
	case STORE_TEXT: return sqlite3_bind_text64(s, at, v->text.p, v->text.n, SQLITE_STATIC, SQLITE_UTF8);
	case STORE_BLOB: return sqlite3_bind_blob64(s, at, v->text.p, v->text.n, SQLITE_STATIC);
	}
	return SQLITE_MISUSE;
}

static int bind_all(sqlite3_stmt *s, const struct store_op *op)
{
	int rc = SQLITE_OK;

	for (unsigned i = 0; i < op->params && rc == SQLITE_OK; i++)
		rc = bind(s, (int)i + 1, &op->values[i]);
	return rc;
}

static struct store_value column(sqlite3_stmt *s, int at, struct arena *arena)
{
	struct store_value v = { .type = STORE_NULL };

	switch (sqlite3_column_type(s, at)) {
	case SQLITE_NULL:
		return v;
	case SQLITE_INTEGER:
		v.type = STORE_INT;
		v.integer = sqlite3_column_int64(s, at);
		return v;
	case SQLITE_BLOB:
		v.type = STORE_BLOB;
		v.text.p = sqlite3_column_blob(s, at);
		break;
	default:
		v.type = STORE_TEXT;
		v.text.p = (const char *)sqlite3_column_text(s, at);
		break;
	}
	v.text.n = (size_t)sqlite3_column_bytes(s, at);
	if (v.text.p == NULL)
		v.text.p = "";
	v.text = arena_copy(arena, v.text);
	return v;
}

/* Append the current row; *room counts rows that the array holds. */
static void add_row(sqlite3_stmt *s, struct store_op *op, size_t *room, struct arena *arena)
{
	struct store_result *r = &op->result;
	struct store_value *values;
	size_t n;

	if (r->rows == 0)
		r->columns = (size_t)sqlite3_column_count(s);
	n = r->columns;
	if (r->rows == *room) {
		*room = *room == 0 ? 1 : *room * 4;
		values = arena_alloc(arena, *room * n * sizeof(*values));
		if (r->rows > 0)
			memcpy(values, r->values, r->rows * n * sizeof(*values));
		r->values = values;
	}
	values = (struct store_value *)(uintptr_t)r->values + r->rows * n;
	for (size_t i = 0; i < n; i++)
		values[i] = column(s, (int)i, arena);
	r->rows++;
}

static int run(struct connection *c, struct store_tx *tx, struct store_op *op, sqlite3_stmt *s)
{
	size_t room = 0;
	int rc = bind_all(s, op);

	if (rc != SQLITE_OK)
		return rc;
	while ((rc = sqlite3_step(s)) == SQLITE_ROW)
		add_row(s, op, &room, &tx->arena);
	if (rc == SQLITE_DONE && sqlite3_stmt_readonly(s) == 0)
		op->result.changed = sqlite3_changes64(c->db);
	return rc;
}

/* Unique keys taken by another are a lost race; everything else that a constraint says is a mistake. */
static bool is_lost_race(int rc)
{
	return rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY || rc == SQLITE_CONSTRAINT_ROWID;
}

static enum executed failed(struct connection *c, struct store_tx *tx, size_t i, int rc, bool touched)
{
	const char *name = sqlite_statements[tx->ops[i].statement].name;
	struct errbuf e = { "" };

	if (is_lost_race(rc)) {
		store_tx_fail(tx, ERR_CONFLICT, i, "%s: %s", name, sqlite3_errmsg(c->db));
		return touched ? EXECUTED_NOT : EXECUTED_UNTOUCHED;
	}
	connection_explain(c, rc, name, &e);
	store_tx_fail(tx, ERR_STORE, i, "%s", e.text);
	/* After some faults SQLite has rolled everything back by itself. */
	if (connection_is_broken_by(rc) || sqlite3_get_autocommit(c->db) != 0)
		return EXECUTED_BROKEN;
	return EXECUTED_NOT;
}

enum executed execute_tx(struct connection *c, struct store_tx *tx)
{
	bool touched = false;
	struct errbuf e;
	struct store_op *op;
	sqlite3_stmt *s;
	size_t i;
	int rc;

	for (i = 0; i < tx->count; i++) {
		op = &tx->ops[i];
		op->result = (struct store_result){ 0 };
		s = connection_statement(c, op->statement, &e);
		if (s == NULL) {
			store_tx_fail(tx, ERR_STORE, i, "%s", e.text);
			return touched ? EXECUTED_NOT : EXECUTED_UNTOUCHED;
		}
		if (!tx->write && sqlite3_stmt_readonly(s) == 0) {
			store_tx_fail(tx, ERR_STORE, i, "%s writes, and this transaction was submitted as a read", sqlite_statements[op->statement].name);
			return EXECUTED_UNTOUCHED;
		}
		rc = run(c, tx, op, s);
		if (rc != SQLITE_DONE) {
			enum executed outcome = failed(c, tx, i, rc, touched);

			sqlite3_reset(s);
			return outcome;
		}
		sqlite3_reset(s);
		touched = touched || op->result.changed > 0;
		if (op->expect == STORE_MUST && op->result.rows == 0 && op->result.changed == 0) {
			store_tx_fail(tx, ERR_CONFLICT, i, "%s: nothing matched", sqlite_statements[op->statement].name);
			return touched ? EXECUTED_NOT : EXECUTED_UNTOUCHED;
		}
	}
	return EXECUTED;
}
