#include "store/postgres/batch.h"

#include <stdlib.h>
#include <string.h>

void batch_init(struct batch *batch, size_t most)
{
	*batch = (struct batch){ .block_cap = 64, .step_cap = 256, .op_cap = 2048 };
	batch->txs = mem_array(most, sizeof(struct store_tx *));
	batch->blocks = mem_array(batch->block_cap, sizeof(*batch->blocks));
	batch->steps = mem_array(batch->step_cap, sizeof(*batch->steps));
	batch->ops = mem_array(batch->op_cap, sizeof(struct store_op *));
	batch->op_txs = mem_array(batch->op_cap, sizeof(struct store_tx *));
}

void batch_fini(struct batch *batch)
{
	free(batch->txs);
	free(batch->blocks);
	free(batch->steps);
	free(batch->ops);
	free(batch->op_txs);
	*batch = (struct batch){ 0 };
}

bool tx_same_tenant(const struct store_tx *a, const struct store_tx *b)
{
	return a->tenant_length == b->tenant_length && memcmp(a->tenant, b->tenant, a->tenant_length) == 0;
}

static struct str tenant_of(const struct store_tx *tx)
{
	return (struct str){ tx->tenant, tx->tenant_length };
}

/* Stable, and usually there is nothing to do: an insertion from behind. */
static void sort(struct store_tx **txs, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct store_tx *tx = txs[i];
		size_t low = 0, high = i;

		if (str_compare(tenant_of(txs[i - 1]), tenant_of(tx)) <= 0)
			continue;
		while (low < high) {
			size_t middle = low + (high - low) / 2;

			if (str_compare(tenant_of(txs[middle]), tenant_of(tx)) <= 0)
				low = middle + 1;
			else
				high = middle;
		}
		memmove(&txs[low + 1], &txs[low], (i - low) * sizeof(*txs));
		txs[low] = tx;
	}
}

static const struct store_statement *many_of(const struct store_op *op)
{
	int many = postgres_statements[op->statement].many;

	return many > 0 ? &postgres_statements[many - 1] : NULL;
}

bool batch_can_merge(const struct store_tx *tx)
{
	for (size_t i = 0; i < tx->count; i++) {
		const struct store_statement *many = many_of(&tx->ops[i]);

		if (many == NULL || (many->uncounted && tx->ops[i].expect == STORE_MUST))
			return false;
	}
	return tx->count > 0;
}

static struct batch_step *step_add(struct batch *batch, enum statement statement)
{
	const struct store_statement *many = &postgres_statements[postgres_statements[statement].many - 1];
	struct batch_step *step;

	if (batch->step_count == batch->step_cap) {
		batch->step_cap *= 2;
		batch->steps = mem_grow(batch->steps, batch->step_cap, sizeof(*batch->steps));
	}
	step = &batch->steps[batch->step_count++];
	*step = (struct batch_step){ .statement = statement, .counted = !many->uncounted && !many->answers, .answers = many->answers };
	return step;
}

/* Where each operation of a transaction goes: a step of its statement not before that of the operation before it. `place` notes it or is NULL. */
static void place_ops(struct batch *batch, struct batch_block *block, const struct store_tx *tx)
{
	size_t at = block->first_step;

	for (size_t i = 0; i < tx->count; i++) {
		size_t s = at;

		while (s < batch->step_count && batch->steps[s].statement != tx->ops[i].statement)
			s++;
		if (s == batch->step_count)
			(void)step_add(batch, tx->ops[i].statement);
		batch->steps[s].count++;
		at = s;
	}
}

/* The same walk again, now that the steps are known: the operations in order of their steps. */
static void fill_ops(struct batch *batch, struct batch_block *block)
{
	size_t at, filled[BATCH_STEPS_MAX * 2] = { 0 };

	for (size_t s = 0; s < block->step_count; s++) {
		batch->steps[block->first_step + s].first = batch->op_count;
		batch->op_count += batch->steps[block->first_step + s].count;
	}
	while (batch->op_count > batch->op_cap) {
		batch->op_cap *= 2;
		batch->ops = mem_grow(batch->ops, batch->op_cap, sizeof(struct store_op *));
		batch->op_txs = mem_grow(batch->op_txs, batch->op_cap, sizeof(struct store_tx *));
	}
	for (size_t t = block->first_tx; t < block->first_tx + block->tx_count; t++) {
		at = 0;
		for (size_t i = 0; i < batch->txs[t]->count; i++) {
			struct store_op *op = &batch->txs[t]->ops[i];
			size_t place;

			while (batch->steps[block->first_step + at].statement != op->statement)
				at++;
			place = batch->steps[block->first_step + at].first + filled[at]++;
			batch->ops[place] = op;
			batch->op_txs[place] = batch->txs[t];
		}
	}
}

static struct batch_block *block_add(struct batch *batch, size_t tx, bool merged)
{
	struct batch_block *block;

	if (batch->block_count == batch->block_cap) {
		batch->block_cap *= 2;
		batch->blocks = mem_grow(batch->blocks, batch->block_cap, sizeof(*batch->blocks));
	}
	block = &batch->blocks[batch->block_count++];
	*block = (struct batch_block){ .first_tx = tx, .merged = merged, .first_step = batch->step_count };
	return block;
}

static void block_end(struct batch *batch, struct batch_block *block)
{
	if (block == NULL || !block->merged)
		return;
	block->step_count = batch->step_count - block->first_step;
	/* Alone and nothing to merge: one by one it is known which operation fails. */
	if (block->tx_count == 1 && block->step_count == batch->txs[block->first_tx]->count) {
		block->merged = false;
		batch->step_count = block->first_step;
		return;
	}
	fill_ops(batch, block);
}

/* Could this transaction's statements take more steps than a block may have? */
static bool has_room(const struct batch *batch, const struct batch_block *block, const struct store_tx *tx)
{
	return batch->step_count - block->first_step < BATCH_STEPS_MAX && tx->count <= BATCH_STEPS_MAX;
}

void batch_plan(struct batch *batch, struct store_tx *list)
{
	struct batch_block *block = NULL;

	batch->count = batch->block_count = batch->step_count = batch->op_count = 0;
	for (struct store_tx *tx = list; tx != NULL; tx = tx->next)
		batch->txs[batch->count++] = tx;
	sort(batch->txs, batch->count);
	for (size_t i = 0; i < batch->count; i++) {
		struct store_tx *tx = batch->txs[i];
		bool merged = batch_can_merge(tx) && tx->count <= BATCH_STEPS_MAX;

		if (block == NULL || block->merged != merged || !tx_same_tenant(tx, batch->txs[i - 1]) || (merged && !has_room(batch, block, tx))) {
			block_end(batch, block);
			block = block_add(batch, i, merged);
		}
		block->tx_count++;
		if (merged)
			place_ops(batch, block, tx);
	}
	block_end(batch, block);
}
