/* perigee fork: another run out of a run's journal, here. */
#include "cli/commands.h"
#include "cli/names.h"
#include "cli/session.h"

#include <string.h>

static int
run(const struct command *command, int argc, char **argv)
{
	const char *config = NULL, *tenant = TENANT_OTHERWISE, *bundle = NULL, *at_text = NULL;
	bool trace = false;
	struct setting_flags flags = { 0 };
	struct words words;
	const struct option options[] = {
		{ "--at", "N", "how many outcomes of its journal the new run takes over (0: none)", &at_text, NULL, NULL },
		{ "--bundle", "PATH", "go on with the scripts of this root, instead of those that RUN is pinned to", &bundle, NULL, NULL },
		{ "--trace", NULL, "every effect with its time, on standard error", NULL, &trace, NULL },
		OPTION_TENANT(tenant), OPTION_CONFIG(config), OPTION_ROOT, OPTION_STORE, { 0 },
	};
	int code = options_parse(command, options, &flags, argc, argv, 1, 1, &words);
	if (code >= 0)
		return code;

	struct settings settings;
	struct session session = { 0 };
	struct errbuf e;
	struct fork_request request = { .run = str_of(words.items[0]), .bundle = str_of(bundle ? "live" : "origin") };
	if (!at_text || !str_to_int(str_of(at_text), 0, INT64_MAX, &request.at))
		return cli_fail(EXIT_USAGE, "--at N: how many outcomes the fork takes over; perigee runs %s --journal lists them", words.items[0]);
	code = host_begin(config, &flags, (struct host_options){ 0 }, &settings, &session.host);
	if (code >= 0)
		return code;
	code = names_need_tenant(&session.host, tenant);
	if (code < 0 && bundle && (code = host_load(&session.host, tenant, bundle, NULL, &e)))
		code = cli_fail(code == ERR_STORE ? EXIT_NO_HOST : EXIT_FAILED, "%s", e.text);
	else if (code <= 0) {
		session_watch(&session);
		code = session_wait(&session, invocation_fork(&session.host, str_of(tenant), &request, trace, session_on_done, &session));
	}
	session_print(&session);
	host_end(&settings, &session.host);
	return code;
}

const struct command command_fork = {
	"fork", "RUN --at N [OPTIONS]", "Go on from a place in a run's journal, as a new run, and print {run, status, output, error}",
	"The new run has the first N outcomes of RUN's journal: its script replays them, then goes on live. What RUN had spawned or asked stays RUN's.\n"
	"With other scripts that do not issue the same effects up to there it ends stuck, with both sides in its error.", run,
};
