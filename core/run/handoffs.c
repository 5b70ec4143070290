/*
 * Hand-offs: one agent gives another a typed payload. A hand-off is a row and the receiver's run, a child of the sender's. Checked at both ends, fail closed: what
 * cannot be (no such type, version or receiver, a payload off its schema, too deep) is a dead letter with its reasons and an error for the sender; so is a receiver that does
 * not succeed, or whose output is off the declared reply. Manifest: agents[NAME].accepts[TYPE] = {version, schema, capability, reply?}.
 */
#include "run/run_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "run/effects_run.h"
#include "store/row.h"

#define BACKUPS_MAX 3           /* of backups of backups */

#define NAME_SCHEMA "{\"type\":\"string\",\"minLength\":1,\"maxLength\":100}"
#define MAYBE_SCHEMA "{\"type\":[\"string\",\"null\"],\"minLength\":1,\"maxLength\":200}"
const char effect_schema_handoff_send[] =
	"{\"type\":\"object\",\"properties\":{\"type\":" NAME_SCHEMA ",\"version\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000000},\"payload\":{},"
	"\"to\":" NAME_SCHEMA ",\"key\":" MAYBE_SCHEMA ",\"subject\":" MAYBE_SCHEMA ",\"fallback\":{\"type\":\"boolean\"},"
	"\"deadline_ms\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":4102444800000},\"budget\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000000000}},"
	"\"required\":[\"type\",\"version\",\"payload\"],\"additionalProperties\":false}";
const char effect_schema_handoff_wait[] =
	"{\"type\":\"object\",\"properties\":{\"handoff\":{\"type\":\"string\",\"format\":\"uuid\"},"
	"\"timeout_ms\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":4102444800000}},\"required\":[\"handoff\"],\"additionalProperties\":false}";

/* ---- what the manifest says ---- */

int handoffs_check(const json_t *manifest, struct errbuf *e)
{
	const char *name, *type;
	json_t *agent, *entry;
	json_object_foreach((json_t *)(uintptr_t)json_member(manifest, "agents"), name, agent) {
		json_object_foreach((json_t *)(uintptr_t)json_member(agent, "accepts"), type, entry) {
			const json_t *reply = json_member(entry, "reply");
			int code = json_schema_check_schema(json_member(entry, "schema"), e);
			if (code == 0 && reply)
				code = json_schema_check_schema(reply, e);
			if (code)
				return err_wrap(e, code, "agent %s, accepts \"%s\"", name, type);
		}
	}
	return 0;
}

static const json_t *accepted(const json_t *manifest, const char *agent, const char *type)
{
	return json_member(json_member(json_member(json_member(manifest, "agents"), agent), "accepts"), type);
}

static bool accepts(const json_t *manifest, const char *agent, const char *type, int64_t version)
{
	const json_t *entry = accepted(manifest, agent, type);
	return entry && json_member_int(entry, "version", 0) == version;
}

bool handoff_reply_fits(const struct run *run, json_t **output, json_t *errors)
{
	const json_t *reply = run->limits.handoff_type ? json_member(accepted(run->bundle->manifest, run->agent, run->limits.handoff_type), "reply") : NULL;
	return !reply || json_schema_check(reply, output, true, errors) == 0;
}

void handoff_end_add(const struct run *run, struct store_tx *tx, int64_t now_us)
{
	if (!run->limits.handoff)
		return;
	json_t *reasons = run->final == RUN_SUCCEEDED ? NULL : json_array();
	if (reasons)
		json_array_append(reasons, run->error ? run->error : json_null());
	store_tx_add(tx, STATEMENT_handoff_end, STORE_ANY, "ttij", run->id, reasons ? "dead" : "done", now_us, reasons);
	json_decref(reasons);
}

/* ---- to whom ---- */

struct routing {
	const json_t *manifest;
	const char *type, *to;             /* to: NULL: whoever accepts it */
	int64_t version;
	bool fallback;
	const struct store_result *older;  /* manifests of bundles before, newest first; may be NULL */
	const char *receiver;              /* found; borrowed from the manifests or from `to` */
	char backup[128];
};

static json_t *reason(const char *code, const char *format, const char *a, const char *b, int64_t version)
{
	struct buf text;
	buf_init(&text, 600);
	buf_addf(&text, format, a, b, (long long)version);
	json_t *made = error_new(code, buf_text(&text));
	buf_free(&text);
	return made;
}

/* Who stands in for an agent: by its declaration, or by the last one there was. */
static bool backup_of(struct routing *routing, const char *agent, char out[128])
{
	const json_t *declared = json_member(json_member(routing->manifest, "agents"), agent);
	struct str name = json_member_str(declared, "backup");
	json_t *older = NULL;
	for (size_t i = 0; !declared && routing->older && !name.n && i < routing->older->rows; i++) {
		json_decref(older);
		older = row_json(routing->older, i, 0);
		name = json_member_str(json_member(json_member(older, "agents"), agent), "backup");
	}
	bool found = name.n > 0 && name.n < 128;
	if (found) {
		memcpy(out, name.p, name.n);
		out[name.n] = 0;
	}
	json_decref(older);
	return found;
}

static json_t *route_to(struct routing *routing)
{
	char agent[128] = "";
	strncpy(agent, routing->to, sizeof agent - 1);
	for (int i = 0; i <= BACKUPS_MAX; i++) {
		if (accepts(routing->manifest, agent, routing->type, routing->version)) {
			memcpy(routing->backup, agent, sizeof agent);
			routing->receiver = routing->backup;
			return NULL;
		}
		char next[128];
		if (!routing->fallback || !backup_of(routing, agent, next))
			break;
		memcpy(agent, next, sizeof agent);
	}
	if (!json_member(json_member(routing->manifest, "agents"), routing->to))
		return reason("handoff.receiver", "no agent \"%s\" takes \"%s\" version %lld: there is no such agent", routing->to, routing->type, routing->version);
	if (!accepted(routing->manifest, routing->to, routing->type))
		return reason("handoff.type", "agent \"%s\" accepts no hand-off \"%s\" (version %lld)", routing->to, routing->type, routing->version);
	return reason("handoff.version", "agent \"%s\" accepts \"%s\", but not its version %lld", routing->to, routing->type, routing->version);
}

/* Whoever accepts it; two are one too many. */
static json_t *route(struct routing *routing)
{
	const char *name;
	json_t *agent;
	bool known = false;
	if (routing->to)
		return route_to(routing);
	json_object_foreach((json_t *)(uintptr_t)json_member(routing->manifest, "agents"), name, agent) {
		known |= accepted(routing->manifest, name, routing->type) != NULL;
		if (!accepts(routing->manifest, name, routing->type, routing->version))
			continue;
		if (routing->receiver)
			return reason("handoff.ambiguous", "agents \"%s\" and \"%s\" accept it (version %lld): say to which one", routing->receiver, name,
			              routing->version);
		routing->receiver = name;
	}
	if (routing->receiver)
		return NULL;
	return known ? reason("handoff.version", "no agent%s accepts \"%s\" in version %lld", "", routing->type, routing->version)
	             : reason("handoff.type", "no agent%s accepts \"%s\" (version %lld)", "", routing->type, routing->version);
}

/* Is the payload what the receiver takes? Returns reasons, or NULL. */
static json_t *payload_faults(const struct routing *routing, json_t **payload, const char **capability)
{
	const json_t *entry = accepted(routing->manifest, routing->receiver, routing->type);
	json_t *errors = json_array(), *fault = NULL;
	struct errbuf e;
	*capability = json_string_value(json_member(entry, "capability"));
	if (json_schema_check(json_member(entry, "schema"), payload, false, errors) != 0)
		fault = error_new("handoff.payload", "the payload is off the schema that the receiver declares");
	else if (capability_check(routing->manifest, routing->receiver, *capability ? *capability : "", payload, errors, &e) != 0)
		fault = error_new("handoff.payload", e.text);
	if (fault)
		json_put(fault, "errors", json_incref(errors));
	json_decref(errors);
	return fault;
}

/* ---- handoff.send ---- */

struct sending {
	struct child_state child;          /* first; its id is the receiver's run */
	char id[UUID_TEXT_SIZE], receiver[128], capability[128], digest[DIGEST_TEXT_SIZE];
};

static const char *correlation_of(const struct effect *effect)
{
	return effect->run->limits.correlation ? effect->run->limits.correlation : effect->run->id;
}

/* reasons: NULL for one that sets out. */
static void add_row(struct effect *effect, const struct sending *sending, const json_t *reasons)
{
	const json_t *args = effect->args;
	char *to = sending->receiver[0] ? mem_copy(str_of(sending->receiver)) : mem_copy(json_member_str(args, "to"));
	const char *types = reasons ? "tttitttttti" "tttiijj" : "tttitttttti" "tttinjj";
	if (reasons)
		store_tx_add(effect->tx, STATEMENT_handoff_insert, STORE_MUST, types, sending->id, "dead", json_string_value(json_member(args, "type")),
		             json_member_int(args, "version", 0), effect->run->agent, *to ? to : NULL, *sending->capability ? sending->capability : NULL,
		             json_string_value(json_member(args, "key")), sending->digest, correlation_of(effect), effect->run->depth + 1, effect->run->id, NULL,
		             json_string_value(json_member(args, "subject")), effect->now_us, effect->now_us, reasons, json_member(args, "payload"));
	else
		store_tx_add(effect->tx, STATEMENT_handoff_insert, STORE_MUST, types, sending->id, "started", json_string_value(json_member(args, "type")),
		             json_member_int(args, "version", 0), effect->run->agent, to, sending->capability, json_string_value(json_member(args, "key")),
		             sending->digest, correlation_of(effect), effect->run->depth + 1, effect->run->id, sending->child.id,
		             json_string_value(json_member(args, "subject")), effect->now_us, NULL, json_member(args, "payload"));
	free(to);
}

/* An error for the sender and a dead letter, in one transaction. fault: taken. */
static void send_dead(struct effect *effect, json_t *fault)
{
	struct issued *issued = (struct issued *)effect;
	const struct sending *sending = effect->state;
	json_t *reasons = json_pack("[O]", fault);
	char *code = mem_copy(json_member_str(fault, "code")), *message = mem_copy(json_member_str(fault, "message"));
	add_row(effect, sending, reasons);
	json_put_text(fault, "handoff", sending->id);
	issued_set_error(issued, code, message, fault);
	issued_ready(issued, READY_APPLY);
	json_decref(reasons);
	free(code);
	free(message);
}

static struct run_birth receiver_birth(const struct effect *effect)
{
	const struct sending *sending = effect->state;
	return (struct run_birth){
		.tenant = effect->run->tenant, .id = sending->child.id, .agent = sending->receiver, .capability = sending->capability,
		.parent = effect->run->id, .subject = json_member_str(effect->args, "subject"), .input = json_member(effect->args, "payload"),
		.parent_effect = effect->number, .depth = effect->run->depth + 1, .now_us = effect->now_us / 1000 * 1000, .bundle = effect->run->bundle,
		.limits = &sending->child.limits,
	};
}

static void send_committed(struct issued *issued)
{
	struct run_birth birth = receiver_birth(&issued->effect);
	run_admit(issued->effect.engine, &birth);
	limits_given(issued);
	engine_schedule(issued->effect.engine);
}

static void send_go(struct effect *effect)
{
	struct sending *sending = effect->state;
	sending->child.limits.handoff = sending->id;
	sending->child.limits.handoff_type = (char *)(uintptr_t)json_string_value(json_member(effect->args, "type"));
	sending->child.limits.correlation = (char *)(uintptr_t)correlation_of(effect);
	struct run_birth birth = receiver_birth(effect);
	run_birth_add(effect->engine, effect->tx, &birth, STORE_MUST);
	limits_give_add(effect);
	add_row(effect, sending, NULL);
	json_t *ok = json_object();
	json_put_text(ok, "handoff", sending->id);
	json_put_text(ok, "run", sending->child.id);
	json_put_text(ok, "agent", sending->receiver);
	((struct issued *)effect)->committed = send_committed;
	effect_apply(effect, ok);
}

static void send_resolve(struct effect *effect, const struct store_result *older)
{
	struct sending *sending = effect->state;
	struct routing routing = {
		.manifest = effect->manifest, .type = json_string_value(json_member(effect->args, "type")), .to = json_string_value(json_member(effect->args, "to")),
		.version = json_member_int(effect->args, "version", 0), .fallback = json_member_bool(effect->args, "fallback", false), .older = older,
	};
	const char *capability = NULL;
	json_t *payload = json_incref((json_t *)(uintptr_t)json_member(effect->args, "payload")), *fault = route(&routing);
	if (!fault && effect->run->depth + 1 > DEPTH_MAX)
		fault = error_new("handoff.too_deep", "more than 8 runs would stand below one another");
	if (!fault) {
		strncpy(sending->receiver, routing.receiver, sizeof sending->receiver - 1);
		fault = payload_faults(&routing, &payload, &capability);
	}
	if (capability)
		strncpy(sending->capability, capability, sizeof sending->capability - 1);
	json_object_set(effect->args, "payload", payload);
	json_decref(payload);
	if (fault)
		send_dead(effect, fault);
	else if (tenant_is_full(effect->engine, effect->run->tenant))
		effect_fail(effect, err_name(ERR_LIMIT), "handoff.send: the tenant has as many unfinished runs as it may have", NULL);
	else
		limits_child(effect, send_go);
}

/* The same key of the same sender: columns of handoff_of_key: id status run receiver digest reasons. */
static void send_again(struct effect *effect, const struct store_result *r)
{
	const struct sending *sending = effect->state;
	json_t *made = json_object();
	if (!str_is(store_text(r, 0, 4), sending->digest)) {
		json_put_str(made, "handoff", store_text(r, 0, 0));
		effect_fail(effect, "handoff.key_used", "this key was used for another hand-off: type, version, receiver or payload differ", made);
	} else if (str_is(store_text(r, 0, 1), "dead")) {
		json_t *reasons = row_json(r, 0, 5), *first = json_incref(json_array_get(reasons, 0));
		char *code = mem_copy(json_member_str(first, "code").n ? json_member_str(first, "code") : STR("handoff.dead"));
		char *message = mem_copy(json_member_str(first, "message"));
		json_put_str(made, "handoff", store_text(r, 0, 0));
		effect_fail(effect, code, message, made);
		json_decref(first);
		json_decref(reasons);
		free(code);
		free(message);
	} else {
		json_put_str(made, "handoff", store_text(r, 0, 0));
		json_put_str(made, "run", store_text(r, 0, 2));
		json_put_str(made, "agent", store_text(r, 0, 3));
		effect_reply(effect, made);
	}
}

static void send_on_read(struct store_tx *tx, int code, void *arg)
{
	struct effect *effect = arg;
	if (code || !effect->run)
		effect_fail(effect, code ? "store.failed" : "run.gone", code ? store_tx_error(tx) : "", NULL);
	else if (store_tx_result(tx, 0)->rows)
		send_again(effect, store_tx_result(tx, 0));
	else
		send_resolve(effect, store_tx_result(tx, 1));
	store_tx_free(tx);
}

/* What a repetition must have in common with the first. */
static void digest_of(const json_t *args, char out[DIGEST_TEXT_SIZE])
{
	uint8_t digest[SHA256_SIZE];
	json_t *kept = json_object();
	static const char *const parts[] = { "type", "version", "to", "payload" };
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (json_member(args, parts[i]))
			json_object_set(kept, parts[i], (json_t *)(uintptr_t)json_member(args, parts[i]));
	char *text = json_to_text(kept);
	sha256(text, strlen(text), digest);
	hex_encode(digest, 16, out);
	free(text);
	json_decref(kept);
}

void effect_begin_handoff_send(struct effect *effect)
{
	struct sending *sending = effect->state = mem_alloc(sizeof *sending);
	const char *key = json_string_value(json_member(effect->args, "key")), *to = json_string_value(json_member(effect->args, "to"));
	bool gone = to && json_member_bool(effect->args, "fallback", false) && !json_member(json_member(effect->manifest, "agents"), to);
	sending->child.budget = -1;
	effect_new_id(effect, sending->id);
	effect_new_id(effect, sending->child.id);
	digest_of(effect->args, sending->digest);
	if (!key && !gone) {
		send_resolve(effect, NULL);
		return;
	}
	struct store_tx *tx = store_tx_new(effect->store, effect->tenant);
	store_tx_add(tx, STATEMENT_handoff_of_key, STORE_ANY, "tt", effect->run->agent, key);
	if (gone)
		store_tx_add(tx, STATEMENT_bundle_manifests, STORE_ANY, "");
	else /* none are needed: an empty answer in its place */
		store_tx_add(tx, STATEMENT_handoff_run, STORE_ANY, "t", "");
	store_submit_read(tx, send_on_read, effect);
}

/* ---- handoff.wait ---- */

static void wait_on_read(struct store_tx *tx, int code, void *arg)
{
	struct effect *effect = arg;
	const struct store_result *r = store_tx_result(tx, 0);
	const json_t *ms = json_member(effect->args, "timeout_ms");
	if (code || r->rows == 0 || store_is_null(r, 0, 1)) {
		effect_fail(effect, code ? "store.failed" : "handoff.unknown", code ? store_tx_error(tx) : "handoff.wait: no such hand-off that was started", NULL);
	} else if (effect->run && effect_is_above(effect, store_text(r, 0, 1))) {
		effect_fail(effect, "run.cycle", "handoff.wait: a run cannot wait for itself or for a run above it", NULL);
	} else {
		char *chain = mem_copy(store_text(r, 0, 2));
		effect_wait(effect, "child", chain, ms ? effect->now_us + json_integer_value(ms) * 1000 : 0, NULL);
		free(chain);
	}
	store_tx_free(tx);
}

void effect_begin_handoff_wait(struct effect *effect)
{
	struct store_tx *tx = store_tx_new(effect->store, effect->tenant);
	store_tx_add(tx, STATEMENT_handoff_run, STORE_ANY, "s", json_member_str(effect->args, "handoff"));
	store_submit_read(tx, wait_on_read, effect);
}

/* ---- a dead one again ---- */

struct replay {
	struct engine *engine;
	struct tenant *tenant;
	struct live_bundle *bundle;        /* held */
	char id[UUID_TEXT_SIZE], run[UUID_TEXT_SIZE], receiver[128], capability[128];
	char *type, *correlation, *subject;
	json_t *payload;
	struct run_limits limits;
	int64_t depth, now_us;
	bool starts;
};

static void replay_end(struct replay *replay, bool moved)
{
	due_done(replay->engine, replay->tenant, moved);
	bundle_release(replay->engine, replay->bundle);
	json_decref(replay->payload);
	free(replay->type);
	free(replay->correlation);
	free(replay->subject);
	free(replay);
}

static struct run_birth replay_birth(const struct replay *replay)
{
	return (struct run_birth){
		.tenant = replay->tenant, .id = replay->run, .agent = replay->receiver, .capability = replay->capability, .subject = str_of(replay->subject),
		.input = replay->payload, .depth = replay->depth, .now_us = replay->now_us / 1000 * 1000, .bundle = replay->bundle, .limits = &replay->limits,
	};
}

static void replay_on_written(struct store_tx *tx, int code, void *arg)
{
	struct replay *replay = arg;
	struct engine *engine = replay->engine;
	if (code && code != ERR_CONFLICT)
		log_event(LOG_ERROR, "handoff.failed", "handoff", replay->id, "error", store_tx_error(tx), NULL);
	store_tx_free(tx);
	if (code == 0 && replay->starts) {
		struct run_birth birth = replay_birth(replay);
		run_admit(engine, &birth);
	}
	replay_end(replay, code == 0);
	engine_schedule(engine);
}

static void replay_write(struct replay *replay, json_t *fault)
{
	struct store_tx *tx = store_tx_new(replay->engine->options.store, str_of(replay->tenant->name));
	replay->starts = !fault;
	if (fault) {
		json_t *reasons = json_pack("[O]", fault);
		store_tx_add(tx, STATEMENT_handoff_refuse, STORE_MUST, "tji", replay->id, reasons, replay->now_us);
		json_decref(reasons);
	} else {
		uuid_format(uuid_new(replay->engine->options.clock, replay->engine->options.rng), replay->run);
		replay->limits = (struct run_limits){ .budget = -1, .handoff = replay->id, .handoff_type = replay->type, .correlation = replay->correlation };
		struct run_birth birth = replay_birth(replay);
		run_birth_add(replay->engine, tx, &birth, STORE_MUST);
		store_tx_add(tx, STATEMENT_handoff_restart, STORE_MUST, "tttt", replay->id, replay->receiver, replay->capability, replay->run);
	}
	json_decref(fault);
	store_submit_write(tx, replay_on_written, replay);
}

/* Columns of handoff_get: id status type version sender receiver capability key correlation depth sender_run run subject … payload(17). */
static void replay_on_read(struct store_tx *tx, int code, void *arg)
{
	struct replay *replay = arg;
	const struct store_result *r = store_tx_result(tx, 0);
	if (code || r->rows == 0 || tenant_is_full(replay->engine, replay->tenant)) {
		store_tx_free(tx);
		replay_end(replay, false);
		return;
	}
	replay->type = mem_copy(store_text(r, 0, 2));
	replay->correlation = mem_copy(store_text(r, 0, 8));
	replay->depth = store_int(r, 0, 9) <= DEPTH_MAX ? store_int(r, 0, 9) : 0; /* nobody stands above it any more */
	replay->subject = store_is_null(r, 0, 12) ? NULL : mem_copy(store_text(r, 0, 12));
	replay->payload = row_json(r, 0, 17);
	char *to = store_is_null(r, 0, 5) ? NULL : mem_copy(store_text(r, 0, 5));
	struct routing routing = { .manifest = replay->bundle->manifest, .type = replay->type, .to = to, .version = store_int(r, 0, 3), .fallback = true };
	const char *capability = NULL;
	json_t *fault = route(&routing);
	if (!fault) {
		strncpy(replay->receiver, routing.receiver, sizeof replay->receiver - 1);
		fault = payload_faults(&routing, &replay->payload, &capability);
	}
	if (capability)
		strncpy(replay->capability, capability, sizeof replay->capability - 1);
	free(to);
	store_tx_free(tx);
	replay_write(replay, fault);
}

void handoffs_replay(struct engine *engine, struct tenant *tenant, const struct store_result *rows)
{
	for (size_t i = 0; i < rows->rows; i++) {
		struct replay *replay = mem_alloc(sizeof *replay);
		struct str id = store_text(rows, i, 0);
		replay->engine = engine;
		replay->tenant = tenant;
		replay->bundle = tenant->bundle;
		replay->bundle->references++;
		replay->now_us = clock_now_us(engine->options.clock);
		memcpy(replay->id, id.p, id.n < sizeof replay->id ? id.n : sizeof replay->id - 1);
		tenant->due_busy++;
		struct store_tx *tx = store_tx_new(engine->options.store, str_of(tenant->name));
		store_tx_add(tx, STATEMENT_handoff_get, STORE_ANY, "t", replay->id);
		store_submit_read(tx, replay_on_read, replay);
	}
}
