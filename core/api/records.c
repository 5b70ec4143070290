/*
 * /v1/records/{kind}, /{id}, /history. A record's ETag is its version in quotes; If-Match names the version to replace, If-None-Match: * says that
 * it must not exist.
 *
 * A change: read the version that is there → check it against the condition → write; when somebody else was faster, begin again: a condition that
 * was given then fails (412).
 */
#include "store/records.h"

#include "api/handlers.h"
#include "api/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES_MAX 64

struct change {
	bool delete;
	bool must_exist;          /* If-Match: * */
	int64_t expected;         /* RECORD_ANY_VERSION, 0: must not exist, or a version */
	struct record_plan plan;
	int64_t at_us;
	unsigned tries;
};

static const json_t *manifest_of(const struct call *call)
{
	return engine_manifest(call->api->options.engine, call_tenant(call));
}

/* False: answered (404, 403, 503). */
static bool check_kind(struct call *call, bool write)
{
	struct errbuf e = { "" };
	int code;

	if (!manifest_of(call)) {
		call_fail(call, ERR_UNAVAILABLE, "no bundle is live for this tenant yet");
		return false;
	}
	code = records_check_kind(manifest_of(call), call_param(call, 0), write, &e);
	if (code)
		call_fail(call, code, "%s", e.text);
	return !code;
}

/* The same for a record of it. */
static bool check_record(struct call *call, bool write)
{
	struct errbuf e = { "" };
	int code;

	if (!check_kind(call, write))
		return false;
	code = records_check_id(call_param(call, 1), &e);
	if (code)
		call_fail(call, code, "%s", e.text);
	return !code;
}

static enum flow_result fail_unknown_record(struct call *call)
{
	return flow_fail(&call->flow, ERR_NOT_FOUND, "no %s with the id \"%.200s\"", call->params[0], call->params[1]);
}

static void set_etag(struct call *call, int64_t version)
{
	char etag[32];

	snprintf(etag, sizeof etag, "\"%lld\"", (long long)version);
	call_set_header(call, "ETag", etag);
	call_set_header(call, "Cache-Control", "private, no-cache");
}

/* -- list -- */

struct listing {
	struct records_query query;
	json_t *where;
	json_t *manifest;
};

static void listing_free(void *state)
{
	struct listing *listing = state;

	json_decref(listing->where);
	json_decref(listing->manifest);
	free(listing);
}

/* Does the kind's schema say that this field ("address.city") is text and nothing else? */
static bool field_is_text(const struct call *call, const char *field)
{
	const json_t *schema = json_member(json_member(json_member(manifest_of(call), "kinds"), call->params[0]), "schema");
	const json_t *type;

	for (; schema && *field; field += strcspn(field, "."), field += *field == '.')
		schema = json_object_getn(json_member(schema, "properties"), field, strcspn(field, "."));
	type = json_member(schema, "type");
	if (json_is_array(type) && json_array_size(type) == 1)
		type = json_array_get(type, 0);
	return str_is(json_str(type), "string");
}

/* 5 is the text 5 where the schema knows nothing but text, else a number, as true is true, null null, and "5" (quoted) the text; what is no JSON scalar
 * is the text itself. */
static json_t *filter_value(const struct call *call, const char *field, const char *text)
{
	int code;
	json_t *value = json_read(str_of(text), 4096, &code, NULL);

	if (json_is_string(value) || (value && !json_is_array(value) && !json_is_object(value) && !field_is_text(call, field)))
		return value;
	json_decref(value);
	return json_new_str(str_of(text));
}

static enum flow_result step_ask(struct flow *flow)
{
	return call_read(flow->owner);
}

static enum flow_result step_answer_list(struct flow *flow)
{
	struct call *call = flow->owner;
	struct listing *listing = call->state;

	if (call->code)
		return call_store_failed(call);
	call_reply_page(call, records_list_json(store_tx_result(call->tx, 0), &listing->query, ROW_TIMES_TEXT));
	return FLOW_DONE;
}

void handle_list_records(struct call *call)
{
	static const struct flow_step steps[] = { { "ask", step_ask, 0 }, { "answer", step_answer_list, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "records.list", steps, NULL, call_fini };
	struct listing *listing = mem_alloc(sizeof *listing);
	struct errbuf e = { "" };
	size_t op;
	int code;

	call->state = listing;
	call->state_free = listing_free;
	if (!check_kind(call, false) || !call_limit(call, &listing->query.limit))
		return;
	listing->where = json_object();
	for (size_t i = 0; i < call->query_count; i++)
		if (strcmp(call->query[i].name, "sort") && strcmp(call->query[i].name, "limit") && strcmp(call->query[i].name, "cursor"))
			json_put(listing->where, call->query[i].name, filter_value(call, call->query[i].name, call->query[i].value));
	listing->manifest = json_incref((json_t *)(uintptr_t)manifest_of(call));
	listing->query.kind = call_param(call, 0);
	listing->query.where = listing->where;
	listing->query.sort = str_of(call_query(call, "sort"));
	listing->query.cursor = call_cursor(call);
	listing->query.manifest = listing->manifest;
	code = records_tx_list(call_tx(call), &listing->query, &op, &e);
	if (code)
		call_fail(call, code, "%s", e.text);
	else
		call_flow(call, &story);
}

/* -- one -- */

/* Does a list of entity tags ("\"1\", W/\"2\", *") hold this version? */
static bool tags_match(struct str tags, int64_t version)
{
	char tag[32];

	if (str_is(tags, "*"))
		return true;
	snprintf(tag, sizeof tag, "\"%lld\"", (long long)version);
	return tags.n && memmem(tags.p, tags.n, tag, strlen(tag));
}

static enum flow_result step_ask_record(struct flow *flow)
{
	struct call *call = flow->owner;

	records_tx_get(call_tx(call), call_param(call, 0), call_param(call, 1));
	return call_read(call);
}

static enum flow_result step_answer_record(struct flow *flow)
{
	struct call *call = flow->owner;
	json_t *record;
	int64_t version;

	if (call->code)
		return call_store_failed(call);
	if (!store_tx_result(call->tx, 0)->rows)
		return fail_unknown_record(call);
	record = records_json(store_tx_result(call->tx, 0), 0, ROW_TIMES_TEXT);
	version = json_member_int(record, "version", 0);
	set_etag(call, version);
	if (tags_match(call_header(call, "If-None-Match"), version)) {
		call_reply_empty(call, 304);
		json_decref(record);
	} else {
		call_reply(call, 200, record);
	}
	return FLOW_DONE;
}

void handle_get_record(struct call *call)
{
	static const struct flow_step steps[] = { { "ask", step_ask_record, 0 }, { "answer", step_answer_record, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "records.get", steps, NULL, call_fini };

	if (check_record(call, false))
		call_flow(call, &story);
}

/* -- changes -- */

/* If-Match and If-None-Match of a change. False: answered with 400. */
static bool take_condition(struct call *call, struct change *change)
{
	struct str match = call_header(call, "If-Match"), none = call_header(call, "If-None-Match");

	change->expected = RECORD_ANY_VERSION;
	if (match.p && none.p) {
		call_fail(call, ERR_INVALID, "If-Match and If-None-Match exclude each other");
		return false;
	}
	if (none.p) {
		change->expected = 0;
		if (str_is(none, "*") && !change->delete)
			return true;
		call_fail(call, ERR_INVALID, "the only If-None-Match of a change is *, with PUT: the record must not exist");
		return false;
	}
	if (!match.p)
		return true;
	change->must_exist = str_is(match, "*");
	if (change->must_exist)
		return true;
	if (match.n > 2 && match.p[0] == '"' && match.p[match.n - 1] == '"' &&
	    str_to_int((struct str){ match.p + 1, match.n - 2 }, 1, INT64_MAX, &change->expected))
		return true;
	call_fail(call, ERR_INVALID, "If-Match takes one ETag as this path gives it, like \"3\", or *");
	return false;
}

static enum flow_result step_ask_state(struct flow *flow)
{
	struct call *call = flow->owner;

	records_tx_state(call_tx(call), call_param(call, 0), call_param(call, 1));
	return call_read(call);
}

static enum flow_result fail_condition(struct call *call, const struct change *change)
{
	if (change->plan.current)
		return flow_fail(&call->flow, ERR_PRECONDITION, "the record has version %lld: read it again", (long long)change->plan.current);
	return flow_fail(&call->flow, ERR_PRECONDITION, "the record does not exist");
}

static enum flow_result step_change(struct flow *flow)
{
	struct call *call = flow->owner;
	struct change *change = call->state;
	char *actor;

	if (call->code)
		return call_store_failed(call);
	if (records_plan(store_tx_result(call->tx, 0), change->expected, &change->plan))
		return fail_condition(call, change);
	if (change->must_exist && !change->plan.current)
		return fail_condition(call, change);
	if (change->delete && !change->plan.current)
		return fail_unknown_record(call);
	actor = call_actor(call);
	change->at_us = clock_now_us(call->api->options.clock);
	records_tx_change(call_tx(call),
	                  &(struct record_change){ .kind = call_param(call, 0), .id = call_param(call, 1), .body = call->body,
	                                           .actor = str_of(actor), .at_us = change->at_us },
	                  &change->plan);
	free(actor);
	return call_write(call);
}

static json_t *changed_record(const struct call *call, const struct change *change)
{
	json_t *record = json_object();

	json_put_text(record, "kind", call->params[0]);
	json_put_text(record, "id", call->params[1]);
	json_put_int(record, "version", change->plan.next);
	json_put(record, "updated_at", json_new_time(change->at_us));
	json_put_text(record, "run", NULL);
	json_put(record, "body", json_incref(call->body));
	return record;
}

static enum flow_result step_changed(struct flow *flow)
{
	struct call *call = flow->owner;
	struct change *change = call->state;

	if (call->code == ERR_CONFLICT && ++change->tries < TRIES_MAX)
		return flow_goto(flow, step_ask_state);
	if (call->code == ERR_CONFLICT)
		return flow_fail(flow, ERR_CONFLICT, "others change this record all the time: try again");
	if (call->code)
		return call_store_failed(call);
	if (change->delete) {
		call_reply_empty(call, 204);
		return FLOW_DONE;
	}
	set_etag(call, change->plan.next);
	if (!change->plan.current) {
		struct str path = call_path(call);
		char *location = mem_copy(path);

		call_set_header(call, "Location", location);
		free(location);
	}
	call_reply(call, change->plan.current ? 200 : 201, changed_record(call, change));
	return FLOW_DONE;
}

static void start_change(struct call *call, bool delete)
{
	static const struct flow_step steps[] = {
		{ "ask state", step_ask_state, 0 },
		{ "change", step_change, 0 },
		{ "changed", step_changed, 0 },
		{ NULL, NULL, 0 },
	};
	static const struct flow_story story = { "records.change", steps, NULL, call_fini };
	struct change *change = mem_alloc(sizeof *change);

	change->delete = delete;
	call->state = change;
	call->state_free = free;
	if (take_condition(call, change))
		call_flow(call, &story);
}

void handle_put_record(struct call *call)
{
	json_t *errors;
	struct errbuf e = { "" };
	int code;

	if (!check_record(call, true) || !call_read_body(call, false))
		return;
	errors = json_array();
	code = records_check_body(manifest_of(call), call_param(call, 0), &call->body, false, errors, &e);
	if (code)
		call_problem(call, code, 0, e.text, json_array_size(errors) ? errors : NULL);
	json_decref(errors);
	if (!code)
		start_change(call, false);
}

void handle_delete_record(struct call *call)
{
	if (check_record(call, true))
		start_change(call, true);
}

/* -- history -- */

struct history {
	int64_t limit, before;
};

static enum flow_result step_ask_history(struct flow *flow)
{
	struct call *call = flow->owner;
	const struct history *history = call->state;

	records_tx_history(call_tx(call), call_param(call, 0), call_param(call, 1), history->before, history->limit);
	return call_read(call);
}

static enum flow_result step_answer_history(struct flow *flow)
{
	struct call *call = flow->owner;
	const struct history *history = call->state;
	const struct store_result *r;
	json_t *items, *position = NULL;
	int64_t last = 0;

	if (call->code)
		return call_store_failed(call);
	r = store_tx_result(call->tx, 0);
	if (!r->rows && !history->before)
		return fail_unknown_record(call);
	items = json_array();
	for (size_t i = 0; i < r->rows; i++) {
		json_array_append_new(items, records_history_json(r, i, ROW_TIMES_TEXT));
		last = json_member_int(json_array_get(items, i), "version", 0);
	}
	if (r->rows == (size_t)history->limit && last > 1) {
		position = json_array();
		json_array_append_new(position, json_integer(last));
	}
	call_reply_page(call, page_json(items, position));
	return FLOW_DONE;
}

void handle_record_history(struct call *call)
{
	static const struct flow_step steps[] = { { "ask", step_ask_history, 0 }, { "answer", step_answer_history, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "records.history", steps, NULL, call_fini };
	struct history *history = mem_alloc(sizeof *history);

	call->state = history;
	call->state_free = free;
	if (!check_record(call, false) || !call_limit(call, &history->limit) || !call_number_cursor(call, 0, &history->before))
		return;
	call_flow(call, &story);
}
