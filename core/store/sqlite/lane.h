/*
 * A thread that runs transactions: one lane writes, one reads, each with its own connections.
 *
 * Happy path: what was submitted while the lane was busy is taken at once, sorted by tenant, and each tenant's part is one
 * transaction of SQLite: one fsync for all (group commit), then all of the part are complete. In a part of several each write
 * stands or falls alone.
 * Failure modes: a transaction that loses a race or is wrong is undone alone; when the store fails (disk full, damaged, cut off)
 * the whole part is undone and told so, and the connection is opened anew for the next one.
 */
#pragma once

#include "store/sqlite/pool.h"

#include <pthread.h>

struct lane {
	struct store *store;
	const struct folder *folder;
	enum connection_mode mode;
	struct pool pool;             /* the lane's thread only */
	pthread_t thread;
	pthread_mutex_t lock;         /* over what follows */
	pthread_cond_t work;
	struct store_tx *first, **end;
	bool stopping, idle;
};

void lane_start(struct lane *lane, struct store *store, const struct folder *folder, enum connection_mode mode, size_t connections_max);
void lane_stop(struct lane *lane);   /* runs what was submitted, then joins */
void lane_submit(struct lane *lane, struct store_tx *tx);
