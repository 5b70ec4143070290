/* What cells.c (zygote and cells) and stems.c share. */
#pragma once

#include "run/cells.h"

#include <sys/queue.h>

TAILQ_HEAD(cell_list, cell);
TAILQ_HEAD(stem_list, stem);

struct socket_out {
	struct buf bytes;
	size_t sent;            /* of bytes, already written */
};

struct fd_queue {
	int fds[64];
	unsigned count;
};

enum stem_state { STEM_ASKED, STEM_LOADING, STEM_READY, STEM_FAILED, STEM_GONE };

struct stem {
	TAILQ_ENTRY(stem) link;
	struct cells *cells;
	uint32_t id;
	enum stem_state state;
	bool closing, told;     /* told: loaded has fired */
	int fd, pidfd;
	struct watch reading, writing;
	struct buf in;
	struct socket_out out;
	struct fd_queue received;
	struct cell_list members;      /* all cells of this stem */
	struct cell_list unforked;     /* waiting for a FORK to be sent */
	unsigned forks_outstanding;
	uint32_t next_cell;
	struct timer deadline;         /* of loading */
	stem_loaded_fn loaded;
	void *arg;
	struct loop_item later;        /* free or tell outside callbacks */
	bool later_queued;
};

struct cell {
	TAILQ_ENTRY(cell) link;        /* in stem->members */
	TAILQ_ENTRY(cell) fork_link;   /* in stem->unforked */
	TAILQ_ENTRY(cell) wall_link;   /* in cells->walls, oldest first */
	struct stem *stem;
	uint32_t id;
	int fd, child_fd, pidfd;
	bool waits_for_fork, on_wall_list, exited, eof, kill_wanted, flush_queued, ending;
	enum cell_end_reason why;      /* set before the end where the host knows better */
	unsigned pending;              /* effects unanswered, by the engine's word */
	int64_t slice_began_us;
	int64_t slice_cpu_ms;          /* of the process, when its slice was first found too long; -1: not yet */
	struct watch reading, writing;
	struct buf in;
	struct socket_out out;
	struct cell_end end;
	struct cell_callbacks callbacks;
	void *arg;
	struct loop_item flush;
};

struct cells {
	struct loop *loop;
	struct cells_options options;
	char *program;
	int control_fd, zygote_pidfd;
	struct watch control;
	struct stem_list stems;
	struct cell_list walls;        /* cells whose slice is running, oldest first */
	struct timer wall_timer;
	uint32_t next_stem;
	size_t count;
	bool closing, held;
	struct metrics *own_metrics;   /* where the caller gave none */
	struct metric *metric_cells, *metric_memory, *metric_kills;
};

/* cells.c */
int cells_zygote_start(struct cells *cells, struct errbuf *e);
void cells_zygote_lost(struct cells *cells);
void cell_fork_sent(struct cell *cell);
void cell_forked(struct cell *cell, int pidfd);
void cell_exited(struct cell *cell, const struct cell_end *end);
void cell_lost(struct cell *cell);
/* stems.c */
void stem_stemmed(struct stem *stem, int pidfd);
void stem_gone(struct stem *stem, const char *why);
void stem_send_forks(struct stem *stem);
void stem_free(struct stem *stem);
/* sockets.c */
int socket_pair(int type, int fds[2]);
int socket_send_fd(int fd, const void *p, size_t n, int passed);       /* 0, or -errno */
/* Receive what is there: appends to in, collects descriptors. 1 = got something, 0 = nothing now, -1 = end or error. */
int socket_receive(int fd, struct buf *in, struct fd_queue *fds);
/* Write as much as goes. 1 = all gone, 0 = would block, -1 = broken. */
int socket_flush(int fd, struct socket_out *out);
int process_kill(int pidfd);                                            /* SIGKILL */
int64_t process_cpu_ms(int pidfd);                                      /* used so far; -1: gone */
int process_is_running(int pidfd);                                      /* state R or D: 1; sleeping: 0; gone: -1 */
