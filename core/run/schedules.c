/*
 * Schedules: rows that say when an agent works by the clock. Happy path: a bundle goes live, its declarations are compared with the rows; a row is
 * due (due.c); the last slots are read and judged; one transaction moves the row on (it names the version that was read: one worker wins), notes the
 * slot and inserts the run, whose event id "schedule:ID:SLOT" is unique too; the run is admitted.
 * Failure modes: somebody was faster (ERR_CONFLICT): nothing is done; the tenant is full, or the live bundle here declares something else: the row stays due
 * and is looked at again in a second, here or elsewhere; the store fails: the same.
 */
#include "run/run_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/events.h"
#include "store/schedules.h"

#define LATE_US 30000000LL      /* what is later than this was missed, for catch_up = "none" */
#define BACKLOG_MAX 100         /* slots that catch_up = "all" makes up for */
#define JUDGE_US 30000000LL     /* after a slot, look whether its run did anything; then after as long as the run takes */
#define JUDGE_MOST_US 3600000000LL
#define ALARM_OTHERWISE 3
#define RECONCILE_TRIES 5
#define TRIM_EVERY 64           /* changes of a schedule between two looks at how many slots it keeps */

/* ---- what the manifest says ---- */

static const json_t *manifest_entry(const json_t *manifest, const char *agent, const char *capability, const char *name)
{
	const json_t *list = json_member(json_member(json_member(manifest, "agents"), agent), "schedule");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *entry = json_array_get(list, i);
		if (str_is(json_member_str(entry, "capability"), capability) && str_is(json_member_str(entry, "name"), name))
			return entry;
	}
	return NULL;
}

/* What the row keeps of an entry: not where it stands in the scripts, nor what has a column. Canonical text, owned. */
static char *declared_text(const json_t *entry)
{
	json_t *kept = json_copy((json_t *)(uintptr_t)entry);
	json_object_del(kept, "at");
	json_object_del(kept, "name");
	json_object_del(kept, "capability");
	char *text = json_to_text(kept);
	json_decref(kept);
	return text;
}

int schedules_check(const json_t *manifest, struct errbuf *e)
{
	const char *name;
	json_t *agent;
	json_object_foreach((json_t *)(uintptr_t)json_member(manifest, "agents"), name, agent) {
		const json_t *list = json_member(agent, "schedule");
		for (size_t i = 0; i < json_array_size(list); i++) {
			const json_t *entry = json_array_get(list, i);
			const char *at = json_string_value(json_member(entry, "at"));
			struct cron_rule rule;
			struct zone *zone;
			int code = schedules_rule(entry, &rule, &zone, e);
			zone_close(zone);
			if (code)
				return err_wrap(e, code, "%s%sagent \"%s\": schedule[%zu]", at ? at : "", at ? ": " : "", name, i + 1);
		}
	}
	return 0;
}

/* ---- a bundle goes live ---- */

struct reconcile {
	struct engine *engine;
	struct tenant *tenant;
	struct live_bundle *bundle;        /* held */
	unsigned tries;
};

static void reconcile_free(struct reconcile *r)
{
	bundle_release(r->engine, r->bundle);
	free(r);
}

static void reconcile_begin(struct reconcile *reconcile);

static void reconcile_on_written(struct store_tx *tx, int code, void *arg)
{
	struct reconcile *r = arg;
	if (code == ERR_CONFLICT && ++r->tries < RECONCILE_TRIES) { /* another worker, or an operator */
		store_tx_free(tx);
		reconcile_begin(r);
		return;
	}
	if (code)
		log_event(LOG_ERROR, "schedules.failed", "tenant", r->tenant->name, "error", store_tx_error(tx), NULL);
	store_tx_free(tx);
	due_soon(r->engine, r->tenant);
	reconcile_free(r);
}

static bool same_rule(const json_t *a, const json_t *b)
{
	static const char *const parts[] = { "every", "cron", "zone" };
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (!str_equal(json_member_str(a, parts[i]), json_member_str(b, parts[i])))
			return false;
	return true;
}

static int64_t earliest(int64_t a, int64_t b)
{
	return a && (!b || a < b) ? a : b;
}

static void add_declare(struct store_tx *tx, const struct store_result *rows, size_t row, const char *declared, const char *status, int64_t next,
                        int64_t due, int64_t now)
{
	store_tx_add(tx, STATEMENT_schedule_declare, STORE_MUST, "sittiii", store_text(rows, row, 0), store_int(rows, row, 3), declared, status, next,
	             due, now);
}

/* One declaration against its row; *found is set for a row that is still declared. Columns: id declared status version next_at look_at asked_at. */
static void reconcile_entry(struct store_tx *tx, const json_t *entry, const char *id, const char *agent, const struct store_result *rows, bool *found,
                            int64_t now)
{
	char *declared = declared_text(entry);
	size_t row = 0;
	while (row < rows->rows && !str_is(store_text(rows, row, 0), id))
		row++;
	if (row == rows->rows) {
		int64_t next = schedules_next_us(entry, now);
		store_tx_add(tx, STATEMENT_schedule_insert, STORE_ANY, "ttttttii", id, agent,
		             json_string_value(json_member(entry, "capability")), json_string_value(json_member(entry, "name")), declared, "active",
		             next, now);
	} else {
		found[row] = true;
		bool removed = str_is(store_text(rows, row, 2), "removed"), paused = str_is(store_text(rows, row, 2), "paused");
		if (removed || !str_is(store_text(rows, row, 1), declared)) {
			json_t *before = row_json(rows, row, 1);
			bool keeps = !removed && same_rule(before, entry) && !store_is_null(rows, row, 4);
			int64_t next = paused ? 0 : keeps ? store_int(rows, row, 4) : schedules_next_us(entry, now);
			int64_t due = earliest(next, earliest(store_int(rows, row, 5), store_int(rows, row, 6)));
			add_declare(tx, rows, row, declared, paused ? "paused" : "active", next, due, now);
			json_decref(before);
		}
	}
	free(declared);
}

static void reconcile_rows(struct reconcile *r, struct store_tx *tx, const struct store_result *rows)
{
	int64_t now = clock_now_us(r->engine->options.clock);
	bool *found = mem_alloc(rows->rows + 1);
	const char *name;
	json_t *agent;
	json_object_foreach((json_t *)(uintptr_t)json_member(r->bundle->manifest, "agents"), name, agent) {
		const json_t *list = json_member(agent, "schedule");
		for (size_t i = 0; i < json_array_size(list); i++) {
			const json_t *entry = json_array_get(list, i);
			struct buf id;
			buf_init(&id, 400);
			buf_addf(&id, "%s.%s.%s", name, json_string_value(json_member(entry, "capability")), json_string_value(json_member(entry, "name")));
			reconcile_entry(tx, entry, buf_text(&id), name, rows, found, now);
			buf_free(&id);
		}
	}
	for (size_t row = 0; row < rows->rows; row++)
		if (!found[row] && !str_is(store_text(rows, row, 2), "removed")) {
			char *declared = mem_copy(store_text(rows, row, 1));
			add_declare(tx, rows, row, declared, "removed", 0, 0, now);
			free(declared);
		}
	free(found);
}

static void reconcile_on_read(struct store_tx *read, int code, void *arg)
{
	struct reconcile *r = arg;
	struct store_tx *tx = store_tx_new(r->engine->options.store, str_of(r->tenant->name));
	if (code)
		log_event(LOG_ERROR, "schedules.failed", "tenant", r->tenant->name, "error", store_tx_error(read), NULL);
	else if (r->tenant->bundle == r->bundle) /* else a newer one is live by now, and compares */
		reconcile_rows(r, tx, store_tx_result(read, 0));
	store_tx_free(read);
	if (store_tx_count(tx)) {
		store_submit_write(tx, reconcile_on_written, r);
		return;
	}
	store_tx_free(tx);
	due_soon(r->engine, r->tenant);
	reconcile_free(r);
}

static void reconcile_begin(struct reconcile *r)
{
	struct store_tx *tx = store_tx_new(r->engine->options.store, str_of(r->tenant->name));
	store_tx_add(tx, STATEMENT_schedules_all, STORE_ANY, "t", "");
	store_submit_read(tx, reconcile_on_read, r);
}

void schedules_reconcile(struct engine *engine, struct tenant *tenant)
{
	if (!engine->options.keeps_schedules)
		return;
	struct reconcile *r = mem_alloc(sizeof *r);
	r->engine = engine;
	r->tenant = tenant;
	r->bundle = tenant->bundle;
	r->bundle->references++;
	reconcile_begin(r);
}

/* ---- a row is due ---- */

struct firing {
	struct engine *engine;
	struct tenant *tenant;
	struct live_bundle *bundle;        /* held */
	char *id, *agent, *capability;
	json_t *declared, *input;
	int64_t version, next_us, look_us, asked_us, idle, now_us;   /* of the row; 0: null */
	bool active, last_open;
	/* decided: */
	int64_t slot_us;
	const char *status;                /* of the slot; NULL: only judged */
	char *reason;
	char run[UUID_TEXT_SIZE], *event;
	char alarm_id[64];                 /* of the event, "" without one */
	json_t *alarm;
	size_t run_op;
};

static void firing_end(struct firing *firing, bool moved)
{
	due_done(firing->engine, firing->tenant, moved);
	bundle_release(firing->engine, firing->bundle);
	json_decref(firing->declared);
	json_decref(firing->input);
	json_decref(firing->alarm);
	free(firing->id);
	free(firing->agent);
	free(firing->capability);
	free(firing->reason);
	free(firing->event);
	free(firing);
}

static struct run_birth firing_birth(const struct firing *firing)
{
	return (struct run_birth){
		.tenant = firing->tenant, .id = firing->run, .agent = firing->agent, .capability = firing->capability, .event = firing->event,
		.input = firing->input, .now_us = firing->now_us / 1000 * 1000, .bundle = firing->bundle,
	};
}

static void firing_on_written(struct store_tx *tx, int code, void *arg)
{
	struct firing *firing = arg;
	struct engine *engine = firing->engine;
	if (code && code != ERR_CONFLICT)
		log_event(LOG_ERROR, "schedule.failed", "schedule", firing->id, "error", store_tx_error(tx), NULL);
	if (code == 0 && firing->status)
		metric_add(engine->schedule_slots, 1, (const char *[]){ firing->status });
	if (code == 0 && firing->event && store_tx_result(tx, firing->run_op)->changed > 0) {
		struct run_birth birth = firing_birth(firing);
		run_admit(engine, &birth);
	}
	store_tx_free(tx);
	if (code == 0 && firing->alarm) {
		log_event(LOG_WARN, "schedule.idle", "tenant", firing->tenant->name, "schedule", firing->id, NULL);
		metric_add(engine->schedule_idle, 1, (const char *[]){ firing->agent, firing->capability });
		event_emitted(engine, firing->tenant, str_of(firing->alarm_id), STR("perigee.schedule.idle"));
	}
	firing_end(firing, code == 0);
	engine_schedule(engine);
}

/* ---- which slot ---- */

static void refuse(struct firing *firing, const char *status, const char *reason)
{
	firing->status = status;
	free(firing->reason);
	firing->reason = mem_copy(str_of(reason));
}

/* The first slot to fire of those between the row's and now; *next is the one behind. */
static int64_t slot_to_fire(const struct firing *firing, const struct cron_rule *rule, struct zone *zone, bool all, int64_t *next)
{
	int64_t slot = firing->next_us, earlier;
	if (!all) {
		slot = cron_last_us(rule, zone, firing->next_us - 1, firing->now_us);
		slot = slot == INT64_MIN ? firing->next_us : slot;
		*next = cron_next_us(rule, zone, firing->now_us);
		return slot;
	}
	if (firing->now_us - slot > LATE_US) {
		slot = firing->now_us + 1;
		for (int i = 0; i < BACKLOG_MAX && (earlier = cron_last_us(rule, zone, firing->next_us - 1, slot - 1)) != INT64_MIN; i++)
			slot = earlier;
		slot = slot > firing->now_us ? firing->next_us : slot;
	}
	*next = cron_next_us(rule, zone, slot);
	return slot;
}

/* False: nothing can be done now. */
static bool decide_slot(struct firing *firing)
{
	struct cron_rule rule;
	struct zone *zone;
	struct errbuf e;
	struct str catch_up = json_member_str(firing->declared, "catch_up");
	bool queues = str_is(json_member_str(firing->declared, "overlap"), "queue");
	if (queues && firing->last_open)
		return false;
	if (schedules_rule(firing->declared, &rule, &zone, &e) != 0) {
		firing->slot_us = firing->next_us;
		firing->next_us = 0;
		refuse(firing, "refused", e.text);
		return true;
	}
	int64_t next;
	firing->slot_us = slot_to_fire(firing, &rule, zone, str_is(catch_up, "all"), &next);
	zone_close(zone);
	firing->next_us = next == INT64_MAX ? 0 : next;
	if (str_is(catch_up, "none") && !queues && firing->now_us - firing->slot_us > LATE_US)
		refuse(firing, "missed", "no host was there at its time");
	else if (firing->last_open)
		refuse(firing, "skipped", "the run of the slot before is still at work");
	else
		firing->status = "started";
	return true;
}

static bool decide(struct firing *firing)
{
	struct errbuf e;
	bool asked = firing->asked_us && firing->asked_us <= firing->now_us;
	if (asked) {
		firing->slot_us = firing->asked_us;
		firing->asked_us = 0;
		firing->status = "started";
	} else if (firing->active && firing->next_us && firing->next_us <= firing->now_us) {
		if (!decide_slot(firing))
			return false;
	}
	if (!firing->status || strcmp(firing->status, "started") != 0)
		return true;
	if (capability_check(firing->bundle->manifest, firing->agent, firing->capability, &firing->input, NULL, &e) != 0) {
		refuse(firing, "refused", e.text);
		return true;
	}
	if (tenant_is_full(firing->engine, firing->tenant))
		return false; /* it stays due */
	uuid_format(uuid_new(firing->engine->options.clock, firing->engine->options.rng), firing->run);
	struct buf event;
	buf_init(&event, 500);
	buf_addf(&event, "schedule:%s:%lld%s", firing->id, (long long)firing->slot_us, asked ? ":asked" : "");
	firing->event = buf_take(&event);
	return true;
}

/* ---- did they do anything? ---- */

/* Columns: slot status run worked open wrote; newest first. Returns how many in a row did nothing, the newest first; *open: the newest slot's run is at work. */
static int64_t judge(const struct firing *firing, struct store_tx *tx, const struct store_result *slots, int64_t *since_us, bool *open)
{
	int64_t idle = 0;
	*open = slots->rows && store_int(slots, 0, 4) > 0;
	for (size_t i = 0; i < slots->rows; i++) {
		bool known = !store_is_null(slots, i, 3), started = str_is(store_text(slots, i, 1), "started");
		if (started && store_int(slots, i, 4) > 0)
			break; /* at work: nobody can say */
		bool worked = known ? store_int(slots, i, 3) != 0 : started && store_int(slots, i, 5) > 0;
		if (!known)
			store_tx_add(tx, STATEMENT_schedule_slot_judge, STORE_ANY, "tii", firing->id, store_int(slots, i, 0), (int64_t)worked);
		if (worked)
			break;
		*since_us = store_int(slots, i, 0);
		idle++;
	}
	return idle;
}

static void raise_alarm(struct firing *firing, struct store_tx *tx, int64_t idle, int64_t since_us, int64_t newest_us)
{
	json_t *data = json_object();
	struct buf source;
	uint8_t digest[SHA256_SIZE];
	char seed[600];
	snprintf(seed, sizeof seed, "%s:%lld", firing->id, (long long)newest_us);
	sha256(seed, strlen(seed), digest);
	char hex[SHA256_HEX_SIZE];
	hex_encode(digest, SHA256_SIZE, hex);
	snprintf(firing->alarm_id, sizeof firing->alarm_id, "schedule.idle:%.32s", hex);
	json_put_text(data, "schedule", firing->id);
	json_put_text(data, "agent", firing->agent);
	json_put_text(data, "capability", firing->capability);
	json_put_int(data, "slots", idle);
	json_put(data, "since", json_new_time(since_us));
	json_put(data, "last_slot", json_new_time(newest_us));
	buf_init(&source, 500);
	buf_addf(&source, "/v1/schedules/%s", firing->id);
	struct event event = {
		.id = str_of(firing->alarm_id), .type = STR("perigee.schedule.idle"), .source = buf_str(&source), .subject = str_of(firing->id),
		.data = data, .at_us = firing->now_us,
	};
	events_tx_emit(tx, &event);
	buf_free(&source);
	firing->alarm = data;
}

/* ---- the transaction ---- */

static void firing_write(struct firing *firing, const struct store_result *slots)
{
	struct engine *engine = firing->engine;
	struct store_tx *tx = store_tx_new(engine->options.store, str_of(firing->tenant->name));
	int64_t since = 0, most = json_member_int(firing->declared, "alarm", ALARM_OTHERWISE), newest = slots->rows ? store_int(slots, 0, 0) : 0;
	bool open;
	int64_t idle = judge(firing, tx, slots, &since, &open);
	if (firing->event)
		firing->look_us = firing->now_us + JUDGE_US;
	else if (open && firing->now_us - newest > JUDGE_US)
		firing->look_us = firing->now_us + (firing->now_us - newest < JUDGE_MOST_US ? firing->now_us - newest : JUDGE_MOST_US);
	else
		firing->look_us = open ? firing->now_us + JUDGE_US : 0;
	int64_t due = earliest(firing->next_us, earliest(firing->look_us, firing->asked_us));
	store_tx_add(tx, STATEMENT_schedule_advance, STORE_MUST, "tiiiiiitii", firing->id, firing->version, firing->next_us, firing->look_us,
	             firing->asked_us, due, firing->status ? firing->slot_us : (int64_t)0, firing->event ? firing->run : NULL, idle, firing->now_us);
	if (firing->status)
		store_tx_add(tx, STATEMENT_schedule_slot_insert, STORE_ANY, "tittint", firing->id, firing->slot_us, firing->status,
		             firing->event ? firing->run : NULL, firing->now_us, firing->reason);
	if (firing->version % TRIM_EVERY == 0)
		store_tx_add(tx, STATEMENT_schedule_slots_trim, STORE_ANY, "t", firing->id);
	if (most > 0 && idle / most > firing->idle / most)
		raise_alarm(firing, tx, idle, since, newest);
	if (firing->event) {
		struct run_birth birth = firing_birth(firing);
		firing->run_op = store_tx_count(tx);
		run_birth_add(engine, tx, &birth, STORE_ANY);
	}
	store_submit_write(tx, firing_on_written, firing);
}

static void firing_on_slots(struct store_tx *tx, int code, void *arg)
{
	struct firing *firing = arg;
	if (code) {
		log_event(LOG_ERROR, "schedule.failed", "schedule", firing->id, "error", store_tx_error(tx), NULL);
		firing_end(firing, false);
	} else {
		firing_write(firing, store_tx_result(tx, 0));
	}
	store_tx_free(tx);
}

static int64_t int_or_0(const struct store_result *r, size_t row, size_t column)
{
	return store_is_null(r, row, column) ? 0 : store_int(r, row, column);
}

/* Columns of schedules_due: id version declared status next_at look_at asked_at last_slot last_run idle agent capability name last_open. */
static struct firing *firing_new(struct engine *engine, struct tenant *tenant, const struct store_result *r, size_t row)
{
	struct firing *firing = mem_alloc(sizeof *firing);
	firing->engine = engine;
	firing->tenant = tenant;
	firing->bundle = tenant->bundle;
	firing->bundle->references++;
	firing->id = mem_copy(store_text(r, row, 0));
	firing->version = store_int(r, row, 1);
	firing->declared = row_json(r, row, 2);
	firing->active = str_is(store_text(r, row, 3), "active");
	firing->next_us = int_or_0(r, row, 4);
	firing->look_us = int_or_0(r, row, 5);
	firing->asked_us = int_or_0(r, row, 6);
	firing->idle = store_int(r, row, 9);
	firing->agent = mem_copy(store_text(r, row, 10));
	firing->capability = mem_copy(store_text(r, row, 11));
	firing->last_open = store_int(r, row, 13) > 0;
	firing->now_us = clock_now_us(engine->options.clock);
	const json_t *input = json_member(firing->declared, "input");
	firing->input = input ? json_deep_copy(input) : json_object();
	return firing;
}

/* Is what the row says what the live bundle here declares? Else a worker with the newer scripts sees to it. */
static bool is_ours(const struct firing *firing, const struct store_result *r, size_t row)
{
	char *name = mem_copy(store_text(r, row, 12));
	const json_t *entry = manifest_entry(firing->bundle->manifest, firing->agent, firing->capability, name);
	char *declared = entry ? declared_text(entry) : NULL;
	bool ours = declared && str_is(store_text(r, row, 2), declared);
	free(name);
	free(declared);
	return ours;
}

void schedules_fire(struct engine *engine, struct tenant *tenant, const struct store_result *rows)
{
	for (size_t row = 0; row < rows->rows; row++) {
		struct firing *firing = firing_new(engine, tenant, rows, row);
		tenant->due_busy++;
		if (!is_ours(firing, rows, row) || !decide(firing)) {
			firing_end(firing, false);
			continue;
		}
		struct store_tx *tx = store_tx_new(engine->options.store, str_of(tenant->name));
		store_tx_add(tx, STATEMENT_schedule_slots_open, STORE_ANY, "t", firing->id);
		store_submit_read(tx, firing_on_slots, firing);
	}
}
