#include "base/metrics.h"

#include "base/json_text.h"
#include "base/metrics_board.h"
#include "base/metrics_internal.h"
#include "base/metrics_process.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SERIES_FIRST 16u /* slots of a table; a power of two */

const double metric_seconds_buckets[] = {
	0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 0,
};

#define LABELS_MAX ((size_t)METRIC_LABELS_MAX * 1024) /* bytes of rendered labels of one series */
#define LABEL_VALUE_MAX 256u

struct metrics *metrics_new(size_t series_max)
{
	struct metrics *m = mem_alloc(sizeof *m);

	m->magic = METRICS_MAGIC;
	m->series_max = series_max ? series_max : 1;
	m->end = &m->first;
	return m;
}

static void series_free(struct series *s)
{
	if (!s)
		return;
	buf_free(&s->labels);
	free(s->in_bucket);
	free(s);
}

static void metric_free(struct metric *metric)
{
	size_t i;

	for (i = 0; i < metric->series_count; i++)
		series_free(metric->order[i]);
	for (i = 0; i < metric->label_count; i++)
		free(metric->labels[i]);
	buf_free(&metric->key);
	free(metric->order);
	free(metric->slots);
	free(metric->bounds);
	free(metric->name);
	free(metric->help);
	free(metric);
}

void metrics_free(struct metrics *m)
{
	struct metric *metric;

	if (!m)
		return;
	BUG_ON(m->magic != METRICS_MAGIC);
	while ((metric = m->first)) {
		m->first = metric->next;
		metric_free(metric);
	}
	m->magic = 0;
	free(m);
}

static void add_escaped(struct buf *b, struct str s, bool quotes)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		if (s.p[i] == '\n')
			buf_add(b, "\\n", 2);
		else if (s.p[i] == '\\' || (quotes && s.p[i] == '"'))
			buf_add(b, (char[]){ '\\', s.p[i] }, 2);
		else
			buf_add_char(b, s.p[i]);
	}
}

/* A label value: bounded, and UTF-8 as the text form demands. */
static void add_label_value(struct buf *b, const char *value)
{
	struct str s = str_of(value);

	if (s.n > LABEL_VALUE_MAX)
		s.n = LABEL_VALUE_MAX;
	while (s.n > 0 && !utf8_is_valid(s) && str_of(value).n > s.n)
		s.n--; /* the cut may have fallen within a character */
	if (utf8_is_valid(s))
		add_escaped(b, s, true);
	else
		buf_add_text(b, "invalid");
}

bool metrics_shows_tenant(struct metrics *m, const char *tenant)
{
	return !m->board || metrics_board_shows(m->board, str_of(tenant));
}

static void render_labels(const struct metric *metric, const char *const *values, struct buf *out)
{
	size_t i;

	buf_reset(out);
	for (i = 0; i < metric->label_count; i++) {
		if (i)
			buf_add_char(out, ',');
		buf_add_text(out, metric->labels[i]);
		buf_add(out, "=\"", 2);
		bool hidden = values && strcmp(metric->labels[i], "tenant") == 0 && !metrics_shows_tenant(metric->owner, values[i]);
		add_label_value(out, values && !hidden ? values[i] : "other");
		buf_add_char(out, '"');
	}
}

uint64_t metrics_hash(struct str s)
{
	uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
	size_t i;

	for (i = 0; i < s.n; i++)
		hash = (hash ^ (unsigned char)s.p[i]) * UINT64_C(1099511628211);
	return hash;
}

/* Where the key is, or where it would go. */
static struct series **slot_of(struct metric *metric, struct str key, uint64_t hash)
{
	size_t mask = metric->slot_count - 1, i = (size_t)hash & mask;

	while (metric->slots[i] && !(metric->slots[i]->hash == hash &&
				     str_equal(buf_str(&metric->slots[i]->labels), key)))
		i = (i + 1) & mask;
	return &metric->slots[i];
}

static void slots_grow(struct metric *metric)
{
	size_t i;

	free(metric->slots);
	metric->slot_count = metric->slot_count ? metric->slot_count * 2 : SERIES_FIRST;
	metric->slots = mem_array(metric->slot_count, sizeof *metric->slots);
	metric->order = mem_grow(metric->order, metric->slot_count / 2, sizeof *metric->order);
	for (i = 0; i < metric->series_count; i++) {
		struct series *s = metric->order[i];

		*slot_of(metric, buf_str(&s->labels), s->hash) = s;
	}
}

static struct series *series_new(struct metric *metric, struct str key, uint64_t hash)
{
	struct series *s = mem_alloc(sizeof *s);

	buf_init(&s->labels, LABELS_MAX);
	buf_add_str(&s->labels, key);
	s->hash = hash;
	if (metric->kind == METRIC_HISTOGRAM)
		s->in_bucket = mem_array(metric->bound_count + 1, sizeof *s->in_bucket);
	if (metric->series_count == metric->slot_count / 2)
		slots_grow(metric);
	*slot_of(metric, key, hash) = s;
	metric->order[metric->series_count++] = s;
	return s;
}

static struct series *series_at(struct metric *metric, struct str labels, bool create)
{
	uint64_t hash = metrics_hash(labels);
	struct series *s = *slot_of(metric, labels, hash);

	if (s || !create)
		return s;
	if (metric->series_count >= metric->owner->series_max && metric->label_count > 0) {
		render_labels(metric, NULL, &metric->key); /* "other" */
		labels = buf_str(&metric->key);
		hash = metrics_hash(labels);
		s = *slot_of(metric, labels, hash);
		if (s)
			return s;
	}
	return series_new(metric, labels, hash);
}

/* The series of these values; without `create` NULL when it has not been seen. */
static struct series *series_find(struct metric *metric, const char *const *values, bool create)
{
	BUG_ON(metric->label_count > 0 && !values);
	render_labels(metric, values, &metric->key);
	return series_at(metric, buf_str(&metric->key), create);
}

struct series *metrics_series(struct metric *metric, struct str labels)
{
	return series_at(metric, labels, true);
}

struct metric *metrics_find(struct metrics *m, struct str name)
{
	struct metric *metric = m->first;

	while (metric && !str_is(name, metric->name))
		metric = metric->next;
	return metric;
}

void metric_combine(struct metric *metric, enum metric_combine combine)
{
	BUG_ON(metric->kind != METRIC_GAUGE);
	metric->combine = combine;
}

struct metric *metric_declare(struct metrics *m, enum metric_kind kind, const char *name,
			      const char *help, const char *const *labels, const double *buckets)
{
	struct metric *metric;

	BUG_ON(m->magic != METRICS_MAGIC);
	BUG_ON(metrics_find(m, str_of(name)));
	metric = mem_alloc(sizeof *metric);
	metric->owner = m;
	metric->kind = kind;
	metric->name = mem_copy(str_of(name));
	metric->help = mem_copy(str_of(help));
	buf_init(&metric->key, LABELS_MAX);
	while (labels && labels[metric->label_count]) {
		BUG_ON(metric->label_count == METRIC_LABELS_MAX);
		metric->labels[metric->label_count] = mem_copy(str_of(labels[metric->label_count]));
		metric->label_count++;
	}
	if (kind == METRIC_HISTOGRAM) {
		const double *bounds = buckets ? buckets : metric_seconds_buckets;

		while (bounds[metric->bound_count] > 0)
			metric->bound_count++;
		metric->bounds = mem_array(metric->bound_count, sizeof *bounds);
		if (metric->bound_count)
			memcpy(metric->bounds, bounds, metric->bound_count * sizeof *bounds);
	}
	slots_grow(metric);
	if (metric->label_count == 0) /* present from the start, at zero */
		series_find(metric, NULL, true);
	*m->end = metric;
	m->end = &metric->next;
	return metric;
}

void metric_add(struct metric *metric, double by, const char *const *values)
{
	BUG_ON(metric->kind == METRIC_HISTOGRAM || (metric->kind == METRIC_COUNTER && by < 0));
	series_find(metric, values, true)->value += by;
}

void metric_set(struct metric *metric, double to, const char *const *values)
{
	BUG_ON(metric->kind != METRIC_GAUGE);
	series_find(metric, values, true)->value = to;
}

void metric_observe(struct metric *metric, double seconds, const char *const *values)
{
	struct series *s;
	size_t i = 0;

	BUG_ON(metric->kind != METRIC_HISTOGRAM);
	s = series_find(metric, values, true);
	while (i < metric->bound_count && seconds > metric->bounds[i])
		i++;
	s->in_bucket[i]++;
	s->count++;
	s->value += seconds;
}

double metric_value(struct metric *metric, const char *const *values)
{
	struct series *s = series_find(metric, values, false);

	return s ? s->value : 0;
}

static void add_number(struct buf *out, double value)
{
	if (isnan(value))
		buf_add_text(out, "NaN");
	else if (!json_add_double(out, value))
		buf_add_text(out, value > 0 ? "+Inf" : "-Inf");
}

/* name_suffix{labels,extra} value; extra is le="…" of a bucket */
static void add_sample(struct buf *out, const struct metric *metric, const char *suffix,
		       const struct series *s, const char *extra, double value)
{
	buf_add_text(out, metric->name);
	buf_add_text(out, suffix);
	if (s->labels.n || extra) {
		buf_add_char(out, '{');
		buf_add_str(out, buf_str(&s->labels));
		if (s->labels.n && extra)
			buf_add_char(out, ',');
		buf_add_text(out, extra);
		buf_add_char(out, '}');
	}
	buf_add_char(out, ' ');
	add_number(out, value);
	buf_add_char(out, '\n');
}

static void add_histogram(struct buf *out, const struct metric *metric, const struct series *s)
{
	uint64_t below = 0;
	struct buf bound;
	size_t i;

	buf_init(&bound, 64);
	for (i = 0; i <= metric->bound_count; i++) {
		below += s->in_bucket[i];
		buf_reset(&bound);
		buf_add_text(&bound, "le=\"");
		add_number(&bound, i < metric->bound_count ? metric->bounds[i] : (double)INFINITY);
		buf_add_char(&bound, '"');
		add_sample(out, metric, "_bucket", s, buf_text(&bound), (double)below);
	}
	buf_free(&bound);
	add_sample(out, metric, "_sum", s, NULL, s->value);
	add_sample(out, metric, "_count", s, NULL, (double)s->count);
}

static void write_own(const struct metrics *m, struct buf *out)
{
	static const char *const kinds[] = { "counter", "gauge", "histogram" };
	const struct metric *metric;
	size_t i;

	for (metric = m->first; metric; metric = metric->next) {
		if (metric->series_count == 0)
			continue;
		buf_addf(out, "# HELP %s ", metric->name);
		add_escaped(out, str_of(metric->help), false);
		buf_addf(out, "\n# TYPE %s %s\n", metric->name, kinds[metric->kind]);
		for (i = 0; i < metric->series_count; i++) {
			if (metric->kind == METRIC_HISTOGRAM)
				add_histogram(out, metric, metric->order[i]);
			else
				add_sample(out, metric, "", metric->order[i], NULL,
					   metric->order[i]->value);
		}
	}
}

void metrics_write(struct metrics *m, struct buf *out)
{
	if (m->board) {
		metrics_publish(m);
		struct metrics *sum = metrics_board_sum(m->board);
		write_own(sum, out);
		metrics_free(sum);
	} else {
		metrics_process_update(m);
		write_own(m, out);
	}
}
