/*
 * The table of routes: one row each, in routes.c; the router, 405s, OpenAPI, metrics labels and the tests of access are made from it.
 */
#pragma once

#include "base/json.h"

struct call;

/* What a key must be allowed to do. SCOPE_UNDECLARED is zero: a row without a scope stops api_new. */
enum scope {
	SCOPE_UNDECLARED,
	SCOPE_PUBLIC,          /* no credential */
	SCOPE_LOOPBACK,        /* no credential from this machine, SCOPE_ADMIN from elsewhere */
	SCOPE_AGENTS_READ, SCOPE_AGENTS_CALL,
	SCOPE_RUNS_READ, SCOPE_RUNS_WRITE,
	SCOPE_RECORDS_READ, SCOPE_RECORDS_WRITE,
	SCOPE_EVIDENCE_READ,
	SCOPE_APPROVALS_READ, SCOPE_APPROVALS_DECIDE,
	SCOPE_EVENTS_READ, SCOPE_EVENTS_WRITE,
	SCOPE_ADMIN,
	SCOPES,
};
const char *scope_name(enum scope scope);   /* "runs:read" */
/* Does a word of a key give this scope? "runs:read", "runs:*"; "admin" and "*" give all. */
bool scope_is_given(struct str word, enum scope scope);

enum route_flags {
	ROUTE_LIST = 1,        /* answers {items, next_cursor}; takes limit and cursor */
	ROUTE_ANY_QUERY = 2,   /* further query parameters are filters */
	ROUTE_STREAM = 4,      /* answers text/event-stream */
	ROUTE_TEXT = 8,        /* answers text/plain */
	ROUTE_VERSIONED = 16,  /* ETag, If-Match, If-None-Match */
	ROUTE_KEY_OPTIONAL = 32, /* public, and shows more to a key */
	ROUTE_OWN_KEY = 64,    /* a POST that sees to its Idempotency-Key itself */
};

struct route {
	const char *method;
	const char *pattern;               /* "/v1/runs/{id}" */
	enum scope scope;
	void (*handle)(struct call *call); /* ends with exactly one reply, now or later */
	const char *operation_id, *summary;
	unsigned flags;
	int status;                        /* of success; 0: 200 */
	const char *takes, *answers;       /* schemas in openapi_schemas.c; NULL: none */
	const char *query;                 /* further parameters, "agent capability"; NULL: none */
};

#define ROUTE_SEGMENTS_MAX 8
#define ROUTE_PARAMS_MAX 4

extern const struct route routes[];
extern const size_t routes_count;

/* ERR_BUG and why when rows contradict one another. */
MUST_CHECK int router_check(struct errbuf *e);

struct route_match {
	const struct route *route;                  /* NULL: no row for this path, or none for this method */
	bool path_known;
	struct str params[ROUTE_PARAMS_MAX];        /* as sent, in the order of the pattern */
};
void router_match(struct str method, struct str path, struct route_match *out);
void router_allow(struct str path, struct buf *out);   /* "GET, HEAD, OPTIONS" */
void router_near(struct str path, struct buf *out);    /* patterns that a wrong path was probably meant to be */
/* The name of a pattern's i-th parameter; {NULL,0} behind the last. */
struct str route_param_name(const struct route *route, size_t i);
