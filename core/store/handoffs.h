/* Hand-offs as the API and the command line see them. */
#pragma once

#include "store/row.h"

/* A page, newest first; empty filters let all pass. ERR_INVALID: the cursor. */
MUST_CHECK int handoffs_tx_list(struct store_tx *tx, struct str status, struct str correlation, struct str type, int64_t limit, struct str cursor,
                                struct errbuf *e);
json_t *handoffs_list_json(const struct store_result *r, int64_t limit);
/* {id, status, type, version, sender, receiver, capability, key, correlation, depth, sender_run, run, subject, replays, created_at, ended_at, reasons, payload,
 * replay_at} of handoff_get and the lists. */
json_t *handoffs_json(const struct store_result *r, size_t row);
