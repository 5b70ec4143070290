/* Reading runs, their journals, logs and approvals for the API, the console and the command line. What changes them is the engine (run/). */
#pragma once

#include "store/row.h"

/* {id, agent, capability, status, input, output, error, bundle, created_at, started_at, ended_at, parent, cost_nanos, tokens, cpu_ms, subject,
 * forked_from: {run, at}, retry_of, continued_from, continued_as} */
size_t runs_tx_get(struct store_tx *tx, struct str id);
size_t runs_tx_get_last(struct store_tx *tx, struct str id);   /* of a chain (continue_as_new), asked for by its first run, the last one */
/* What a run waits for: each kind once, for runs_waits_json. */
size_t runs_tx_waits(struct store_tx *tx, struct str id);
json_t *runs_waits_json(const struct store_result *r);
json_t *runs_json(const struct store_result *r, size_t row);

struct runs_query {
	struct str agent, capability, status, subject;   /* empty: all */
	struct str waiting_for;                          /* kind of a wait; empty: all */
	int64_t limit;
	struct str cursor;
};
MUST_CHECK int runs_tx_list(struct store_tx *tx, const struct runs_query *query, size_t *op, struct errbuf *e);   /* ERR_INVALID: the cursor */
json_t *runs_list_json(const struct store_result *r, int64_t limit);                                              /* newest first */

/* Outcomes in order, after an index (-1: from the first): {index, effect, name, digest, at, outcome}. */
size_t runs_tx_journal(struct store_tx *tx, struct str run, int64_t after, int64_t limit);
json_t *runs_journal_json(const struct store_result *r, size_t row, enum row_times times);
/* Log lines in order, after a number (0: from the first): {n, index, at, level, message, fields}. */
size_t runs_tx_logs(struct store_tx *tx, struct str run, int64_t after, int64_t limit);
json_t *runs_log_json(const struct store_result *r, size_t row, enum row_times times);

/* {id, run, effect, title, body, subject, owner, status, decision, note, asked_at, expires_at, decided_at, decided_by} */
size_t approvals_tx_get(struct store_tx *tx, struct str id);
json_t *approvals_json(const struct store_result *r, size_t row);
MUST_CHECK int approvals_tx_list(struct store_tx *tx, struct str status /* empty: all */, int64_t limit, struct str cursor, size_t *op,
                                 struct errbuf *e);
json_t *approvals_list_json(const struct store_result *r, int64_t limit);
