/*
 * The host's end of the channel: one zygote, its stems, their cells. Everything in the loop's thread.
 *
 * Happy path: cells_new execs perigee-cell with an empty environment; stem_open asks the zygote for a stem, sends LOAD and hands the MANIFEST up;
 * cell_open asks the stem for a fork and at once buffers what the engine sends (START, OUTCOMEs); frames go up through `frame`; when
 * the process is gone and its socket drained, `ended` fires, exactly once and last.
 * Failure modes: a malformed frame ends the cell (CELL_PROTOCOL); a slice longer than the wall limit ends it (CELL_WALL); a stem that dies takes its cells with
 * it (CELL_LOST); a zygote that dies is started anew with the next stem, its stems are lost.
 */
#pragma once

#include "base/frame.h"
#include "base/json.h"
#include "base/metrics.h"
#include "net/loop.h"

struct cells;
struct stem;
struct cell;

struct cells_options {
	struct loop *loop;
	struct metrics *metrics;       /* may be NULL */
	const char *program;           /* path of perigee-cell */
	int64_t memory_bytes, cpu_ms, wall_ms;
};

MUST_CHECK int cells_new(const struct cells_options *options, struct cells **out, struct errbuf *e);
void cells_free(struct cells *cells);      /* kills all; no callback fires any more */
size_t cells_count(const struct cells *cells);
void cells_hold(struct cells *cells, bool hold);   /* while held nothing is written to a cell: what is sent waits */

/* loaded: code 0 and the manifest, or ERR_INVALID and the report {file,line,message,errors}, or ERR_UNAVAILABLE and such a report when the process died or did
 * not answer: the scripts may be sound. Fires once. payload is borrowed. */
typedef void (*stem_loaded_fn)(void *arg, int code, const json_t *payload);
/* mode: "bundle" or "config". files: borrowed. */
struct stem *stem_open(struct cells *cells, const char *mode, const json_t *files, stem_loaded_fn loaded, void *arg);
bool stem_is_usable(const struct stem *stem);  /* loaded and alive */
bool stem_is_idle(const struct stem *stem);    /* has no cell */
void stem_close(struct stem *stem);            /* no more cells; the process goes when its last cell has gone */

/* CELL_LOST: with its stem. CELL_UNFORKED: the system had no process for it. Neither is the script's fault. */
enum cell_end_reason { CELL_EXITED, CELL_SIGNALLED, CELL_WALL, CELL_PROTOCOL, CELL_LOST, CELL_ENDED_BY_HOST, CELL_UNFORKED };
struct cell_end {
	enum cell_end_reason reason;
	int status, signal;
	int64_t cpu_us, rss_kb;
};
struct cell_callbacks {
	void (*frame)(void *arg, const struct frame *frame);   /* one frame from the cell, valid for the call */
	void (*ended)(void *arg, const struct cell_end *end);  /* the cell is freed right after */
};
struct cell *cell_open(struct stem *stem, const struct cell_callbacks *callbacks, void *arg);
/* Queue a frame; what is queued in one turn of the loop leaves in one write. Starts the slice's wall clock. */
void cell_send(struct cell *cell, enum frame_type type, uint32_t sequence, struct str payload);
/* The engine knows how many effects are unanswered: with none the cell must be computing, and the wall clock counts. */
void cell_set_pending(struct cell *cell, unsigned effects);
void cell_end(struct cell *cell);              /* kill; ended fires with CELL_ENDED_BY_HOST */
void cell_abandon(struct cell *cell);          /* the same, and no callback fires any more: its owner goes */
bool cell_is_blocked(const struct cell *cell); /* in its read, with nothing on the way to or from it */
void cell_expect_end(struct cell *cell);       /* it said DONE or FAIL: the wall clock runs until it is gone */
