/*
 * evidence.*: no claim without evidence. Happy path of evidence.add: read the sources that the items cite and which items are
 * there already; check every quote against the text of its source; insert. One item that does not hold refuses the whole call
 * (evidence.refused, with pointers). An item that somebody else added in between makes the transaction meet ERR_CONFLICT: begin again.
 */
#include "run/effects.h"

#include <stdlib.h>
#include <string.h>

#include "store/evidence.h"
#include "store/records.h"

#define TEXT(least, most) "{\"type\":\"string\",\"minLength\":" #least ",\"maxLength\":" #most "}"
#define TEXT_OR_NULL(most) "{\"type\":[\"string\",\"null\"],\"maxLength\":" #most "}"
#define DEAL "\"deal\":" TEXT(1, 200)

const char effect_schema_evidence_source[] =
	"{\"type\":\"object\",\"required\":[\"deal\",\"form\",\"text\"],\"additionalProperties\":false,\"properties\":{" DEAL ","
	"\"form\":" TEXT(1, 63) ",\"text\":{\"type\":\"string\",\"minLength\":1},\"title\":" TEXT_OR_NULL(500) ",\"at\":" TEXT_OR_NULL(64) "}}";

const char effect_schema_evidence_add[] =
	"{\"type\":\"object\",\"required\":[\"deal\",\"items\"],\"additionalProperties\":false,\"properties\":{" DEAL ","
	"\"items\":{\"type\":\"array\",\"maxItems\":1000,\"items\":{\"type\":\"object\",\"additionalProperties\":false,"
	"\"required\":[\"playbook\",\"dimension\",\"claim\",\"polarity\",\"quote\",\"source\",\"start\",\"end\",\"side\",\"extractor\",\"confidence_bp\"],"
	"\"properties\":{\"playbook\":" TEXT(1, 63) ",\"dimension\":" TEXT(1, 63) ",\"claim\":" TEXT(1, 1000) ",\"polarity\":{\"enum\":[1,-1]},"
	"\"quote\":" TEXT(1, 10000) ",\"source\":" TEXT(1, 200) ",\"start\":{\"type\":\"integer\",\"minimum\":0},"
	"\"end\":{\"type\":\"integer\",\"minimum\":0},\"speaker\":" TEXT_OR_NULL(200) ",\"side\":{\"enum\":[\"customer\",\"seller\",\"unknown\"]},"
	"\"said_at\":" TEXT_OR_NULL(64) ",\"extractor\":" TEXT(1, 200) ",\"confidence_bp\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":10000},"
	"\"detail\":{}}}}}}";

const char effect_schema_evidence_list[] =
	"{\"type\":\"object\",\"required\":[\"deal\"],\"additionalProperties\":false,\"properties\":{" DEAL ","
	"\"playbook\":" TEXT_OR_NULL(63) ",\"dimension\":" TEXT_OR_NULL(63) "}}";

static struct str argument(const struct effect *effect, const char *name)
{
	return json_member_str(effect->args, name);
}

/* -- evidence.source ------------------------------------------------------------------------------------------------ */

static json_t *source_body(const struct effect *effect)
{
	static const char *const fields[] = { "deal", "form", "title", "text", "at" };
	json_t *body = json_object();

	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		json_t *value = json_object_get(effect->args, fields[i]);

		json_put(body, fields[i], value != NULL ? json_incref(value) : json_null());
	}
	return body;
}

static void source_on_read(struct store_tx *tx, int code, void *arg)
{
	struct effect *effect = arg;
	char id[SHA256_HEX_SIZE];
	json_t *body, *ok;
	bool is_new;

	if (!effect_read_succeeded(effect, tx, code))
		return;
	is_new = store_tx_result(tx, 0)->rows == 0;
	store_tx_free(tx);
	source_id(argument(effect, "deal"), argument(effect, "text"), id);
	if (is_new) {
		body = source_body(effect);
		source_tx_insert(effect->tx, id, body, effect->run_id, effect->now_us);
		json_decref(body);
	}
	ok = json_object();
	json_put_text(ok, "id", id);
	json_put(ok, "new", json_boolean(is_new));
	effect_apply(effect, ok);
}

void effect_begin_evidence_source(struct effect *effect)
{
	char id[SHA256_HEX_SIZE];
	struct store_tx *tx;

	if (argument(effect, "text").n > SOURCE_TEXT_MAX) {
		effect_fail(effect, "evidence.too_large", "text: a source has at most 4 MiB; store it in parts", NULL);
		return;
	}
	source_id(argument(effect, "deal"), argument(effect, "text"), id);
	tx = store_tx_new(effect->store, effect->tenant);
	records_tx_get(tx, STR("source"), str_of(id));
	store_submit_read(tx, source_on_read, effect);
}

/* -- evidence.add --------------------------------------------------------------------------------------------------- */

/* What the read transaction of one call asks: for each item, the operation that reads its source (shared) and the one that looks for the item. */
struct look {
	size_t source_op, exists_op;
	char id[UUID_TEXT_SIZE];
};

static const json_t *items_of(const struct effect *effect)
{
	return json_member(effect->args, "items");
}

static void ask(struct effect *effect, struct store_tx *tx, struct look *looks)
{
	json_t *asked = json_object(), *op;
	const json_t *item;
	size_t i;

	json_array_foreach(items_of(effect), i, item) {
		const char *source = json_string_value(json_object_get(item, "source"));

		op = json_object_get(asked, source);
		if (op == NULL) {
			op = json_integer((json_int_t)records_tx_get(tx, STR("source"), str_of(source)));
			json_object_set_new(asked, source, op);
		}
		looks[i].source_op = (size_t)json_integer_value(op);
		evidence_id(argument(effect, "deal"), item, looks[i].id);
		looks[i].exists_op = evidence_tx_exists(tx, looks[i].id);
	}
	json_decref(asked);
}

static bool check_items(struct effect *effect, struct store_tx *tx, const struct look *looks, json_t *errors)
{
	json_t **sources = mem_array(store_tx_count(tx), sizeof(*sources));   /* by operation, parsed once each */
	const struct store_result *r;
	const json_t *item;
	bool hold = true;
	size_t i;

	json_array_foreach(items_of(effect), i, item) {
		json_t **source = &sources[looks[i].source_op];

		r = store_tx_result(tx, looks[i].source_op);
		if (*source == NULL && r->rows > 0)
			*source = records_json(r, 0, ROW_TIMES_US);
		hold = evidence_check(item, i, argument(effect, "deal"), json_member(*source, "body"), errors) && hold;
	}
	for (i = 0; i < store_tx_count(tx); i++)
		json_decref(sources[i]);
	free(sources);
	return hold;
}

static void refuse(struct effect *effect, json_t *errors /* taken */)
{
	json_t *more = json_object();
	const json_t *first = json_array_get(errors, 0);
	struct buf text;

	buf_init(&text, 500);
	buf_addf(&text, "nothing was recorded: %.*s %.*s", STR_ARG(json_member_str(first, "pointer")), STR_ARG(json_member_str(first, "message")));
	if (json_array_size(errors) > 1)
		buf_addf(&text, " (and %zu more, see errors)", json_array_size(errors) - 1);
	json_put(more, "errors", errors);
	effect_fail(effect, "evidence.refused", buf_text(&text), more);
	buf_free(&text);
}

static json_t *insert_items(struct effect *effect, struct store_tx *tx, const struct look *looks)
{
	json_t *answers = json_array(), *seen = json_object(), *answer;
	const json_t *item;
	size_t i;

	json_array_foreach(items_of(effect), i, item) {
		bool is_new = store_tx_result(tx, looks[i].exists_op)->rows == 0 && json_object_get(seen, looks[i].id) == NULL;

		if (is_new) {
			evidence_tx_insert(effect->tx, looks[i].id, argument(effect, "deal"), item, effect->run_id, effect->now_us, STORE_MUST);
			json_object_set_new(seen, looks[i].id, json_true());
		}
		answer = json_object();
		json_put_text(answer, "id", looks[i].id);
		json_put(answer, "new", json_boolean(is_new));
		json_array_append_new(answers, answer);
	}
	json_decref(seen);
	return answers;
}

static void add_on_read(struct store_tx *tx, int code, void *arg)
{
	struct effect *effect = arg;
	json_t *errors, *ok;

	if (!effect_read_succeeded(effect, tx, code))
		return;
	errors = json_array();
	if (!check_items(effect, tx, effect->state, errors)) {
		store_tx_free(tx);
		refuse(effect, errors);
		return;
	}
	json_decref(errors);
	ok = json_object();
	json_put(ok, "items", insert_items(effect, tx, effect->state));
	store_tx_free(tx);
	effect_apply(effect, ok);
}

void effect_begin_evidence_add(struct effect *effect)
{
	struct store_tx *tx;

	free(effect->state);      /* of the attempt before */
	effect->state = mem_array(json_array_size(items_of(effect)) + 1, sizeof(struct look));
	tx = store_tx_new(effect->store, effect->tenant);
	ask(effect, tx, effect->state);
	store_submit_read(tx, add_on_read, effect);
}

/* -- evidence.list -------------------------------------------------------------------------------------------------- */

static void list_on_read(struct store_tx *tx, int code, void *arg)
{
	struct effect *effect = arg;

	if (!effect_read_succeeded(effect, tx, code))
		return;
	effect_reply(effect, evidence_list_json(store_tx_result(tx, 0), ROW_TIMES_US));
	store_tx_free(tx);
}

void effect_begin_evidence_list(struct effect *effect)
{
	struct store_tx *tx = store_tx_new(effect->store, effect->tenant);

	evidence_tx_list(tx, argument(effect, "deal"), argument(effect, "playbook"), argument(effect, "dimension"));
	store_submit_read(tx, list_on_read, effect);
}
