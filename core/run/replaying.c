/* `perigee replay`: a journal against the scripts of today, without effects and without a store behind it. */
#include "run/run_internal.h"

#include <stdlib.h>
#include <string.h>

struct replay_request {
	struct engine *engine;
	struct tenant *tenant;
	json_t *journal;
	engine_done_fn done;
	void *arg;
	size_t waits_seen;                 /* of journal.waits: issued again, as they were */
	const char *refusal;
	struct loop_item later;
};

static void replay_finish(struct replay_request *replay, int code, json_t *result /* taken */, const char *text)
{
	replay->done(replay->arg, code, result, text);
	json_decref(result);
	json_decref(replay->journal);
	free(replay);
}

static const json_t *row_of(const json_t *rows, int64_t effect, size_t *index)
{
	for (*index = 0; *index < json_array_size(rows); (*index)++)
		if (json_member_int(json_array_get(rows, *index), "effect", -1) == effect)
			return json_array_get(rows, *index);
	return NULL;
}

/* What the journal holds of the effect at which the sides part: its outcome says more than its digest. */
static void put_recorded(const json_t *journal, json_t *result)
{
	size_t index;
	json_t *expected = json_object_get(result, "expected");
	const json_t *row = row_of(json_member(journal, "outcomes"), json_member_int(expected, "effect", -1), &index);
	if (!row)
		return;
	json_put_int(result, "index", (int64_t)index);
	json_put(expected, "outcome", json_incref((json_t *)(uintptr_t)json_member(row, "outcome")));
}

static json_t *side(const json_t *row)
{
	json_t *expected = json_object();
	json_put_int(expected, "effect", json_member_int(row, "effect", 0));
	json_put_str(expected, "name", json_member_str(row, "name"));
	json_put_str(expected, "digest", json_member_str(row, "digest"));
	return expected;
}

/* The first thing that the journal holds and the script did not issue, outcome or wait. New reference; NULL when it issued all. */
static json_t *first_unseen(const struct run *run)
{
	for (size_t i = 0; i < run->recorded_count; i++)
		if (!run->recorded[i].seen) {
			size_t index;
			const json_t *row = row_of(json_member(run->replay->journal, "outcomes"), run->recorded[i].effect, &index);
			return side(row);
		}
	const json_t *waits = json_member(run->replay->journal, "waits");
	for (size_t i = 0; i < json_array_size(waits); i++)
		if (json_member_int(json_array_get(waits, i), "effect", 0) > run->effects_issued)
			return side(json_array_get(waits, i));
	return NULL;
}

static void put_ended_early(const struct run *run, json_t *result, json_t *expected /* taken */)
{
	json_t *actual = json_object();
	json_put_int(actual, "effect", run->effects_issued + 1);
	json_put_text(actual, "name", !run->over ? "(the script waits)" : run->final == RUN_FAILED ? "(the script failed)" : "(the script returned)");
	json_put(actual, "error", json_incref(run->error));
	json_put_text(result, "status", "diverged");
	json_put(result, "expected", expected);
	json_put(result, "actual", actual);
}

/* Fills the result's status and its two sides from how the run ended. */
static void judge(const struct run *run, json_t *result)
{
	struct str status = json_member_str(json_member(run->replay->journal, "run"), "status");
	bool ended = run_state_is_final(status);
	json_t *unseen = run->over && run->final == RUN_STUCK ? NULL : first_unseen(run);
	if (unseen) {
		put_ended_early(run, result, unseen);
	} else if (run->over && run->final == RUN_FAILED && !ended) {
		json_put_text(result, "status", "failed");
	} else if (run->over && run->final == RUN_STUCK) {
		json_put_text(result, "status", "diverged");
		json_put(result, "expected", json_incref((json_t *)(uintptr_t)json_member(run->error, "expected")));
		json_put(result, "actual", json_incref((json_t *)(uintptr_t)json_member(run->error, "actual")));
	} else if (run->over) {
		json_put_text(result, "status", "same");
	} else if (ended) {
		json_t *actual = json_object();
		json_put_text(result, "status", "diverged");
		json_put(result, "expected", error_new("run.end", "the journal holds no further effect: the run ended here"));
		json_put_int(actual, "effect", run->effects_issued);
		json_put_text(actual, "name", run->last_effect);
		json_put(result, "actual", actual);
	} else {
		json_put_text(result, "status", "incomplete");
	}
}

void replay_ended(struct run *run)
{
	struct replay_request *replay = run->replay;
	if (!replay)
		return;
	json_t *result = json_object();
	json_put_int(result, "at", (int64_t)run->recorded_seen);
	json_put_int(result, "outcomes", (int64_t)json_array_size(json_member(replay->journal, "outcomes")));
	judge(run, result);
	put_recorded(replay->journal, result);
	json_put(result, "output", json_incref(run->output));
	json_put(result, "error", json_incref(run->error));
	run->replay = NULL;
	run_free(run);
	replay_finish(replay, 0, result, NULL);
}

/* Effects that are on their way for ever, in a dry run; a wait must be the same. */
bool replay_pending(struct run *run, uint32_t number, const char *name, const char *digest, struct recorded *other)
{
	size_t index;
	const json_t *waits = json_member(run->replay->journal, "waits");
	const json_t *wait = row_of(waits, number, &index);
	if (wait && (!str_is(json_member_str(wait, "name"), name) || !str_is(json_member_str(wait, "digest"), digest))) {
		other->effect = number;
		other->name = (char *)(uintptr_t)json_string_value(json_member(wait, "name"));
		strncpy(other->digest, json_string_value(json_member(wait, "digest")), DIGEST_TEXT_SIZE - 1);
		return false;
	}
	run->replay->waits_seen += wait != NULL;
	if (run->recorded_seen == run->recorded_count && run->replay->waits_seen == json_array_size(waits))
		replay_ended(run);
	return true;
}

void replay_continued(struct run *run)
{
	const json_t *outcomes = json_member(run->replay->journal, "outcomes"), *last = json_array_get(outcomes, json_array_size(outcomes) - 1);
	if (run->recorded_seen == run->recorded_count && str_is(json_member_str(last, "name"), "run.continue_as_new") &&
	    json_member(json_member(last, "outcome"), "ok"))
		run_end(run, RUN_SUCCEEDED, NULL, NULL);
}

static void replay_on_refused(void *arg)
{
	struct replay_request *replay = arg;
	replay_finish(replay, ERR_INVALID, NULL, replay->refusal);
}

static int64_t member_time(const json_t *object, const char *key)
{
	const json_t *value = json_member(object, key);
	int64_t at = json_is_integer(value) ? json_integer_value(value) : 0;
	if (json_is_string(value) && !time_parse(json_str(value), &at))
		at = 0;
	return at;
}

static struct run *replay_run(struct replay_request *replay)
{
	const json_t *row = json_member(replay->journal, "run");
	struct str id = json_member_str(row, "id"), agent = json_member_str(row, "agent"), capability = json_member_str(row, "capability");
	if (!uuid_is_text(id) || !agent.n || !capability.n || !json_is_array(json_member(replay->journal, "outcomes"))) {
		replay->refusal = "a journal has run {id, agent, capability, input, created_at} and outcomes";
		return NULL;
	}
	if (!replay->tenant || !replay->tenant->bundle || engine_find_run(replay->engine, str_of(replay->tenant->name), id)) {
		replay->refusal = replay->tenant && replay->tenant->bundle ? "the run is at work here: replay it when it has ended"
		                                                           : "no scripts are loaded";
		return NULL;
	}
	char text[UUID_TEXT_SIZE];
	memcpy(text, id.p, UUID_TEXT_SIZE - 1);
	text[UUID_TEXT_SIZE - 1] = 0;
	struct run *run = run_new(replay->engine, replay->tenant, text);
	run->dry = true;
	run->replay = replay;
	run->bundle = replay->tenant->bundle;
	run->bundle->references++;
	run->agent = mem_copy(agent);
	run->capability = mem_copy(capability);
	run->input = json_incref((json_t *)(uintptr_t)json_member(row, "input"));
	run->created_at_us = member_time(row, "created_at");
	if (json_is_object(json_member(row, "forked_from")))
		run->origin = json_incref((json_t *)(uintptr_t)json_member(row, "forked_from"));
	run_move(run, LIST_QUEUE);
	return run;
}

void replay_outcomes(const struct run *run, json_t **outcomes)
{
	*outcomes = (json_t *)(uintptr_t)json_member(run->replay->journal, "outcomes");
}

void engine_replay(struct engine *engine, struct str tenant, const json_t *journal, engine_done_fn done, void *arg)
{
	struct replay_request *replay = mem_alloc(sizeof *replay);
	replay->engine = engine;
	replay->tenant = engine_tenant(engine, tenant);
	replay->journal = json_incref((json_t *)(uintptr_t)journal);
	replay->done = done;
	replay->arg = arg;
	if (replay_run(replay))
		engine_schedule(engine);
	else
		loop_defer(engine->options.loop, &replay->later, replay_on_refused, replay);
}
