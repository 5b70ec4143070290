#include "cli/invoke.h"

#include "base/ids.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_AGAIN_US 20000       /* a run that is not resident: its row is read again after this */
#define CALLS_MAX 64              /* effects under way that a trace times; more are told without a duration */

struct watched {                  /* the run, or one that it handed off to */
	struct watched *next;
	struct invocation *invocation;
	struct run_watcher *watcher;
	unsigned depth;
	struct call {
		int64_t effect, began_us;
		char *args;
	} calls[CALLS_MAX];
};

struct invocation {
	struct host *host;
	char *tenant;
	char run[UUID_TEXT_SIZE];
	char status[16];
	bool trace, over;
	struct style style;
	struct watched *watched;
	int64_t began_us;
	struct timer again;
	struct loop_item later;
	invocation_done_fn done;
	void *arg;
	int code;
	json_t *output, *error, *errors;
	char *text;
};

/* -- the end ---------------------------------------------------------------------------------------------------------- */

static void
free_invocation(struct invocation *v)
{
	struct watched *w;
	while ((w = v->watched)) {
		v->watched = w->next;
		engine_unwatch(w->watcher);
		for (size_t i = 0; i < CALLS_MAX; i++)
			free(w->calls[i].args);
		free(w);
	}
	timer_fini(&v->again);
	json_decref(v->output);
	json_decref(v->error);
	json_decref(v->errors);
	free(v->text);
	free(v->tenant);
	free(v);
}

static void
invocation_on_later(void *arg)
{
	struct invocation *v = arg;
	struct invocation_end end = {
		v->code, v->run, v->status, v->output, v->error, v->errors, v->text ? v->text : "", clock_monotonic_us() - v->began_us,
	};
	v->done(v->arg, &end);
	free_invocation(v);
}

/* Outside the engine's callback: whoever is told may free the engine. */
static void
finish(struct invocation *v)
{
	if (v->over)
		return;
	v->over = true;
	loop_defer(v->host->loop, &v->later, invocation_on_later, v);
}

static void
finish_with(struct invocation *v, struct str status, json_t *output, json_t *error)
{
	snprintf(v->status, sizeof v->status, "%.*s", STR_ARG(status));
	v->output = output;
	v->error = error;
	finish(v);
}

static bool
is_final(struct str status)
{
	return str_is(status, "succeeded") || str_is(status, "failed") || str_is(status, "cancelled") || str_is(status, "stuck");
}

/* -- the trace -------------------------------------------------------------------------------------------------------- */

/* A value in one line of at most `columns` bytes, cut at a whole character. */
static void
add_short(struct buf *b, const json_t *value, size_t columns)
{
	struct buf text;
	buf_init(&text, 1 << 20);
	json_write(&text, value);
	size_t n = text.n;
	if (n > columns) {
		for (n = columns; n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80; n--)
			;
	}
	buf_add(b, buf_text(&text), n);
	if (n < text.n)
		buf_add_text(b, "…");
	buf_free(&text);
}

static void
begin_line(struct buf *line, const struct watched *w, const char *mark)
{
	buf_init(line, 8192);
	for (unsigned i = 0; i < w->depth; i++)
		buf_add_text(line, "│  ");
	buf_add_text(line, mark);
}

static void
end_line(struct buf *line)
{
	buf_add_char(line, '\n');
	cli_write(STDERR_FILENO, line);
	buf_free(line);
}

static struct call *
find_call(struct watched *w, int64_t effect)
{
	for (size_t i = 0; i < CALLS_MAX; i++)
		if (w->calls[i].effect == effect)
			return &w->calls[i];
	return NULL;
}

static void
trace_effect(struct watched *w, const json_t *data)
{
	struct call *call = find_call(w, 0);
	struct buf args;
	if (!call)
		return;
	buf_init(&args, 4096);
	add_short(&args, json_member(data, "args"), 72);
	call->effect = json_member_int(data, "effect", 0);
	call->began_us = clock_monotonic_us();
	call->args = buf_take(&args);
}

static void watch(struct invocation *v, struct str run, unsigned depth);

static void
trace_outcome(struct watched *w, const json_t *data)
{
	struct invocation *v = w->invocation;
	const json_t *outcome = json_member(data, "outcome"), *error = json_member(outcome, "error");
	struct call *call = find_call(w, json_member_int(data, "effect", -1));
	struct str name = json_member_str(data, "name");
	struct buf line;

	begin_line(&line, w, "├─ ");
	if (call)
		buf_addf(&line, "%s%8.2f ms%s  ", v->style.dim, (double)(clock_monotonic_us() - call->began_us) / 1e3, v->style.off);
	else
		buf_addf(&line, "%s   replayed%s  ", v->style.dim, v->style.off);
	buf_addf(&line, "%s%.*s%s %s%s%s → %s", v->style.bold, STR_ARG(name), v->style.off, v->style.dim, call && call->args ? call->args : "",
	         v->style.off, error ? v->style.red : v->style.green);
	add_short(&line, error ? error : json_member(outcome, "ok"), 72);
	buf_add_text(&line, v->style.off);
	end_line(&line);
	if (call) {
		free(call->args);
		*call = (struct call){ 0 };
	}
	if (str_is(name, "run.spawn") && !error)
		watch(v, json_member_str(json_member(outcome, "ok"), "run"), w->depth + 1);
}

static void
trace_log(struct watched *w, const json_t *data)
{
	struct style *s = &w->invocation->style;
	struct str level = json_member_str(data, "level"), message = json_member_str(data, "message");
	const json_t *fields = json_member(data, "fields");
	struct buf line;

	begin_line(&line, w, "├─ ");
	buf_addf(&line, "%slog %.*s:%s %.*s ", str_is(level, "error") || str_is(level, "warn") ? s->yellow : s->dim, STR_ARG(level), s->off,
	         STR_ARG(message));
	if (json_is_object(fields) && json_object_size(fields))
		add_short(&line, fields, 100);
	end_line(&line);
}

static void
trace_status(struct watched *w, const json_t *data)
{
	struct invocation *v = w->invocation;
	struct str status = json_member_str(data, "status");
	struct buf line;

	if (str_is(status, "running") || str_is(status, "queued"))
		return;
	begin_line(&line, w, is_final(status) ? "└─ " : "├─ ");
	buf_addf(&line, "%s%8.2f ms%s  %s%.*s%s", v->style.dim, (double)(clock_monotonic_us() - v->began_us) / 1e3, v->style.off, v->style.bold,
	         STR_ARG(status), v->style.off);
	end_line(&line);
}

/* -- watching --------------------------------------------------------------------------------------------------------- */

static void
invocation_on_event(void *arg, const char *type, const char *id, const json_t *data)
{
	struct watched *w = arg;
	struct invocation *v = w->invocation;
	struct str status = json_member_str(data, "status");
	bool is_status = strcmp(type, "status") == 0;
	(void)id;

	if (v->over)
		return;
	if (v->trace) {
		if (strcmp(type, "effect") == 0)
			trace_effect(w, data);
		else if (strcmp(type, "outcome") == 0)
			trace_outcome(w, data);
		else if (strcmp(type, "log") == 0)
			trace_log(w, data);
		else if (is_status)
			trace_status(w, data);
	}
	if (!is_status || w->depth > 0)
		return;
	snprintf(v->status, sizeof v->status, "%.*s", STR_ARG(status));
	if (is_final(status)) {
		json_t *output = json_object_get(data, "output"), *error = json_object_get(data, "error");
		finish_with(v, status, json_incref(output), json_incref(error));
	}
}

static void
watch(struct invocation *v, struct str run, unsigned depth)
{
	struct watched *w = mem_alloc(sizeof *w);
	w->invocation = v;
	w->depth = depth;
	w->watcher = engine_watch_run(v->host->engine, str_of(v->tenant), run, invocation_on_event, w);
	if (!w->watcher) {
		free(w);
		return;
	}
	w->next = v->watched;
	v->watched = w;
}

static json_t *
document(const struct store_result *r, size_t column)
{
	return store_is_null(r, 0, column) ? NULL : json_read(store_text(r, 0, column), SIZE_MAX, NULL, NULL);
}

/* The run is not here (any more): its row, or that of the last of its chain, knows. Columns of run_get_last: 3 status, 5 output, 6 error. */
static void
invocation_on_row(struct store_tx *tx, int code, void *arg)
{
	struct invocation *v = arg;
	const struct store_result *r = code ? NULL : store_tx_result(tx, 0);
	if (r && r->rows && is_final(store_text(r, 0, 3)))
		finish_with(v, store_text(r, 0, 3), document(r, 5), document(r, 6));
	else
		timer_start_us(&v->again, LOOK_AGAIN_US);
	store_tx_free(tx);
}

static void
invocation_on_again(void *arg)
{
	struct invocation *v = arg;
	watch(v, str_of(v->run), 0);
	if (v->watched)
		return;
	struct store_tx *tx = store_tx_new(v->host->store, str_of(v->tenant));
	store_tx_add(tx, STATEMENT_run_get_last, STORE_ANY, "t", v->run);
	store_submit_read(tx, invocation_on_row, v);
}

static void
invocation_on_started(void *arg, int code, const char *run, bool existed, const json_t *errors, const char *text)
{
	struct invocation *v = arg;
	(void)existed;
	if (code) {
		v->code = code;
		v->errors = errors ? json_incref((json_t *)(uintptr_t)errors) : NULL;
		v->text = mem_copy(str_of(text));
		finish(v);
		return;
	}
	snprintf(v->run, sizeof v->run, "%s", run);
	snprintf(v->status, sizeof v->status, "queued");
	if (v->trace) {
		struct buf line;
		buf_init(&line, 256);
		buf_addf(&line, "%srun %s%s\n", v->style.bold, v->run, v->style.off);
		cli_write(STDERR_FILENO, &line);
		buf_free(&line);
	}
	invocation_on_again(v);
}

static struct invocation *
invocation_new(struct host *host, struct str tenant, bool trace, invocation_done_fn done, void *arg)
{
	struct invocation *v = mem_alloc(sizeof *v);
	v->host = host;
	v->tenant = mem_copy(tenant);
	v->trace = trace;
	v->style = style_of(STDERR_FILENO);
	v->done = done;
	v->arg = arg;
	v->began_us = clock_monotonic_us();
	timer_init(&v->again, host->loop, invocation_on_again, v);
	return v;
}

static void
invocation_on_forked(void *arg, int code, const json_t *result, const char *text)
{
	invocation_on_started(arg, code, json_string_value(json_member(result, "run")), false, NULL, text);
}

struct invocation *
invocation_fork(struct host *host, struct str tenant, const struct fork_request *fork, bool trace, invocation_done_fn done, void *arg)
{
	struct invocation *v = invocation_new(host, tenant, trace, done, arg);
	engine_fork_run(host->engine, tenant, fork->run, fork->at, fork->bundle, STR("cli"), invocation_on_forked, v);
	return v;
}

struct invocation *
invocation_retry(struct host *host, struct str tenant, struct str run, struct str bundle, bool trace, invocation_done_fn done, void *arg)
{
	struct invocation *v = invocation_new(host, tenant, trace, done, arg);
	engine_retry_run(host->engine, tenant, run, bundle, STR("cli"), invocation_on_forked, v);
	return v;
}

struct invocation *
invocation_start(struct host *host, const struct run_request *request, bool trace, invocation_done_fn done, void *arg)
{
	struct invocation *v = invocation_new(host, request->tenant, trace, done, arg);
	engine_start_run(host->engine, request, invocation_on_started, v);
	return v;
}

void
invocation_forget(struct invocation *invocation)
{
	if (invocation)
		free_invocation(invocation);
}

const char *
invocation_run(const struct invocation *invocation)
{
	return invocation->run;
}

const char *
invocation_status(const struct invocation *invocation)
{
	return invocation->status;
}
