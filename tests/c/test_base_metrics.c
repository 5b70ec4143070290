#include "check.h"

#include "base/json_text.h"
#include "base/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void assert_has(const struct buf *text, const char *line)
{
	if (!strstr(buf_text(text), line))
		fail_msg("no \"%s\" in\n%s", line, buf_text(text));
}

static void write_all(struct metrics *m, struct buf *out)
{
	buf_init(out, 1u << 20);
	metrics_write(m, out);
	assert_false(out->full);
}

static void counters_and_gauges_have_help_type_and_series(void **state)
{
	struct metrics *m = metrics_new(100);
	struct metric *requests =
		metric_declare(m, METRIC_COUNTER, "http_requests_total", "Requests\nserved \\o/.",
			       (const char *[]){"method", "status", NULL}, NULL);
	struct metric *cells = metric_declare(m, METRIC_GAUGE, "cells", "Cells now.", NULL, NULL);
	struct buf out;

	(void)state;
	metric_add(requests, 1, (const char *[]){ "GET", "200" });
	metric_add(requests, 2, (const char *[]){ "GET", "200" });
	metric_add(requests, 0.5, (const char *[]){ "POST", "4\"0\\4\n" });
	metric_set(cells, 7, NULL);
	metric_add(cells, -2.5, NULL);
	write_all(m, &out);
	assert_has(&out, "# HELP http_requests_total Requests\\nserved \\\\o/.\n# TYPE "
			 "http_requests_total counter\n"
			 "http_requests_total{method=\"GET\",status=\"200\"} 3\n"
			 "http_requests_total{method=\"POST\",status=\"4\\\"0\\\\4\\n\"} 0.5\n");
	assert_has(&out, "# HELP cells Cells now.\n# TYPE cells gauge\ncells 4.5\n");
	assert_true(metric_value(requests, (const char *[]){ "GET", "200" }) == 3);
	assert_true(metric_value(requests, (const char *[]){ "GET", "500" }) == 0);
	assert_null(strstr(buf_text(&out), "\"500\""));
	buf_free(&out);
	metrics_free(m);
}

static void metrics_without_labels_are_there_from_the_start(void **state)
{
	struct metrics *m = metrics_new(100);
	struct buf out;

	(void)state;
	metric_declare(m, METRIC_COUNTER, "runs_total", "Runs.", NULL, NULL);
	metric_declare(m, METRIC_COUNTER, "labelled_total", "Nothing yet.",
		       (const char *[]){"a", NULL}, NULL);
	write_all(m, &out);
	assert_has(&out, "\nruns_total 0\n");
	assert_null(strstr(buf_text(&out), "labelled_total"));
	buf_free(&out);
	metrics_free(m);
}

static void histograms_are_cumulative(void **state)
{
	struct metrics *m = metrics_new(100);
	struct metric *h =
		metric_declare(m, METRIC_HISTOGRAM, "step_seconds", "Steps.",
			       (const char *[]){"step", NULL}, (const double[]){0.1, 0.5, 2, 0});
	const char *const step[] = { "read" };
	struct buf out;

	(void)state;
	metric_observe(h, 0.1, step); /* at the bound is within */
	metric_observe(h, 0.25, step);
	metric_observe(h, 1, step);
	metric_observe(h, 100, step);
	write_all(m, &out);
	assert_has(&out, "# TYPE step_seconds histogram\n"
			 "step_seconds_bucket{step=\"read\",le=\"0.1\"} 1\n"
			 "step_seconds_bucket{step=\"read\",le=\"0.5\"} 2\n"
			 "step_seconds_bucket{step=\"read\",le=\"2\"} 3\n"
			 "step_seconds_bucket{step=\"read\",le=\"+Inf\"} 4\n"
			 "step_seconds_sum{step=\"read\"} 101.35\n"
			 "step_seconds_count{step=\"read\"} 4\n");
	buf_free(&out);
	metrics_free(m);
}

static void the_usual_buckets_reach_from_half_a_millisecond_to_a_minute(void **state)
{
	struct metrics *m = metrics_new(100);
	struct buf out;

	(void)state;
	metric_declare(m, METRIC_HISTOGRAM, "plain_seconds", "x.", NULL, metric_seconds_buckets);
	write_all(m, &out);
	assert_has(&out, "plain_seconds_bucket{le=\"0.0005\"} 0\n");
	assert_has(&out, "plain_seconds_bucket{le=\"60\"} 0\n");
	assert_has(&out, "plain_seconds_bucket{le=\"+Inf\"} 0\nplain_seconds_sum "
			 "0\nplain_seconds_count 0\n");
	buf_free(&out);
	metrics_free(m);
}

static void series_are_bounded_and_the_rest_are_other(void **state)
{
	struct metrics *m = metrics_new(50);
	struct metric *c = metric_declare(m, METRIC_COUNTER, "by_tenant_total", "x.",
					  (const char *[]){"tenant", NULL}, NULL);
	struct buf out;
	char name[20];
	const char *line;
	int i, series = 0;

	(void)state;
	for (i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "t%d", i);
		metric_add(c, 1, (const char *[]){ name });
	}
	metric_add(c, 1, (const char *[]){ "t3" });
	write_all(m, &out);
	for (line = buf_text(&out); (line = strstr(line, "\nby_tenant_total{")); line++)
		series++;
	assert_int_equal(series, 51);
	assert_has(&out, "by_tenant_total{tenant=\"t3\"} 2\n");
	assert_has(&out, "by_tenant_total{tenant=\"other\"} 950\n");
	buf_free(&out);
	metrics_free(m);
}

static void label_values_are_short_and_utf8(void **state)
{
	struct metrics *m = metrics_new(50);
	struct metric *c = metric_declare(m, METRIC_COUNTER, "x_total", "x.",
					  (const char *[]){"v", NULL}, NULL);
	char wide[1000];
	struct buf out;
	size_t i;

	(void)state;
	wide[0] = 'x';
	for (i = 1; i + 2 < sizeof wide; i += 2)
		memcpy(wide + i, "\xc3\xbc", 2);
	wide[i] = '\0';
	metric_add(c, 1, (const char *[]){ wide });
	metric_add(c, 1, (const char *[]){ "\xff" });
	metric_add(c, 1, (const char *[]){ "" });
	write_all(m, &out);
	assert_true(utf8_is_valid(buf_str(&out)));
	assert_has(&out, "x_total{v=\"invalid\"} 1\n");
	assert_has(&out, "x_total{v=\"\"} 1\n");
	assert_true(strlen(strstr(buf_text(&out), "x_total{v=\"x")) > 255);
	buf_free(&out);
	metrics_free(m);
}

static double number_after(const struct buf *out, const char *name)
{
	char key[80];
	const char *at;

	snprintf(key, sizeof key, "\n%s ", name);
	at = strstr(buf_text(out), key);
	assert_non_null(at);
	return strtod(at + strlen(key), NULL);
}

static void the_process_tells_of_itself(void **state)
{
	struct metrics *m = metrics_new(50);
	double started;
	struct buf out;

	(void)state;
	write_all(m, &out);
	assert_true(number_after(&out, "process_cpu_seconds_total") > 0);
	assert_true(number_after(&out, "process_resident_memory_bytes") > 100000);
	assert_true(number_after(&out, "process_open_fds") >= 3);
	assert_true(number_after(&out, "process_max_fds") > 0);
	started = number_after(&out, "process_start_time_seconds");
	assert_true(started <= (double)time(NULL) + 2 && started > (double)time(NULL) - 600);
	buf_free(&out);
	metrics_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_and_gauges_have_help_type_and_series),
		cmocka_unit_test(metrics_without_labels_are_there_from_the_start),
		cmocka_unit_test(histograms_are_cumulative),
		cmocka_unit_test(the_usual_buckets_reach_from_half_a_millisecond_to_a_minute),
		cmocka_unit_test(series_are_bounded_and_the_rest_are_other),
		cmocka_unit_test(label_values_are_short_and_utf8),
		cmocka_unit_test(the_process_tells_of_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
