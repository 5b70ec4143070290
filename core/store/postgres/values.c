#include "store/postgres/values.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARRAYS_MAX = 512 << 20 };        /* bytes; PostgreSQL takes a message of 1 GiB */

static const char empty[] = "";

void pg_params_init(struct pg_params *p)
{
	memset(p, 0, sizeof(*p));
	buf_init(&p->bytes, ARRAYS_MAX);
}

void pg_params_free(struct pg_params *p)
{
	buf_free(&p->bytes);
}

static Oid type_of(char letter, bool array)
{
	switch (letter) {
	case 'i': return array ? PG_INT8_ARRAY : PG_INT8;
	case 'b': return array ? PG_BYTEA_ARRAY : PG_BYTEA;
	default: return array ? PG_TEXT_ARRAY : PG_TEXT;
	}
}

int pg_types(const struct store_statement *statement, Oid *types)
{
	int n = 0;

	for (; n < statement->params; n++)
		types[n] = type_of(statement->types[n], statement->many_of != 0);
	if (!statement->platform)
		types[n++] = PG_TEXT;
	return n;
}

static void put_text(struct pg_params *p, int at, struct str s)
{
	p->values[at] = s.p == NULL ? NULL : s.n > 0 ? s.p : empty;
	p->lengths[at] = (int)s.n;
}

/* Does a value of this type go where this letter stands? A number may stand for its text. */
static int check_value(const struct store_statement *statement, int at, const struct store_value *v, struct errbuf *e)
{
	if (v->type == STORE_NULL || (v->type == STORE_INT ? statement->types[at] != 'b' : statement->types[at] != 'i'))
		return v->text.n > INT32_MAX / 2 ? err_set(e, ERR_STORE, "%s: parameter %d is too long", statement->name, at + 1) : 0;
	return err_set(e, ERR_STORE, "%s: parameter %d is %s, and the statement says otherwise", statement->name, at + 1,
	    v->type == STORE_INT ? "a number" : "a text");
}

static void finish(struct pg_params *p, const struct store_statement *statement, struct str tenant)
{
	p->count = statement->params;
	if (!statement->platform)
		put_text(p, p->count++, tenant);
	(void)pg_types(statement, p->types);
	for (int i = 0; i < p->count; i++)
		p->formats[i] = 1;
}

int pg_params_one(struct pg_params *p, const struct store_statement *statement, const struct store_value *values, struct str tenant, struct errbuf *e)
{
	char text[32];
	int code;

	buf_reset(&p->bytes);
	for (int i = 0; i < statement->params; i++) {
		const struct store_value *v = &values[i];

		if ((code = check_value(statement, i, v, e)) != 0)
			return code;
		p->offsets[i] = SIZE_MAX;
		if (v->type == STORE_INT && statement->types[i] == 'i') {
			p->integers[i] = htobe64((uint64_t)v->integer);
			p->values[i] = (const char *)&p->integers[i];
			p->lengths[i] = 8;
		} else if (v->type == STORE_INT) {
			p->offsets[i] = p->bytes.n;
			p->lengths[i] = snprintf(text, sizeof(text), "%" PRId64, v->integer);
			buf_add(&p->bytes, text, (size_t)p->lengths[i]);
		} else {
			put_text(p, i, v->type == STORE_NULL ? (struct str){ NULL, 0 } : v->text);
		}
	}
	for (int i = 0; i < statement->params; i++)
		if (p->offsets[i] != SIZE_MAX)
			p->values[i] = p->bytes.p + p->offsets[i];
	finish(p, statement, tenant);
	return 0;
}

static void add_u32(struct buf *b, uint32_t n)
{
	n = htobe32(n);
	buf_add(b, &n, sizeof(n));
}

static void add_element(struct buf *b, char letter, const struct store_value *v)
{
	char text[32];
	uint64_t n;
	int length;

	if (v->type == STORE_NULL) {
		add_u32(b, UINT32_MAX);
	} else if (v->type == STORE_INT && letter == 'i') {
		n = htobe64((uint64_t)v->integer);
		add_u32(b, sizeof(n));
		buf_add(b, &n, sizeof(n));
	} else if (v->type == STORE_INT) {
		length = snprintf(text, sizeof(text), "%" PRId64, v->integer);
		add_u32(b, (uint32_t)length);
		buf_add(b, text, (size_t)length);
	} else {
		add_u32(b, (uint32_t)v->text.n);
		buf_add_str(b, v->text);
	}
}

/* Array header: dimensions, has nulls, element type, length, lower bound. */
static void add_array_head(struct buf *b, char letter, bool nulls, size_t count)
{
	add_u32(b, 1);
	add_u32(b, nulls);
	add_u32(b, type_of(letter, false));
	add_u32(b, (uint32_t)count);
	add_u32(b, 1);
}

int pg_params_many(struct pg_params *p, const struct store_statement *statement, struct store_op *const *ops, size_t count, struct str tenant, struct errbuf *e)
{
	int code;

	buf_reset(&p->bytes);
	for (int i = 0; i < statement->params; i++) {
		bool nulls = false;

		for (size_t k = 0; k < count; k++) {
			if ((code = check_value(statement, i, &ops[k]->values[i], e)) != 0)
				return code;
			nulls = nulls || ops[k]->values[i].type == STORE_NULL;
		}
		p->offsets[i] = p->bytes.n;
		add_array_head(&p->bytes, statement->types[i], nulls, count);
		for (size_t k = 0; k < count; k++)
			add_element(&p->bytes, statement->types[i], &ops[k]->values[i]);
		p->lengths[i] = (int)(p->bytes.n - p->offsets[i]);
	}
	if (p->bytes.full)
		return err_set(e, ERR_FULL, "%s: too much for one message", statement->name);
	for (int i = 0; i < statement->params; i++)
		p->values[i] = p->bytes.p + p->offsets[i];
	finish(p, statement, tenant);
	return 0;
}

/* -- results ---------------------------------------------------------------------------------------------------------- */

static bool take_integer(const PGresult *result, int row, int column, int length, struct store_value *v)
{
	const char *p = PQgetvalue(result, row, column);
	uint64_t wide;
	uint32_t middle;
	uint16_t narrow;

	v->type = STORE_INT;
	switch (length) {
	case 8: memcpy(&wide, p, 8); v->integer = (int64_t)be64toh(wide); return true;
	case 4: memcpy(&middle, p, 4); v->integer = (int32_t)be32toh(middle); return true;
	case 2: memcpy(&narrow, p, 2); v->integer = (int16_t)be16toh(narrow); return true;
	case 1: v->integer = *p != 0; return true;
	default: return false;
	}
}

static bool take_value(const PGresult *result, int row, int column, struct arena *arena, struct store_value *v)
{
	int length = PQgetlength(result, row, column);

	*v = (struct store_value){ .type = STORE_NULL };
	if (PQgetisnull(result, row, column) != 0)
		return true;
	switch (PQftype(result, column)) {
	case PG_INT8:
	case PG_INT4:
	case PG_INT2:
	case PG_BOOL:
		return take_integer(result, row, column, length, v);
	case PG_BYTEA:
		v->type = STORE_BLOB;
		break;
	case PG_TEXT:
	case PG_VARCHAR:
	case PG_NAME:
	case PG_UNKNOWN:
		v->type = STORE_TEXT;
		break;
	default:
		return false;
	}
	v->text = arena_copy(arena, (struct str){ PQgetvalue(result, row, column), (size_t)length });
	return true;
}

static int bad_column(const PGresult *result, const struct store_statement *statement, size_t column, struct errbuf *e)
{
	return err_set(e, ERR_STORE, "%s: column %zu has type %u, which no statement may answer with", statement->name, column + 1, PQftype(result, (int)column));
}

int64_t pg_changed(const PGresult *result)
{
	const char *status = PQcmdStatus((PGresult *)(uintptr_t)result);
	int64_t n = 0;

	if (strncmp(status, "SELECT", 6) == 0)
		return 0;
	return str_to_int(str_of(PQcmdTuples((PGresult *)(uintptr_t)result)), 0, INT64_MAX, &n) ? n : 0;
}

int pg_result_take(const PGresult *result, const struct store_statement *statement, struct arena *arena, struct store_result *out, struct errbuf *e)
{
	size_t rows = (size_t)PQntuples(result), columns = (size_t)PQnfields(result);
	struct store_value *values;

	*out = (struct store_result){ .changed = pg_changed(result) };
	if (rows == 0 || columns == 0)
		return 0;
	BUG_ON(rows > SIZE_MAX / columns / sizeof(*values));
	values = arena_alloc(arena, rows * columns * sizeof(*values));
	for (size_t row = 0; row < rows; row++)
		for (size_t column = 0; column < columns; column++)
			if (!take_value(result, (int)row, (int)column, arena, &values[row * columns + column]))
				return bad_column(result, statement, column, e);
	out->rows = rows;
	out->columns = columns;
	out->values = values;
	return 0;
}

/* For which of `count` this row is, from 0; SIZE_MAX: for none. */
static size_t element_of(const PGresult *result, int row, size_t count)
{
	struct store_value v = { .type = STORE_NULL };

	if (PQgetisnull(result, row, 0) != 0 || !take_integer(result, row, 0, PQgetlength(result, row, 0), &v) || v.integer < 1 || v.integer > (int64_t)count)
		return SIZE_MAX;
	return (size_t)v.integer - 1;
}

static int share_row(const PGresult *result, const struct store_statement *many, int row, struct store_op *op, struct store_tx *tx, struct errbuf *e)
{
	struct store_result *to = &op->result;
	struct store_value *values = (struct store_value *)(uintptr_t)to->values + to->rows * to->columns;     /* ours until the transaction is complete */

	for (size_t column = 0; column < to->columns; column++)
		if (!take_value(result, row, (int)column + 1, &tx->arena, &values[column]))
			return bad_column(result, many, column + 1, e);
	to->rows++;
	return 0;
}

int pg_result_share(const PGresult *result, const struct store_statement *many, struct store_op *const *ops, struct store_tx *const *txs, size_t count,
    struct errbuf *e)
{
	int rows = PQntuples(result), fields = PQnfields(result), code = 0;
	size_t at, columns = fields > 1 ? (size_t)fields - 1 : 0;

	if (columns == 0 || PQftype(result, 0) != PG_INT8)
		return err_set(e, ERR_STORE, "%s: its rows are not led by the number of an element", many->name);
	for (size_t i = 0; i < count; i++)
		ops[i]->result = (struct store_result){ .columns = columns };
	for (int row = 0; row < rows; row++) {
		at = element_of(result, row, count);
		if (at == SIZE_MAX)
			return err_set(e, ERR_STORE, "%s: row %d is for no element", many->name, row + 1);
		ops[at]->result.rows++;
	}
	for (size_t i = 0; i < count; i++) {
		if (ops[i]->result.rows > 0)
			ops[i]->result.values = arena_alloc(&txs[i]->arena, ops[i]->result.rows * columns * sizeof(struct store_value));
		ops[i]->result.rows = 0;
	}
	for (int row = 0; row < rows && code == 0; row++) {
		at = element_of(result, row, count);
		code = share_row(result, many, row, ops[at], txs[at], e);
	}
	return code;
}
