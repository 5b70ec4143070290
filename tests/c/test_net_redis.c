/* The client of Redis without a server: URLs, refusal at once, silence, answers that come in pieces. The server's part is played by a socket of ours. */
#include "check.h"

#include "base/metrics.h"
#include "net/redis.h"
#include "net/redis_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void urls_are_read_whole_or_refused_with_the_reason(void **state)
{
	static const char *const wrong[] = { "", "http://h", "redis://", "redis://h:0", "redis://h:70000", "redis://h:1x", "redis://h/x", "redis://u@h",
		                             "redis://[::1", "redis://[::1]x", "rediss://h", "unix:" };
	struct redis_url url;
	struct errbuf e;

	(void)state;
	assert_int_equal(redis_url_read("redis://us%40er:p%3Aw@db.internal:7000/3", &url, &e), 0);
	assert_string_equal(url.host, "db.internal");
	assert_string_equal(url.user, "us@er");
	assert_string_equal(url.password, "p:w");
	assert_int_equal(url.port, 7000);
	assert_int_equal(url.database, 3);
	redis_url_free(&url);
	assert_int_equal(redis_url_read("redis://:secret@[::1]", &url, &e), 0);
	assert_string_equal(url.host, "::1");
	assert_null(url.user);
	assert_int_equal(url.port, 6379);
	redis_url_free(&url);
	assert_int_equal(redis_url_read("unix:/run/redis.sock", &url, &e), 0);
	assert_string_equal(url.path, "/run/redis.sock");
	redis_url_free(&url);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		if (redis_url_read(wrong[i], &url, &e) != ERR_INVALID)
			fail_msg("%s is no URL", wrong[i]);
		redis_url_free(&url);
	}
	assert_int_equal(redis_url_read("redis://u:hush@h:x", &url, &e), ERR_INVALID);
	assert_null(strstr(e.text, "hush"));
	redis_url_free(&url);
}

struct world {
	struct loop *loop;
	struct redis *redis;
	char folder[64], path[80];
	int listener, client, answers, lost, ups, downs;
};

static void on_changed(void *arg, bool up)
{
	struct world *w = arg;

	if (up)
		w->ups++;
	else
		w->downs++;
}

static void on_reply(void *arg, const struct redis_reply *reply)
{
	struct world *w = arg;

	if (!reply)
		w->lost++;
	else
		w->answers++;
	if (redis_kind(reply) == REDIS_LIST)
		assert_int_equal(redis_number(redis_item(reply, 1)), 7);
}

static void open_world(struct world *w)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct redis_options options = { .rng = &rng_system, .changed = on_changed, .arg = w };
	struct errbuf e;
	char url[100];

	*w = (struct world){ .loop = loop_new(), .client = -1 };
	strcpy(w->folder, "/tmp/perigee-redis-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	snprintf(w->path, sizeof w->path, "%s/s", w->folder);
	strcpy(address.sun_path, w->path);
	w->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(w->listener, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(w->listener, 4), 0);
	snprintf(url, sizeof url, "unix:%s", w->path);
	options.loop = w->loop;
	options.url = url;
	assert_int_equal(redis_new(&options, &w->redis, &e), 0);
}

static void close_world(struct world *w)
{
	redis_free(w->redis);
	loop_free(w->loop);
	close(w->listener);
	if (w->client >= 0)
		close(w->client);
	unlink(w->path);
	rmdir(w->folder);
}

static void turns(struct world *w, const int *until, int count)
{
	int64_t end = clock_monotonic_us() + 10000000;

	while (*until < count) {
		assert_true(clock_monotonic_us() < end);
		loop_run_once(w->loop);
	}
}

/* Takes the client in, answers its PING. */
static void answer_greeting(struct world *w, int up)
{
	char bytes[256];

	while (w->client < 0) {
		struct timeval soon = { 0, 10000 };
		fd_set set;
		loop_run_once(w->loop);
		FD_ZERO(&set);
		FD_SET(w->listener, &set);
		if (select(w->listener + 1, &set, NULL, NULL, &soon) == 1)
			w->client = accept(w->listener, NULL, NULL);
	}
	while (recv(w->client, bytes, sizeof bytes, MSG_DONTWAIT) <= 0)
		loop_run_once(w->loop);
	assert_int_equal(write(w->client, "+PONG\r\n", 7), 7);
	turns(w, &w->ups, up);
}

static void commands_are_answered_in_order_and_refused_while_it_is_down(void **state)
{
	static const char list[] = "*2\r\n$1\r\nx\r\n:7\r\n-ERR no\r\n";
	struct world w;

	(void)state;
	open_world(&w);
	assert_false(redis_is_up(w.redis));
	assert_false(redis_text(w.redis, on_reply, &w, "PING", NULL));
	answer_greeting(&w, 1);
	assert_true(redis_is_up(w.redis));
	assert_true(redis_text(w.redis, on_reply, &w, "A", "b", NULL));
	assert_true(redis_text(w.redis, on_reply, &w, "B", NULL));
	for (size_t i = 0; i + 1 < sizeof list; i++) { /* in pieces of one byte */
		assert_int_equal(write(w.client, list + i, 1), 1);
		loop_run_once(w.loop);
	}
	turns(&w, &w.answers, 2);
	assert_int_equal(w.lost, 0);
	close_world(&w);
}

static void silence_ends_every_command_with_nothing_and_it_comes_back(void **state)
{
	struct world w;

	(void)state;
	open_world(&w);
	answer_greeting(&w, 1);
	assert_true(redis_text(w.redis, on_reply, &w, "A", NULL));
	assert_true(redis_text(w.redis, on_reply, &w, "B", NULL));
	turns(&w, &w.downs, 1);
	assert_int_equal(w.lost, 2);
	assert_int_equal(w.answers, 0);
	assert_false(redis_text(w.redis, on_reply, &w, "C", NULL));
	close(w.client);
	w.client = -1;
	answer_greeting(&w, 2);
	assert_true(redis_is_up(w.redis));
	close_world(&w);
}

static void too_much_that_is_outstanding_is_refused(void **state)
{
	struct world w;
	int sent = 0;

	(void)state;
	open_world(&w);
	answer_greeting(&w, 1);
	while (sent < 100000 && redis_text(w.redis, on_reply, &w, "A", NULL))
		sent++;
	assert_int_equal(sent, 4096);
	redis_free(w.redis); /* all of them end */
	w.redis = NULL;
	assert_int_equal(w.lost, sent);
	close_world(&w);
}

static void a_refused_password_is_no_connection(void **state)
{
	struct world w;
	char bytes[256];
	struct timeval soon = { 5, 0 };

	(void)state;
	open_world(&w);
	loop_run_once(w.loop);
	setsockopt(w.listener, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
	w.client = accept(w.listener, NULL, NULL);
	assert_true(w.client >= 0);
	while (recv(w.client, bytes, sizeof bytes, MSG_DONTWAIT) <= 0)
		loop_run_once(w.loop);
	assert_int_equal(write(w.client, "-NOAUTH Authentication required.\r\n", 34), 34);
	for (int i = 0; i < 5; i++)
		loop_run_once(w.loop);
	assert_false(redis_is_up(w.redis));
	assert_int_equal(w.ups, 0);
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_are_read_whole_or_refused_with_the_reason),
		cmocka_unit_test(commands_are_answered_in_order_and_refused_while_it_is_down),
		cmocka_unit_test(silence_ends_every_command_with_nothing_and_it_comes_back),
		cmocka_unit_test(too_much_that_is_outstanding_is_refused),
		cmocka_unit_test(a_refused_password_is_no_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
