/* Values to and from PostgreSQL's binary formats. */
#pragma once

#include "store/engine.h"

#include <libpq-fe.h>

enum { PG_INT2 = 21, PG_INT4 = 23, PG_INT8 = 20, PG_BOOL = 16, PG_BYTEA = 17, PG_NAME = 19, PG_TEXT = 25, PG_VARCHAR = 1043, PG_UNKNOWN = 705,
	PG_INT8_ARRAY = 1016, PG_TEXT_ARRAY = 1009, PG_BYTEA_ARRAY = 1001 };

/* Parameters of one execution, as libpq takes them; what they point to lives in `bytes` and in the operations they came from. */
struct pg_params {
	int count;
	Oid types[STORE_PARAMS_MAX + 1];
	const char *values[STORE_PARAMS_MAX + 1];
	int lengths[STORE_PARAMS_MAX + 1], formats[STORE_PARAMS_MAX + 1];
	uint64_t integers[STORE_PARAMS_MAX + 1];
	struct buf bytes;               /* arrays and numbers as text; kept from use to use */
	size_t offsets[STORE_PARAMS_MAX + 1];
};

void pg_params_init(struct pg_params *p);
void pg_params_free(struct pg_params *p);
/* The types of a statement's parameters, the tenant's (of a tenant's statement) last. Returns how many. */
int pg_types(const struct store_statement *statement, Oid *types);
/* One operation; tenant of {NULL, 0} for statements of the platform. ERR_STORE when a value does not fit its parameter. */
MUST_CHECK int pg_params_one(struct pg_params *p, const struct store_statement *statement, const struct store_value *values, struct str tenant,
    struct errbuf *e);
/* Many operations in one statement: each parameter an array. ERR_FULL when they are too much for one message. */
MUST_CHECK int pg_params_many(struct pg_params *p, const struct store_statement *statement, struct store_op *const *ops, size_t count, struct str tenant,
    struct errbuf *e);
/* The rows of a result into the transaction's arena. ERR_STORE when a column has a type that no statement may answer with. */
MUST_CHECK int pg_result_take(const PGresult *result, const struct store_statement *statement, struct arena *arena, struct store_result *out, struct errbuf *e);
/* The rows of a form for many that answers: to each operation its own, in its transaction's arena (txs[i] has ops[i]). */
MUST_CHECK int pg_result_share(const PGresult *result, const struct store_statement *many, struct store_op *const *ops, struct store_tx *const *txs, size_t count,
    struct errbuf *e);
int64_t pg_changed(const PGresult *result);        /* rows changed by INSERT, UPDATE, DELETE */
