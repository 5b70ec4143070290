/*
 * Dumps: a tenant, or a whole store, in one file that any engine reads. For `perigee tenant export|import` and `perigee backup|restore`.
 *
 * JSON lines: {"perigee":"dump","version":1,…}; for each tenant (the platform is "") {"tenant":…}, and for each of its tables {"table":…,"columns":[…]}, a row as
 * an array per line (integers, text, null; bytes as {"hex":…}), {"rows":N}; at the end {"end":true,"rows":N,"sha256":…} over every byte before.
 * A dump without its end, or with another digest, is refused before anything of it is kept.
 */
#pragma once

#include "store/store.h"

#include <stdio.h>

#define DUMP_COLUMNS_MAX 64

enum dump_part { DUMP_DATA = 1, DUMP_PLATFORM = 2 };   /* the tenant's tables; its rows of the platform's, without where it is placed */

struct dump_writer {
	FILE *file;                    /* borrowed */
	struct sha256_state *digest;   /* owned */
	struct buf line;
	int64_t rows, table_rows, lines;
	bool failed;                   /* a write failed: the rest is dropped, dump_end tells */
	bool in_table;
};

enum dump_item { DUMP_TENANT, DUMP_TABLE, DUMP_ROW, DUMP_ROWS, DUMP_END };

struct dump_reader {
	FILE *file;                    /* borrowed */
	struct sha256_state *digest;
	char *text;                    /* the line, owned */
	size_t cap;
	int64_t line, rows, table_rows;
	json_t *value;                 /* of the last item; owned */
	bool held;                     /* dump_hold: the last item comes again */
	enum dump_item item;
	bool in_table, ended;
};

/* -- writing: begin, then per tenant: tenant, its tables: table, rows; end. */
void dump_begin(struct dump_writer *w, FILE *file, const char *program, int64_t now_us);
void dump_tenant(struct dump_writer *w, struct str tenant);
void dump_table(struct dump_writer *w, const char *table, const char *const *columns, size_t count);
void dump_row(struct dump_writer *w, const struct store_value *values, size_t count);
void dump_rows_end(struct dump_writer *w);
/* The last line, flushed to the disk. ERR_IO when anything could not be written. Frees what the writer has; also after a failure, and then with abandon. */
MUST_CHECK int dump_end(struct dump_writer *w, struct errbuf *e);
void dump_abandon(struct dump_writer *w);

/* -- reading. ERR_INVALID with the line's number when the file is no dump of ours. */
MUST_CHECK int dump_open(struct dump_reader *r, FILE *file, struct errbuf *e);
void dump_close(struct dump_reader *r);
/* Read all of a file for its digest and counts, then go back to its beginning; *items the rows in it. */
MUST_CHECK int dump_verify(FILE *file, int64_t *rows, struct errbuf *e);
/* The next item: its JSON is in r->value until the next call. DUMP_END comes once, and only when digest and counts are right. */
MUST_CHECK int dump_next(struct dump_reader *r, enum dump_item *item, struct errbuf *e);
void dump_hold(struct dump_reader *r);
/* A cell of a row as a value; text and bytes are copied into scratch (reset by the caller per row, large enough: room is made before). */
MUST_CHECK int dump_value(const json_t *cell, struct buf *scratch, struct store_value *out, struct errbuf *e);

/* Everything of a tenant as of one instant, from dump_tenant on: its tables, then its rows of the platform's `tenants` and `keys`. "" is what belongs to no tenant:
 * the operator's keys. Blocks. */
MUST_CHECK int store_dump_tenant(struct store *store, struct str tenant, struct dump_writer *w, struct errbuf *e);
/* The tables that follow in r (up to the next tenant or the end), as `tenant`, which must not exist ("" always does): whole or not at all. Tables and columns that this
 * engine lacks are refused by name. What belongs to a worker is nobody's then (runs.owner null, fence + 1): whoever serves takes it up. with_keys false: keys are
 * left out. */
MUST_CHECK int store_load_tenant(struct store *store, struct str tenant, struct dump_reader *r, bool with_keys, struct errbuf *e);
/* Everything of a tenant is gone afterwards, its keys too; cannot be undone. ERR_NOT_FOUND. */
MUST_CHECK int store_tenant_delete(struct store *store, struct str tenant, struct errbuf *e);
