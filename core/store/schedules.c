#include "store/schedules.h"

#include <string.h>

enum {
	SCHEDULE_ID, SCHEDULE_AGENT, SCHEDULE_CAPABILITY, SCHEDULE_NAME, SCHEDULE_DECLARED, SCHEDULE_STATUS_, SCHEDULE_NEXT_AT, SCHEDULE_LAST_SLOT,
	SCHEDULE_LAST_RUN, SCHEDULE_IDLE, SCHEDULE_CREATED_AT, SCHEDULE_UPDATED_AT, SCHEDULE_VERSION_, SCHEDULE_ASKED_AT,
};
_Static_assert(SCHEDULE_STATUS_ == (int)SCHEDULE_STATUS && SCHEDULE_VERSION_ == (int)SCHEDULE_VERSION, "columns of schedule_get");

json_t *schedules_json(const struct store_result *r, size_t row)
{
	json_t *o = row_json(r, row, SCHEDULE_DECLARED);

	if (!json_is_object(o)) {
		json_decref(o);
		o = json_object();
	}
	if (!json_member(o, "zone"))
		json_put_text(o, "zone", "UTC");
	if (!json_member(o, "catch_up"))
		json_put_text(o, "catch_up", "last");
	if (!json_member(o, "overlap"))
		json_put_text(o, "overlap", "skip");
	if (!json_member(o, "alarm"))
		json_put_int(o, "alarm", 3);
	row_put_text(o, "id", r, row, SCHEDULE_ID);
	row_put_text(o, "agent", r, row, SCHEDULE_AGENT);
	row_put_text(o, "capability", r, row, SCHEDULE_CAPABILITY);
	row_put_text(o, "name", r, row, SCHEDULE_NAME);
	row_put_text(o, "status", r, row, SCHEDULE_STATUS_);
	row_put_time(o, "next_at", r, row, SCHEDULE_NEXT_AT, ROW_TIMES_TEXT);
	row_put_time(o, "last_slot", r, row, SCHEDULE_LAST_SLOT, ROW_TIMES_TEXT);
	row_put_text(o, "last_run", r, row, SCHEDULE_LAST_RUN);
	row_put_int(o, "idle", r, row, SCHEDULE_IDLE);
	row_put_time(o, "created_at", r, row, SCHEDULE_CREATED_AT, ROW_TIMES_TEXT);
	row_put_time(o, "updated_at", r, row, SCHEDULE_UPDATED_AT, ROW_TIMES_TEXT);
	row_put_time(o, "asked_at", r, row, SCHEDULE_ASKED_AT, ROW_TIMES_TEXT);
	return o;
}

json_t *schedules_list_json(const struct store_result *r, int64_t asked)
{
	size_t limit = (size_t)page_limit(asked), n = r->rows > limit ? limit : r->rows;
	json_t *items = json_array(), *position = NULL;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(items, schedules_json(r, i));
	if (r->rows > limit) {
		position = json_array();
		json_array_append_new(position, json_new_str(store_text(r, n - 1, SCHEDULE_ID)));
	}
	return page_json(items, position);
}

json_t *schedules_slot_json(const struct store_result *r, size_t row)
{
	json_t *o = json_object();

	row_put_time(o, "slot", r, row, 0, ROW_TIMES_TEXT);
	row_put_text(o, "status", r, row, 1);
	row_put_text(o, "run", r, row, 2);
	row_put_time(o, "at", r, row, 3, ROW_TIMES_TEXT);
	json_put(o, "worked", store_is_null(r, row, 4) ? NULL : json_boolean(store_int(r, row, 4)));
	row_put_text(o, "reason", r, row, 5);
	return o;
}

int schedules_rule(const json_t *declared, struct cron_rule *rule, struct zone **zone, struct errbuf *e)
{
	struct str every = json_member_str(declared, "every"), cron = json_member_str(declared, "cron"), name = json_member_str(declared, "zone");
	int code = cron.p ? cron_parse(cron, rule, e) : cron_parse_every(every, rule, e);

	*zone = NULL;
	return code ? code : zone_open(name.n ? name : STR("UTC"), zone, e);
}

int64_t schedules_next_us(const json_t *declared, int64_t after_us)
{
	struct cron_rule rule;
	struct zone *zone;
	struct errbuf e;
	int64_t next = INT64_MAX;

	if (schedules_rule(declared, &rule, &zone, &e) == 0)
		next = cron_next_us(&rule, zone, after_us);
	zone_close(zone);
	return next == INT64_MAX ? 0 : next;
}

void schedules_tx_set_status(struct store_tx *tx, const struct store_result *r, bool active, int64_t now_us)
{
	json_t *declared = row_json(r, 0, SCHEDULE_DECLARED);
	int64_t next = active ? schedules_next_us(declared, now_us) : 0;

	store_tx_add(tx, STATEMENT_schedule_set_status, STORE_MUST, "sitiii", store_text(r, 0, SCHEDULE_ID), store_int(r, 0, SCHEDULE_VERSION),
	             active ? "active" : "paused", next, next, now_us);
	json_decref(declared);
}
