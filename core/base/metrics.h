/*
 * Counters, gauges and histograms in Prometheus text form 0.0.4. One registry per worker (loop thread only). A metric is declared
 * once with HELP and label names; series come with their first use and are bounded per metric (then the label values become "other").
 * The values of a label called `tenant` are bounded over all metrics of the host (metrics_board.h): the rest is "other".
 */
#pragma once

#include "base/bytes.h"

struct metrics;
struct metric;
enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
/* What the gauges of several workers say together. */
enum metric_combine { COMBINE_SUM, COMBINE_MOST, COMBINE_LEAST };
#define METRIC_LABELS_MAX 6

struct metrics *metrics_new(size_t series_max);
void metrics_free(struct metrics *m);
/* labels: NULL-terminated list of names, e.g. (const char *[]){ "method", "status", NULL }; buckets (histogram): ascending, ends with 0. */
struct metric *metric_declare(struct metrics *m, enum metric_kind kind, const char *name, const char *help, const char *const *labels,
                              const double *buckets);
/* For a gauge whose values of several workers do not add. */
void metric_combine(struct metric *metric, enum metric_combine combine);
/* values: one per label, in the order of declaration; NULL when there are none. */
void metric_add(struct metric *metric, double by, const char *const *values);
void metric_set(struct metric *metric, double to, const char *const *values);
void metric_observe(struct metric *metric, double seconds, const char *const *values);
double metric_value(struct metric *metric, const char *const *values); /* counters and gauges; 0 for a series not seen */
/* With the process metrics (process_resident_memory_bytes …); the sum of all workers when m belongs to a board. */
void metrics_write(struct metrics *m, struct buf *out);
/* Has this tenant series of its own, or is it part of "other"? */
bool metrics_shows_tenant(struct metrics *m, const char *tenant);
extern const double metric_seconds_buckets[];                          /* 0.5 ms to 60 s */
