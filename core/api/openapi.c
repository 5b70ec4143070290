/* GET /openapi.json: OpenAPI 3.1, made from the table of routes and the manifest of the tenant's bundle. */
#include "api/openapi.h"

#include "api/handlers.h"
#include "api/internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *openapi_reference(const char *section, const char *name)
{
	json_t *reference = json_object();
	char target[200];

	snprintf(target, sizeof target, "#/components/%s/%s", section, name);
	json_put_text(reference, "$ref", target);
	return reference;
}

json_t *openapi_content(const char *type, json_t *schema)
{
	json_t *content = json_object(), *media = json_object();

	json_put(media, "schema", schema);
	json_put(content, type, media);
	return content;
}

/* {TYPE: {items: [of], next_cursor}} for NAMEList, else a reference. */
static json_t *answer_schema(const char *name)
{
	size_t n = strlen(name);
	char one[64];

	if (n <= 4 || strcmp(name + n - 4, "List"))
		return openapi_reference("schemas", name);
	snprintf(one, sizeof one, "%.*s", (int)(n - 4), name);
	if (strcmp(one, "Journal") == 0)
		snprintf(one, sizeof one, "Outcome");
	return json_pack("{s:s, s:[s,s], s:{s:{s:s, s:o}, s:{s:[s,s]}}}", "type", "object", "required", "items", "next_cursor", "properties", "items",
	                 "type", "array", "items", openapi_reference("schemas", one), "next_cursor", "type", "string", "null");
}

static json_t *parameter(const char *name, const char *in, bool required, const char *description, json_t *schema)
{
	json_t *p = json_pack("{s:s, s:s, s:b, s:o}", "name", name, "in", in, "required", required, "schema", schema);

	if (description)
		json_put_text(p, "description", description);
	return p;
}

static json_t *text_schema(void)
{
	return json_pack("{s:s}", "type", "string");
}

static void add_query(json_t *parameters, const struct route *route)
{
	for (const char *p = route->query; p && *p; p += strcspn(p, " "), p += *p == ' ') {
		char name[64];

		snprintf(name, sizeof name, "%.*s", (int)strcspn(p, " "), p);
		json_array_append_new(parameters, parameter(name, "query", false, NULL, text_schema()));
	}
	if (route->flags & ROUTE_LIST) {
		json_array_append_new(parameters, openapi_reference("parameters", "Limit"));
		json_array_append_new(parameters, openapi_reference("parameters", "Cursor"));
	}
	if (route->flags & ROUTE_ANY_QUERY)
		json_array_append_new(parameters, openapi_reference("parameters", "Filters"));
}

static json_t *parameters_of(const struct route *route)
{
	json_t *parameters = json_array();
	bool post = strcmp(route->method, "POST") == 0, get = strcmp(route->method, "GET") == 0;

	for (size_t i = 0; route_param_name(route, i).n; i++) {
		char name[64];

		snprintf(name, sizeof name, "%.*s", STR_ARG(route_param_name(route, i)));
		json_array_append_new(parameters, parameter(name, "path", true, NULL, text_schema()));
	}
	add_query(parameters, route);
	if (post)
		json_array_append_new(parameters, openapi_reference("parameters", "IdempotencyKey"));
	if (strstr(route->pattern, "{capability}"))
		json_array_append_new(parameters, openapi_reference("parameters", "Prefer"));
	if (strstr(route->pattern, "{capability}"))
		json_array_append_new(parameters, openapi_reference("parameters", "Deadline"));
	if (strstr(route->pattern, "{capability}"))
		json_array_append_new(parameters, openapi_reference("parameters", "Budget"));
	if (route->flags & ROUTE_VERSIONED && !get)
		json_array_append_new(parameters, openapi_reference("parameters", "IfMatch"));
	if (route->flags & ROUTE_VERSIONED)
		json_array_append_new(parameters, openapi_reference("parameters", "IfNoneMatch"));
	if (route->flags & ROUTE_STREAM)
		json_array_append_new(parameters, openapi_reference("parameters", "LastEventID"));
	return parameters;
}

void openapi_add_refusals(json_t *responses, const struct route *route)
{
	json_put(responses, "4XX", openapi_reference("responses", "Refused"));
	json_put(responses, "5XX", openapi_reference("responses", "Failed"));
	if (route->scope != SCOPE_PUBLIC) {
		json_put(responses, "401", openapi_reference("responses", "Unauthorized"));
		json_put(responses, "403", openapi_reference("responses", "Forbidden"));
	}
	if (strchr(route->pattern, '{'))
		json_put(responses, "404", openapi_reference("responses", "NotFound"));
	if (route->flags & ROUTE_VERSIONED && strcmp(route->method, "GET"))
		json_put(responses, "412", openapi_reference("responses", "VersionMismatch"));
	if (route->takes)
		json_put(responses, "422", openapi_reference("responses", "OffSchema"));
}

static json_t *success(const struct route *route)
{
	json_t *response = json_pack("{s:s}", "description", route->summary);

	if (route->flags & ROUTE_STREAM)
		json_put(response, "content", openapi_content("text/event-stream", text_schema()));
	else if (route->flags & ROUTE_TEXT)
		json_put(response, "content", openapi_content("text/plain", text_schema()));
	else if (route->answers)
		json_put(response, "content", openapi_content("application/json", answer_schema(route->answers)));
	if (route->flags & ROUTE_VERSIONED && route->answers)
		json_put(response, "headers", json_pack("{s:o}", "ETag", openapi_reference("headers", "ETag")));
	if (route->flags & ROUTE_LIST)
		json_put(response, "headers", json_pack("{s:o}", "Link", openapi_reference("headers", "Link")));
	return response;
}

/* "/v1/runs/{run}" is about Runs, "/health/ready" about the Host. */
static void tag_of(const struct route *route, char *out, size_t size)
{
	const char *word = strncmp(route->pattern, "/v1/", 4) ? "host" : route->pattern + 4;

	snprintf(out, size, "%.*s", (int)strcspn(word, "/"), word);
	if (strcmp(out, "deals") == 0)
		snprintf(out, size, "evidence");
	out[0] = (char)toupper((unsigned char)out[0]);
}

static json_t *description_of(const struct route *route)
{
	struct buf text;
	json_t *description;

	buf_init(&text, 500);
	if (route->scope == SCOPE_PUBLIC)
		buf_add_text(&text, "Needs no key.");
	else if (route->scope == SCOPE_LOOPBACK)
		buf_add_text(&text, "Needs no key on the host's own machine, the scope admin elsewhere.");
	else
		buf_addf(&text, "Needs the scope %s.", scope_name(route->scope));
	if (route->flags & ROUTE_STREAM)
		buf_add_text(&text, route->scope == SCOPE_EVENTS_READ ? " Server-sent events: each a CloudEvent; its id is its number in the order of events." :
		             " Server-sent events: effect, outcome, log, status; ids are positions in the history.");
	if (route->flags & ROUTE_ANY_QUERY)
		buf_add_text(&text, " sort takes FIELD or -FIELD.");
	description = json_new_str(buf_str(&text));
	buf_free(&text);
	return description;
}

json_t *openapi_operation(const struct route *route)
{
	json_t *operation = json_object(), *responses = json_object(), *parameters = parameters_of(route);
	char tag[32], status[8];

	tag_of(route, tag, sizeof tag);
	snprintf(status, sizeof status, "%d", route->status ? route->status : 200);
	json_put_text(operation, "operationId", route->operation_id);
	json_put_text(operation, "summary", route->summary);
	json_put(operation, "description", description_of(route));
	json_put(operation, "tags", json_pack("[s]", tag));
	if (json_array_size(parameters))
		json_put(operation, "parameters", json_incref(parameters));
	json_decref(parameters);
	if (route->takes)
		json_put(operation, "requestBody", json_pack("{s:b, s:o}", "required", strcmp(route->takes, "Document") != 0, "content",
		                                             openapi_content("application/json", openapi_reference("schemas", route->takes))));
	json_put(responses, status, success(route));
	if (strcmp(route->method, "PUT") == 0)
		json_put(responses, "201", success(route));
	openapi_add_refusals(responses, route);
	json_put(operation, "responses", responses);
	if (route->scope == SCOPE_PUBLIC)
		json_put(operation, "security", json_array());
	else
		json_put_text(operation, "x-scope", scope_name(route->scope));
	return operation;
}

/* -- the document -- */

static json_t *read_quoted(const char *quoted)
{
	char *text = mem_copy(str_of(quoted));
	struct errbuf e = { "" };
	json_t *value;
	int code;

	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	value = json_read(str_of(text), SIZE_MAX, &code, &e);
	BUG_ON(!value);
	free(text);
	return value;
}

#define PROBLEM(name, description)                                                                                                      \
	"'" name "':{'description':'" description "','content':{'application/problem+json':{'schema':{'$ref':'#/components/schemas/Problem'}}}}"

static json_t *components(void)
{
	static const char rest[] =
		"{'securitySchemes':{'key':{'type':'http','scheme':'bearer','description':'An API key: perigee key create.'}},"
		"'parameters':{"
		"'Limit':{'name':'limit','in':'query','schema':{'type':'integer','minimum':1,'maximum':200,'default':50}},"
		"'Cursor':{'name':'cursor','in':'query','description':'next_cursor of the page before','schema':{'type':'string'}},"
		"'Filters':{'name':'filters','in':'query','style':'form','explode':true,'description':'FIELD=VALUE; a value that is a JSON scalar is one',"
		"'schema':{'type':'object','additionalProperties':{'type':'string'}}},"
		"'IdempotencyKey':{'name':'Idempotency-Key','in':'header','description':'The same key and body answers the same for 24 hours',"
		"'schema':{'type':'string','maxLength':255}},"
		"'Prefer':{'name':'Prefer','in':'header','description':'wait=SECONDS (up to 60): answer when the run has ended','schema':{'type':'string'}},"
		"'Deadline':{'name':'Perigee-Deadline','in':'header','description':'The run and all below it end then: seconds from now, or a time',"
		"'schema':{'type':'string'}},"
		"'Budget':{'name':'Perigee-Budget','in':'header','description':'effects=N: so many effects may the run and all below it issue',"
		"'schema':{'type':'string'}},"
		"'IfMatch':{'name':'If-Match','in':'header','description':'ETag of the version to change','schema':{'type':'string'}},"
		"'IfNoneMatch':{'name':'If-None-Match','in':'header','description':'GET: an ETag that is known. PUT: * for a record that must not exist',"
		"'schema':{'type':'string'}},"
		"'LastEventID':{'name':'Last-Event-ID','in':'header','description':'Go on behind this event','schema':{'type':'string'}}},"
		"'headers':{'ETag':{'description':'The version, quoted','schema':{'type':'string'}},"
		"'Link':{'description':'rel=next: the next page','schema':{'type':'string'}},"
		"'Location':{'description':'The run','schema':{'type':'string'}}},"
		"'responses':{"
		PROBLEM("Refused", "Refused: the problem says why") ","
		PROBLEM("Failed", "The host cannot do it now") ","
		PROBLEM("Unauthorized", "No valid key") ","
		PROBLEM("Forbidden", "The key lacks the scope") ","
		PROBLEM("NotFound", "Not there; names that exist are listed") ","
		PROBLEM("VersionMismatch", "Another version is there") ","
		PROBLEM("OffSchema", "The body is off its schema: errors has JSON Pointers") "}}";
	json_t *value = read_quoted(rest);

	json_put(value, "schemas", read_quoted(openapi_schemas));
	return value;
}

static json_t *tags(void)
{
	static const struct {
		const char *name, *description;
	} all[] = {
		{ "Host", "Health, metrics and this document." },
		{ "Agents", "Who there is, what they can do, and doing it." },
		{ "Runs", "Durable calls: what became of them, what happens in them, and a word to them." },
		{ "Records", "JSON documents of declared kinds, with versions and history." },
		{ "Evidence", "What is known about a deal, with the customer's words and where they stand." },
		{ "Approvals", "Questions that a run asks a person." },
		{ "Outcomes", "Requests to other hosts that a crash cut off: what became of them." },
		{ "Events", "CloudEvents 1.0." },
		{ "Handoffs", "What agents handed to one another; dead letters." },
		{ "Schedules", "What fires by the clock." },
	};
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		json_array_append_new(list, json_pack("{s:s, s:s}", "name", all[i].name, "description", all[i].description));
	return list;
}

/* A tenant's key shows its manifest; without a key there is one to show only where there is one tenant. */
static const json_t *manifest_of(const struct call *call)
{
	json_t *names;
	const json_t *manifest = NULL;

	if (call->tenant)
		return engine_manifest(call->api->options.engine, call_tenant(call));
	names = store_tenant_names(call->api->options.store);
	if (json_array_size(names) == 1)
		manifest = engine_manifest(call->api->options.engine, json_str(json_array_get(names, 0)));
	json_decref(names);
	return manifest;
}

static json_t *paths_of(bool capabilities)
{
	json_t *paths = json_object();

	for (size_t i = 0; i < routes_count; i++) {
		json_t *path = (json_t *)(uintptr_t)json_member(paths, routes[i].pattern);
		char method[16];
		size_t n = 0;

		if (capabilities && strstr(routes[i].pattern, "{capability}"))
			continue; /* each has a path of its own */
		for (; routes[i].method[n]; n++)
			method[n] = (char)tolower((unsigned char)routes[i].method[n]);
		method[n] = '\0';
		if (!path) {
			path = json_object();
			json_put(paths, routes[i].pattern, path);
		}
		json_put(path, method, openapi_operation(&routes[i]));
	}
	return paths;
}

void handle_openapi(struct call *call)
{
	const json_t *manifest = manifest_of(call);
	json_t *document = json_pack(
		"{s:s, s:{s:s, s:s, s:s, s:s, s:{s:s, s:s}}, s:[{s:s}], s:[{s:[]}]}", "openapi", "3.1.0", "info", "title", "Perigee", "summary",
		"A host for agents in Lua", "version", call->api->options.version, "description",
		"JSON in, JSON out. Errors are problem details (RFC 9457). The tenant comes from the key and from nowhere else.", "license", "name", "MIT",
		"identifier", "MIT", "servers", "url", "/", "security", "key");
	json_t *all = components(), *paths;

	BUG_ON(!document);
	paths = paths_of(json_object_size(json_member(manifest, "agents")) > 0);
	openapi_add_capabilities(paths, (json_t *)(uintptr_t)json_member(all, "schemas"), manifest);
	json_put(document, "tags", tags());
	json_put(document, "paths", paths);
	json_put(document, "components", all);
	call_reply(call, 200, document);
}
