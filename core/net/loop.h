/*
 * The event loop: the only wrapper of libevent besides the HTTP server. One loop per thread of a worker; everything here is for the loop's own
 * thread except loop_post. Callbacks store and wake; they are never called from inside the function that armed them.
 */
#pragma once

#include "base/clock.h"

struct loop;
struct event_base;

struct loop *loop_new(void);
void loop_free(struct loop *loop);
void loop_run(struct loop *loop);       /* until loop_stop */
void loop_run_once(struct loop *loop);  /* wait for at least one event, handle what is ready */
void loop_stop(struct loop *loop);
struct event_base *loop_base(struct loop *loop);  /* for net/http_server.c alone */

/* Work handed to the loop from any thread; fn runs once in the loop's thread. The item is embedded in its owner and must live until then;
 * it must not be queued again before it has begun to run. */
struct loop_item {
	struct loop_item *next;
	void (*fn)(void *arg);
	void *arg;
};
void loop_post(struct loop *loop, struct loop_item *item, void (*fn)(void *arg), void *arg);   /* thread-safe */
/* The same from the loop's own thread, for the end of this turn: "deferred". */
void loop_defer(struct loop *loop, struct loop_item *item, void (*fn)(void *arg), void *arg);

struct timer { void *event; };
void timer_init(struct timer *t, struct loop *loop, void (*fn)(void *arg), void *arg);
void timer_start_us(struct timer *t, int64_t after_us);  /* re-arms; one shot */
void timer_stop(struct timer *t);
void timer_fini(struct timer *t);

struct watch { void *event; };
enum { WATCH_READ = 1, WATCH_WRITE = 2 };
void watch_init(struct watch *w, struct loop *loop, int fd, int what, void (*fn)(int fd, int what, void *arg), void *arg); /* persistent */
void watch_start(struct watch *w);
void watch_stop(struct watch *w);
void watch_fini(struct watch *w);       /* does not close fd */
void watch_signal_init(struct watch *w, struct loop *loop, int signal, void (*fn)(int signal, int what, void *arg), void *arg);
