/* Whose run is started next: exact counts, no time. */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "run/run_internal.h"

#define TENANTS 4
#define RUNS 4000

struct world {
	struct engine engine;
	struct tenant tenants[TENANTS];
	struct run *runs;
	size_t made;
};

static int setup(void **state)
{
	struct world *w = mem_alloc(sizeof *w);
	w->runs = mem_array(RUNS, sizeof *w->runs);
	for (size_t i = 0; i < TENANTS; i++) {
		queue_init_tenant(&w->tenants[i].queue);
	}
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	queue_free(&w->engine.queue);
	free(w->runs);
	free(w);
	return 0;
}

static struct run *add(struct world *w, size_t tenant)
{
	struct run *run = &w->runs[w->made++];
	assert_true(w->made <= RUNS);
	run->engine = &w->engine;
	run->tenant = &w->tenants[tenant];
	queue_add(&w->engine.queue, run);
	return run;
}

/* Start one run; its tenant's number. */
static size_t start(struct world *w)
{
	struct run *run = queue_first(&w->engine.queue);
	assert_non_null(run);
	queue_charge(&w->engine.queue, run->tenant);
	queue_remove(&w->engine.queue, run);
	return (size_t)(run->tenant - w->tenants);
}

static void one_with_many_delays_nobody(void **state)
{
	struct world *w = *state;
	for (int i = 0; i < 3000; i++)
		add(w, 0);
	for (int i = 0; i < 20; i++)
		for (size_t t = 1; t < TENANTS; t++)
			add(w, t);
	size_t started[TENANTS] = { 0 }, last[TENANTS] = { 0 };
	for (size_t n = 1; n <= TENANTS * 20; n++) {
		size_t t = start(w);
		assert_true(n - last[t] <= TENANTS); /* each in its turn, from the first round on */
		last[t] = n;
		started[t]++;
	}
	for (size_t t = 0; t < TENANTS; t++)
		assert_int_equal(started[t], 20);
}

static void weights_are_shares(void **state)
{
	struct world *w = *state;
	queue_set_limits(&w->engine.queue, &w->tenants[1], 300, 0);
	for (int i = 0; i < 1000; i++) {
		add(w, 0);
		add(w, 1);
	}
	size_t started[TENANTS] = { 0 };
	for (int i = 0; i < 1000; i++)
		started[start(w)]++;
	assert_in_range(started[0], 249, 251);
	assert_in_range(started[1], 749, 751);
}

static void being_away_earns_no_credit(void **state)
{
	struct world *w = *state;
	for (int i = 0; i < 500; i++)
		add(w, 0);
	for (int i = 0; i < 400; i++)
		assert_int_equal(start(w), 0);
	for (int i = 0; i < 100; i++)
		add(w, 1);
	size_t newcomer = 0;
	for (int i = 0; i < 100; i++)
		newcomer += start(w) == 1;
	assert_in_range(newcomer, 49, 51);
}

static void who_served_alone_owes_nothing_afterwards(void **state)
{
	struct world *w = *state;
	for (int i = 0; i < 100; i++)
		add(w, 0);
	while (w->engine.queue.count)
		start(w);
	for (int i = 0; i < 10; i++) {
		add(w, 1);
		add(w, 0);
	}
	size_t first = 0;
	for (int i = 0; i < 10; i++)
		first += start(w) == 0;
	assert_in_range(first, 4, 6);
}

static void a_tenant_at_its_limit_steps_aside_until_a_cell_ends(void **state)
{
	struct world *w = *state;
	struct run_queue *queue = &w->engine.queue;
	queue_set_limits(queue, &w->tenants[0], 10000, 2);
	for (int i = 0; i < 10; i++)
		add(w, 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(start(w), 0);
		queue_compute(queue, &w->tenants[0], 1);
	}
	assert_null(queue_first(queue));
	add(w, 1);
	assert_int_equal(start(w), 1);
	assert_null(queue_first(queue));
	queue_compute(queue, &w->tenants[0], -1);
	assert_int_equal(start(w), 0);
	queue_compute(queue, &w->tenants[0], 1);
	assert_null(queue_first(queue));
	queue_set_limits(queue, &w->tenants[0], 10000, 0);
	assert_int_equal(start(w), 0);
}

static void what_is_under_way_goes_before_new_roots(void **state)
{
	struct world *w = *state;
	struct run *old = &w->runs[w->made];
	struct run *first = add(w, 0), *second = add(w, 0);
	struct run *child = &w->runs[w->made];
	child->parent = (char *)"p";
	add(w, 0);
	struct run *woken = &w->runs[w->made];
	woken->journal_length = 3;
	add(w, 0);
	const struct run *const order[] = { child, woken, first, second };
	assert_ptr_equal(old, first);
	for (size_t i = 0; i < 4; i++) {
		struct run *run = queue_first(&w->engine.queue);
		assert_ptr_equal(run, order[i]);
		queue_remove(&w->engine.queue, run);
	}
	assert_null(queue_first(&w->engine.queue));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_with_many_delays_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(weights_are_shares, setup, teardown),
		cmocka_unit_test_setup_teardown(being_away_earns_no_credit, setup, teardown),
		cmocka_unit_test_setup_teardown(who_served_alone_owes_nothing_afterwards, setup, teardown),
		cmocka_unit_test_setup_teardown(a_tenant_at_its_limit_steps_aside_until_a_cell_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_under_way_goes_before_new_roots, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
