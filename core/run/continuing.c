/*
 * run.continue_as_new: a run of many turns keeps its journal small. One transaction holds the journal row, the end of this run and the birth of the next, which
 * has the live bundle, the same parent and subject, and a journal of its own. Whoever watches goes over to it; whoever joins asks for the last of the chain.
 */
#include "run/effects_run.h"
#include "run/run_internal.h"

#include <stdlib.h>
#include <string.h>

const char effect_schema_run_continue_as_new[] =
	"{\"type\":\"object\",\"properties\":{\"input\":{}},\"required\":[\"input\"],\"additionalProperties\":false}";

struct continuation {
	char id[UUID_TEXT_SIZE];
	json_t *input;
	struct live_bundle *bundle;        /* held */
	int64_t now_us;
};

void continuation_free(struct run *run)
{
	struct continuation *next = run->continuation;
	run->continuation = NULL;
	if (!next)
		return;
	bundle_release(run->engine, next->bundle);
	json_decref(next->input);
	free(next);
}

static struct continuation *continuation_new(const struct effect *effect, json_t *input)
{
	struct run *run = effect->run;
	struct continuation *next = mem_alloc(sizeof *next);
	continuation_free(run); /* of a try that met a conflict */
	effect_new_id(effect, next->id);
	next->input = json_incref(input);
	next->bundle = run->tenant->bundle ? run->tenant->bundle : run->bundle;
	next->bundle->references++;
	next->now_us = effect->now_us / 1000 * 1000;
	run->continuation = next;
	return next;
}

void effect_begin_run_continue_as_new(struct effect *effect)
{
	struct run *run = effect->run;
	struct errbuf e;
	json_t *errors = json_array(), *input = json_incref((json_t *)(uintptr_t)json_member(effect->args, "input"));
	const struct live_bundle *live = run->tenant->bundle ? run->tenant->bundle : run->bundle;
	int code = run->spec ? err_set(&e, ERR_INVALID, "run.continue_as_new: a spec does not go on as another run")
	                     : capability_check(live->manifest, run->agent, run->capability, &input, errors, &e);
	if (code) {
		json_t *more = json_object();
		json_put(more, "errors", json_incref(errors));
		effect_fail(effect, err_name(code), e.text, more);
	} else {
		const struct continuation *next = continuation_new(effect, input);
		store_tx_add(effect->tx, STATEMENT_run_continue, STORE_MUST, "tttjit", next->id, run->id, next->bundle->digest, next->input, next->now_us,
		             run->engine->owner);
		limits_continue_add(effect, next->id);
		store_tx_add(effect->tx, STATEMENT_run_continued, STORE_MUST, "tt", run->id, next->id);
		json_t *ok = json_object();
		json_put_text(ok, "run", next->id);
		effect_apply(effect, ok);
	}
	json_decref(input);
	json_decref(errors);
}

bool run_continues(const struct issued *issued)
{
	return issued->ready == READY_APPLY && issued->effect.row && issued->effect.row->begin == effect_begin_run_continue_as_new;
}

void run_continue_add(struct run *run, struct store_tx *tx)
{
	int64_t now = clock_now_us(run->engine->options.clock);
	store_tx_add(tx, STATEMENT_run_end, STORE_MUST, "titjjiiii", run->id, run->fence, run_state_name(RUN_SUCCEEDED), NULL, NULL, now,
	             (int64_t)run->journal_length + 1, run->cpu_us, (int64_t)run->strikes);
	store_tx_add(tx, STATEMENT_waits_end, STORE_ANY, "t", run->id);
	store_tx_add(tx, STATEMENT_approvals_withdraw, STORE_ANY, "ti", run->id, now);
	if (run->of_event)
		store_tx_add(tx, STATEMENT_delivery_continue, STORE_ANY, "tt", run->id, ((const struct continuation *)run->continuation)->id);
}

/* They see the chain as one run. */
static void watchers_follow(struct run *run, struct run *next)
{
	json_t *data = json_object();
	struct run_watcher *watcher;
	json_put_text(data, "run", run->id);
	json_put_text(data, "continued_as", next->id);
	run_tell(run, "continued", "", data);
	while ((watcher = TAILQ_FIRST(&run->watchers))) {
		TAILQ_REMOVE(&run->watchers, watcher, link);
		TAILQ_INSERT_TAIL(&next->watchers, watcher, link);
		memcpy(watcher->id, next->id, sizeof watcher->id);
		watcher->run = next;
	}
}

void run_continue_done(struct run *run)
{
	struct engine *engine = run->engine;
	const struct continuation *next = run->continuation;
	struct run_birth birth = {
		.tenant = run->tenant, .id = next->id, .agent = run->agent, .capability = run->capability, .parent = run->parent,
		.input = next->input, .parent_effect = run->parent_effect, .depth = run->depth, .now_us = next->now_us, .bundle = next->bundle,
	};
	struct run_limits limits = limits_continue(run);
	birth.limits = &limits;
	struct run *admitted = run_admit(engine, &birth);
	admitted->of_event = run->of_event;
	if (!admitted->chain)
		admitted->chain = mem_copy(str_of(run_chain(run)));
	watchers_follow(run, admitted);
	run_set_state(run, RUN_SUCCEEDED);
	metric_add(engine->runs_total, 1, (const char *[]){ run->tenant->name, run->agent, run->capability, "succeeded" });
	run_free(run);
	engine_schedule(engine);
}
