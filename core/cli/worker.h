/* A worker: one event loop with HTTP, store and engine. A child of the master; the only process of a host that sees a request. */
#pragma once

#include "cli/settings.h"

struct metrics_board;

struct worker_options {
	const struct settings *settings;
	int listen_fd;              /* opened by the master */
	const char *address;        /* where it listens, for people */
	int ready_fd;               /* one byte is written here once requests are answered */
	unsigned index;
	struct metrics_board *board;   /* of the host: /metrics answers for all workers */
	int board_slot;
	bool first;                 /* of its slot: says hello; a restarted one does not */
	bool dev;                   /* tenant and key for a newcomer, reload on save */
	const char *examples;       /* NULL; work through this folder once ready */
	bool exit_after_examples;
};

/* Until SIGTERM or the end of the examples; returns the exit code. Runs in the child, right after the fork. */
int worker_main(const struct worker_options *options);
