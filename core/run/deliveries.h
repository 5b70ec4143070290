/*
 * Deliveries: from an event in the outbox to one run for each capability that listens for it, and to further runs while these fail. What is to be done
 * stands in the store alone (table deliveries): every worker may do any of it, and whoever claims a delivery does so in the transaction that inserts
 * its run. See deliveries.c. For the engine's own files.
 */
#pragma once

#include "run/run_internal.h"

struct deliveries *deliveries_new(struct engine *engine);
void deliveries_free(struct deliveries *deliveries);
void tenant_deliveries_free(struct tenant *tenant);

/* An event is on disk: write its deliveries and begin them. */
void deliveries_on_event(struct engine *engine, struct tenant *tenant, struct str id, struct str type);
/* Begin a delivery if it is due and nothing of its key comes first; else nothing happens. */
void deliveries_begin(struct engine *engine, struct tenant *tenant, struct str id);
/* In the transaction that ends a run (after the statement that does): its delivery is over, too. Returns the operation, for deliveries_on_settled. */
size_t deliveries_add_settle(struct engine *engine, struct store_tx *tx, const char *run);
/* That transaction is on disk: begin what waited behind it. */
void deliveries_on_settled(struct engine *engine, struct tenant *tenant, const struct store_result *settled);
