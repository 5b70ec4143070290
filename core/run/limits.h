/*
 * What a run may use: until when, how many effects, how many children. It flows down: a child ends no later than its parent, its budget is carved out of what its
 * parent has left, so that a tree never issues more effects than its root was given.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct effect;
struct engine;
struct issued;
struct run;
struct run_birth;
struct store_result;
struct store_tx;
struct tenant;

struct run_limits {
	int64_t deadline_us;               /* 0: none */
	int64_t budget;                    /* effects of the run and all below it; -1: as many as it likes */
	int64_t given;                     /* of these, to children */
	char *handoff, *handoff_type;      /* owned by the run: the hand-off that it answers; NULL: none */
	char *correlation;                 /* owned by the run: of the chain of hand-offs; NULL: none */
};

/* A birth: the columns beside its row, in its transaction; and what the run keeps of them. */
void limits_birth_add(struct store_tx *tx, const struct run_birth *birth);
void limits_take(struct run *run, const struct run_limits *limits /* copied; may be NULL */);
void limits_adopt(struct run *run, const struct store_result *row /* run_limits */);
void limits_free(struct run *run);
/* The run goes on as another: with its deadline, what is left of its budget, its hand-off. */
void limits_continue_add(struct effect *effect, const char *next);
struct run_limits limits_continue(const struct run *run);
/* May this effect, not replayed, begin? False: the run has failed with budget.effects. */
bool limits_allow(struct run *run, uint32_t effect);

/*
 * A child: the effect's args may hold deadline_ms and budget. Calls `go` at once or after a look at the store; ends the effect itself when the child cannot be (run.too_wide,
 * budget.effects). `state` is the effect's state and begins with this:
 */
struct child_state {
	char id[37];
	int64_t budget;                    /* carved out; -1: none */
	struct run_limits limits;          /* of the child; texts borrowed from the parent */
	void (*go)(struct effect *effect);
	int64_t spawned, committing;       /* when the store was asked how many there are */
};
void limits_child(struct effect *effect, void (*go)(struct effect *effect));
/* Beside the child's row, in its transaction; and once that is on disk. */
void limits_give_add(struct effect *effect);
void limits_given(struct issued *issued);
