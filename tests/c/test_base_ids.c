#include "check.h"

#include "base/ids.h"

#include <pthread.h>
#include <stdlib.h>

static void ids_are_version_7_and_tell_the_time(void **state)
{
	struct clock_manual hand = { INT64_C(1795341600123000) };
	struct clock clock = clock_manual_source(&hand);
	char text[UUID_TEXT_SIZE];
	struct uuid id = uuid_new(&clock, &rng_system);
	uint64_t ms = 0;
	int i;

	(void)state;
	for (i = 0; i < 6; i++)
		ms = ms << 8 | id.b[i];
	assert_int_equal(ms, INT64_C(1795341600123));
	assert_int_equal(id.b[6] >> 4, 7);
	assert_int_equal(id.b[8] >> 6, 2);
	uuid_format(id, text);
	assert_int_equal(strlen(text), 36);
	assert_true(uuid_is_text(str_of(text)));
}

static void ids_made_later_sort_later(void **state)
{
	struct uuid last = { { 0 } }, id;
	int i;

	(void)state;
	for (i = 0; i < 200000; i++) {
		id = uuid_new(&clock_system, &rng_system);
		assert_true(memcmp(last.b, id.b, sizeof id.b) < 0);
		last = id;
	}
}

static void fill_ones(void *context, void *p, size_t n)
{
	(void)context;
	memset(p, 0xff, n);
}

/* Every random bit set: the worst case for counting on, carries all the way up. */
static void ids_sort_within_a_standing_clock_too(void **state)
{
	struct clock_manual hand = { 999 };
	struct clock clock = clock_manual_source(&hand);
	const struct rng ones = { fill_ones, NULL };
	struct uuid last = { { 0 } }, id;
	int i;

	(void)state;
	for (i = 0; i < 5000; i++) {
		id = uuid_new(&clock, i % 3 ? &rng_system : &ones);
		assert_true(memcmp(last.b, id.b, sizeof id.b) < 0);
		assert_int_equal(id.b[6] >> 4, 7);
		assert_int_equal(id.b[8] >> 6, 2);
		last = id;
	}
}

struct counting {
	unsigned n;
};

static void fill_counting(void *context, void *p, size_t n)
{
	memset(p, (int)++((struct counting *)context)->n, n);
}

/* `perigee test` starts anew with the same clock and chance, and must see the same ids. */
static void the_same_sources_give_the_same_ids(void **state)
{
	struct clock_manual hand = { 0 };
	struct clock clock = clock_manual_source(&hand);
	struct uuid first[50], second[50], *ids = first;
	struct counting count = { 0 };
	const struct rng rng = { fill_counting, &count };
	int i, round;

	(void)state;
	for (round = 0; round < 2; round++, ids = second) {
		count.n = 0;
		for (i = 0; i < 50; i++) {
			hand.now_us = 1000000 + i / 7 * 1500;
			ids[i] = uuid_new(&clock, &rng);
		}
	}
	assert_memory_equal(first, second, sizeof first);
}

#define PER_THREAD 20000
#define THREADS 4

static void *make_ids(void *arg)
{
	struct uuid *ids = arg;
	int i;

	for (i = 0; i < PER_THREAD; i++)
		ids[i] = uuid_new(&clock_system, &rng_system);
	return NULL;
}

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct uuid));
}

static void threads_never_share_an_id(void **state)
{
	struct uuid *ids = mem_array(THREADS * PER_THREAD, sizeof *ids);
	pthread_t threads[THREADS];
	size_t i;

	(void)state;
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_ids, ids + i * PER_THREAD),
				 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	qsort(ids, THREADS * PER_THREAD, sizeof *ids, compare_ids);
	for (i = 1; i < THREADS * PER_THREAD; i++)
		assert_int_not_equal(compare_ids(&ids[i - 1], &ids[i]), 0);
	free(ids);
}

static void the_text_form_goes_there_and_back(void **state)
{
	static const char text[] = "01234567-89ab-7def-8123-456789abcdef";
	char again[UUID_TEXT_SIZE];
	struct uuid id;

	(void)state;
	assert_true(uuid_parse(str_of(text), &id));
	assert_int_equal(id.b[15], 0xef);
	uuid_format(id, again);
	assert_string_equal(again, text);
	assert_true(uuid_parse(STR("01234567-89AB-7DEF-8123-456789ABCDEF"), &id));
	assert_false(uuid_is_text(STR("01234567-89AB-7DEF-8123-456789ABCDEF")));
	assert_false(uuid_is_text(STR("")));
	assert_false(uuid_is_text(STR("01234567-89ab-7def-8123-456789abcde")));
	assert_false(uuid_is_text(STR("01234567-89ab-7def-8123-456789abcdef0")));
	assert_false(uuid_is_text(STR("01234567089ab-7def-8123-456789abcdef")));
	assert_false(uuid_is_text(STR("0123456789ab-7def-8123-4567-89abcdef")));
	assert_false(uuid_is_text(STR("0123456g-89ab-7def-8123-456789abcdef")));
}

static void the_same_content_has_the_same_id(void **state)
{
	uint8_t digest[32];
	char text[UUID_TEXT_SIZE];

	(void)state;
	memset(digest, 0xff, sizeof digest);
	uuid_format(uuid_of_digest(digest), text);
	assert_string_equal(text, "ffffffff-ffff-8fff-bfff-ffffffffffff");
}

static void names_are_plain(void **state)
{
	char longest[64];

	(void)state;
	memset(longest, 'a', sizeof longest);
	assert_true(name_is_valid(STR("a")));
	assert_true(name_is_valid(STR("sales-team_2")));
	assert_true(name_is_valid((struct str){ longest, 63 }));
	assert_false(name_is_valid((struct str){ longest, 64 }));
	assert_false(name_is_valid(STR("")));
	assert_false(name_is_valid(STR("2sales")));
	assert_false(name_is_valid(STR("-sales")));
	assert_false(name_is_valid(STR("Sales")));
	assert_false(name_is_valid(STR("sales.team")));
	assert_false(name_is_valid(STR("sales\0")));
	assert_false(name_is_valid(STR("../etc")));
}

static void record_ids_are_text_without_controls(void **state)
{
	char longest[201];

	(void)state;
	memset(longest, 'a', sizeof longest);
	assert_true(record_id_is_valid(STR("acme/deal #7 gr\xc3\xbc\xc3\x9f")));
	assert_true(record_id_is_valid((struct str){ longest, 200 }));
	assert_false(record_id_is_valid((struct str){ longest, 201 }));
	assert_false(record_id_is_valid(STR("")));
	assert_false(record_id_is_valid(STR("a\nb")));
	assert_false(record_id_is_valid(STR("a\0b")));
	assert_false(record_id_is_valid(STR("a\x7f")));
	assert_false(record_id_is_valid(STR("a\xc2\x9b" "b")));
	assert_true(record_id_is_valid(STR("a\xc2\xa0" "b")));
	assert_false(record_id_is_valid(STR("a\xff")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_are_version_7_and_tell_the_time),
		cmocka_unit_test(ids_made_later_sort_later),
		cmocka_unit_test(ids_sort_within_a_standing_clock_too),
		cmocka_unit_test(the_same_sources_give_the_same_ids),
		cmocka_unit_test(threads_never_share_an_id),
		cmocka_unit_test(the_text_form_goes_there_and_back),
		cmocka_unit_test(the_same_content_has_the_same_id),
		cmocka_unit_test(names_are_plain),
		cmocka_unit_test(record_ids_are_text_without_controls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
