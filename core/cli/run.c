/* perigee run: one run, here. */
#include "cli/commands.h"
#include "cli/host.h"
#include "cli/invoke.h"
#include "cli/names.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INPUT_MAX (8u << 20)

struct session {
	struct host host;
	bool done, interrupted;
	int code;
	json_t *result;
	struct watch interrupt, terminate;
};

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

static void
run_on_done(void *arg, const struct invocation_end *end)
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
run_on_signal(int signal, int what, void *arg)
{
	struct session *s = arg;
	(void)signal;
	(void)what;
	s->interrupted = s->done = true;
}

static int
read_input(const char *path, json_t **out)
{
	struct buf text;
	struct errbuf e;
	int code = 0;

	if (!path) {
		*out = json_object();
		return 0;
	}
	if ((code = cli_read_file(path, INPUT_MAX, &text, &e)))
		return cli_fail(EXIT_USAGE, "--input: %s", e.text);
	*out = json_read(buf_str(&text), INPUT_MAX, &code, &e);
	buf_free(&text);
	return *out ? 0 : cli_fail(EXIT_USAGE, "--input %s: %s", path, e.text);
}

static int
invoke(struct session *s, const char *tenant, const char *agent, const char *capability, json_t *input, bool trace)
{
	struct run_request request = {
		.tenant = str_of(tenant), .agent = agent, .capability = capability, .input = input, .subject = json_member_str(input, "deal"),
	};
	watch_signal_init(&s->interrupt, s->host.loop, SIGINT, run_on_signal, s);
	watch_signal_init(&s->terminate, s->host.loop, SIGTERM, run_on_signal, s);
	watch_start(&s->interrupt);
	watch_start(&s->terminate);
	struct invocation *invocation = invocation_start(&s->host, &request, trace, run_on_done, s);
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

static int
run(const struct command *command, int argc, char **argv)
{
	const char *config = NULL, *input_path = NULL, *tenant = TENANT_OTHERWISE;
	bool trace = false, scratch = false;
	struct setting_flags flags = { 0 };
	struct words words;
	const struct option options[] = {
		{ "--input", "FILE|-", "the input as JSON (- is standard input; otherwise {})", &input_path, NULL, NULL },
		OPTION_TENANT(tenant),
		{ "--trace", NULL, "every effect with its time, on standard error", NULL, &trace, NULL },
		{ "--scratch", NULL, "in a store of its own, gone afterwards", NULL, &scratch, NULL },
		OPTION_CONFIG(config), OPTION_ROOT, OPTION_STORE, { 0 },
	};
	int code = options_parse(command, options, &flags, argc, argv, 1, 1, &words);
	if (code >= 0)
		return code;

	char *agent = words.items[0], *dot = strrchr(agent, '.');
	if (!dot || dot == agent || !dot[1])
		return cli_fail(EXIT_USAGE, "'%s' is not AGENT.CAPABILITY, like sales.qualify", agent);
	*dot = '\0';

	struct settings settings;
	struct session session = { 0 };
	struct errbuf e;
	json_t *input = NULL;
	if ((code = read_input(input_path, &input)))
		return code;
	code = host_begin(config, &flags, (struct host_options){ .scratch = scratch }, &settings, &session.host);
	if (code >= 0) {
		json_decref(input);
		return code;
	}
	code = names_need_tenant(&session.host, tenant);
	if (code < 0 && (code = host_load(&session.host, tenant, settings.root, NULL, &e)))
		code = cli_fail(code == ERR_STORE ? EXIT_NO_HOST : EXIT_FAILED, "%s", e.text);
	else if (code == 0)
		code = invoke(&session, tenant, agent, dot + 1, input, trace);
	if (session.result)
		print_result(session.result);
	json_decref(session.result);
	json_decref(input);
	host_end(&settings, &session.host);
	return code;
}

const struct command command_run = {
	"run", "AGENT.CAPABILITY [OPTIONS]", "Run one capability here and print {run, status, output, error}",
	"The run is durable like any other: it is kept in the store, and `perigee runs` and `perigee replay` know it.\n"
	"  perigee run sales.qualify --input examples/qualified-call/input.json --trace",
	run,
};
