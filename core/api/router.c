#include "api/router.h"

#include <string.h>

static const char *const scope_names[SCOPES] = {
	[SCOPE_UNDECLARED] = "undeclared",
	[SCOPE_PUBLIC] = "public",
	[SCOPE_LOOPBACK] = "loopback",
	[SCOPE_AGENTS_READ] = "agents:read",
	[SCOPE_AGENTS_CALL] = "agents:call",
	[SCOPE_RUNS_READ] = "runs:read",
	[SCOPE_RUNS_WRITE] = "runs:write",
	[SCOPE_RECORDS_READ] = "records:read",
	[SCOPE_RECORDS_WRITE] = "records:write",
	[SCOPE_EVIDENCE_READ] = "evidence:read",
	[SCOPE_APPROVALS_READ] = "approvals:read",
	[SCOPE_APPROVALS_DECIDE] = "approvals:decide",
	[SCOPE_EVENTS_READ] = "events:read",
	[SCOPE_EVENTS_WRITE] = "events:write",
	[SCOPE_ADMIN] = "admin",
};

const char *scope_name(enum scope scope)
{
	return scope_names[scope];
}

bool scope_is_given(struct str word, enum scope scope)
{
	const char *name = scope_name(scope);
	bool family = word.n > 2 && str_ends(word, ":*") && strncmp(name, word.p, word.n - 1) == 0;

	return family || str_is(word, name) || str_is(word, "*") || str_is(word, "admin");
}

/* Takes the first segment off a path: "/a/b" gives "a", leaves "/b". False at its end. */
static bool next_segment(struct str *path, struct str *segment)
{
	const char *slash;

	if (!path->n)
		return false;
	path->p++, path->n--;
	slash = path->n ? memchr(path->p, '/', path->n) : NULL;
	*segment = (struct str){ path->p, slash ? (size_t)(slash - path->p) : path->n };
	path->p += segment->n;
	path->n -= segment->n;
	return true;
}

static bool pattern_matches(const char *pattern, struct str path, struct str *params)
{
	struct str rest = str_of(pattern), want, have;
	size_t n = 0;

	if (!str_starts(path, "/"))
		return false;
	while (next_segment(&rest, &want)) {
		if (!next_segment(&path, &have))
			return false;
		if (str_starts(want, "{")) {
			if (!have.n)
				return false;
			params[n++] = have;
		} else if (!str_equal(want, have)) {
			return false;
		}
	}
	return path.n == 0;
}

/* HEAD is GET without the body. */
static bool method_matches(const char *of_route, struct str method)
{
	return str_is(method, of_route) || (str_is(method, "HEAD") && strcmp(of_route, "GET") == 0);
}

void router_match(struct str method, struct str path, struct route_match *out)
{
	*out = (struct route_match){ 0 };
	for (size_t i = 0; i < routes_count; i++) {
		struct str params[ROUTE_PARAMS_MAX] = { 0 };

		if (!pattern_matches(routes[i].pattern, path, params))
			continue;
		out->path_known = true;
		if (!method_matches(routes[i].method, method))
			continue;
		out->route = &routes[i];
		memcpy(out->params, params, sizeof params);
		return;
	}
}

static void add_listed(struct buf *out, const char *word)
{
	if (out->n)
		buf_add_text(out, ", ");
	buf_add_text(out, word);
}

void router_allow(struct str path, struct buf *out)
{
	struct str params[ROUTE_PARAMS_MAX];

	for (size_t i = 0; i < routes_count; i++) {
		if (!pattern_matches(routes[i].pattern, path, params))
			continue;
		add_listed(out, routes[i].method);
		if (strcmp(routes[i].method, "GET") == 0)
			add_listed(out, "HEAD");
	}
	add_listed(out, "OPTIONS");
}

static size_t common_prefix(struct str a, const char *b)
{
	size_t n = 0;

	while (n < a.n && b[n] && a.p[n] == b[n])
		n++;
	return n;
}

void router_near(struct str path, struct buf *out)
{
	size_t best = 0, listed = 0;

	for (size_t i = 0; i < routes_count; i++) {
		size_t n = common_prefix(path, routes[i].pattern);

		best = n > best ? n : best;
	}
	/* "/v1/" alone is no likeness. */
	for (size_t i = 0; i < routes_count && listed < 6 && best > 4; i++) {
		if (common_prefix(path, routes[i].pattern) < best || (i && strcmp(routes[i].pattern, routes[i - 1].pattern) == 0))
			continue;
		add_listed(out, routes[i].pattern);
		listed++;
	}
}

struct str route_param_name(const struct route *route, size_t i)
{
	struct str rest = str_of(route->pattern), segment;

	while (next_segment(&rest, &segment))
		if (str_starts(segment, "{") && i-- == 0)
			return (struct str){ segment.p + 1, segment.n - 2 };
	return (struct str){ 0 };
}

static size_t count_params(const struct route *route)
{
	size_t n = 0;

	while (route_param_name(route, n).n)
		n++;
	return n;
}

int router_check(struct errbuf *e)
{
	for (size_t i = 0; i < routes_count; i++) {
		const struct route *r = &routes[i];

		if (r->scope <= SCOPE_UNDECLARED || r->scope >= SCOPES)
			return err_set(e, ERR_BUG, "route %s %s declares no scope", r->method, r->pattern);
		if (!r->handle || !r->operation_id || !r->summary || count_params(r) > ROUTE_PARAMS_MAX)
			return err_set(e, ERR_BUG, "route %s %s is incomplete", r->method, r->pattern);
		for (size_t j = 0; j < i; j++)
			if (strcmp(r->operation_id, routes[j].operation_id) == 0 ||
			    (strcmp(r->method, routes[j].method) == 0 && strcmp(r->pattern, routes[j].pattern) == 0))
				return err_set(e, ERR_BUG, "route %s %s stands twice", r->method, r->pattern);
	}
	return 0;
}
