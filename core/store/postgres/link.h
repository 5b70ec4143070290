/*
 * One connection in pipeline mode, of one thread at a time. What is asked is queued; link_sync ends a section and sends it; answers come
 * in the order of the questions. Statements are prepared when a connection first needs them, under a name that holds a digest of their text.
 *
 * Behind a transaction-mode pooler (told by the server's process id, which is not the one the connection was told; or by a prepared
 * statement that is not there) nothing is prepared, and one transaction at a time is under way.
 *
 * Failure modes: a statement's error aborts what was queued up to the next sync; a lost connection fails everything until link_ready has made a
 * new one, after a pause that grows and is never the same.
 */
#pragma once

#include "store/postgres/place.h"
#include "store/postgres/values.h"

#include <pthread.h>

enum { LINK_QUEUE_MAX = 1 << 16 };

enum link_answer_kind {
	LINK_ROWS,               /* a result: done, maybe with rows */
	LINK_FAILED,             /* the statement failed: its code and text */
	LINK_ABORTED,            /* an earlier one of the section had failed */
	LINK_SYNCED,             /* the end of a section */
	LINK_BROKEN,             /* the connection is gone, with everything that was queued */
};

struct link_answer {
	enum link_answer_kind kind;
	PGresult *result;        /* owned by the link until the next answer; NULL if there is none */
	char state[6];           /* SQLSTATE of a failure */
};

struct link_shared {             /* what all connections of an engine have in common */
	struct place place;
	_Atomic bool unprepared; /* a pooler is between */
	_Atomic bool crowded;    /* the server has no connection for us: lanes share */
	int (*greet)(PGconn *conn, void *arg, struct errbuf *e);   /* looks at each new connection, blocking; may be NULL */
	void *greet_arg;
};

struct link {
	struct link_shared *shared;
	pthread_mutex_t busy;    /* of who uses it */
	PGconn *conn;
	bool pooled;
	bool usable;             /* false: the next link_ready makes a new connection */
	bool crowded;            /* the last try to make one found that the server has none left */
	char *queue;             /* kinds of what is under way: p(repare), q(uery), s(ync); a ring */
	uint16_t *queue_statement;
	size_t head, tail;
	uint8_t prepared[STATEMENT_COUNT];
	PGresult *result, *prepare_failed;
	int64_t down_since_us, next_try_us;
	int pause_ms;
	char started[80];        /* when the server started: text, to be compared */
	char why[256];           /* it is down */
	struct pg_params params;
};

void link_init(struct link *link, struct link_shared *shared);
void link_fini(struct link *link);
/* A connection that can be used, made anew if need be, at the latest at deadline_us (monotonic). ERR_STORE with what to do. */
MUST_CHECK int link_ready(struct link *link, int64_t deadline_us, struct errbuf *e);
void link_break(struct link *link, const char *why);  /* close it: what was under way is lost */
/* Queue. They never fail but by breaking the link, which the answer tells; ERR_STORE of the first two: a value that does not fit, nothing is queued. */
MUST_CHECK int link_exec(struct link *link, enum statement statement, const struct store_value *values, struct str tenant, struct errbuf *e);
MUST_CHECK int link_exec_many(struct link *link, enum statement many, struct store_op *const *ops, size_t count, struct str tenant, struct errbuf *e);
void link_command(struct link *link, const char *sql);
void link_sync(struct link *link);
/* The next answer, at the latest at deadline_us (then the link is broken). */
struct link_answer link_next(struct link *link, int64_t deadline_us);
/* What failed, for people: the server's words with what to do about them. */
int link_explain(const struct link *link, const struct link_answer *answer, const char *doing, struct errbuf *e);
/* Does the pooler have it that our prepared statements are elsewhere? Then nothing is prepared from now on. */
bool link_lost_statement(struct link *link, const struct link_answer *answer);
/* One command, now: the answer's kind; the rest of the section is read. For few and rare ones. */
struct link_answer link_run(struct link *link, const char *sql, int64_t deadline_us);
