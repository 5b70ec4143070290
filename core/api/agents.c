/* GET /v1/agents, /v1/agents/{agent}: the registry, from the manifest of the bundle that is live. */
#include "api/handlers.h"
#include "api/internal.h"
#include "store/row.h"

#include <stdlib.h>
#include <string.h>

static json_t *member_or_empty(const json_t *object, const char *key)
{
	const json_t *value = json_member(object, key);

	return value ? json_incref((json_t *)(uintptr_t)value) : json_object();
}

/* {name, title, backup, capabilities: {NAME: {title, input, output, url}}, on, schedule, bundle} */
static json_t *agent_object(const char *name, const json_t *agent, const char *digest)
{
	json_t *object = json_object(), *capabilities = json_object();
	const json_t *schedule = json_member(agent, "schedule");
	const char *capability;
	json_t *value;

	json_put_text(object, "name", name);
	json_put_str(object, "title", json_member_str(agent, "title"));
	if (json_member_str(agent, "backup").n)
		json_put_str(object, "backup", json_member_str(agent, "backup"));
	else
		json_put_text(object, "backup", NULL);
	json_object_foreach((json_t *)(uintptr_t)json_member(agent, "capabilities"), capability, value) {
		json_t *one = json_copy(value);
		struct buf url;

		buf_init(&url, 256);
		buf_addf(&url, "/v1/agents/%s/%s", name, capability);
		json_put_str(one, "url", buf_str(&url));
		buf_free(&url);
		json_put(capabilities, capability, one);
	}
	json_put(object, "capabilities", capabilities);
	json_put(object, "on", member_or_empty(agent, "on"));
	json_put(object, "schedule", json_array_size(schedule) ? json_incref((json_t *)(uintptr_t)schedule) : json_array());
	json_put_text(object, "bundle", digest);
	return object;
}

/* The manifest of the caller's tenant. NULL: answered with 503. */
static const json_t *live_manifest(struct call *call, const char **digest)
{
	const json_t *manifest = engine_manifest(call->api->options.engine, call_tenant(call));

	*digest = engine_bundle_digest(call->api->options.engine, call_tenant(call));
	if (!manifest)
		call_fail(call, ERR_UNAVAILABLE, "no bundle is live for this tenant yet");
	return manifest;
}

/* Bytewise, as everywhere that names are listed. Borrowed from the object. */
static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char **sorted_names(const json_t *object, size_t *count)
{
	const char **names = mem_array(json_object_size(object) + 1, sizeof *names);
	const char *name;
	json_t *value;

	*count = 0;
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
		names[(*count)++] = name;
	if (*count)
		qsort(names, *count, sizeof *names, compare_names);
	return names;
}

void handle_list_agents(struct call *call)
{
	const char *digest, **names;
	const json_t *manifest = live_manifest(call, &digest), *agents = json_member(manifest, "agents");
	json_t *items;
	size_t count;

	if (!manifest)
		return;
	items = json_array();
	names = sorted_names(agents, &count);
	for (size_t i = 0; i < count; i++)
		json_array_append_new(items, agent_object(names[i], json_member(agents, names[i]), digest));
	free(names);
	call_reply_page(call, page_json(items, NULL));
}

void handle_get_agent(struct call *call)
{
	const char *digest;
	const json_t *manifest = live_manifest(call, &digest), *agents = json_member(manifest, "agents");
	const char *name = call->params[0];
	const json_t *agent = json_member(agents, name);

	if (!manifest)
		return;
	if (agent)
		call_reply(call, 200, agent_object(name, agent, digest));
	else
		fail_unknown(call, "agent", name, agents);
}

/* 404 with the names that exist. */
void fail_unknown(struct call *call, const char *what, const char *name, const json_t *known)
{
	struct buf text;
	size_t count;
	const char **names = sorted_names(known, &count);

	buf_init(&text, 1500);
	for (size_t i = 0; i < count; i++)
		buf_addf(&text, "%s%s", i ? ", " : "", names[i]);
	free(names);
	call_fail(call, ERR_NOT_FOUND, "no %s \"%.200s\"; there %s %s%s", what, name, count == 1 ? "is" : "are",
	          text.n ? buf_text(&text) : "none", text.full ? ", …" : "");
	buf_free(&text);
}
