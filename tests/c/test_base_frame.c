#include "check.h"

#include "base/frame.h"

#include <stdlib.h>

static const enum frame_way ways[] = { FRAME_TO_ZYGOTE, FRAME_FROM_ZYGOTE, FRAME_TO_STEM,
				       FRAME_FROM_STEM, FRAME_TO_CELL,	   FRAME_FROM_CELL };

static void every_type_has_its_row(void **state)
{
	int type;

	(void)state;
	for (type = FRAME_LOAD; type < FRAME_TYPES; type++) {
		assert_int_equal(frame_table[type].type, type);
		assert_non_null(frame_table[type].name);
		assert_true(frame_table[type].payload_max <= FRAME_PAYLOAD_MAX);
	}
	assert_string_equal(frame_table[FRAME_OUTCOME].name, "OUTCOME");
}

static void a_header_is_twelve_little_endian_bytes(void **state)
{
	uint8_t header[FRAME_HEADER_SIZE];
	static const uint8_t wanted[] = { 0x04, 0x03, 0x02, 0x00, FRAME_EFFECT, 0, 0, 0,
					  0x44, 0x33, 0x22, 0x11 };

	(void)state;
	frame_header(header, FRAME_EFFECT, 0x11223344, 0x020304);
	assert_memory_equal(header, wanted, sizeof wanted);
}

/* Every type comes back whole, in its own way and no other, and with any part of it missing the
 * answer is "more". */
static void each_frame_passes_one_way_only(void **state)
{
	struct frame frame;
	struct buf b;
	size_t i, cut;
	int type;

	(void)state;
	for (type = FRAME_LOAD; type < FRAME_TYPES; type++) {
		const struct frame_row *row = &frame_table[type];
		struct str payload = row->payload_max ? STR("{\"a\":1}") : STR("");

		buf_init(&b, 1000);
		frame_add(&b, row->type, row->numbered ? 42 : 0, payload);
		assert_false(b.full);
		for (i = 0; i < sizeof ways / sizeof ways[0]; i++)
			assert_int_equal(frame_take(buf_str(&b), ways[i], &frame),
					 ways[i] == row->way ? (long)b.n : -1);
		assert_int_equal(frame_take(buf_str(&b), row->way, &frame), b.n);
		assert_int_equal(frame.type, type);
		assert_int_equal(frame.sequence, row->numbered ? 42 : 0);
		assert_true(str_equal(frame.payload, payload));
		for (cut = 0; cut < b.n; cut++)
			assert_int_equal(frame_take((struct str){ b.p, cut }, row->way, &frame), 0);
		buf_free(&b);
	}
}

static void frames_follow_one_another(void **state)
{
	struct frame frame;
	struct buf b;
	long n;

	(void)state;
	buf_init(&b, 1000);
	frame_add(&b, FRAME_EFFECT, 1, STR("{}"));
	frame_add(&b, FRAME_EFFECT, 2, STR("[1]"));
	n = frame_take(buf_str(&b), FRAME_FROM_CELL, &frame);
	assert_int_equal(n, FRAME_HEADER_SIZE + 2);
	buf_drop_front(&b, (size_t)n);
	n = frame_take(buf_str(&b), FRAME_FROM_CELL, &frame);
	assert_int_equal(n, FRAME_HEADER_SIZE + 3);
	assert_int_equal(frame.sequence, 2);
	assert_str(frame.payload, "[1]");
	buf_free(&b);
}

static long take_header(uint32_t length, uint32_t type, uint32_t sequence)
{
	struct frame frame;
	uint8_t header[FRAME_HEADER_SIZE];

	frame_header(header, FRAME_EFFECT, sequence, length);
	memcpy(header + 4, &(uint32_t){ type }, 4); /* tests run on little endian machines */
	return frame_take((struct str){(const char *)header, sizeof header}, FRAME_FROM_CELL,
			  &frame);
}

static void impossible_headers_are_refused_before_their_payload(void **state)
{
	(void)state;
	assert_int_equal(take_header(10, FRAME_EFFECT, 1), 0);
	assert_int_equal(take_header(FRAME_PAYLOAD_MAX, FRAME_EFFECT, 1), 0);
	assert_int_equal(take_header(FRAME_PAYLOAD_MAX + 1, FRAME_EFFECT, 1), -1);
	assert_int_equal(take_header(UINT32_MAX, FRAME_EFFECT, 1), -1);
	assert_int_equal(take_header(10, 0, 1), -1);
	assert_int_equal(take_header(10, FRAME_TYPES, 1), -1);
	assert_int_equal(take_header(10, 0xffff, 1), -1);
	assert_int_equal(take_header(10, FRAME_EFFECT | 1u << 16, 1), -1);
	assert_int_equal(take_header(10, FRAME_EFFECT | 1u << 31, 1), -1);
	assert_int_equal(take_header(10, FRAME_EFFECT, 0), -1); /* unnumbered effect */
	assert_int_equal(take_header(10, FRAME_DONE, 1), -1);	/* numbered end */
	assert_int_equal(take_header(1u << 20, FRAME_LOG, 1), -1);
}

static void a_payload_over_its_limit_is_not_written(void **state)
{
	char *big = mem_alloc(1u << 20);
	struct buf b;

	(void)state;
	buf_init(&b, 4u << 20);
	frame_add(&b, FRAME_LOG, 1, (struct str){ big, 1u << 20 });
	assert_true(b.full);
	assert_int_equal(b.n, 0);
	buf_reset(&b);
	frame_add(&b, FRAME_CANCEL, 0, STR("x"));
	assert_true(b.full);
	buf_free(&b);
	buf_init(&b, 20);
	frame_add(&b, FRAME_EFFECT, 1, STR("123456789"));
	assert_true(b.full);
	assert_int_equal(b.n, 0);
	buf_free(&b);
	free(big);
}

/* Whatever the bytes, an answer is 0, -1, or a whole frame within them. */
static void random_bytes_never_lead_out_of_the_input(void **state)
{
	unsigned char bytes[64];
	struct frame frame;
	unsigned round, seed = 1;
	size_t i, n;
	long took;

	(void)state;
	for (round = 0; round < 200000; round++) {
		n = (size_t)(rand_r(&seed) % 64);
		for (i = 0; i < n; i++)
			bytes[i] = (unsigned char)(rand_r(&seed) % (i < 12 && i != 4 ? 2 : 20));
		took = frame_take((struct str){ (char *)bytes, n }, ways[round % 6], &frame);
		assert_in_range(took + 1, 0, n + 1);
		if (took > 0) {
			assert_int_equal(took, FRAME_HEADER_SIZE + frame.payload.n);
			assert_int_equal(frame_table[frame.type].way, ways[round % 6]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_has_its_row),
		cmocka_unit_test(a_header_is_twelve_little_endian_bytes),
		cmocka_unit_test(each_frame_passes_one_way_only),
		cmocka_unit_test(frames_follow_one_another),
		cmocka_unit_test(impossible_headers_are_refused_before_their_payload),
		cmocka_unit_test(a_payload_over_its_limit_is_not_written),
		cmocka_unit_test(random_bytes_never_lead_out_of_the_input),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
