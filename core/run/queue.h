/*
 * Whose run is started next, within this worker. Two levels: tenants by stride scheduling (each start moves a tenant's pass on by a step that is smaller the
 * heavier the tenant; the lowest pass is next), within a tenant first in, first out: runs that have begun and children before new roots, so that what is under
 * way ends before more is begun.
 *
 * A tenant stands in the heap while it has a queued run and may have another computing cell here. One that comes (back) starts no lower than the lowest pass
 * there: having been away earns no credit.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct run;
struct tenant;

#define QUEUE_STEP 10000000      /* of a pass, by one start of a tenant of weight 1 */
#define WEIGHT_MAX 10000
#define WEIGHT_OTHERWISE 100

TAILQ_HEAD(run_list_head, run);

struct tenant_queue {                      /* in struct tenant */
	struct run_list_head begun, new;
	size_t count;                      /* in both lists */
	size_t computing;                  /* cells of the tenant that are at work or being opened; those that only wait do not count */
	size_t share;                      /* computing ones at most, here; 0: no limit */
	int64_t weight;
	int64_t pass;
	uint64_t turn;                     /* among equal passes: who was served longest ago */
	size_t heap_at;                    /* position + 1; 0: not there */
};

struct run_queue {                         /* in struct engine */
	struct tenant **heap;
	size_t heap_count, heap_cap;
	size_t count;                      /* queued runs of all tenants */
	size_t computing;
	int64_t pass;                      /* of the last tenant that was served, before its step */
	uint64_t turn;
};

void queue_init_tenant(struct tenant_queue *tenant);
void queue_add(struct run_queue *queue, struct run *run);
void queue_remove(struct run_queue *queue, struct run *run);
/* The run to start next, left where it is; NULL when no tenant may start one. */
struct run *queue_first(const struct run_queue *queue);
/* One run of the tenant was started: it has had its turn. */
void queue_charge(struct run_queue *queue, struct tenant *tenant);
/* A cell of the tenant began (by 1) or stopped (by -1) computing. */
void queue_compute(struct run_queue *queue, struct tenant *tenant, int by);
void queue_set_limits(struct run_queue *queue, struct tenant *tenant, int64_t weight, size_t share);
void queue_free(struct run_queue *queue);
