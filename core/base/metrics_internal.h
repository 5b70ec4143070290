/* What metrics.c and metrics_board.c share. */
#pragma once

#include "base/metrics.h"

#define METRICS_MAGIC 0x4d455452u

/* One combination of label values. */
struct series {
	uint64_t hash;
	struct buf labels;     /* as written: method="GET",status="200"; tells series apart */
	double value;          /* counter, gauge; sum of a histogram */
	uint64_t count;        /* histogram */
	uint64_t *in_bucket;   /* not cumulative; one more than there are bounds */
	bool told;             /* a sum of workers: a value has come (least and most need a first one) */
};

struct metric {
	struct metrics *owner;
	struct metric *next;
	enum metric_kind kind;
	enum metric_combine combine;
	char *name;
	char *help;
	char *labels[METRIC_LABELS_MAX];
	size_t label_count;
	double *bounds;
	size_t bound_count;
	struct series **slots; /* open addressing by hash; at most half full */
	size_t slot_count;
	struct series **order; /* in order of first use */
	size_t series_count;
	struct buf key;        /* the labels being looked up */
};

struct metrics {
	uint32_t magic;
	size_t series_max;     /* per metric */
	struct metric *first, **end;
	struct metrics_board *board;   /* of the host's workers; NULL: this process is alone */
	int board_slot;
};

/* The series with these rendered labels; made when it is missing and there is room, else the one of "other". */
struct series *metrics_series(struct metric *metric, struct str labels);
struct metric *metrics_find(struct metrics *m, struct str name);   /* or NULL */
uint64_t metrics_hash(struct str s);
/* The sum of the board's workers, as a registry of its own. */
struct metrics *metrics_board_sum(struct metrics_board *board);
/* Does the host show this tenant under its own name? The first ones that are seen, in all workers alike. */
bool metrics_board_shows(struct metrics_board *board, struct str tenant);
