/* The metrics of several processes in one answer. */
#include "check.h"

#include "base/metrics_board.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The number behind "NAME " at the beginning of a line, or -1. */
static double number_of(struct metrics *m, const char *name)
{
	struct buf out;
	char line[200];
	double value = -1;

	buf_init(&out, 1 << 20);
	metrics_write(m, &out);
	snprintf(line, sizeof line, "\n%s ", name);
	const char *at = strstr(buf_text(&out), line);
	if (at)
		value = strtod(at + strlen(line), NULL);
	buf_free(&out);
	return value;
}

struct worker {
	struct metrics *m;
	struct metric *done, *active, *up, *seconds, *tenants;
	int slot;
};

static struct worker worker_of(struct metrics_board *board)
{
	struct worker w = { .m = metrics_new(100), .slot = metrics_board_take(board) };
	w.done = metric_declare(w.m, METRIC_COUNTER, "done_total", "Done", NULL, NULL);
	w.active = metric_declare(w.m, METRIC_GAUGE, "active", "Active", NULL, NULL);
	w.up = metric_declare(w.m, METRIC_GAUGE, "up", "Up", NULL, NULL);
	metric_combine(w.up, COMBINE_LEAST);
	w.seconds = metric_declare(w.m, METRIC_HISTOGRAM, "seconds", "Seconds", NULL, (const double[]){ 0.1, 1, 0 });
	w.tenants = metric_declare(w.m, METRIC_COUNTER, "runs_total", "Runs", (const char *[]){ "tenant", NULL }, NULL);
	metrics_join(w.m, board, w.slot);
	return w;
}

static void whoever_answers_gives_the_sum(void **state)
{
	struct metrics_board *board = metrics_board_new(4, 10);
	struct worker a = worker_of(board), b = worker_of(board);
	(void)state;
	metric_add(a.done, 2, NULL);
	metric_add(b.done, 3, NULL);
	metric_set(a.active, 5, NULL);
	metric_set(b.active, 7, NULL);
	metric_set(a.up, 1, NULL);
	metric_set(b.up, 0, NULL);
	metric_observe(a.seconds, 0.05, NULL);
	metric_observe(b.seconds, 5, NULL);
	metrics_publish(b.m);
	metrics_publish(a.m);
	for (int i = 0; i < 2; i++) {
		struct metrics *m = i ? a.m : b.m;
		assert_true(number_of(m, "done_total") == 5);
		assert_true(number_of(m, "active") == 12);
		assert_true(number_of(m, "up") == 0);
		assert_true(number_of(m, "seconds_bucket{le=\"0.1\"}") == 1);
		assert_true(number_of(m, "seconds_bucket{le=\"+Inf\"}") == 2);
		assert_true(number_of(m, "seconds_count") == 2);
	}
	metrics_free(a.m);
	metrics_free(b.m);
	metrics_board_free(board);
}

static void counters_of_the_dead_stay_and_their_gauges_go(void **state)
{
	struct metrics_board *board = metrics_board_new(3, 10);
	struct worker a = worker_of(board);
	(void)state;
	for (int life = 1; life <= 20; life++) {
		struct worker b = worker_of(board);
		assert_true(b.slot >= 0);
		metric_add(b.done, 1, NULL);
		metric_set(b.active, 1, NULL);
		metrics_publish(b.m);
		assert_true(number_of(a.m, "done_total") == life);
		assert_true(number_of(a.m, "active") == 1);
		metrics_board_fold(board, b.slot);
		assert_true(number_of(a.m, "done_total") == life);
		assert_true(number_of(a.m, "active") == 0);
		metrics_free(b.m);
	}
	metrics_free(a.m);
	metrics_board_free(board);
}

/* Killed again and again while it publishes: what a reader gets is a whole snapshot each time, and counters never fall. */
static void a_writer_may_die_at_any_moment(void **state)
{
	struct metrics_board *board = metrics_board_new(4, 10);
	struct worker a = worker_of(board);
	double before = 0;
	(void)state;
	for (int round = 0; round < 30; round++) {
		struct worker b = worker_of(board);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			for (;;) {
				metric_add(b.done, 1, NULL);
				metric_add(b.tenants, 1, (const char *[]){ "acme" });
				metrics_publish(b.m);
			}
		}
		for (int i = 0; i < 20; i++) {
			double runs = number_of(a.m, "runs_total{tenant=\"acme\"}"), now = number_of(a.m, "done_total");
			assert_true(now >= before);
			assert_true(runs <= now);
			before = now;
		}
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		metrics_board_fold(board, b.slot);
		assert_true(number_of(a.m, "done_total") >= before);
		metrics_free(b.m);
	}
	metrics_free(a.m);
	metrics_board_free(board);
}

static void tenants_are_bounded_for_all_workers_alike(void **state)
{
	struct metrics_board *board = metrics_board_new(4, 3);
	struct worker a = worker_of(board), b = worker_of(board);
	char name[16];
	(void)state;
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof name, "t%d", i);
		metric_add(a.tenants, 1, (const char *[]){ name });
		metric_add(b.tenants, 1, (const char *[]){ name });
	}
	metrics_publish(b.m);
	assert_true(number_of(a.m, "runs_total{tenant=\"t0\"}") == 2);
	assert_true(number_of(a.m, "runs_total{tenant=\"t2\"}") == 2);
	assert_true(number_of(a.m, "runs_total{tenant=\"t3\"}") == -1);
	assert_true(number_of(a.m, "runs_total{tenant=\"other\"}") == 14);
	metrics_free(a.m);
	metrics_free(b.m);
	metrics_board_free(board);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whoever_answers_gives_the_sum),
		cmocka_unit_test(counters_of_the_dead_stay_and_their_gauges_go),
		cmocka_unit_test(a_writer_may_die_at_any_moment),
		cmocka_unit_test(tenants_are_bounded_for_all_workers_alike),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
