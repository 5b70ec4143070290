/* Every effect that there is: name, kind, class, argument schema, handler. What is not here cannot be done. */
#include "run/registry.h"

#include <stdlib.h>

#include "base/json_schema.h"

#include "run/effects.h"
#include "run/effects_http.h"
#include "run/effects_run.h"

#define ROW(name_, kind_, function) { .name = name_, .kind = kind_, .schema = effect_schema_##function, .begin = effect_begin_##function }

static const struct effect_row rows[] = {
	/* in bytewise order of their names */
	ROW("approval.ask", EFFECT_WAIT, approval_ask),
	ROW("events.emit", EFFECT_WRITE, events_emit),
	ROW("evidence.add", EFFECT_WRITE, evidence_add),
	ROW("evidence.list", EFFECT_READ, evidence_list),
	ROW("evidence.source", EFFECT_WRITE, evidence_source),
	ROW("handoff.send", EFFECT_WRITE, handoff_send),
	ROW("handoff.wait", EFFECT_WAIT, handoff_wait),
	ROW("http.request", EFFECT_EXTERNAL, http_request),
	ROW("records.delete", EFFECT_WRITE, records_delete),
	ROW("records.get", EFFECT_READ, records_get),
	ROW("records.history", EFFECT_READ, records_history),
	ROW("records.list", EFFECT_READ, records_list),
	ROW("records.put", EFFECT_WRITE, records_put),
	ROW("run.await", EFFECT_WAIT, run_await),
	ROW("run.continue_as_new", EFFECT_WRITE, run_continue_as_new),
	ROW("run.join", EFFECT_WAIT, run_join),
	ROW("run.signal", EFFECT_WRITE, run_signal),
	ROW("run.spawn", EFFECT_WRITE, run_spawn),
	ROW("time.sleep", EFFECT_WAIT, time_sleep),
};

#define ROWS (sizeof rows / sizeof rows[0])

/* The schemas, parsed at their first use; the loop's thread only. */
static json_t *schemas[ROWS];

const struct effect_row *effect_rows(size_t *count)
{
	*count = ROWS;
	return rows;
}

static int compare_name(const void *key, const void *row)
{
	return str_compare(*(const struct str *)key, str_of(((const struct effect_row *)row)->name));
}

const struct effect_row *effect_find(struct str name)
{
	return bsearch(&name, rows, ROWS, sizeof rows[0], compare_name);
}

int registry_check_arguments(const struct effect_row *row, json_t **args, json_t *errors, struct errbuf *e)
{
	json_t **schema = &schemas[row - rows];
	if (!*schema) {
		*schema = json_read(str_of(row->schema), 65536, NULL, e);
		BUG_ON(!*schema || json_schema_check_schema(*schema, e) != 0);
	}
	int code = json_schema_check(*schema, args, true, errors);
	if (code == 0)
		return 0;
	const json_t *first = json_array_get(errors, 0);
	struct str pointer = json_member_str(first, "pointer"), message = json_member_str(first, "message");
	return err_set(e, code, "%s: arguments%.*s %.*s", row->name, STR_ARG(pointer), STR_ARG(message));
}
