/* What comes over the wire before evhttp sees it: a head is found at the same place whole and byte by byte, and is sound or refused with a reason; chunks
 * are followed to the same end in any pieces. */
#include "net/http_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fuzz_head(struct str bytes)
{
	const char *why = NULL, *why_slow = NULL;
	size_t seen = 0, head_bytes = 0, seen_slow = 0, head_slow = 0;
	int status = http_head_find(bytes, &seen, &head_bytes, &why), slow = 0;

	for (size_t n = 1; n <= bytes.n && !slow && !head_slow; n++)
		slow = http_head_find((struct str){ bytes.p, n }, &seen_slow, &head_slow, &why_slow);
	BUG_ON(slow != status || head_slow != head_bytes);
	if (status || !head_bytes)
		return;
	struct http_head head;
	status = http_head_check((struct str){ bytes.p, head_bytes }, &head, &why);
	BUG_ON(status && (status < 400 || status > 505 || !why));
	if (status)
		return;
	BUG_ON(head.method.n < 3 || head.target.n < 1 || head.bytes != head_bytes);
	BUG_ON(head.chunked && head.content_length >= 0);
	for (size_t i = 0; i < head.target.n; i++)
		BUG_ON((unsigned char)head.target.p[i] <= ' ');
}

static void
fuzz_chunks(struct str bytes)
{
	struct http_chunks whole = { 0 }, slow = { 0 };
	enum http_chunks_result a = http_chunks_feed(&whole, bytes), b = HTTP_CHUNKS_MORE;

	for (size_t i = 0; i < bytes.n && b == HTTP_CHUNKS_MORE; i++)
		b = http_chunks_feed(&slow, (struct str){ bytes.p + i, 1 });
	BUG_ON(a != b || whole.raw_bytes != slow.raw_bytes || whole.body_bytes != slow.body_bytes);
	BUG_ON(whole.raw_bytes > bytes.n || (a == HTTP_CHUNKS_END && whole.body_bytes > whole.raw_bytes));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = { (const char *)data, size };

	if (size && data[0] == '#')
		fuzz_chunks((struct str){ bytes.p + 1, bytes.n - 1 });
	else
		fuzz_head(bytes);
	return 0;
}
