/*
 * What one commit writes. A batch has a section for each tenant, in the order of their names ("" = platform first), so that two workers never wait for each other
 * crosswise. Within a section neighbouring transactions whose every statement has a form for many are merged: the same statement of all
 * of them becomes one with arrays. Each operation that counts must change one row, so the number of changed rows tells whether all held; one that answers
 * gets its own rows. Reads are planned in the same way (reader.c).
 */
#pragma once

#include "store/engine.h"

enum { BATCH_STEPS_MAX = 64 };           /* statements of one merged block; more begin another block */

struct batch_step {
	enum statement statement;        /* as the transactions have it */
	size_t first, count;             /* of batch.ops */
	bool counted, answers;
};

/* A run of neighbouring transactions of one tenant. */
struct batch_block {
	size_t first_tx, tx_count;
	bool merged;
	size_t first_step, step_count;   /* merged */
};

struct batch {
	struct store_tx **txs;           /* sorted; as long as the batch */
	size_t count;
	struct batch_block *blocks;
	size_t block_count, block_cap;
	struct batch_step *steps;
	size_t step_count, step_cap;
	struct store_op **ops;           /* of merged blocks, step by step */
	struct store_tx **op_txs;        /* whose they are */
	size_t op_count, op_cap;
};

void batch_init(struct batch *batch, size_t most);
void batch_fini(struct batch *batch);
/* Sort and plan. The list's transactions stay linked by next in their own order; txs has them sorted. */
void batch_plan(struct batch *batch, struct store_tx *list);
/* Has every statement of it a form for many? */
bool batch_can_merge(const struct store_tx *tx);
bool tx_same_tenant(const struct store_tx *a, const struct store_tx *b);
