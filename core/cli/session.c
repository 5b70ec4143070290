#include "cli/session.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void
print_result(const json_t *result)
{
	struct buf out;
	buf_init(&out, 64u << 20);
	if (isatty(STDOUT_FILENO))
		json_write_pretty(&out, result);
	else
		json_write(&out, result);
	buf_add_char(&out, '\n');
	cli_write(STDOUT_FILENO, &out);
	buf_free(&out);
}

static int
fail_refused(const struct invocation_end *end)
{
	if (json_array_size(end->errors)) {
		const json_t *first = json_array_get(end->errors, 0);
		struct str pointer = json_member_str(first, "pointer"), message = json_member_str(first, "message");
		size_t more = json_array_size(end->errors) - 1;
		char rest[48] = "";
		if (more)
			snprintf(rest, sizeof rest, " (and %zu more)", more);
		return cli_fail(EXIT_USAGE, "the input does not match: at %s%.*s: %.*s%s", pointer.n ? "" : "its top", STR_ARG(pointer),
		                STR_ARG(message), rest);
	}
	return cli_fail(cli_exit_code(end->code), "%s", *end->text ? end->text : err_title(end->code));
}

void
session_on_done(void *arg, const struct invocation_end *end)
{
	struct session *s = arg;
	s->done = true;
	if (end->code) {
		s->code = fail_refused(end);
		return;
	}
	s->result = json_object();
	json_put_text(s->result, "run", end->run);
	json_put_text(s->result, "status", end->status);
	json_put(s->result, "output", json_incref((json_t *)(uintptr_t)end->output));
	json_put(s->result, "error", json_incref((json_t *)(uintptr_t)end->error));
	s->code = strcmp(end->status, "succeeded") == 0 ? EXIT_DONE : EXIT_FAILED;
}

static void
session_on_signal(int signal, int what, void *arg)
{
	struct session *s = arg;
	(void)signal;
	(void)what;
	s->interrupted = s->done = true;
}

void
session_watch(struct session *s)
{
	watch_signal_init(&s->interrupt, s->host.loop, SIGINT, session_on_signal, s);
	watch_signal_init(&s->terminate, s->host.loop, SIGTERM, session_on_signal, s);
	watch_start(&s->interrupt);
	watch_start(&s->terminate);
}

int
session_wait(struct session *s, struct invocation *invocation)
{
	host_wait(&s->host, &s->done);
	if (s->interrupted) {
		if (*invocation_run(invocation))
			s->code = cli_fail(EXIT_FAILED, "run %s is %s and stays in the store: perigee serve or dev goes on with it",
			                   invocation_run(invocation), invocation_status(invocation));
		else
			s->code = cli_fail(EXIT_FAILED, "interrupted before the run began");
		invocation_forget(invocation);
	}
	watch_fini(&s->interrupt);
	watch_fini(&s->terminate);
	return s->code;
}

void
session_print(struct session *s)
{
	if (s->result)
		print_result(s->result);
	json_decref(s->result);
	s->result = NULL;
}
