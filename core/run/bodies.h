/* Long outcomes lie once, by the hash of what they say; their rows hold the beginning ({"at":…,) and the hash. */
#pragma once

#include "store/store.h"

#define BODY_LEAST 2048   /* bytes; shorter outcomes stand in their row */

struct outcome_row {
	const char *run, *name, *digest;
	int64_t index, effect, at_us;
	struct str outcome;
};
/* Adds the row of an outcome to tx, with its body before it where it is long. */
void outcome_add(struct store_tx *tx, const struct outcome_row *row);
