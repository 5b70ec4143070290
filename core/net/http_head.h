/*
 * The head of an HTTP/1.x request and the frames of a chunked body, checked before evhttp sees a byte of them. Pure functions over bytes that
 * came from anyone: no allocation, no state but what is handed in; tests/c and the fuzzer drive them directly.
 *
 * Stricter than evhttp on purpose: what two parsers can read in two ways (bare LF, folded lines, two lengths, a length beside a transfer
 * coding, blanks before a colon, chunk extensions) is refused here, so evhttp has nothing left to refuse.
 */
#pragma once

#include "base/bytes.h"

struct http_head {
	size_t bytes;              /* with the blank line at its end */
	struct str method, target; /* borrowed from the head */
	int minor;                 /* HTTP/1.0 or HTTP/1.1 */
	int64_t content_length;    /* -1: none given */
	bool chunked;
	bool wants_continue;       /* Expect: 100-continue */
};

/* Bytes of empty lines before the request line, which clients may send and nobody reads. */
size_t http_head_blank(struct str bytes);

/* Look for the end of the head in `bytes`, beginning at *seen (kept between calls, 0 at first). Returns 0 and *head_bytes (0: not there yet),
 * or the status to refuse with: 400 for a line that ends in LF alone, or for a control byte. */
MUST_CHECK int http_head_find(struct str bytes, size_t *seen, size_t *head_bytes, const char **why);

/* Check a whole head (`bytes` ends with its blank line). Returns 0, or the status to refuse with (400, 405, 417, 501, 505) and why. */
MUST_CHECK int http_head_check(struct str bytes, struct http_head *out, const char **why);

/* The frames of a chunked body, as they come. Zero at first. */
struct http_chunks {
	int state;
	int digits;
	uint64_t chunk_left;
	uint64_t body_bytes;       /* of the chunks whose size is known */
	uint64_t raw_bytes;        /* consumed so far, frames included */
};
enum http_chunks_result { HTTP_CHUNKS_MORE, HTTP_CHUNKS_END, HTTP_CHUNKS_BAD };
/* Consume bytes up to the end of the body; what follows it stays untouched (raw_bytes tells how far it went). */
enum http_chunks_result http_chunks_feed(struct http_chunks *c, struct str bytes);
