#include "store/postgres/link.h"

#include "base/crypto.h"
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	CONNECT_TIMEOUT_US = 5000000,
	PAUSE_FIRST_MS = 50,
	PAUSE_MOST_MS = 3000,
	QUEUE_LOW = 0,
};

/* -- life --------------------------------------------------------------------------------------------------------------- */

void link_init(struct link *link, struct link_shared *shared)
{
	memset(link, 0, sizeof(*link));
	link->shared = shared;
	link->queue = mem_alloc(LINK_QUEUE_MAX);
	link->queue_statement = mem_array(LINK_QUEUE_MAX, sizeof(*link->queue_statement));
	pthread_mutex_init(&link->busy, NULL);
	pg_params_init(&link->params);
}

static void drop(struct link *link)
{
	PQclear(link->result);
	PQclear(link->prepare_failed);
	link->result = link->prepare_failed = NULL;
	PQfinish(link->conn);
	link->conn = NULL;
	link->usable = false;
	link->head = link->tail = QUEUE_LOW;
	memset(link->prepared, 0, sizeof(link->prepared));
}

void link_fini(struct link *link)
{
	drop(link);
	pg_params_free(&link->params);
	free(link->queue);
	free(link->queue_statement);
	pthread_mutex_destroy(&link->busy);
}

/* libpq's texts end with a newline and may have several lines. */
static void copy_line(char *out, size_t size, const char *text)
{
	size_t n = strcspn(text, "\n");

	snprintf(out, size, "%.*s", (int)n, text);
}

void link_break(struct link *link, const char *why)
{
	if (!link->usable)
		return;
	copy_line(link->why, sizeof(link->why), why);
	link->usable = false;
	link->down_since_us = clock_monotonic_us();
	link->next_try_us = 0;
	link->pause_ms = PAUSE_FIRST_MS;
	log_event(LOG_WARN, "store.disconnected", "store", link->shared->place.shown, "why", link->why, NULL);
}

/* -- connecting --------------------------------------------------------------------------------------------------------- */

static int poll_until(int fd, short events, int64_t deadline_us)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left_ms;
	int n;

	do {
		left_ms = (deadline_us - clock_monotonic_us() + 999) / 1000;
		n = poll(&p, 1, left_ms < 0 ? 0 : left_ms > 60000 ? 60000 : (int)left_ms);
	} while ((n < 0 && errno == EINTR) || (n == 0 && left_ms > 60000));
	return n > 0 ? p.revents : 0;
}

static int refused(struct link *link, const char *text, struct errbuf *e)
{
	const char *advice = "check that the server runs and that the store's URL is right";

	copy_line(link->why, sizeof(link->why), text);
	if (strstr(text, "too many clients") != NULL || strstr(text, "connection slots") != NULL || strstr(text, "too many connections") != NULL) {
		link->shared->crowded = link->crowded = true;
		advice = "the server has no connection left: raise max_connections or the role's limit, or put a pooler before it";
	} else if (strstr(text, "password") != NULL || strstr(text, "authentication") != NULL || strstr(text, "role ") != NULL) {
		advice = "check user and password in the store's URL";
	} else if (strstr(text, "database \"") != NULL) {
		advice = "create it, then run perigee migrate up";
	}
	return err_set(e, ERR_STORE, "%s: %s: %s", link->shared->place.shown, link->why, advice);
}

static int connect_now(struct link *link, int64_t deadline_us, struct errbuf *e)
{
	const struct place *place = &link->shared->place;
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;

	link->conn = PQconnectStartParams((const char *const *)place->keys, (const char *const *)place->values, 0);
	BUG_ON(link->conn == NULL);
	if (PQstatus(link->conn) == CONNECTION_BAD)
		return refused(link, PQerrorMessage(link->conn), e);
	while (status == PGRES_POLLING_READING || status == PGRES_POLLING_WRITING) {
		if (poll_until(PQsocket(link->conn), status == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_us) == 0)
			return refused(link, "the server does not answer", e);
		status = PQconnectPoll(link->conn);
	}
	return status == PGRES_POLLING_OK ? 0 : refused(link, PQerrorMessage(link->conn), e);
}

static void silence(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

/* One question before the pipeline begins. NULL: no answer in time: a stopped server or a pooler that has none to give takes connections all the same. */
static PGresult *ask_plain(struct link *link, const char *sql, int64_t deadline_us)
{
	PGresult *result, *end;

	if (PQsendQuery(link->conn, sql) == 0)
		return NULL;
	while (PQisBusy(link->conn) != 0)
		if (poll_until(PQsocket(link->conn), POLLIN, deadline_us) == 0 || PQconsumeInput(link->conn) == 0)
			return NULL;
	result = PQgetResult(link->conn);
	while ((end = PQgetResult(link->conn)) != NULL)
		PQclear(end);
	return result;
}

/* Is a pooler between us and the server, and since when does the server run? A server that goes on after the crash of one of its processes keeps its start time and may
 * give numbers of transactions again that were lost; but it throws its statistics away. */
static int get_to_know(struct link *link, int64_t deadline_us, struct errbuf *e)
{
	static const char sql[] =
	    "SELECT pg_catalog.pg_backend_pid(), pg_catalog.concat_ws(' ', extract(epoch from pg_catalog.pg_postmaster_start_time()),"
	    " extract(epoch from pg_catalog.pg_stat_get_bgwriter_stat_reset_time()))";
	PGresult *result = ask_plain(link, sql, deadline_us);
	bool ok = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;
	int64_t pid = 0;

	if (ok) {
		link->pooled = !str_to_int(str_of(PQgetvalue(result, 0, 0)), 1, INT32_MAX, &pid) || pid != PQbackendPID(link->conn);
		snprintf(link->started, sizeof(link->started), "%s", PQgetvalue(result, 0, 1));
	}
	PQclear(result);
	if (!ok)
		return refused(link, *PQerrorMessage(link->conn) != '\0' ? PQerrorMessage(link->conn) : "the server does not answer", e);
	if (link->pooled && !link->shared->unprepared) {
		link->shared->unprepared = true;
		log_event(LOG_INFO, "store.pooled", "store", link->shared->place.shown, NULL);
	}
	return 0;
}

static int open_now(struct link *link, int64_t deadline_us, struct errbuf *e)
{
	int code;

	drop(link);
	link->crowded = false;
	code = connect_now(link, deadline_us, e);
	if (code == 0)
		PQsetNoticeReceiver(link->conn, silence, NULL);
	if (code == 0)
		code = get_to_know(link, deadline_us, e);
	if (code == 0 && link->shared->greet != NULL)
		code = link->shared->greet(link->conn, link->shared->greet_arg, e);
	if (code == 0 && (PQsetnonblocking(link->conn, 1) != 0 || PQenterPipelineMode(link->conn) != 1))
		code = refused(link, PQerrorMessage(link->conn), e);
	if (code != 0) {
		drop(link);
		return code;
	}
	link->usable = true;
	if (link->down_since_us != 0)
		log_event(LOG_INFO, "store.connected", "store", link->shared->place.shown, NULL);
	link->down_since_us = link->next_try_us = 0;
	link->pause_ms = PAUSE_FIRST_MS;
	return 0;
}

/* From half to one and a half times the pause, so that workers do not come all at once. */
static void pause_more(struct link *link)
{
	uint32_t random;

	rng_fill(&rng_system, &random, sizeof(random));
	link->next_try_us = clock_monotonic_us() + (int64_t)link->pause_ms * (500 + (int64_t)(random % 1000));
	link->pause_ms = link->pause_ms * 2 > PAUSE_MOST_MS ? PAUSE_MOST_MS : link->pause_ms * 2;
}

static void sleep_until(int64_t at_us)
{
	int64_t left_us = at_us - clock_monotonic_us();
	struct timespec t = { .tv_sec = left_us / 1000000, .tv_nsec = left_us % 1000000 * 1000 };

	if (left_us > 0)
		(void)nanosleep(&t, NULL);
}

int link_ready(struct link *link, int64_t deadline_us, struct errbuf *e)
{
	int64_t now_us, most_us;
	int code = 0;

	if (link->usable && PQstatus(link->conn) == CONNECTION_OK)
		return 0;
	link_break(link, link->conn != NULL ? PQerrorMessage(link->conn) : "");
	for (;;) {
		now_us = clock_monotonic_us();
		if (link->next_try_us > now_us && link->next_try_us >= deadline_us)
			break;
		sleep_until(link->next_try_us);
		now_us = clock_monotonic_us();
		most_us = now_us + CONNECT_TIMEOUT_US;
		code = open_now(link, most_us < deadline_us || deadline_us <= now_us ? most_us : deadline_us, e);
		if (code == 0)
			return 0;
		if (link->down_since_us == 0)
			link->down_since_us = now_us;
		if (link->pause_ms == 0)
			link->pause_ms = PAUSE_FIRST_MS;
		pause_more(link);
		if (link->crowded)
			break;
	}
	return code != 0 ? code : err_set(e, ERR_STORE, "%s: not connected: %s", link->shared->place.shown, link->why);
}

/* -- asking ------------------------------------------------------------------------------------------------------------- */

static void note(struct link *link, char kind, unsigned statement)
{
	size_t next = (link->tail + 1) % LINK_QUEUE_MAX;

	BUG_ON(next == link->head);
	link->queue[link->tail] = kind;
	link->queue_statement[link->tail] = (uint16_t)statement;
	link->tail = next;
}

static void sent(struct link *link, int ok, char kind, unsigned statement)
{
	if (ok == 1)
		note(link, kind, statement);
	else
		link_break(link, PQerrorMessage(link->conn));
}

/* The statement's name and the first 8 hex digits of its text's digest: the same name is the same text, whoever prepared it. */
static const char *prepared_name(enum statement statement)
{
	static _Thread_local char names[STATEMENT_COUNT][64 + 10];
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	if (names[statement][0] == '\0') {
		sha256(postgres_statements[statement].sql, strlen(postgres_statements[statement].sql), digest);
		hex_encode(digest, sizeof(digest), hex);
		snprintf(names[statement], sizeof(names[statement]), "%.50s_%.8s", postgres_statements[statement].name, hex);
	}
	return names[statement];
}

static void prepare(struct link *link, enum statement statement)
{
	const struct store_statement *what = &postgres_statements[statement];
	Oid types[STORE_PARAMS_MAX + 1];
	int count = pg_types(what, types);

	sent(link, PQsendPrepare(link->conn, prepared_name(statement), what->sql, count, types), 'p', (unsigned)statement);
	link->prepared[statement] = 1;
}

static void send_params(struct link *link, enum statement statement)
{
	struct pg_params *p = &link->params;

	if (!link->usable)
		return;
	if (link->shared->unprepared) {
		sent(link, PQsendQueryParams(link->conn, postgres_statements[statement].sql, p->count, p->types, p->values, p->lengths, p->formats, 1), 'q',
		    (unsigned)statement);
		return;
	}
	if (link->prepared[statement] == 0)
		prepare(link, statement);
	if (link->usable)
		sent(link, PQsendQueryPrepared(link->conn, prepared_name(statement), p->count, p->values, p->lengths, p->formats, 1), 'q', (unsigned)statement);
}

static int check_there(enum statement statement, struct errbuf *e)
{
	if (postgres_statements[statement].sql != NULL)
		return 0;
	return err_set(e, ERR_STORE, "statement %s: there is none for PostgreSQL", postgres_statements[statement].name);
}

int link_exec(struct link *link, enum statement statement, const struct store_value *values, struct str tenant, struct errbuf *e)
{
	int code = check_there(statement, e);

	if (code == 0)
		code = pg_params_one(&link->params, &postgres_statements[statement], values, tenant, e);
	if (code == 0)
		send_params(link, statement);
	return code;
}

int link_exec_many(struct link *link, enum statement many, struct store_op *const *ops, size_t count, struct str tenant, struct errbuf *e)
{
	int code = pg_params_many(&link->params, &postgres_statements[many], ops, count, tenant, e);

	if (code == 0)
		send_params(link, many);
	return code;
}

void link_command(struct link *link, const char *sql)
{
	if (link->usable)
		sent(link, PQsendQueryParams(link->conn, sql, 0, NULL, NULL, NULL, NULL, 1), 'q', STATEMENT_COUNT);
}

void link_sync(struct link *link)
{
	if (!link->usable)
		return;
	sent(link, PQpipelineSync(link->conn), 's', STATEMENT_COUNT);
	if (link->usable && PQflush(link->conn) < 0)
		link_break(link, PQerrorMessage(link->conn));
}

/* -- answers ------------------------------------------------------------------------------------------------------------ */

static bool wait_for_answer(struct link *link, int64_t deadline_us)
{
	int flushed, events;

	while (PQisBusy(link->conn) != 0) {
		flushed = PQflush(link->conn);
		if (flushed < 0)
			return false;
		events = poll_until(PQsocket(link->conn), (short)(POLLIN | (flushed > 0 ? POLLOUT : 0)), deadline_us);
		if (events == 0) {
			link_break(link, "the server does not answer in time");
			return false;
		}
		if ((events & ~POLLOUT) != 0 && PQconsumeInput(link->conn) == 0)
			return false;
	}
	return true;
}

static struct link_answer broken(struct link *link)
{
	link_break(link, link->conn != NULL ? PQerrorMessage(link->conn) : "");
	return (struct link_answer){ .kind = LINK_BROKEN };
}

static enum link_answer_kind kind_of(const PGresult *result)
{
	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
	case PGRES_EMPTY_QUERY:
		return LINK_ROWS;
	case PGRES_PIPELINE_SYNC:
		return LINK_SYNCED;
	case PGRES_PIPELINE_ABORTED:
		return LINK_ABORTED;
	default:
		return LINK_FAILED;
	}
}

static struct link_answer answer_of(struct link *link, PGresult *result)
{
	struct link_answer answer = { .kind = kind_of(result), .result = result };
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE), *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	if (state != NULL)
		snprintf(answer.state, sizeof(answer.state), "%s", state);
	/* FATAL: the server ends this connection; no SQLSTATE at all: libpq lost it. */
	if (answer.kind == LINK_FAILED && (state == NULL || (severity != NULL && strcmp(severity, "ERROR") != 0) || PQstatus(link->conn) == CONNECTION_BAD)) {
		link_break(link, PQresultErrorMessage(result));
		answer.kind = LINK_BROKEN;
	}
	return answer;
}

/* The result of what stands first in the queue; NULL when the connection is lost. */
static PGresult *take_result(struct link *link, char kind, int64_t deadline_us)
{
	PGresult *result, *end;

	if (!wait_for_answer(link, deadline_us))
		return NULL;
	result = PQgetResult(link->conn);
	if (result == NULL || kind == 's')
		return result;
	/* Each question's answers end with a NULL, which is there already. */
	while ((end = PQgetResult(link->conn)) != NULL)
		PQclear(end);
	return result;
}

struct link_answer link_next(struct link *link, int64_t deadline_us)
{
	struct link_answer answer;
	PGresult *result;
	unsigned statement;
	char kind;

	PQclear(link->result);
	link->result = NULL;
	for (;;) {
		if (!link->usable)
			return broken(link);
		BUG_ON(link->head == link->tail);
		kind = link->queue[link->head];
		statement = link->queue_statement[link->head];
		link->head = (link->head + 1) % LINK_QUEUE_MAX;
		result = take_result(link, kind, deadline_us);
		if (result == NULL)
			return broken(link);
		if (kind != 'p')
			break;
		if (kind_of(result) != LINK_ROWS)
			link->prepared[statement] = 0;
		if (kind_of(result) == LINK_FAILED) {
			PQclear(link->prepare_failed);
			link->prepare_failed = result;
		} else {
			PQclear(result);
		}
	}
	if (kind == 'q' && link->prepare_failed != NULL) {
		PQclear(result);
		result = link->prepare_failed;
		link->prepare_failed = NULL;
	}
	link->result = result;
	answer = answer_of(link, result);
	if (answer.kind == LINK_SYNCED && kind != 's')
		return broken(link);
	return answer;
}

struct link_answer link_run(struct link *link, const char *sql, int64_t deadline_us)
{
	struct link_answer answer, end;

	link_command(link, sql);
	link_sync(link);
	answer = link_next(link, deadline_us);
	if (answer.kind == LINK_BROKEN)
		return answer;
	answer.result = NULL;
	end = link_next(link, deadline_us);
	return end.kind == LINK_BROKEN ? end : answer;
}

bool link_lost_statement(struct link *link, const struct link_answer *answer)
{
	if (answer->kind != LINK_FAILED || (strcmp(answer->state, "26000") != 0 && strcmp(answer->state, "42P05") != 0))
		return false;
	if (!link->shared->unprepared)
		log_event(LOG_INFO, "store.pooled", "store", link->shared->place.shown, NULL);
	link->shared->unprepared = true;
	return true;
}

static const char *advice_for(const char *state)
{
	static const struct { const char *state, *advice; } known[] = {
		{ "25006", "it is read-only (a replica, or default_transaction_read_only): name the primary in the store's URL" },
		{ "42501", "this role may not do that: run perigee migrate up, and use the role perigee_app" },
		{ "42P01", "a table is missing: run perigee migrate up" },
		{ "42703", "a column is missing: run perigee migrate up" },
		{ "53100", "the server's disk is full: free space there" },
		{ "53200", "the server is out of memory" },
		{ "53300", "the server has no connection left: raise max_connections or the role's limit" },
		{ "55P03", "another transaction holds the row for long" },
		{ "58030", "the server's disk answers with errors: check its log" },
		{ "XX001", "the database is damaged: restore it from a backup" },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strcmp(known[i].state, state) == 0)
			return known[i].advice;
	return NULL;
}

int link_explain(const struct link *link, const struct link_answer *answer, const char *doing, struct errbuf *e)
{
	const char *said = answer->result != NULL ? PQresultErrorField(answer->result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	const char *advice = advice_for(answer->state);

	if (answer->kind == LINK_BROKEN)
		return err_set(e, ERR_STORE, "%s: %s: the connection was lost: %s", link->shared->place.shown, doing, link->why);
	if (said == NULL)
		said = "failed";
	if (advice != NULL)
		return err_set(e, ERR_STORE, "%s: %s: %s (%s, SQLSTATE %s)", link->shared->place.shown, doing, advice, said, answer->state);
	return err_set(e, ERR_STORE, "%s: %s: %s (SQLSTATE %s)", link->shared->place.shown, doing, said, answer->state);
}
