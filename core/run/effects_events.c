/* events.emit: a row in the outbox, in the transaction of the effect. The engine dispatches it from there. */
#include "run/effects.h"

#include "base/crypto.h"
#include "base/ids.h"
#include "store/events.h"

enum { EVENT_DATA_MAX = 1 << 20 };      /* bytes of JSON: events are read by many */

const char effect_schema_events_emit[] =
	"{\"type\":\"object\",\"required\":[\"type\",\"data\"],\"additionalProperties\":false,\"properties\":{"
	"\"type\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":200},\"subject\":{\"type\":[\"string\",\"null\"],\"maxLength\":200},"
	"\"data\":{},\"key\":{\"type\":[\"string\",\"null\"],\"minLength\":1,\"maxLength\":200},\"id\":{\"type\":[\"string\",\"null\"],\"minLength\":1,\"maxLength\":200}}}";

static bool is_too_large(const json_t *data)
{
	struct buf text;
	bool full;

	buf_init(&text, EVENT_DATA_MAX);
	json_write(&text, data);
	full = text.full;
	buf_free(&text);
	return full;
}

void effect_begin_events_emit(struct effect *effect)
{
	struct event event = {
		.id = json_member_str(effect->args, "id"),
		.type = json_member_str(effect->args, "type"),
		.subject = json_member_str(effect->args, "subject"),
		.key = json_member_str(effect->args, "key"),
		.data = json_member(effect->args, "data"),
		.at_us = effect->now_us,
		.run = effect->run_id,
	};
	char id[UUID_TEXT_SIZE];
	struct buf source;
	json_t *ok;

	if (is_too_large(event.data)) {
		effect_fail(effect, "events.too_large", "data: an event has at most 1 MiB of JSON; put the rest into a record and name it", NULL);
		return;
	}
	if (event.id.n == 0) {
		effect_new_id(effect, id);
		event.id = str_of(id);
	}
	buf_init(&source, 256);
	buf_addf(&source, "/v1/runs/%.*s", STR_ARG(effect->run_id));
	event.source = buf_str(&source);
	events_tx_emit(effect->tx, &event);
	buf_free(&source);
	ok = json_object();
	json_put_str(ok, "id", event.id);
	effect_apply(effect, ok);
}
