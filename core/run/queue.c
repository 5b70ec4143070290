/* See queue.h. The heap holds tenants, lowest pass first. */
#include "run/queue.h"

#include <stdlib.h>

#include "run/run_internal.h"

static bool goes_first(const struct tenant *a, const struct tenant *b)
{
	if (a->queue.pass != b->queue.pass)
		return a->queue.pass < b->queue.pass;
	return a->queue.turn < b->queue.turn;
}

static void put(struct run_queue *queue, size_t at, struct tenant *tenant)
{
	queue->heap[at] = tenant;
	tenant->queue.heap_at = at + 1;
}

static void rise(struct run_queue *queue, size_t at, struct tenant *tenant)
{
	while (at > 0 && goes_first(tenant, queue->heap[(at - 1) / 2])) {
		put(queue, at, queue->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	put(queue, at, tenant);
}

static void sink(struct run_queue *queue, size_t at, struct tenant *tenant)
{
	for (size_t child; (child = 2 * at + 1) < queue->heap_count; at = child) {
		if (child + 1 < queue->heap_count && goes_first(queue->heap[child + 1], queue->heap[child]))
			child++;
		if (!goes_first(queue->heap[child], tenant))
			break;
		put(queue, at, queue->heap[child]);
	}
	put(queue, at, tenant);
}

static void heap_leave(struct run_queue *queue, struct tenant *tenant)
{
	size_t at = tenant->queue.heap_at - 1;
	struct tenant *last = queue->heap[--queue->heap_count];
	tenant->queue.heap_at = 0;
	if (last == tenant)
		return;
	if (at > 0 && goes_first(last, queue->heap[(at - 1) / 2]))
		rise(queue, at, last);
	else
		sink(queue, at, last);
}

static void heap_enter(struct run_queue *queue, struct tenant *tenant)
{
	int64_t lowest = queue->heap_count ? queue->heap[0]->queue.pass : queue->pass;
	if (tenant->queue.pass < lowest)
		tenant->queue.pass = lowest;
	tenant->queue.turn = ++queue->turn;
	if (queue->heap_count == queue->heap_cap) {
		queue->heap_cap = queue->heap_cap ? queue->heap_cap * 2 : 64;
		queue->heap = mem_grow(queue->heap, queue->heap_cap, sizeof *queue->heap);
	}
	rise(queue, queue->heap_count++, tenant);
}

/* Into the heap or out of it, as the tenant's counts say. */
static void settle_place(struct run_queue *queue, struct tenant *tenant)
{
	const struct tenant_queue *own = &tenant->queue;
	bool may_start = own->count > 0 && (own->share == 0 || own->computing < own->share);
	if (may_start && !own->heap_at)
		heap_enter(queue, tenant);
	else if (!may_start && own->heap_at)
		heap_leave(queue, tenant);
}

void queue_init_tenant(struct tenant_queue *tenant)
{
	TAILQ_INIT(&tenant->begun);
	TAILQ_INIT(&tenant->new);
	tenant->weight = WEIGHT_OTHERWISE;
}

void queue_add(struct run_queue *queue, struct run *run)
{
	struct tenant_queue *own = &run->tenant->queue;
	run->queued_new = run->journal_length == 0 && !run->parent && run->strikes == 0;
	TAILQ_INSERT_TAIL(run->queued_new ? &own->new : &own->begun, run, link);
	own->count++;
	queue->count++;
	settle_place(queue, run->tenant);
}

void queue_remove(struct run_queue *queue, struct run *run)
{
	struct tenant_queue *own = &run->tenant->queue;
	TAILQ_REMOVE(run->queued_new ? &own->new : &own->begun, run, link);
	own->count--;
	queue->count--;
	settle_place(queue, run->tenant);
}

struct run *queue_first(const struct run_queue *queue)
{
	if (queue->heap_count == 0)
		return NULL;
	const struct tenant_queue *own = &queue->heap[0]->queue;
	return TAILQ_EMPTY(&own->begun) ? TAILQ_FIRST(&own->new) : TAILQ_FIRST(&own->begun);
}

void queue_charge(struct run_queue *queue, struct tenant *tenant)
{
	struct tenant_queue *own = &tenant->queue;
	if (own->pass > queue->pass)
		queue->pass = own->pass;
	own->pass += QUEUE_STEP / own->weight;
	own->turn = ++queue->turn;
	if (own->heap_at)
		sink(queue, own->heap_at - 1, tenant);
}

void queue_compute(struct run_queue *queue, struct tenant *tenant, int by)
{
	tenant->queue.computing += (size_t)(int64_t)by;
	queue->computing += (size_t)(int64_t)by;
	settle_place(queue, tenant);
}

void queue_set_limits(struct run_queue *queue, struct tenant *tenant, int64_t weight, size_t share)
{
	tenant->queue.weight = weight < 1 ? 1 : weight > WEIGHT_MAX ? WEIGHT_MAX : weight;
	tenant->queue.share = share;
	settle_place(queue, tenant);
}

void queue_free(struct run_queue *queue)
{
	free(queue->heap);
}
