/* Answers: JSON, lists, problems; each is counted once. */
#include "api/internal.h"
#include "api/text.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX (64u << 20)

void call_count(struct call *call, int status)
{
	struct api *api = call->api;
	char number[12], method[16];
	struct str sent = http_request_method(call->request);
	const char *pattern = call->route ? call->route->pattern : "none";

	snprintf(number, sizeof number, "%d", status);
	snprintf(method, sizeof method, "%.*s", STR_ARG(sent));
	metric_add(api->requests_total, 1, (const char *[]){ method, pattern, number });
	metric_observe(api->request_seconds, (double)(clock_monotonic_us() - http_request_started_us(call->request)) / 1e6, NULL);
	log_event(LOG_DEBUG, "http.request", "method", method, "route", pattern, "status", number, "tenant", call->tenant ? call->tenant : "", NULL);
}

void call_set_header(struct call *call, const char *name, const char *value)
{
	http_reply_header(call->request, name, value);
}

static void finish(struct call *call, int status, const char *type, struct str body)
{
	struct http_request *request = call->request;

	call_count(call, status);
	call->request = NULL;
	http_reply_header(request, "X-Content-Type-Options", "nosniff");
	if (!(call->route && call->route->flags & ROUTE_VERSIONED && status < 400))
		http_reply_header(request, "Cache-Control", "no-store");
	if (call->claim.key)
		idempotency_reply(call, request, status, type, body);
	else
		http_reply(request, status, type, body);
}

static void finish_json(struct call *call, int status, const char *type, const json_t *value)
{
	struct buf text;

	buf_init(&text, ANSWER_MAX);
	json_write(&text, value);
	buf_add_char(&text, '\n');
	if (text.full)
		call_fail(call, ERR_INVALID, "the answer is over %u MiB: ask for a smaller page with limit", ANSWER_MAX >> 20);
	else
		finish(call, status, type, buf_str(&text));
	buf_free(&text);
}

void call_reply(struct call *call, int status, json_t *body)
{
	finish_json(call, status, "application/json", body);
	json_decref(body);
}

void call_reply_empty(struct call *call, int status)
{
	finish(call, status, NULL, STR(""));
}

void call_reply_text(struct call *call, int status, const char *type, struct str body)
{
	finish(call, status, type, body);
}

/* The same list, from the cursor on. */
static void set_link(struct call *call, struct str cursor)
{
	struct buf link;

	buf_init(&link, 12000);
	buf_add_char(&link, '<');
	buf_add_str(&link, call_path(call));
	buf_addf(&link, "?cursor=%.*s", STR_ARG(cursor));
	for (size_t i = 0; i < call->query_count; i++) {
		if (strcmp(call->query[i].name, "cursor") == 0)
			continue;
		buf_add_char(&link, '&');
		url_encode(&link, str_of(call->query[i].name));
		buf_add_char(&link, '=');
		url_encode(&link, str_of(call->query[i].value));
	}
	buf_add_text(&link, ">; rel=\"next\"");
	if (!link.full)
		call_set_header(call, "Link", buf_text(&link));
	buf_free(&link);
}

void call_reply_page(struct call *call, json_t *page)
{
	struct str cursor = json_member_str(page, "next_cursor");

	if (cursor.n) {
		json_put(page, "next_cursor", call_bind_cursor(call, cursor));
		set_link(call, json_member_str(page, "next_cursor"));
	}
	call_reply(call, 200, page);
}

/* Not every answer has an error code of its own: the name follows the status where it is another than the code's. */
static const char *problem_name(int code, int status)
{
	if (status == 415)
		return "media_type.unsupported";
	if (status == 428)
		return "version.required";
	return err_name(code);
}

/* Unfinished runs of a tenant are what is limited: none left now (draft-ietf-httpapi-ratelimit-headers). */
static void set_rate_limit(struct call *call)
{
	char policy[64];

	if (call->api->options.runs_per_tenant_max > 0) {
		snprintf(policy, sizeof policy, "\"runs\";q=%lld", (long long)call->api->options.runs_per_tenant_max);
		call_set_header(call, "RateLimit-Policy", policy);
	}
	call_set_header(call, "RateLimit", "\"runs\";r=0;t=1");
}

void call_problem(struct call *call, int code, int status, const char *detail, const json_t *errors)
{
	json_t *problem = json_object();
	char type[96];

	if (!status)
		status = code == ERR_CANCELLED ? 503 : err_http_status(code);
	snprintf(type, sizeof type, "urn:perigee:problem:%s", problem_name(code, status));
	json_put_text(problem, "type", type);
	json_put_text(problem, "title", status == err_http_status(code) ? err_title(code) : http_status_text(status));
	json_put_int(problem, "status", status);
	json_put_text(problem, "detail", detail && *detail ? detail : err_title(code));
	if (utf8_is_valid(call_path(call)))
		json_put_str(problem, "instance", call_path(call));
	if (errors)
		json_put(problem, "errors", json_incref((json_t *)(uintptr_t)errors));
	if (status == 429 || status == 503)
		call_set_header(call, "Retry-After", "1");
	if (status == 429)
		set_rate_limit(call);
	finish_json(call, status, "application/problem+json", problem);
	json_decref(problem);
}

void call_fail(struct call *call, int code, const char *format, ...)
{
	struct buf text;
	va_list args;

	buf_init(&text, 2048);
	va_start(args, format);
	buf_addv(&text, format, args);
	va_end(args);
	call_problem(call, code, 0, text.full || !utf8_is_valid(buf_str(&text)) ? NULL : buf_text(&text), NULL);
	buf_free(&text);
}

struct http_request *call_detach(struct call *call, int status)
{
	struct http_request *request = call->request;

	call_count(call, status);
	idempotency_release(call);
	call->request = NULL;
	return request;
}
