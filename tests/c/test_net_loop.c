#include "check.h"

#include "net/loop.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static int setup(void **state)
{
	*state = loop_new();
	return 0;
}

static int teardown(void **state)
{
	loop_free(*state);
	return 0;
}

struct tally {
	struct loop *loop;
	struct loop_item items[4];
	struct timer timer;
	struct watch watch;
	char seen[64];
	size_t n;
	int stop_after;
};

static void note(struct tally *t, char what)
{
	assert_true(t->n + 1 < sizeof t->seen);
	t->seen[t->n++] = what;
	if (t->stop_after > 0 && t->n == (size_t)t->stop_after)
		loop_stop(t->loop);
}

static void on_a(void *arg)
{
	note(arg, 'a');
}

static void on_b(void *arg)
{
	note(arg, 'b');
}

static void on_defer_b(void *arg)
{
	struct tally *t = arg;

	note(t, 'd');
	loop_defer(t->loop, &t->items[1], on_b, t);
}

static void deferred_items_run_at_the_end_of_the_turn_in_order(void **state)
{
	struct tally t = { .loop = *state };

	loop_defer(t.loop, &t.items[0], on_a, &t);
	loop_defer(t.loop, &t.items[1], on_b, &t);
	assert_string_equal(t.seen, "");
	loop_run_once(t.loop); /* does not wait for an event */
	assert_string_equal(t.seen, "ab");
}

static void what_is_deferred_while_draining_runs_in_the_next_turn(void **state)
{
	struct tally t = { .loop = *state };

	loop_defer(t.loop, &t.items[0], on_defer_b, &t);
	loop_run_once(t.loop);
	assert_string_equal(t.seen, "d");
	loop_run_once(t.loop);
	assert_string_equal(t.seen, "db");
}

static void on_again(void *arg)
{
	struct tally *t = arg;

	note(t, 'r');
	loop_defer(t->loop, &t->items[2], on_again,
		   t); /* the item may be used again once it runs */
}

/* An item that defers itself for ever keeps the loop awake, but not from its events. */
static void events_are_served_between_deferred_turns(void **state)
{
	struct tally t = { .loop = *state, .stop_after = 6 };

	timer_init(&t.timer, t.loop, on_a, &t);
	timer_start_us(&t.timer, 0);
	loop_defer(t.loop, &t.items[2], on_again, &t);
	loop_run(t.loop);
	assert_non_null(strchr(t.seen, 'a'));
	timer_fini(&t.timer);
}

static void timers_fire_once_and_may_be_armed_again(void **state)
{
	struct tally t = { .loop = *state };
	int64_t since;

	timer_init(&t.timer, t.loop, on_a, &t);
	since = clock_monotonic_us();
	timer_start_us(&t.timer, 20000);
	timer_start_us(&t.timer, 5000); /* re-arms: only the last counts */
	assert_string_equal(t.seen, "");
	loop_run_once(t.loop);
	assert_string_equal(t.seen, "a");
	assert_in_range(clock_monotonic_us() - since, 4900, 1000000);
	timer_start_us(&t.timer, 1000);
	timer_stop(&t.timer);
	loop_defer(t.loop, &t.items[1], on_b, &t);
	loop_run_once(t.loop);
	usleep(3000);
	loop_defer(t.loop, &t.items[1], on_b, &t);
	loop_run_once(t.loop);
	assert_string_equal(t.seen, "abb");
	timer_start_us(&t.timer, -5);
	assert_string_equal(t.seen, "abb"); /* never from inside */
	loop_run_once(t.loop);
	assert_string_equal(t.seen, "abba");
	timer_fini(&t.timer);
	timer_fini(&t.timer);
	timer_stop(&t.timer);
}

static void on_stop(void *arg)
{
	struct tally *t = arg;

	note(t, 's');
	loop_stop(t->loop);
	loop_defer(t->loop, &t->items[0], on_a, t);
}

static void stopping_ends_the_turn_first(void **state)
{
	struct tally t = { .loop = *state };

	timer_init(&t.timer, t.loop, on_stop, &t);
	timer_start_us(&t.timer, 0);
	loop_run(t.loop);
	assert_string_equal(t.seen, "sa");
	timer_start_us(&t.timer, 0);
	loop_run(t.loop); /* may run again */
	assert_string_equal(t.seen, "sasa");
	timer_fini(&t.timer);
}

static void *post_late(void *arg)
{
	struct tally *t = arg;

	usleep(20000);
	loop_post(t->loop, &t->items[3], on_stop, t);
	return NULL;
}

/* Nothing is armed: the loop must not end, and must not turn in vain. */
static void an_idle_loop_waits(void **state)
{
	struct tally t = { .loop = *state };
	struct timespec before, after;
	pthread_t thread;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
	assert_int_equal(pthread_create(&thread, NULL, post_late, &t), 0);
	loop_run(t.loop);
	pthread_join(thread, NULL);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
	assert_string_equal(t.seen, "sa");
	assert_true(after.tv_sec - before.tv_sec == 0 && after.tv_nsec - before.tv_nsec < 15000000);
}

#define POSTS 20000
#define POSTERS 4

struct posted {
	struct loop_item item;
	struct poster *poster;
	int number;
};

struct poster {
	struct loop *loop;
	int *left;
	int expected; /* posts of one thread arrive in order */
	struct posted posts[POSTS];
};

static void on_posted(void *arg)
{
	struct posted *p = arg;

	assert_int_equal(p->number, p->poster->expected++);
	if (--*p->poster->left == 0)
		loop_stop(p->poster->loop);
}

static void *post_all(void *arg)
{
	struct poster *poster = arg;
	int i;

	for (i = 0; i < POSTS; i++) {
		poster->posts[i].number = i;
		poster->posts[i].poster = poster;
		loop_post(poster->loop, &poster->posts[i].item, on_posted, &poster->posts[i]);
	}
	return NULL;
}

static void posts_from_many_threads_arrive_once_and_in_order(void **state)
{
	struct poster *posters = mem_array(POSTERS, sizeof *posters);
	pthread_t threads[POSTERS];
	int left = POSTERS * POSTS;
	size_t i;

	for (i = 0; i < POSTERS; i++) {
		posters[i].loop = *state;
		posters[i].left = &left;
		assert_int_equal(pthread_create(&threads[i], NULL, post_all, &posters[i]), 0);
	}
	loop_run(*state);
	for (i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(left, 0);
	free(posters);
}

static void on_fd(int fd, int what, void *arg)
{
	char c;

	if (what & WATCH_READ) {
		assert_int_equal(read(fd, &c, 1), 1);
		note(arg, c);
	} else {
		note(arg, 'w');
	}
}

static void watches_stay_until_they_are_stopped(void **state)
{
	struct tally t = { .loop = *state };
	int ends[2];

	assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
	watch_init(&t.watch, t.loop, ends[0], WATCH_READ, on_fd, &t);
	assert_int_equal(write(ends[1], "xyz", 3), 3);
	watch_start(&t.watch);
	watch_start(&t.watch);
	loop_run_once(t.loop);
	loop_run_once(t.loop);
	assert_string_equal(t.seen, "xy");
	watch_stop(&t.watch);
	loop_defer(t.loop, &t.items[0], on_a, &t);
	loop_run_once(t.loop);
	assert_string_equal(t.seen, "xya");
	watch_start(&t.watch);
	loop_run_once(t.loop);
	assert_string_equal(t.seen, "xyaz");
	watch_fini(&t.watch);
	watch_init(&t.watch, t.loop, ends[1], WATCH_WRITE, on_fd, &t);
	watch_start(&t.watch);
	loop_run_once(t.loop);
	assert_string_equal(t.seen, "xyazw");
	watch_fini(&t.watch);
	watch_fini(&t.watch);
	close(ends[0]);
	close(ends[1]);
}

static void on_signal(int signal, int what, void *arg)
{
	(void)what;
	note(arg, signal == SIGUSR1 ? '1' : '?');
}

static void signals_arrive_as_events(void **state)
{
	struct tally t = { .loop = *state };

	watch_signal_init(&t.watch, t.loop, SIGUSR1, on_signal, &t);
	watch_start(&t.watch);
	raise(SIGUSR1);
	loop_run_once(t.loop);
	assert_string_equal(t.seen, "1");
	watch_fini(&t.watch);
}

#define LOOP_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(deferred_items_run_at_the_end_of_the_turn_in_order),
		LOOP_TEST(what_is_deferred_while_draining_runs_in_the_next_turn),
		LOOP_TEST(events_are_served_between_deferred_turns),
		LOOP_TEST(timers_fire_once_and_may_be_armed_again),
		LOOP_TEST(stopping_ends_the_turn_first),
		LOOP_TEST(an_idle_loop_waits),
		LOOP_TEST(posts_from_many_threads_arrive_once_and_in_order),
		LOOP_TEST(watches_stay_until_they_are_stopped),
		LOOP_TEST(signals_arrive_as_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
