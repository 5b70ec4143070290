/* The server with short limits, and a client in the same thread. What needs no waiting is tested from outside, in tests/http. */
#include "check.h"

#include "net/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

struct fixture {
	struct loop *loop;
	struct http_server *server;
	struct timer tick, write;
	uint16_t port;
	struct http_request *held;         /* what /hold and /flood left unanswered */
	bool gone, drained, cut;
	int refused;
};

static struct fixture f;

static void on_tick(void *arg)
{
	(void)arg;
}

static void on_gone(struct http_request *request, void *arg)
{
	(void)arg;
	assert_ptr_equal(request, f.held);
	f.gone = true;
}

static void on_write(void *arg)
{
	static char block[65536];

	(void)arg;
	memset(block, 'x', sizeof block);
	if (!http_stream_write(f.held, (struct str){ block, sizeof block }))
		f.cut = true;
	else
		timer_start_us(&f.write, 1000);
}

static void handle(struct http_request *request, void *arg)
{
	struct str path = http_request_path(request);

	(void)arg;
	if (str_is(path, "/hold") || str_is(path, "/flood") || str_is(path, "/stream")) {
		f.held = request;
		http_on_close(request, on_gone, NULL);
		if (!str_is(path, "/hold"))
			http_stream_begin(request, 200, "text/event-stream");
		if (str_is(path, "/flood"))
			timer_start_us(&f.write, 1000);
		return;
	}
	http_reply(request, 200, "text/plain", STR("hello"));
}

static void on_refused(int status, void *arg)
{
	(void)arg;
	f.refused = status;
}

static int setup(void **state)
{
	struct http_limits limits = http_limits_default;
	struct errbuf e;
	int fd;

	(void)state;
	f = (struct fixture){ 0 };
	limits.request_ms = 300;
	limits.idle_ms = 400;
	limits.write_ms = 400;
	limits.buffered_bytes = 100000;
	f.loop = loop_new();
	timer_init(&f.tick, f.loop, on_tick, NULL);
	timer_init(&f.write, f.loop, on_write, NULL);
	f.server = http_server_new(&(struct http_server_options){ .loop = f.loop, .limits = &limits, .handle = handle, .refused = on_refused });
	assert_int_equal(http_listen("127.0.0.1:0", &fd, &e), 0);
	assert_int_equal(http_server_accept(f.server, fd, &e), 0);
	f.port = http_listen_port(fd);
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	timer_fini(&f.tick);
	timer_fini(&f.write);
	http_server_free(f.server);
	loop_free(f.loop);
	return 0;
}

static void turn(void)
{
	timer_start_us(&f.tick, 5000);
	loop_run_once(f.loop);
}

static void run_ms(int64_t ms)
{
	int64_t until = clock_monotonic_us() + ms * 1000;

	while (clock_monotonic_us() < until)
		turn();
}

static int client(const char *text)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(f.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	if (*text)
		assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

/* What the server has said within ms; *closed when that was all. */
static struct str hear(int fd, int64_t ms, bool *closed)
{
	static char text[4096];
	int64_t until = clock_monotonic_us() + ms * 1000;
	size_t n = 0;

	*closed = false;
	while (clock_monotonic_us() < until && !*closed && n < sizeof text) {
		ssize_t got;

		turn();
		got = read(fd, text + n, sizeof text - n);
		*closed = got == 0 || (got < 0 && errno != EAGAIN);
		n += got > 0 ? (size_t)got : 0;
	}
	return (struct str){ text, n };
}

static void an_idle_connection_is_closed(void **state)
{
	bool closed;
	int fd = client("");

	(void)state;
	assert_str(hear(fd, 1500, &closed), "");
	assert_true(closed);
	assert_int_equal(http_server_counts(f.server).connections, 0);
	close(fd);
}

static void a_slow_request_is_408(void **state)
{
	bool closed;
	int fd = client("GET / HTTP/1.1\r\nHo");

	(void)state;
	assert_true(str_starts(hear(fd, 1500, &closed), "HTTP/1.1 408 Request Timeout\r\n"));
	assert_true(closed);
	assert_int_equal(f.refused, 408);
	close(fd);
}

/* Waiting for the handler is not the client's fault: no limit of the request's applies. */
static void a_slow_handler_is_waited_for(void **state)
{
	bool closed;
	int fd = client(REQUEST("/hold"));

	(void)state;
	run_ms(900);
	assert_non_null(f.held);
	http_reply(f.held, 200, NULL, STR(""));
	assert_true(str_starts(hear(fd, 200, &closed), "HTTP/1.1 200 OK\r\n"));
	close(fd);
}

static void requests_being_received_share_a_memory_limit(void **state)
{
	static char part[60000];
	char head[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
	int fds[2];
	bool closed;

	(void)state;
	memset(part, 'x', sizeof part);
	for (int i = 0; i < 2; i++) {
		fds[i] = client(head);
		assert_true(write(fds[i], part, sizeof part) > 0);
		run_ms(30);
	}
	assert_true(str_starts(hear(fds[1], 200, &closed), "HTTP/1.1 503 "));
	assert_int_equal(f.refused, 503);
	close(fds[0]);
	close(fds[1]);
}

static void a_client_that_does_not_read_is_cut(void **state)
{
	int fd = client(REQUEST("/flood"));

	(void)state;
	for (int i = 0; i < 400 && !f.cut; i++)
		turn();
	assert_true(f.cut);
	turn();
	assert_true(http_request_is_gone(f.held));
	assert_true(f.gone);
	http_stream_end(f.held);
	assert_int_equal(http_server_counts(f.server).requests, 0);
	close(fd);
}

static void a_streaming_client_that_leaves_is_noticed(void **state)
{
	int fd = client(REQUEST("/stream"));

	(void)state;
	run_ms(30);
	assert_non_null(f.held);
	assert_false(f.gone);
	close(fd);
	run_ms(50);
	assert_true(f.gone);
	assert_false(http_stream_write(f.held, STR("x")));
	http_stream_end(f.held);
}

static void a_reply_to_a_client_that_has_gone_goes_nowhere(void **state)
{
	int fd = client(REQUEST("/hold"));

	(void)state;
	run_ms(30);
	assert_non_null(f.held);
	close(fd);
	run_ms(30);
	http_reply(f.held, 200, "text/plain", STR("nobody"));
	run_ms(100);
	assert_int_equal(http_server_counts(f.server).requests, 0);
	assert_int_equal(http_server_counts(f.server).connections, 0);
}

static void on_drained(void *arg)
{
	(void)arg;
	assert_false(f.drained);
	f.drained = true;
}

static void a_drain_waits_for_answers_and_closes_the_rest(void **state)
{
	int idle = client(REQUEST("/")), busy = client(REQUEST("/hold"));
	bool closed;

	(void)state;
	assert_true(str_starts(hear(idle, 50, &closed), "HTTP/1.1 200 OK\r\n"));
	assert_false(closed);
	http_server_drain(f.server, on_drained, NULL);
	(void)hear(idle, 100, &closed);
	assert_true(closed);
	assert_false(f.drained);
	http_reply(f.held, 200, "text/plain", STR("last"));
	assert_true(str_ends(hear(busy, 100, &closed), "last"));
	assert_true(closed);
	run_ms(20);
	assert_true(f.drained);
	close(idle);
	close(busy);
}

/* Freed with a request that a handler still owns: it is answered later, into the void. */
static void a_server_may_go_before_its_requests(void **state)
{
	int fd = client(REQUEST("/hold"));

	(void)state;
	run_ms(30);
	assert_non_null(f.held);
	http_server_free(f.server);
	f.server = NULL;
	http_reply(f.held, 200, NULL, STR(""));
	run_ms(30);
	close(fd);
}

static void addresses_are_read(void **state)
{
	static const char *const bad[] = { "", "127.0.0.1", "127.0.0.1:", ":x", "127.0.0.1:http", "127.0.0.1:70000", "nowhere.invalid:80" };
	struct errbuf e;
	int fd, second;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(http_listen(bad[i], &fd, &e), ERR_INVALID);
	assert_int_equal(http_listen("localhost:0", &fd, &e), 0);
	close(fd);
	assert_int_equal(http_listen(":0", &fd, &e), 0);
	close(fd);
	assert_int_equal(http_listen("127.0.0.1:0", &fd, &e), 0);
	char taken[32];
	snprintf(taken, sizeof taken, "127.0.0.1:%u", http_listen_port(fd));
	assert_int_equal(http_listen(taken, &second, &e), ERR_CONFLICT);
	assert_non_null(strstr(e.text, "another process listens there"));
	close(fd);
}

#define SERVER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVER_TEST(an_idle_connection_is_closed),
		SERVER_TEST(a_slow_request_is_408),
		SERVER_TEST(a_slow_handler_is_waited_for),
		SERVER_TEST(requests_being_received_share_a_memory_limit),
		SERVER_TEST(a_client_that_does_not_read_is_cut),
		SERVER_TEST(a_streaming_client_that_leaves_is_noticed),
		SERVER_TEST(a_reply_to_a_client_that_has_gone_goes_nowhere),
		SERVER_TEST(a_drain_waits_for_answers_and_closes_the_rest),
		SERVER_TEST(a_server_may_go_before_its_requests),
		cmocka_unit_test(addresses_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
