/* Each capability as a path of its own, with its schemas as components: sales.qualify.input, sales.qualify.output. */
#include "api/openapi.h"

#include <stdio.h>
#include <string.h>

/* A schema's own "#/$defs/X" means another place once it is a component of this document. */
static void move_references(json_t *value, const char *component)
{
	const char *target = json_string_value(json_object_get(value, "$ref"));
	const char *key;
	json_t *member;
	size_t i;

	if (target && strncmp(target, "#/$defs/", 8) == 0) {
		char moved[400];

		snprintf(moved, sizeof moved, "#/components/schemas/%s/%s", component, target + 2);
		json_put_text(value, "$ref", moved);
	}
	json_object_foreach(value, key, member)
		move_references(member, component);
	json_array_foreach(value, i, member)
		move_references(member, component);
}

static void add_schema(json_t *schemas, const char *component, const json_t *schema)
{
	json_t *copy = schema ? json_deep_copy(schema) : json_true();

	move_references(copy, component);
	json_put(schemas, component, copy);
}

static json_t *finished_run(const char *output)
{
	return json_pack("{s:s, s:o}", "description", "The run has ended", "content",
	                 openapi_content("application/json", json_pack("{s:[o, {s:s, s:{s:o}}]}", "allOf", openapi_reference("schemas", "Run"), "type",
	                                                               "object", "properties", "output",
	                                                               json_pack("{s:[o,{s:s}]}", "anyOf", openapi_reference("schemas", output), "type",
	                                                                         "null"))));
}

static json_t *operation_of(const struct route *route, const char *agent, const char *capability, const json_t *declared)
{
	json_t *operation = openapi_operation(route), *parameters = json_array(), *responses;
	char name[200], input[200], output[200];

	snprintf(name, sizeof name, "%s_%s", agent, capability);
	snprintf(input, sizeof input, "%s.%s.input", agent, capability);
	snprintf(output, sizeof output, "%s.%s.output", agent, capability);
	json_put_text(operation, "operationId", name);
	json_put_str(operation, "summary", json_member_str(declared, "title"));
	if (!json_member_str(declared, "title").n)
		json_put_text(operation, "summary", name);
	json_array_append_new(parameters, openapi_reference("parameters", "IdempotencyKey"));
	json_array_append_new(parameters, openapi_reference("parameters", "Prefer"));
	json_put(operation, "parameters", parameters);
	json_put(operation, "requestBody",
	         json_pack("{s:b, s:o}", "required", 1, "content", openapi_content("application/json", openapi_reference("schemas", input))));
	responses = (json_t *)(uintptr_t)json_member(operation, "responses");
	json_put(responses, "200", finished_run(output));
	json_put((json_t *)(uintptr_t)json_member(responses, "202"), "headers", json_pack("{s:o}", "Location", openapi_reference("headers", "Location")));
	return operation;
}

static const struct route *capability_route(void)
{
	for (size_t i = 0; i < routes_count; i++)
		if (strstr(routes[i].pattern, "{capability}"))
			return &routes[i];
	return NULL;
}

static void add_capability(json_t *paths, json_t *schemas, const char *agent, const char *capability, const json_t *declared)
{
	json_t *path = json_object();
	char text[300];

	snprintf(text, sizeof text, "%s.%s.input", agent, capability);
	add_schema(schemas, text, json_member(declared, "input"));
	snprintf(text, sizeof text, "%s.%s.output", agent, capability);
	add_schema(schemas, text, json_member(declared, "output"));
	json_put(path, "post", operation_of(capability_route(), agent, capability, declared));
	snprintf(text, sizeof text, "/v1/agents/%s/%s", agent, capability);
	json_put(paths, text, path);
}

void openapi_add_capabilities(json_t *paths, json_t *schemas, const json_t *manifest)
{
	const json_t *agents = json_member(manifest, "agents");
	const char *agent, *capability;
	json_t *declared, *one;

	json_object_foreach((json_t *)(uintptr_t)agents, agent, declared) {
		const json_t *capabilities = json_member(declared, "capabilities");

		json_object_foreach((json_t *)(uintptr_t)capabilities, capability, one)
			add_capability(paths, schemas, agent, capability, one);
	}
}
