#include "check.h"

#include "base/log.h"
#include "net/flow.h"

#include <stdlib.h>
#include <unistd.h>

/*
 * A flow whose leaf is simulated: it ends when the test says so (leaf_end), or when it is
 * cancelled, at once or late. Each step notes its letter, fini notes "."; the test reads the story
 * as a string.
 */
enum abort_manner { ABORT_AT_ONCE, ABORT_LATE, ABORT_FROM_WITHIN };

struct tale {
	struct flow flow;
	struct loop *loop;
	struct timer leaf;
	struct loop_item item;
	enum abort_manner manner;
	int rounds;
	bool cancel_in_step;
	bool running; /* a step is on the stack */
	bool aborted;
	int finis;
	int code;
	char error[sizeof(struct errbuf)];
	char seen[64];
};

static void note(struct tale *t, const char *what)
{
	assert_true(strlen(t->seen) + strlen(what) < sizeof t->seen);
	strcat(t->seen, what);
}

static void leaf_on_end(void *arg)
{
	struct tale *t = arg;

	flow_wake(&t->flow);
}

static void begin(struct tale *t, const char *what)
{
	note(t, what);
	assert_false(t->running);
}

static enum flow_result step_read(struct flow *flow)
{
	struct tale *t = flow->owner;

	begin(t, "r");
	timer_start_us(&t->leaf, 500);
	if (t->cancel_in_step)
		flow_cancel(flow, "changed my mind");
	return FLOW_WAIT;
}

static enum flow_result step_think(struct flow *flow)
{
	begin(flow->owner, "t");
	return FLOW_NEXT;
}

static enum flow_result step_loop(struct flow *flow)
{
	struct tale *t = flow->owner;

	begin(t, "l");
	if (--t->rounds > 0)
		return flow_goto(flow, step_read);
	return FLOW_NEXT;
}

static enum flow_result step_write(struct flow *flow)
{
	begin(flow->owner, "w");
	return FLOW_DONE;
}

static bool tale_abort(struct flow *flow)
{
	struct tale *t = flow->owner;

	assert_false(t->aborted);
	t->aborted = true;
	note(t, "!");
	timer_stop(&t->leaf);
	if (t->manner == ABORT_FROM_WITHIN)
		flow_wake(flow);
	else if (t->manner == ABORT_LATE)
		timer_start_us(&t->leaf, 2000);
	return t->manner != ABORT_AT_ONCE;
}

static void tale_fini(struct flow *flow)
{
	struct tale *t = flow->owner;

	note(t, ".");
	t->finis++;
	t->code = flow->code;
	strcpy(t->error, flow->error.text);
	flow_cancel(flow, "too late"); /* does nothing */
	timer_fini(&t->leaf);
	loop_stop(t->loop);
	memset(flow, 0xa5, sizeof *flow); /* as free() would */
}

static const struct flow_step steps[] = {
	{ "read", step_read, 0 },
	{ "think", step_think, 0 },
	{ "loop", step_loop, 0 },
	{ "write", step_write, 0 },
	{ NULL, NULL, 0 },
};
static const struct flow_story story = { "tale", steps, tale_abort, tale_fini };

static void tale_init(struct tale *t, struct loop *loop)
{
	*t = (struct tale){ .loop = loop, .code = 1 };
	timer_init(&t->leaf, loop, leaf_on_end, t);
}

static void a_story_is_told_in_order(void **state)
{
	struct tale t;

	tale_init(&t, *state);
	flow_start(&t.flow, t.loop, &story, &t);
	assert_string_equal(t.seen, ""); /* never inside flow_start */
	loop_run(t.loop);
	assert_string_equal(t.seen, "rtlw.");
	assert_int_equal(t.code, 0);
	assert_string_equal(t.error, "");
}

static void goto_goes_back(void **state)
{
	struct tale t;

	tale_init(&t, *state);
	t.rounds = 3;
	flow_start(&t.flow, t.loop, &story, &t);
	loop_run(t.loop);
	assert_string_equal(t.seen, "rtlrtlrtlw.");
	assert_int_equal(t.code, 0);
}

static void a_durable_story_begins_at_a_name(void **state)
{
	struct tale t;

	tale_init(&t, *state);
	assert_int_equal(flow_start_at(&t.flow, t.loop, &story, &t, "sing"), ERR_NOT_FOUND);
	assert_int_equal(flow_start_at(&t.flow, t.loop, &story, &t, "loop"), 0);
	assert_string_equal(flow_step_name(&t.flow), "loop");
	loop_run(t.loop);
	assert_string_equal(t.seen, "lw.");
}

static void a_cancelled_flow_ends_when_its_leaf_has(void **state)
{
	static const char *const seen[] = { "r!.", "r!.", "r!." };
	enum abort_manner manner;
	struct tale t;

	for (manner = ABORT_AT_ONCE; manner <= ABORT_FROM_WITHIN; manner++) {
		tale_init(&t, *state);
		t.manner = manner;
		flow_start(&t.flow, t.loop, &story, &t);
		loop_run_once(t.loop);
		assert_string_equal(t.seen, "r");
		flow_cancel(&t.flow, "the client went away");
		flow_cancel(&t.flow, "and again");
		assert_int_equal(t.finis, 0); /* never inside flow_cancel */
		loop_run(t.loop);
		assert_string_equal(t.seen, seen[manner]);
		assert_int_equal(t.finis, 1);
		assert_int_equal(t.code, ERR_CANCELLED);
		assert_string_equal(t.error, "the client went away");
	}
}

static void a_flow_cancelled_before_its_first_step_runs_none(void **state)
{
	struct tale t;

	tale_init(&t, *state);
	flow_start(&t.flow, t.loop, &story, &t);
	flow_cancel_with(&t.flow, ERR_UNAVAILABLE, "shutting down");
	loop_run(t.loop);
	assert_string_equal(t.seen, ".");
	assert_int_equal(t.code, ERR_UNAVAILABLE);
}

static void a_flow_cancelled_between_wake_and_step_runs_no_further(void **state)
{
	struct tale t;

	tale_init(&t, *state);
	flow_start(&t.flow, t.loop, &story, &t);
	loop_run_once(t.loop);
	timer_stop(&t.leaf);
	flow_wake(&t.flow);
	flow_wake(&t.flow);
	flow_cancel(&t.flow, "late");
	loop_run(t.loop);
	assert_string_equal(t.seen, "r."); /* the leaf had ended: nothing to abort */
	assert_int_equal(t.code, ERR_CANCELLED);
}

static void a_step_may_cancel_its_own_flow(void **state)
{
	struct tale t;

	tale_init(&t, *state);
	t.cancel_in_step = true;
	t.manner = ABORT_LATE;
	flow_start(&t.flow, t.loop, &story, &t);
	loop_run(t.loop);
	assert_string_equal(t.seen, "r!.");
	assert_string_equal(t.error, "changed my mind");
}

static enum flow_result step_fail(struct flow *flow)
{
	begin(flow->owner, "f");
	return flow_fail(flow, ERR_STORE, "write %s: %s", "record",
			 flow->error.text[0] ? "?" : "disk full");
}

static void a_failing_step_ends_the_story_with_its_reason(void **state)
{
	static const struct flow_step failing[] = {
		{ "fail", step_fail, 0 }, { "write", step_write, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story sad = { "sad", failing, NULL, tale_fini };
	struct tale t;

	tale_init(&t, *state);
	flow_start(&t.flow, t.loop, &sad, &t);
	loop_run(t.loop);
	assert_string_equal(t.seen, "f.");
	assert_int_equal(t.code, ERR_STORE);
	assert_string_equal(t.error, "write record: disk full");
}

static enum flow_result step_hang(struct flow *flow)
{
	begin(flow->owner, "h");
	return FLOW_WAIT;
}

static void a_step_past_its_deadline_times_out(void **state)
{
	static const struct flow_step hanging[] = {{"think", step_think, 5},
						   {"hang", step_hang, 5},
						   {"write", step_write, 0},
						   {NULL, NULL, 0}};
	static const struct flow_story slow = { "slow", hanging, tale_abort, tale_fini };
	struct tale t;

	tale_init(&t, *state);
	flow_start(&t.flow, t.loop, &slow, &t);
	loop_run(t.loop);
	assert_string_equal(t.seen, "th!.");
	assert_int_equal(t.code, ERR_TIMEOUT);
	assert_string_equal(t.error, "slow: step \"hang\" took longer than 5 ms");
}

static enum flow_result step_hurry(struct flow *flow)
{
	struct tale *t = flow->owner;

	begin(t, "h");
	timer_start_us(&t->leaf, 100);
	return FLOW_WAIT;
}

static enum flow_result step_rest(struct flow *flow)
{
	struct tale *t = flow->owner;

	begin(t, "z");
	timer_start_us(&t->leaf, 30000);
	return FLOW_WAIT;
}

static void a_deadline_is_of_its_own_step_only(void **state)
{
	static const struct flow_step resting[] = {
		{"hurry", step_hurry, 10}, {"rest", step_rest, 0}, {NULL, NULL, 0}};
	static const struct flow_story calm = { "calm", resting, tale_abort, tale_fini };
	struct tale t;

	tale_init(&t, *state);
	flow_start(&t.flow, t.loop, &calm, &t);
	loop_run(t.loop);
	assert_string_equal(t.seen, "hz."); /* behind the last step it is done */
	assert_int_equal(t.code, 0);
}

static enum flow_result step_wake_myself(struct flow *flow)
{
	struct tale *t = flow->owner;

	begin(t, "m");
	t->running = true;
	flow_wake(flow); /* a leaf that ends at once: the next step must not run inside */
	t->running = false;
	if (++t->rounds < 3)
		return flow_wait_for(flow, step_wake_myself);
	return FLOW_WAIT;
}

static void a_wake_that_comes_early_is_kept(void **state)
{
	static const struct flow_step early[] = {
		{"wake myself", step_wake_myself, 1000}, {"write", step_write, 0}, {NULL, NULL, 0}};
	static const struct flow_story eager = { "eager", early, tale_abort, tale_fini };
	struct tale t;

	tale_init(&t, *state);
	flow_start(&t.flow, t.loop, &eager, &t);
	loop_run(t.loop);
	assert_string_equal(t.seen, "mmmw.");
	assert_int_equal(t.code, 0);
}

static enum flow_result step_spin(struct flow *flow)
{
	struct tale *t = flow->owner;

	if (++t->rounds < 100000)
		return flow_goto(flow, step_spin);
	return FLOW_DONE;
}

static void on_time_for_others(void *arg)
{
	struct tale *t = arg;

	note(t, "o");
}

static void a_story_that_never_waits_leaves_time_for_others(void **state)
{
	static const struct flow_step spinning[] = { { "spin", step_spin, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story busy = { "busy", spinning, tale_abort, tale_fini };
	struct timer other;
	struct tale t;

	tale_init(&t, *state);
	timer_init(&other, t.loop, on_time_for_others, &t);
	timer_start_us(&other, 0);
	flow_start(&t.flow, t.loop, &busy, &t);
	loop_run(t.loop);
	assert_string_equal(t.seen, "o.");
	timer_fini(&other);
}

static void every_step_is_logged_with_its_outcome(void **state)
{
	static const char *const wanted[] = {
		"flow=tale step=read outcome=woken us=", "flow=tale step=think outcome=next us=",
		"flow=tale step=loop outcome=goto us=",	 "flow=tale step=read outcome=cancel us=",
		"error=\"all over\"",
	};
	char text[4096];
	const char *at = text;
	struct tale t;
	int ends[2];
	ssize_t n;
	size_t i;

	assert_int_equal(pipe(ends), 0);
	log_setup(ends[1], LOG_TEXT, LOG_DEBUG);
	tale_init(&t, *state);
	t.rounds = 2;
	flow_start(&t.flow, t.loop, &story, &t);
	while (strcmp(t.seen, "rtlr") != 0)
		loop_run_once(t.loop);
	flow_cancel(&t.flow, "all over");
	loop_run(t.loop);
	log_setup(STDERR_FILENO, LOG_TEXT, LOG_INFO);
	n = read(ends[0], text, sizeof text - 1);
	assert_true(n > 0);
	text[n] = '\0';
	for (i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
		at = strstr(at, wanted[i]);
		if (!at)
			fail_msg("no %s in\n%s", wanted[i], text);
	}
	close(ends[0]);
	close(ends[1]);
}

#define MANY 2000

static int ended;

static void crowd_fini(struct flow *flow)
{
	struct tale *t = flow->owner;

	timer_fini(&t->leaf);
	if (++ended == MANY)
		loop_stop(t->loop);
	free(t);
}

/* Owners that free themselves, some cancelled at random moments: each ends once, none is touched
 * afterwards. */
static void many_flows_end_once_each(void **state)
{
	static const struct flow_story crowd = { "crowd", steps, tale_abort, crowd_fini };
	struct tale **tales = mem_array(MANY, sizeof(struct tale *));
	unsigned seed = 7;
	size_t i;

	ended = 0;
	for (i = 0; i < MANY; i++) {
		tales[i] = mem_alloc(sizeof *tales[i]);
		tale_init(tales[i], *state);
		tales[i]->manner = (enum abort_manner)(i % 3);
		tales[i]->rounds = (int)(i % 5);
		flow_start(&tales[i]->flow, *state, &crowd, tales[i]);
	}
	loop_run_once(*state);
	for (i = 0; i < MANY; i++) {
		if (rand_r(&seed) % 2)
			flow_cancel(&tales[i]->flow, "chance");
	}
	loop_run(*state);
	assert_int_equal(ended, MANY);
	free(tales);
}

static int setup(void **state)
{
	*state = loop_new();
	return 0;
}

static int teardown(void **state)
{
	loop_free(*state);
	return 0;
}

#define FLOW_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FLOW_TEST(a_story_is_told_in_order),
		FLOW_TEST(goto_goes_back),
		FLOW_TEST(a_durable_story_begins_at_a_name),
		FLOW_TEST(a_cancelled_flow_ends_when_its_leaf_has),
		FLOW_TEST(a_flow_cancelled_before_its_first_step_runs_none),
		FLOW_TEST(a_flow_cancelled_between_wake_and_step_runs_no_further),
		FLOW_TEST(a_step_may_cancel_its_own_flow),
		FLOW_TEST(a_failing_step_ends_the_story_with_its_reason),
		FLOW_TEST(a_step_past_its_deadline_times_out),
		FLOW_TEST(a_deadline_is_of_its_own_step_only),
		FLOW_TEST(a_wake_that_comes_early_is_kept),
		FLOW_TEST(a_story_that_never_waits_leaves_time_for_others),
		FLOW_TEST(every_step_is_logged_with_its_outcome),
		FLOW_TEST(many_flows_end_once_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
