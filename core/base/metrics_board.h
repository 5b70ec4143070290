/*
 * Metrics of a host with several workers: whichever worker answers a scrape gives the sum of all.
 *
 * One anonymous shared mapping, made by the master before it forks. Each worker has a slot with two halves; it writes a snapshot of its registry into
 * one half and then says that this half counts, so a reader (or a worker that dies while it writes) never sees half a snapshot and nobody ever waits. What a dead
 * worker counted is added to the past by the master and stays in the sum: counters do not fall. What is lost is at most what it counted after its last snapshot, which
 * nobody has seen.
 *
 * The names of the tenants that metrics show are in the mapping, too: all workers show the same ones.
 */
#pragma once

#include "base/metrics.h"

struct metrics_board;

/* slots: workers at the same time; tenants: names shown, the rest is "other". */
struct metrics_board *metrics_board_new(size_t slots, size_t tenants);
void metrics_board_free(struct metrics_board *board);

/* The master: a slot for a worker that is about to be forked (-1: none is free, it goes uncounted), and after its end what it counted. */
int metrics_board_take(struct metrics_board *board);
void metrics_board_fold(struct metrics_board *board, int slot);

/* The worker: from now on metrics_write of m gives the sum. board NULL or slot -1 does nothing. */
void metrics_join(struct metrics *m, struct metrics_board *board, int slot);
/* Let the others see what m holds; at least once a second. metrics_write does it, too. */
void metrics_publish(struct metrics *m);
