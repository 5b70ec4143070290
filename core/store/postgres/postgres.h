/*
 * The PostgreSQL engine: threads that run transactions on connections of their own. One writes (group commit), some read, one keeps: leases, owners,
 * the names of tenants. See link.h (connections), batch.h (what is written together), production.md (what may be relied on).
 *
 *     store_submit_* → queue → writer or reader → link → store_complete → loop
 *
 * While the database is away each transaction waits for a moment, then fails with ERR_STORE; the loop never waits. When the server has too few
 * connections for us the lanes share those that there are.
 */
#pragma once

#include "store/postgres/link.h"

#include <pthread.h>

enum {
	READERS_MAX = PLACE_READERS_MAX,
	BATCH_MAX = 512,                     /* transactions of one commit: the last waits for all before it */
	BATCH_BYTES_MAX = 8 << 20,           /* of their values */
	AWAY_US = 2000000,                   /* what is submitted while the database is away waits so long */
	ANSWER_US = 30000000,                /* a server that answers later counts as gone */
	OWNER_SIZE = 129,
};

/* Transactions waiting for one of the threads that serve them. */
struct queue {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct store_tx *first, **end;
	int idle;                            /* threads that wait */
	bool stopping;
	bool lingers, lingering;             /* its taker (one) waits a little for company when there was company before */
	size_t count, lately;                /* waiting; the most that were taken at once lately */
	int pauses;                          /* takes until it lingers again */
};

void queue_init(struct queue *q);
void queue_fini(struct queue *q);
void queue_put(struct queue *q, struct store_tx *tx);
/* At most so many, of so many bytes; waits for the first. NULL: stopping, and nothing is left. */
struct store_tx *queue_take(struct queue *q, size_t most, size_t bytes_max);
void queue_stop(struct queue *q);

enum question_kind { QUESTION_REGISTER, QUESTION_RELEASE, QUESTION_FORGET, QUESTION_LOST, QUESTION_ALIVE, QUESTION_TENANT, QUESTION_TENANTS, QUESTION_MEASURE };

/* What the keeper is asked. Waited for by whoever asked, or nobody's: then the keeper frees it. */
struct question {
	struct question *next;
	enum question_kind kind;
	char name[OWNER_SIZE];
	struct store_tx *tx;                 /* LOST */
	bool waited, finished, answer;
	int code;
	struct errbuf error;
};

struct postgres;

struct reader {
	struct postgres *engine;
	struct link link;
	pthread_t thread;
};

struct postgres {
	struct store *store;
	const struct clock *clock;
	bool read_only;
	int lease_ms;
	struct link_shared shared;
	struct queue writes, reads;
	struct link writer_link, keeper_link;
	int64_t written, measure_at;         /* rows, since it was opened; the writer's */
	struct reader readers[READERS_MAX];
	int reader_count;
	pthread_t writer, keeper;
	/* keeper.c */
	pthread_mutex_t lock;                /* over what follows */
	pthread_cond_t asked, answered;
	struct question *first, **end;
	bool stopping;
	char owner[OWNER_SIZE];              /* "" while none is registered */
	json_t *tenants;                     /* known names → true */
	int64_t waits_from_us;               /* how often the loop waited for an answer, since */
	int waits;
	/* Any thread */
	_Atomic bool owned, lost;
	_Atomic int64_t renewed_us;          /* CLOCK_BOOTTIME when the last renewal that held was sent */
};

/* Lock a link to be used: the lane's own, or another one while the server has too few connections. NULL with e when there is none. */
struct link *lane_take(struct postgres *engine, struct link *own, int64_t deadline_us, struct errbuf *e);
void lane_give(struct link *link);
void *writer_run(void *engine);
void *reader_run(void *reader);
void *keeper_run(void *engine);

/* keeper.c */
int64_t boottime_us(void);
void keeper_lost(struct postgres *engine);                        /* a batch found the lease gone */
bool keeper_owner(struct postgres *engine, char out[OWNER_SIZE]);
int keeper_ask(struct postgres *engine, enum question_kind kind, struct str name, int64_t wait_us, bool *answer, struct errbuf *e);
void keeper_post(struct postgres *engine, enum question_kind kind, struct str name, struct store_tx *tx);
enum store_lease keeper_lease(const struct postgres *engine);
/* tenants.c */
bool tenants_know(struct postgres *engine, struct str tenant);    /* the cache alone */
void tenants_learn(struct postgres *engine, struct str tenant);
/* Look on this link, which has nothing under way. ERR_NOT_FOUND: no such tenant. */
MUST_CHECK int tenants_look(struct postgres *engine, struct link *link, struct str tenant, struct errbuf *e);
MUST_CHECK int tenants_read(struct postgres *engine, struct link *link, struct errbuf *e);
MUST_CHECK int tenants_make(struct postgres *engine, struct link *link, struct str tenant, const char *title, struct errbuf *e);
/* One statement of the platform here and now; the answer's rows in *out (in the arena). */
MUST_CHECK int platform_ask(struct link *link, enum statement statement, const char *types, const struct store_value *values, struct arena *arena,
    struct store_result *out, struct errbuf *e);
