/*
 * Building a transaction and reading its results. Values are copied into the transaction's arena; JSON is written once into a buffer that the
 * transaction keeps, then copied: in the steady state nothing here allocates.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/engine.h"

enum {
	TX_MAGIC = 0x54585354,
	OPS_FIRST = 8,
	OPS_MAX = 100000,
	SCRATCH_MAX = 64 << 20,       /* longest JSON value; documents have smaller limits of their own */
	SCRATCH_KEPT = 64 << 10,
};

static void tx_check(const struct store_tx *tx)
{
	BUG_ON(tx == NULL || tx->magic != TX_MAGIC);
}

struct store_tx *store_tx_make(void)
{
	struct store_tx *tx = mem_alloc(sizeof(*tx));

	tx->magic = TX_MAGIC;
	tx->cap = OPS_FIRST;
	tx->ops = mem_array(tx->cap, sizeof(*tx->ops));
	arena_init(&tx->arena);
	buf_init(&tx->scratch, SCRATCH_MAX);
	return tx;
}

void store_tx_destroy(struct store_tx *tx)
{
	if (tx == NULL)
		return;
	tx_check(tx);
	tx->magic = 0;
	arena_fini(&tx->arena);
	buf_free(&tx->scratch);
	free(tx->ops);
	free(tx);
}

void store_tx_reset(struct store_tx *tx)
{
	tx_check(tx);
	arena_reset(&tx->arena);
	if (tx->scratch.cap > SCRATCH_KEPT)
		buf_free(&tx->scratch);
	tx->next = NULL;
	tx->submitted = tx->waited = tx->finished = tx->write = false;
	tx->code = 0;
	tx->done = NULL;
	tx->arg = NULL;
	tx->count = tx->failed_op = 0;
	tx->error[0] = '\0';
}

struct store_tx *store_tx_new(struct store *store, struct str tenant)
{
	struct store_tx *tx = store_freelist_take(store);

	BUG_ON(tenant.n >= sizeof(tx->tenant));
	tx->store = store;
	if (tenant.n > 0)
		memcpy(tx->tenant, tenant.p, tenant.n);
	tx->tenant[tenant.n] = '\0';
	tx->tenant_length = tenant.n;
	return tx;
}

void store_tx_free(struct store_tx *tx)
{
	if (tx == NULL)
		return;
	tx_check(tx);
	BUG_ON(tx->submitted);
	store_freelist_give(tx->store, tx);
}

static struct store_op *op_new(struct store_tx *tx)
{
	BUG_ON(tx->submitted || tx->count >= OPS_MAX);
	if (tx->count == tx->cap) {
		tx->cap *= 2;
		tx->ops = mem_grow(tx->ops, tx->cap, sizeof(*tx->ops));
	}
	return &tx->ops[tx->count++];
}

static struct store_value value_of_text(struct store_tx *tx, struct str s, enum store_type type)
{
	struct store_value v = { .type = s.p == NULL ? STORE_NULL : type };

	v.text = arena_copy(&tx->arena, s);
	return v;
}

static struct store_value value_of_json(struct store_tx *tx, const json_t *json)
{
	if (json == NULL)
		return (struct store_value){ .type = STORE_NULL };
	buf_reset(&tx->scratch);
	json_write(&tx->scratch, json);
	BUG_ON(tx->scratch.full);
	return value_of_text(tx, buf_str(&tx->scratch), STORE_TEXT);
}

/* A statement of the platform in a tenant's transaction, or a forgotten parameter, is a mistake of the programmer. */
static void check_use(const struct store_tx *tx, const struct store_statement *what, size_t params)
{
	if (params != (size_t)what->params || what->platform != (tx->tenant_length == 0))
		log_event(LOG_ERROR, "store.misused", "statement", what->name, "tenant", tx->tenant, NULL);
	BUG_ON(params != (size_t)what->params || params > STORE_PARAMS_MAX || what->many_of != 0);
	BUG_ON(what->platform != (tx->tenant_length == 0));
}

size_t store_tx_add(struct store_tx *tx, enum statement statement, enum store_expect expect, const char *types, ...)
{
	const struct store_statement *what;
	struct store_value *values;
	struct store_op *op;
	const char *t;
	size_t n;
	va_list args;

	tx_check(tx);
	what = store_statement(tx->store, statement);
	n = strlen(types);
	check_use(tx, what, n);
	op = op_new(tx);
	values = arena_alloc(&tx->arena, (n > 0 ? n : 1) * sizeof(*values));
	va_start(args, types);
	for (t = types; *t != '\0'; t++) {
		struct store_value *v = &values[t - types];

		*v = (struct store_value){ .type = STORE_NULL };
		switch (*t) {
		case 'i': v->type = STORE_INT, v->integer = va_arg(args, int64_t); break;
		case 's': *v = value_of_text(tx, va_arg(args, struct str), STORE_TEXT); break;
		case 't': *v = value_of_text(tx, str_of(va_arg(args, const char *)), STORE_TEXT); break;
		case 'b': *v = value_of_text(tx, va_arg(args, struct str), STORE_BLOB); break;
		case 'j': *v = value_of_json(tx, va_arg(args, const json_t *)); break;
		case 'n': break;
		default: BUG_ON(*t != 'n');
		}
	}
	va_end(args);
	*op = (struct store_op){ .statement = statement, .expect = expect, .params = (unsigned)n, .values = values };
	return tx->count - 1;
}

size_t store_tx_count(const struct store_tx *tx)
{
	tx_check(tx);
	return tx->count;
}

struct store_value *store_result_make(struct store_tx *tx, size_t op, size_t rows, size_t columns)
{
	struct store_value *values;

	BUG_ON(op >= tx->count || (columns > 0 && rows > SIZE_MAX / columns / sizeof(*values)));
	values = arena_alloc(&tx->arena, rows * columns * sizeof(*values));
	for (size_t i = 0; i < rows * columns; i++)
		values[i] = (struct store_value){ .type = STORE_NULL };
	tx->ops[op].result = (struct store_result){ .rows = rows, .columns = columns, .values = values };
	return values;
}

void store_tx_fail(struct store_tx *tx, int code, size_t op, const char *format, ...)
{
	va_list args;

	tx->code = code;
	tx->failed_op = op;
	va_start(args, format);
	vsnprintf(tx->error, sizeof(tx->error), format, args);
	va_end(args);
}

/* -- results ------------------------------------------------------------------------------------------------------ */

const struct store_result *store_tx_result(const struct store_tx *tx, size_t op)
{
	tx_check(tx);
	BUG_ON(tx->submitted || op >= tx->count);
	return &tx->ops[op].result;
}

const char *store_tx_error(const struct store_tx *tx)
{
	tx_check(tx);
	return tx->error;
}

size_t store_tx_failed_op(const struct store_tx *tx)
{
	tx_check(tx);
	return tx->failed_op;
}

static const struct store_value *cell(const struct store_result *r, size_t row, size_t column)
{
	BUG_ON(row >= r->rows || column >= r->columns);
	return &r->values[row * r->columns + column];
}

int64_t store_int(const struct store_result *r, size_t row, size_t column)
{
	const struct store_value *v = cell(r, row, column);

	BUG_ON(v->type != STORE_INT && v->type != STORE_NULL);
	return v->type == STORE_INT ? v->integer : 0;
}

struct str store_text(const struct store_result *r, size_t row, size_t column)
{
	const struct store_value *v = cell(r, row, column);

	BUG_ON(v->type == STORE_INT);
	return v->type == STORE_NULL ? (struct str){ NULL, 0 } : v->text;
}

bool store_is_null(const struct store_result *r, size_t row, size_t column)
{
	return cell(r, row, column)->type == STORE_NULL;
}
