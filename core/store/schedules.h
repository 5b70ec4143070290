/* Schedules as the API, the command line and the engine (run/schedules.c) see them: rows as JSON, and when a declaration fires. */
#pragma once

#include "base/cron.h"
#include "store/row.h"

/* {id, agent, capability, name, every | cron, zone, input, catch_up, overlap, alarm, status, next_at, last_slot, last_run, idle, …} of schedule_get and
 * schedule_list. */
json_t *schedules_json(const struct store_result *r, size_t row);
json_t *schedules_list_json(const struct store_result *r, int64_t limit);
/* {slot, status, run, at, worked, reason} of schedule_slot_list. */
json_t *schedules_slot_json(const struct store_result *r, size_t row);

/* What a declaration ({every | cron, zone?}) says. *zone is to be closed. ERR_INVALID with a text. */
MUST_CHECK int schedules_rule(const json_t *declared, struct cron_rule *rule, struct zone **zone, struct errbuf *e);
/* Its first time behind `after`; 0: none, or no rule. */
int64_t schedules_next_us(const json_t *declared, int64_t after_us);

/* From the row of schedule_get to a paused or active one; changes no row (STORE_MUST: ERR_CONFLICT) when somebody was faster. */
void schedules_tx_set_status(struct store_tx *tx, const struct store_result *r, bool active, int64_t now_us);
enum { SCHEDULE_STATUS = 5, SCHEDULE_VERSION = 12 };   /* columns of schedule_get */
