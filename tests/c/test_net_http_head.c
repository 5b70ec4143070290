#include "check.h"

#include "net/http_head.h"

#include <stdio.h>
#include <stdlib.h>

#define HOST "Host: a\r\n"

static int check_text(const char *text, struct http_head *head)
{
	const char *why = NULL;
	size_t seen = 0, bytes = 0;
	int status = http_head_find(str_of(text), &seen, &bytes, &why);

	if (status)
		return status;
	assert_int_equal(bytes, strlen(text));
	status = http_head_check(str_of(text), head, &why);
	if (status)
		assert_non_null(why);
	return status;
}

static int check_only(const char *text)
{
	struct http_head head;

	return check_text(text, &head);
}

static void a_request_is_taken_apart(void **state)
{
	struct http_head head;

	(void)state;
	assert_int_equal(check_text("POST /v1/x?y=%20z HTTP/1.1\r\nHost: a:80\r\nContent-Length: 12\r\nX:\r\nexpect: 100-Continue\r\n\r\n", &head), 0);
	assert_str(head.method, "POST");
	assert_str(head.target, "/v1/x?y=%20z");
	assert_int_equal(head.minor, 1);
	assert_int_equal(head.content_length, 12);
	assert_false(head.chunked);
	assert_true(head.wants_continue);
	assert_int_equal(check_text("GET http://a/b HTTP/1.0\r\n\r\n", &head), 0);
	assert_int_equal(head.minor, 0);
	assert_int_equal(head.content_length, -1);
	assert_int_equal(check_text("OPTIONS * HTTP/1.1\r\n" HOST "\r\n", &head), 0);
	assert_int_equal(check_text("PUT /a HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n", &head), 0);
	assert_true(head.chunked);
	assert_int_equal(check_text("GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", &head), 0);
}

static void what_is_malformed_is_refused_with_its_status(void **state)
{
	static const struct {
		int status;
		const char *text;
	} rows[] = {
		{ 400, "GET / HTTP/1.1\nHost: a\n\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: a\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\n\r\n" },
		{ 400, "GET /\r\n\r\n" },
		{ 400, "GET / \r\n\r\n" },
		{ 400, " / HTTP/1.1\r\n" HOST "\r\n" },
		{ 400, "GET  / HTTP/1.1\r\n" HOST "\r\n" },
		{ 400, "GET /a b HTTP/1.1\r\n" HOST "\r\n" },
		{ 400, "GET a HTTP/1.1\r\n" HOST "\r\n" },
		{ 400, "GET /a#b HTTP/1.1\r\n" HOST "\r\n" },
		{ 400, "GET * HTTP/1.1\r\n" HOST "\r\n" },
		{ 400, "GET /\x01 HTTP/1.1\r\n" HOST "\r\n" },
		{ 400, "GET / HTTPS/1.1\r\n" HOST "\r\n" },
		{ 400, "G(T / HTTP/1.1\r\n" HOST "\r\n" },
		{ 400, "GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\n" HOST "A\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\n" HOST "A: b\x07\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\n" HOST "A: b\tc\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\n" HOST "A: b\rc\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n" },
		{ 400, "GET / HTTP/1.1\r\n" HOST "Authorization: a\r\nAUTHORIZATION: b\r\n\r\n" },
		{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n" },
		{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\n" },
		{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n" },
		{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n" },
		{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x1\r\n\r\n" },
		{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n" },
		{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 9999999999999999999\r\n\r\n" },
		{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n" },
		{ 400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" },
		{ 400, "HEAD / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n" },
		{ 405, "BREW / HTTP/1.1\r\n" HOST "\r\n" },
		{ 405, "TRACE / HTTP/1.1\r\n" HOST "\r\n" },
		{ 405, "CONNECT / HTTP/1.1\r\n" HOST "\r\n" },
		{ 405, "get / HTTP/1.1\r\n" HOST "\r\n" },
		{ 417, "POST / HTTP/1.1\r\n" HOST "Expect: much\r\n\r\n" },
		{ 501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n" },
		{ 501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n" },
		{ 505, "GET / HTTP/2.0\r\n" HOST "\r\n" },
		{ 505, "GET / HTTP/1.2\r\n" HOST "\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int status = check_only(rows[i].text);

		if (status != rows[i].status)
			print_error("%s gave %d\n", rows[i].text, status);
		assert_int_equal(status, rows[i].status);
	}
}

static void a_target_has_a_longest_form(void **state)
{
	char *text = mem_alloc(9000);

	(void)state;
	memset(text, 'a', 8300);
	memcpy(text, "GET /", 5);
	memcpy(text + 8300, " HTTP/1.1\r\n" HOST "\r\n", sizeof " HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(check_only(text), 414);
	free(text);
}

/* However the bytes come, the end is found where it is and nothing is looked at twice. */
static void the_end_is_found_byte_by_byte(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\n" HOST "X: y\r\n\r\nGET / HTTP/1.1\r\n";
	const char *why;
	size_t seen = 0, bytes = 0, n = 0;

	(void)state;
	while (!bytes && n < sizeof text - 1)
		assert_int_equal(http_head_find((struct str){ text, ++n }, &seen, &bytes, &why), 0);
	assert_int_equal(bytes, strlen("GET / HTTP/1.1\r\n" HOST "X: y\r\n\r\n"));
	assert_int_equal(n, bytes);
	assert_int_equal(http_head_blank(STR("\r\n\r\nGET")), 4);
	assert_int_equal(http_head_blank(STR("\rGET")), 0);
}

static void nul_bytes_are_refused_at_once(void **state)
{
	const char *why;
	size_t seen = 0, bytes;

	(void)state;
	assert_int_equal(http_head_find((struct str){ "GET /\0", 6 }, &seen, &bytes, &why), 400);
}

static enum http_chunks_result feed(const char *text, size_t piece, struct http_chunks *c)
{
	size_t n = strlen(text);
	enum http_chunks_result result = HTTP_CHUNKS_MORE;

	*c = (struct http_chunks){ 0 };
	for (size_t i = 0; i < n && result == HTTP_CHUNKS_MORE; i += piece)
		result = http_chunks_feed(c, (struct str){ text + i, n - i < piece ? n - i : piece });
	return result;
}

static void chunks_are_followed_in_pieces_of_any_size(void **state)
{
	static const char body[] = "3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n";
	struct http_chunks c;

	(void)state;
	for (size_t piece = 1; piece <= sizeof body; piece++) {
		assert_int_equal(feed(body, piece, &c), HTTP_CHUNKS_END);
		assert_int_equal(c.body_bytes, 13);
		assert_int_equal(c.raw_bytes, sizeof body - 1);
	}
	assert_int_equal(feed("0\r\n\r\nGET", 100, &c), HTTP_CHUNKS_END);
	assert_int_equal(c.raw_bytes, 5);
	assert_int_equal(feed("5\r\nab", 100, &c), HTTP_CHUNKS_MORE);
}

static void malformed_chunks_are_refused(void **state)
{
	static const char *const bad[] = { "\r\n", "x\r\n", "-1\r\n", "+1\r\n", "0x1\r\n", " 1\r\n", "1 \r\n", "1;a=b\r\n", "1\n", "3\r\nabcd", "3\r\nabc\n",
		                           "123456789\r\n", "0\r\nA: b\r\n\r\n", "1\rx" };
	struct http_chunks c;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		if (feed(bad[i], 100, &c) != HTTP_CHUNKS_BAD)
			print_error("taken: %s\n", bad[i]);
		assert_int_equal(feed(bad[i], 100, &c), HTTP_CHUNKS_BAD);
		assert_int_equal(feed(bad[i], 1, &c), HTTP_CHUNKS_BAD);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_taken_apart),
		cmocka_unit_test(what_is_malformed_is_refused_with_its_status),
		cmocka_unit_test(a_target_has_a_longest_form),
		cmocka_unit_test(the_end_is_found_byte_by_byte),
		cmocka_unit_test(nul_bytes_are_refused_at_once),
		cmocka_unit_test(chunks_are_followed_in_pieces_of_any_size),
		cmocka_unit_test(malformed_chunks_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
