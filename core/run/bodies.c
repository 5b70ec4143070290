#include "run/bodies.h"

#include <string.h>

#include "base/crypto.h"

void outcome_add(struct store_tx *tx, const struct outcome_row *row)
{
	struct str all = row->outcome;
	const char *comma = all.n > BODY_LEAST ? memchr(all.p, ',', 64) : NULL;
	if (!comma) {
		store_tx_add(tx, STATEMENT_journal_insert, STORE_MUST, "tiittsi", row->run, row->index, row->effect, row->name, row->digest, all,
		             row->at_us);
		return;
	}
	/* Behind the time, so that the same answer at another time is the same body. */
	size_t n = (size_t)(comma - all.p) + 1;
	struct str beginning = { all.p, n }, body = { all.p + n, all.n - n };
	uint8_t digest[SHA256_SIZE];
	char hash[SHA256_HEX_SIZE];
	sha256(body.p, body.n, digest);
	hex_encode(digest, SHA256_SIZE, hash);
	store_tx_add(tx, STATEMENT_body_put, STORE_ANY, "tsi", hash, body, row->at_us);
	store_tx_add(tx, STATEMENT_journal_insert_long, STORE_MUST, "tiittsit", row->run, row->index, row->effect, row->name, row->digest,
	             beginning, row->at_us, hash);
}
