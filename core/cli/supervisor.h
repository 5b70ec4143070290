/*
 * The master's work: workers are started, watched, started again, replaced one after the other, ended. It touches no request.
 *
 * Each worker has a listening socket of its own on the host's address (SO_REUSEPORT), opened and kept by the master: what connects while a worker is started
 * again or replaced waits in that socket's queue instead of being refused. A slot whose worker keeps dying gives its socket up until the next attempt.
 */
#pragma once

#include "cli/worker.h"

struct supervisor_options {
	const char *config;                    /* NULL or the file that was named */
	const struct setting_flags *flags;
	struct worker_options worker;          /* what all workers share */
	int listen_fd;                         /* bound and listening; taken */
	char *scratch;                         /* a store's folder that every reload keeps, or NULL */
};

/* Until all workers have ended; returns the exit code of the program. settings is replaced when a reload brings others. */
int supervise(const struct supervisor_options *options, struct settings *settings);
