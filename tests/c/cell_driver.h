/*
 * Drives perigee-cell as the host does, but blocking and step by step: for tests of core/cell. Every failure of the harness itself ends the process
 * with a message.
 */
#pragma once

#include "base/frame.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct driver {
	int control;          /* our end of the zygote's socket */
	pid_t zygote;
};

struct exit_report {
	bool seen;
	int status, signal;
	long long cpu_us, rss_kb;
};

struct stem {
	int socket, pidfd;
	int fd;               /* received, its frame not yet */
	struct buf in;
	uint32_t cells;       /* ids given out */
	struct exit_report exits[4096];
};

struct cell {
	uint32_t id;
	int socket, pidfd;
	pid_t pid;
	struct buf in;
};

/* A frame and its payload, owned. */
struct message {
	enum frame_type type;
	uint32_t sequence;
	json_t *json;         /* NULL when the payload is empty */
	char *text;
	size_t size;
};

void driver_open(struct driver *driver);
int driver_close(struct driver *driver);                              /* the zygote's exit status */
void driver_stem(struct driver *driver, uint32_t id, struct stem *stem);
bool driver_next(struct driver *driver, struct message *out);         /* false: end of file */

/* files: a JSON object path → source (borrowed). limits may be NULL. Waits for MANIFEST or ERROR. */
void stem_load(struct stem *stem, json_t *files, const char *mode, const char *limits, struct message *answer);
void stem_load_text(struct stem *stem, const char *payload, struct message *answer);
void driver_close_stem(struct stem *stem);
void stem_fork(struct stem *stem, struct cell *cell);                 /* waits for FORKED */
bool stem_next(struct stem *stem, struct message *out);               /* false: end of file */
void stem_wait_exit(struct stem *stem, uint32_t cell, struct exit_report *report);

/* input is JSON text; replay counts the outcomes that follow. */
void cell_start(struct cell *cell, const char *capability, const char *input, int replay);
void driver_send(struct cell *cell, enum frame_type type, uint32_t sequence, const char *payload);
void cell_outcome(struct cell *cell, uint32_t effect, const char *ok);
bool cell_next(struct cell *cell, struct message *out, int timeout_ms); /* false: end of file or nothing in time */
void cell_close(struct cell *cell);

void message_free(struct message *message);
const char *message_member(const struct message *message, const char *name);  /* a string member, "" when absent */

/* A bundle for tests: a tiny registry, and one agent "t" whose capabilities are the fields of the table that `body` returns. */
json_t *bundle_of(const char *body);
