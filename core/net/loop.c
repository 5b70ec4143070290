#include "net/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * A turn: libevent waits for events and runs their callbacks; then what was deferred meanwhile is
 * run. What these items defer in their turn belongs to the next turn, which does not wait. Posted
 * items arrive through one eventfd that is written once a batch: only the post that finds the queue
 * empty writes.
 */

#define LOOP_MAGIC 0x4c4f4f50u

struct items {
	struct loop_item *first;
	struct loop_item **end; /* where the next one's address goes */
};

struct loop {
	uint32_t magic;
	struct event_base *base;
	bool stopping;
	struct items deferred;

	int wake_fd;
	struct event *wake;
	pthread_mutex_t posted_lock;
	struct items posted; /* under posted_lock */
};

static void items_clear(struct items *list)
{
	list->first = NULL;
	list->end = &list->first;
}

/* True when the list was empty. */
static bool items_append(struct items *list, struct loop_item *item)
{
	bool was_empty = list->first == NULL;

	item->next = NULL;
	*list->end = item;
	list->end = &item->next;
	return was_empty;
}

static struct loop_item *items_take_all(struct items *list)
{
	struct loop_item *first = list->first;

	items_clear(list);
	return first;
}

/* An item may free its owner, or queue itself again: it is not touched once its function runs. */
static void items_run(struct loop_item *first)
{
	struct loop_item *item;

	while ((item = first)) {
		first = item->next;
		item->next = NULL;
		item->fn(item->arg);
	}
}

static void loop_on_posted(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;
	struct loop_item *first;
	uint64_t count;

	(void)what;
	while (read(fd, &count, sizeof count) < 0 && errno == EINTR)
		;
	pthread_mutex_lock(&loop->posted_lock);
	first = items_take_all(&loop->posted);
	pthread_mutex_unlock(&loop->posted_lock);
	items_run(first);
}

struct loop *loop_new(void)
{
	struct loop *loop = mem_alloc(sizeof *loop);
	struct event_config *config = event_config_new();

	loop->magic = LOOP_MAGIC;
	items_clear(&loop->deferred);
	items_clear(&loop->posted);
	BUG_ON(pthread_mutex_init(&loop->posted_lock, NULL) != 0);
	/* libevent's own locks are not needed: other threads come in through loop_post alone. */
	BUG_ON(!config || event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) < 0 ||
	       event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER) < 0);
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	BUG_ON(!loop->base);
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	BUG_ON(loop->wake_fd < 0);
	loop->wake = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, loop_on_posted,
			       loop);
	BUG_ON(!loop->wake || event_add(loop->wake, NULL) < 0);
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	BUG_ON(loop->magic != LOOP_MAGIC);
	event_free(loop->wake);
	close(loop->wake_fd);
	event_base_free(loop->base);
	pthread_mutex_destroy(&loop->posted_lock);
	loop->magic = 0;
	free(loop);
}

static void turn(struct loop *loop)
{
	int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;

	if (loop->deferred.first)
		flags |= EVLOOP_NONBLOCK;
	BUG_ON(event_base_loop(loop->base, flags) < 0);
	items_run(items_take_all(&loop->deferred));
}

void loop_run_once(struct loop *loop)
{
	BUG_ON(loop->magic != LOOP_MAGIC);
	turn(loop);
}

void loop_run(struct loop *loop)
{
	BUG_ON(loop->magic != LOOP_MAGIC);
	while (!loop->stopping)
		turn(loop);
	loop->stopping = false;
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
}

struct event_base *loop_base(struct loop *loop)
{
	return loop->base;
}

void loop_post(struct loop *loop, struct loop_item *item, void (*fn)(void *arg), void *arg)
{
	static const uint64_t one = 1;
	bool first;

	item->fn = fn;
	item->arg = arg;
	pthread_mutex_lock(&loop->posted_lock);
	first = items_append(&loop->posted, item);
	/* Inside the lock: once it is open, the loop may run the item, stop and be freed. */
	if (first) {
		while (write(loop->wake_fd, &one, sizeof one) < 0)
			BUG_ON(errno != EINTR);
	}
	pthread_mutex_unlock(&loop->posted_lock);
}

void loop_defer(struct loop *loop, struct loop_item *item, void (*fn)(void *arg), void *arg)
{
	item->fn = fn;
	item->arg = arg;
	items_append(&loop->deferred, item);
}

/* What both timers and watches keep behind their one pointer. */
struct timer_event {
	struct event *event;
	void (*fn)(void *arg);
	void *arg;
};

struct watch_event {
	struct event *event;
	void (*fn)(int fd, int what, void *arg);
	void *arg;
};

static void timer_on_due(evutil_socket_t fd, short what, void *arg)
{
	struct timer_event *timer = arg;

	(void)fd;
	(void)what;
	timer->fn(timer->arg);
}

void timer_init(struct timer *t, struct loop *loop, void (*fn)(void *arg), void *arg)
{
	struct timer_event *timer = mem_alloc(sizeof *timer);

	timer->fn = fn;
	timer->arg = arg;
	timer->event = evtimer_new(loop->base, timer_on_due, timer);
	BUG_ON(!timer->event);
	t->event = timer;
}

void timer_start_us(struct timer *t, int64_t after_us)
{
	struct timer_event *timer = t->event;
	int64_t us = after_us > 0 ? after_us : 0;
	struct timeval after = { .tv_sec = us / 1000000, .tv_usec = us % 1000000 };

	BUG_ON(event_add(timer->event, &after) < 0);
}

void timer_stop(struct timer *t)
{
	struct timer_event *timer = t->event;

	if (timer)
		event_del(timer->event);
}

void timer_fini(struct timer *t)
{
	struct timer_event *timer = t->event;

	if (!timer)
		return;
	event_free(timer->event);
	free(timer);
	t->event = NULL;
}

static void watch_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct watch_event *watch = arg;
	int seen = (what & EV_READ ? WATCH_READ : 0) | (what & EV_WRITE ? WATCH_WRITE : 0);

	watch->fn(fd, seen, watch->arg);
}

static void watch_new(struct watch *w, struct loop *loop, int fd, short what,
		      void (*fn)(int fd, int what, void *arg), void *arg)
{
	struct watch_event *watch = mem_alloc(sizeof *watch);

	watch->fn = fn;
	watch->arg = arg;
	watch->event = event_new(loop->base, fd, (short)(what | EV_PERSIST), watch_on_event, watch);
	BUG_ON(!watch->event);
	w->event = watch;
}

void watch_init(struct watch *w, struct loop *loop, int fd, int what,
		void (*fn)(int fd, int what, void *arg), void *arg)
{
	int events = (what & WATCH_READ ? EV_READ : 0) | (what & WATCH_WRITE ? EV_WRITE : 0);

	BUG_ON(!events);
	watch_new(w, loop, fd, (short)events, fn, arg);
}

void watch_signal_init(struct watch *w, struct loop *loop, int signal,
		       void (*fn)(int signal, int what, void *arg), void *arg)
{
	watch_new(w, loop, signal, EV_SIGNAL, fn, arg);
}

void watch_start(struct watch *w)
{
	struct watch_event *watch = w->event;

	BUG_ON(event_add(watch->event, NULL) < 0);
}

void watch_stop(struct watch *w)
{
	struct watch_event *watch = w->event;

	if (watch)
		event_del(watch->event);
}

void watch_fini(struct watch *w)
{
	struct watch_event *watch = w->event;

	if (!watch)
		return;
	event_free(watch->event);
	free(watch);
	w->event = NULL;
}
