/* perigee run: one run, here. */
#include "cli/commands.h"
#include "cli/host.h"
#include "cli/invoke.h"
#include "cli/names.h"
#include "cli/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX (8u << 20)

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
	session_watch(s);
	return session_wait(s, invocation_start(&s->host, &request, trace, session_on_done, s));
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
	session_print(&session);
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
