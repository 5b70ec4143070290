/*
 * A client of one Redis server: commands and subscriptions, asynchronous, reconnecting. The only user of hiredis. Who calls it: run/bus.c, run/relay.c. Everything in the
 * loop's thread; nothing ever waits: a command that cannot be sent now is refused at once, one that is not answered in time ends with no reply.
 *
 * Redis is a helper here: whoever asks it for something can do without.
 */
#pragma once

#include "base/error.h"
#include "base/metrics.h"
#include "net/loop.h"

struct redis;
struct redis_reply;                     /* borrowed: as long as the callback that got it runs */
enum redis_kind { REDIS_NOTHING, REDIS_TEXT, REDIS_NUMBER, REDIS_LIST, REDIS_REFUSED /* an error's text */ };

struct redis_options {
	struct loop *loop;
	const char *url;                    /* redis://[USER:PASSWORD@]HOST[:PORT][/DB] or unix:PATH */
	struct metric *up;                  /* gauge, 1 while it answers; may be NULL */
	const struct rng *rng;              /* jitter of reconnecting */
	void (*changed)(void *arg, bool up); /* it answers now, or no longer; may be NULL */
	void *arg;
};

/* ERR_INVALID with the reason for a URL that is none. A server that is not there is no error: it is tried again, after 0.1 to 5 s. */
MUST_CHECK int redis_new(const struct redis_options *options, struct redis **out, struct errbuf *e);
/* Ends the connections. Commands that are not answered yet end with no reply, inside this call. */
void redis_free(struct redis *redis);
bool redis_is_up(const struct redis *redis);

/* fn fires once, later, with the reply, or with NULL: the connection was lost or the server was silent for two seconds, and nobody knows whether the command was done.
 * fn may be NULL. False: not sent, and fn will not fire (it is down, or too much is outstanding). */
typedef void (*redis_fn)(void *arg, const struct redis_reply *reply);
MUST_CHECK bool redis_command(struct redis *redis, redis_fn fn, void *arg, size_t count, const struct str *words);
/* The same for words that end with a NUL: redis_text(redis, fn, arg, "GET", "key", NULL). */
MUST_CHECK bool redis_text(struct redis *redis, redis_fn fn, void *arg, ...) __attribute__((sentinel));
/* Every message of this channel from now on, again after each reconnection (what was published in between is lost). fn stays until redis_free. At most 8 channels. */
void redis_subscribe(struct redis *redis, const char *channel, void (*fn)(void *arg, struct str text), void *arg);

enum redis_kind redis_kind(const struct redis_reply *reply);    /* NULL: REDIS_NOTHING */
struct str redis_str(const struct redis_reply *reply);          /* of TEXT and REFUSED, else empty */
int64_t redis_number(const struct redis_reply *reply);          /* of NUMBER, else 0 */
size_t redis_count(const struct redis_reply *reply);            /* of LIST, else 0 */
const struct redis_reply *redis_item(const struct redis_reply *reply, size_t i);  /* NULL behind the last */
