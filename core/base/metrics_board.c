#include "base/metrics_board.h"

#include "base/metrics_internal.h"
#include "base/metrics_process.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HALF_BYTES (4u << 20)      /* of one snapshot; pages that nobody writes cost nothing */
#define SLOTS_MAX 256
#define READS_MAX 1000             /* of a slot that changes while it is read: it does so once a second */
#define SUM_SERIES_MAX 10000       /* per metric */
#define TENANT_NAME_MAX 63

/* The past says which lives it holds: a reader that has seen one of them in its slot as well takes it once. */
struct half {
	uint32_t bytes;
	uint32_t folded[SLOTS_MAX];
	char data[HALF_BYTES];
};

struct board_slot {
	_Atomic uint32_t life;         /* 0: free; else the number of the worker's life */
	_Atomic uint32_t version;      /* of the snapshot that counts: half version % 2; 0: none yet */
	struct half halves[2];
};

struct board_tenant {
	_Atomic int state;             /* 0 free, 1 being written (for ever, if its writer died), 2 there */
	char name[TENANT_NAME_MAX + 1];
};

struct metrics_board {
	size_t slots_count, tenants_most, tenants_size, bytes;
	uint32_t lives;                /* the master's */
	struct half *draft;            /* the master's, and each reader's own copy (private memory) */
	struct board_slot *past;       /* written by the master alone */
	struct board_slot *slots;
	_Atomic uint32_t *shown;       /* names in the table */
	struct board_tenant *tenants;  /* open addressing, at most half full */
};

/* -- a snapshot: numbers and texts, one after another -- */

struct pen {
	char *at, *end;
	bool full;
};

static void put_bytes(struct pen *pen, const void *p, size_t n)
{
	if (pen->full || (size_t)(pen->end - pen->at) < n) {
		pen->full = true;
		return;
	}
	if (n)
		memcpy(pen->at, p, n);
	pen->at += n;
}

static void put_count(struct pen *pen, size_t n)
{
	uint64_t wide = n;
	put_bytes(pen, &wide, sizeof wide);
}

static void put_text(struct pen *pen, struct str text)
{
	put_count(pen, text.n);
	put_bytes(pen, text.p, text.n);
}

static void put_metric(struct pen *pen, const struct metric *metric)
{
	put_text(pen, str_of(metric->name));
	put_text(pen, str_of(metric->help));
	put_count(pen, (size_t)metric->kind);
	put_count(pen, (size_t)metric->combine);
	put_count(pen, metric->label_count);
	for (size_t i = 0; i < metric->label_count; i++)
		put_text(pen, str_of(metric->labels[i]));
	put_count(pen, metric->bound_count);
	put_bytes(pen, metric->bounds, metric->bound_count * sizeof *metric->bounds);
	put_count(pen, metric->series_count);
	for (size_t i = 0; i < metric->series_count; i++) {
		const struct series *s = metric->order[i];
		put_text(pen, buf_str(&s->labels));
		put_bytes(pen, &s->value, sizeof s->value);
		put_bytes(pen, &s->count, sizeof s->count);
		if (metric->kind == METRIC_HISTOGRAM)
			put_bytes(pen, s->in_bucket, (metric->bound_count + 1) * sizeof *s->in_bucket);
	}
}

/* Whole metrics only: what does not fit is left out. */
static size_t draw(const struct metrics *m, char *data, size_t size)
{
	struct pen pen = { data, data + size, false };
	for (const struct metric *metric = m->first; metric && !pen.full; metric = metric->next) {
		char *before = pen.at;
		put_metric(&pen, metric);
		if (pen.full)
			pen.at = before;
	}
	return (size_t)(pen.at - data);
}

/* -- and back, into a sum -- */

struct eye {
	const char *at, *end;
	bool bad;
};

static bool take_bytes(struct eye *eye, void *out, size_t n)
{
	if (eye->bad || (size_t)(eye->end - eye->at) < n) {
		eye->bad = true;
		memset(out, 0, n);
		return false;
	}
	memcpy(out, eye->at, n);
	eye->at += n;
	return true;
}

static size_t take_count(struct eye *eye, size_t most)
{
	uint64_t n;
	take_bytes(eye, &n, sizeof n);
	if (n > most)
		eye->bad = true;
	return eye->bad ? 0 : (size_t)n;
}

static struct str take_text(struct eye *eye)
{
	size_t n = take_count(eye, HALF_BYTES);
	if (eye->bad || (size_t)(eye->end - eye->at) < n) {
		eye->bad = true;
		return STR("");
	}
	eye->at += n;
	return (struct str){ eye->at - n, n };
}

static void add_value(const struct metric *metric, struct series *s, double value)
{
	if (metric->combine == COMBINE_SUM)
		s->value += value;
	else if (!s->told || (metric->combine == COMBINE_MOST ? value > s->value : value < s->value))
		s->value = value;
	s->told = true;
}

static void take_series(struct eye *eye, struct metric *metric, bool keep)
{
	struct str labels = take_text(eye);
	double value;
	uint64_t count, in_bucket;
	take_bytes(eye, &value, sizeof value);
	take_bytes(eye, &count, sizeof count);
	struct series *s = keep && !eye->bad ? metrics_series(metric, labels) : NULL;
	if (s) {
		add_value(metric, s, value);
		s->count += count;
	}
	for (size_t i = 0; metric->kind == METRIC_HISTOGRAM && i <= metric->bound_count; i++)
		if (take_bytes(eye, &in_bucket, sizeof in_bucket) && s)
			s->in_bucket[i] += in_bucket;
}

static bool same_bounds(const struct metric *metric, const double *bounds, size_t count)
{
	return metric->bound_count == count && (count == 0 || memcmp(metric->bounds, bounds, count * sizeof *bounds) == 0);
}

/* over: the worker has ended, only what it counted is kept. */
static void take_metric(struct eye *eye, struct metrics *sum, bool over)
{
	const char *labels[METRIC_LABELS_MAX + 1] = { NULL };
	double bounds[128] = { 0 };
	struct str name_text = take_text(eye), help_text = take_text(eye);
	enum metric_kind kind = (enum metric_kind)take_count(eye, METRIC_HISTOGRAM);
	enum metric_combine combine = (enum metric_combine)take_count(eye, COMBINE_LEAST);
	size_t label_count = take_count(eye, METRIC_LABELS_MAX);
	for (size_t i = 0; i < label_count; i++)
		labels[i] = mem_copy(take_text(eye));
	size_t bound_count = take_count(eye, sizeof bounds / sizeof *bounds - 1);
	take_bytes(eye, bounds, bound_count * sizeof *bounds);
	size_t count = take_count(eye, HALF_BYTES);
	if (!eye->bad) {
		char *name = mem_copy(name_text), *help = mem_copy(help_text);
		struct metric *metric = metrics_find(sum, name_text);
		if (!metric) {
			metric = metric_declare(sum, kind, name, help, labels, kind == METRIC_HISTOGRAM ? bounds : NULL);
			metric->combine = combine;
		}
		if (metric->kind != kind || metric->label_count != label_count || !same_bounds(metric, bounds, bound_count))
			eye->bad = true; /* of another program: its numbers mean something else */
		for (size_t i = 0; i < count && !eye->bad; i++)
			take_series(eye, metric, !over || kind != METRIC_GAUGE);
		free(name);
		free(help);
	}
	for (size_t i = 0; i < label_count; i++)
		free((char *)(uintptr_t)labels[i]);
}

static void absorb(struct metrics *sum, const struct half *half, bool over)
{
	struct eye eye = { half->data, half->data + (half->bytes <= HALF_BYTES ? half->bytes : 0), false };
	while (!eye.bad && eye.at < eye.end)
		take_metric(&eye, sum, over);
}

/* -- slots -- */

static void publish(struct board_slot *slot, const struct metrics *m, const uint32_t *folded, size_t folded_count)
{
	uint32_t version = atomic_load_explicit(&slot->version, memory_order_relaxed) + 1;
	if (version == 0)
		version = 2; /* after four thousand million; 0 says that there is none */
	struct half *half = &slot->halves[version % 2];
	atomic_thread_fence(memory_order_seq_cst);
	half->bytes = (uint32_t)draw(m, half->data, HALF_BYTES);
	if (folded)
		memcpy(half->folded, folded, folded_count * sizeof *folded);
	atomic_store_explicit(&slot->version, version, memory_order_release);
}

/* Copies the snapshot that counts; its version, or 0 when there is none. */
static uint32_t look(struct board_slot *slot, struct half *out)
{
	for (int i = 0; i < READS_MAX; i++) {
		uint32_t version = atomic_load_explicit(&slot->version, memory_order_acquire);
		if (version == 0)
			return 0;
		const struct half *half = &slot->halves[version % 2];
		out->bytes = half->bytes <= HALF_BYTES ? half->bytes : 0;
		memcpy(out->folded, half->folded, sizeof out->folded);
		memcpy(out->data, half->data, out->bytes);
		atomic_thread_fence(memory_order_acquire);
		/* its writer changes the other half first, and says so, before it touches this one */
		if (atomic_load_explicit(&slot->version, memory_order_relaxed) == version)
			return version;
	}
	return 0;
}

struct metrics_board *metrics_board_new(size_t slots, size_t tenants)
{
	struct metrics_board *board = mem_alloc(sizeof *board);
	board->slots_count = slots < SLOTS_MAX ? slots : SLOTS_MAX;
	board->tenants_most = tenants;
	board->tenants_size = 2 * tenants + 1;
	size_t slots_bytes = (board->slots_count + 1) * sizeof(struct board_slot), head_bytes = sizeof(struct board_tenant);
	board->bytes = slots_bytes + head_bytes + board->tenants_size * sizeof(struct board_tenant);
	char *at = mmap(NULL, board->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	BUG_ON(at == MAP_FAILED);
	board->past = (struct board_slot *)(void *)at;
	board->slots = board->past + 1;
	board->shown = (_Atomic uint32_t *)(void *)(at + slots_bytes);
	board->tenants = (struct board_tenant *)(void *)(at + slots_bytes + head_bytes);
	board->draft = mem_alloc(sizeof *board->draft);
	return board;
}

void metrics_board_free(struct metrics_board *board)
{
	if (!board)
		return;
	munmap(board->past, board->bytes);
	free(board->draft);
	free(board);
}

int metrics_board_take(struct metrics_board *board)
{
	for (size_t i = 0; i < board->slots_count; i++) {
		if (atomic_load(&board->slots[i].life))
			continue;
		atomic_store(&board->slots[i].version, 0);
		atomic_store(&board->slots[i].life, ++board->lives);
		return (int)i;
	}
	return -1;
}

void metrics_board_fold(struct metrics_board *board, int slot_number)
{
	if (slot_number < 0)
		return;
	struct board_slot *slot = &board->slots[slot_number];
	uint32_t folded[SLOTS_MAX] = { 0 };
	struct metrics *past = metrics_new(SUM_SERIES_MAX);
	if (look(board->past, board->draft)) {
		absorb(past, board->draft, true);
		memcpy(folded, board->draft->folded, sizeof folded);
	}
	if (look(slot, board->draft))
		absorb(past, board->draft, true);
	folded[slot_number] = atomic_load(&slot->life);
	publish(board->past, past, folded, SLOTS_MAX);
	atomic_store(&slot->life, 0);
	metrics_free(past);
}

/* One attempt; false when a worker's end was folded in between. */
static bool sum_once(struct metrics_board *board, struct metrics *sum, uint32_t *folded)
{
	uint32_t past = look(board->past, board->draft);
	memset(folded, 0, SLOTS_MAX * sizeof *folded);
	if (past) {
		absorb(sum, board->draft, true);
		memcpy(folded, board->draft->folded, SLOTS_MAX * sizeof *folded);
	}
	for (size_t i = 0; i < board->slots_count; i++) {
		uint32_t life = atomic_load(&board->slots[i].life);
		if (life && life != folded[i] && look(&board->slots[i], board->draft))
			absorb(sum, board->draft, false);
	}
	return atomic_load(&board->past->version) == past;
}

struct metrics *metrics_board_sum(struct metrics_board *board)
{
	uint32_t folded[SLOTS_MAX];
	for (int i = 0;; i++) {
		struct metrics *sum = metrics_new(SUM_SERIES_MAX);
		if (sum_once(board, sum, folded) || i == READS_MAX)
			return sum;
		metrics_free(sum);
	}
}

/* -- tenants -- */

bool metrics_board_shows(struct metrics_board *board, struct str tenant)
{
	if (tenant.n > TENANT_NAME_MAX)
		return false;
	size_t at = (size_t)metrics_hash(tenant) % board->tenants_size;
	for (size_t i = 0; i < board->tenants_size; i++, at = (at + 1) % board->tenants_size) {
		struct board_tenant *entry = &board->tenants[at];
		int state = atomic_load_explicit(&entry->state, memory_order_acquire);
		if (state == 2 && str_is(tenant, entry->name))
			return true;
		if (state != 0)
			continue; /* another, or one whose writer is about to end, or died */
		if (atomic_load(board->shown) >= board->tenants_most)
			return false;
		if (!atomic_compare_exchange_strong(&entry->state, &state, 1))
			continue;
		atomic_fetch_add(board->shown, 1);
		memcpy(entry->name, tenant.p, tenant.n);
		entry->name[tenant.n] = '\0';
		atomic_store_explicit(&entry->state, 2, memory_order_release);
		return true;
	}
	return false;
}

/* -- a worker -- */

void metrics_join(struct metrics *m, struct metrics_board *board, int slot)
{
	if (!board || slot < 0)
		return;
	m->board = board;
	m->board_slot = slot;
}

void metrics_publish(struct metrics *m)
{
	if (!m->board)
		return;
	metrics_process_update(m);
	publish(&m->board->slots[m->board_slot], m, NULL, 0);
}
