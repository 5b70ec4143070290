#include "api/internal.h"

#include <stdio.h>
#include <stdlib.h>

/* A request's way: route → whose is it (auth.c) → parameters → handler. Nobody learns from an error what a credential would be needed for. */

static void reply_unknown_path(struct call *call)
{
	struct buf near;
	struct str path = call_path(call);

	buf_init(&near, 1024);
	router_near(path, &near);
	if (near.n)
		call_fail(call, ERR_NOT_FOUND, "no such path; near it are %s (GET /openapi.json lists all)", buf_text(&near));
	else
		call_fail(call, ERR_NOT_FOUND, "no such path; GET /openapi.json lists all");
	buf_free(&near);
}

static void reply_other_method(struct call *call)
{
	struct str path = call_path(call), method = http_request_method(call->request);
	struct buf allow;

	buf_init(&allow, 256);
	if (str_is(path, "*"))
		buf_add_text(&allow, "GET, HEAD, POST, PUT, DELETE, OPTIONS");
	else
		router_allow(path, &allow);
	call_set_header(call, "Allow", buf_text(&allow));
	if (str_is(method, "OPTIONS"))
		call_reply_empty(call, 204);
	else
		call_fail(call, ERR_METHOD, "%.*s is not for this path; it takes %s", STR_ARG(method), buf_text(&allow));
	buf_free(&allow);
}

static void release(struct call *call)
{
	if (!call->flowing)
		call_free(call);
}

void api_handle(struct call *call)
{
	call->flowing = false;
	call->route->handle(call);
	release(call);
}

void api_dispatch(struct call *call)
{
	struct route_match match;

	call->flowing = false;
	router_match(http_request_method(call->request), call_path(call), &match);
	if (!call_take_params(call, &match) || !call_take_query(call))
		release(call);
	else if (idempotency_applies(call))
		idempotency_begin(call);
	else
		api_handle(call);
}

/* A proxy on this machine speaks for somebody else. */
static bool is_loopback(const struct call *call)
{
	return http_request_is_loopback(call->request) && !call_header(call, "Forwarded").p && !call_header(call, "X-Forwarded-For").p;
}

static void api_on_request(struct http_request *request, void *arg)
{
	struct call *call = call_new(arg, request);
	struct route_match match;

	router_match(http_request_method(request), call_path(call), &match);
	call->route = match.route;
	if (!match.route) {
		if (match.path_known || str_is(call_path(call), "*"))
			reply_other_method(call);
		else
			reply_unknown_path(call);
		release(call);
	} else if (match.route->flags & ROUTE_KEY_OPTIONAL && call_header(call, "Authorization").p) {
		auth_start(call);
	} else if (match.route->scope == SCOPE_PUBLIC || (match.route->scope == SCOPE_LOOPBACK && is_loopback(call))) {
		api_dispatch(call);
	} else {
		auth_start(call);
	}
}

/* What the gate answered by itself. */
static void api_on_refused(int status, void *arg)
{
	struct api *api = arg;
	char number[12];

	snprintf(number, sizeof number, "%d", status);
	metric_add(api->requests_total, 1, (const char *[]){ "none", "none", number });
}

int api_new(const struct api_options *options, struct api **out, struct errbuf *e)
{
	int code = router_check(e);
	struct api *api;

	if (code)
		return code;
	api = mem_alloc(sizeof *api);
	api->options = *options;
	api->limits = options->limits ? *options->limits : http_limits_default;
	api->options.limits = &api->limits;
	TAILQ_INIT(&api->streams);
	event_streams_init(api);
	TAILQ_INIT(&api->waits);
	api->auth = auth_cache_new();
	api->requests_total = metric_declare(options->metrics, METRIC_COUNTER, "perigee_http_requests_total", "HTTP requests answered.",
	                                     (const char *[]){ "method", "route", "status", NULL }, NULL);
	api->request_seconds = metric_declare(options->metrics, METRIC_HISTOGRAM, "perigee_http_request_seconds",
	                                      "Time from a whole request to its answer (streams: to their beginning).",
	                                      (const char *[]){ NULL }, metric_seconds_buckets);
	api->server = http_server_new(&(struct http_server_options){
		.loop = options->loop, .limits = api->options.limits, .handle = api_on_request, .refused = api_on_refused, .arg = api });
	*out = api;
	return 0;
}

int api_accept(struct api *api, int fd, struct errbuf *e)
{
	return http_server_accept(api->server, fd, e);
}

void api_events_changed(struct api *api, const char *tenant)
{
	event_streams_wake(api, tenant);
}

void api_set_started(struct api *api)
{
	api->started = true;
}

void api_drain(struct api *api, void (*drained)(void *arg), void *arg)
{
	api->draining = true;
	stream_end_all(api);
	event_streams_end_all(api);
	waits_end_all(api);
	http_server_drain(api->server, drained, arg);
}

void api_free(struct api *api)
{
	if (!api)
		return;
	stream_end_all(api);
	event_streams_end_all(api);
	http_server_free(api->server);
	event_streams_fini(api);
	auth_cache_free(api->auth);
	free(api);
}
