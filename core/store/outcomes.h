/* Effects that left the host and whose outcome nobody knows: listing them, deciding them. What makes and withdraws them is the engine (run/intents.c). */
#pragma once

#include "store/row.h"

/* {id, run, effect, attempt, name, class, key, request, sent_at, unknown_at, status, result, error, note, decided_at, decided_by} */
size_t outcomes_tx_get(struct store_tx *tx, struct str run, int64_t effect);   /* the last attempt */
json_t *outcomes_json(const struct store_result *r, size_t row);
MUST_CHECK int outcomes_tx_list(struct store_tx *tx, struct str status /* empty: all */, int64_t limit, struct str cursor, size_t *op,
                                struct errbuf *e);
json_t *outcomes_list_json(const struct store_result *r, int64_t limit);       /* newest first */
bool outcome_status_is_known(const char *status);

struct outcome_decision {
	struct str run;
	int64_t effect, attempt;         /* attempt 0: the last one */
	const char *status;              /* happened, not_happened, failed */
	const json_t *result;            /* happened: what the script sees; borrowed, else NULL */
	const json_t *error;             /* failed: {code?, message?, …}; borrowed, else NULL */
	struct str note, by;
	int64_t at_us;
};
/* ERR_SCHEMA with a text for people: this cannot be what somebody decided. */
MUST_CHECK int outcome_decision_check(const struct outcome_decision *decision, struct errbuf *e);
/* STORE_MUST: ERR_CONFLICT where there is nothing to decide (any more). Then outcomes_tx_get says why. */
size_t outcomes_tx_decide(struct store_tx *tx, const struct outcome_decision *decision);
/* Is this row the same decision by the same hand? Then it was sent twice. */
bool outcome_is_decided_so(const json_t *outcome, const struct outcome_decision *decision);
