/* perigee: the host and the author's tool. One file per command; this one finds it. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "base/crypto.h"
#include "base/log.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const struct command *const commands[] = {
	&command_dev, &command_serve, &command_run, &command_test, &command_check, &command_replay, &command_fork, &command_runs, &command_records,
	&command_outcomes,
	&command_schedules, &command_handoffs,
	&command_events, &command_approvals, &command_tenant, &command_backup, &command_restore, &command_key, &command_migrate, &command_doctor, &command_version, NULL
};

static int
print_usage(FILE *to)
{
	fprintf(to, "perigee: agents in Lua, on a host in C\n\nUsage: perigee COMMAND [OPTIONS]\n\n");
	for (const struct command *const *c = commands; *c; c++)
		fprintf(to, "  %-10s %s\n", (*c)->name, (*c)->summary);
	fprintf(to, "\nperigee COMMAND --help says more. Start with: perigee dev\n");
	return to == stdout ? EXIT_DONE : EXIT_USAGE;
}

static const struct command *
find_command(const char *name)
{
	for (const struct command *const *c = commands; *c; c++)
		if (strcmp((*c)->name, name) == 0)
			return *c;
	return NULL;
}

int
main(int argc, char **argv)
{
	if (argc < 2)
		return print_usage(stderr);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
		return print_usage(stdout);
	if (strcmp(argv[1], "--version") == 0)
		argv[1] = (char[]){ "version" };
	const struct command *command = find_command(argv[1]);
	if (!command)
		return cli_fail(EXIT_USAGE, "no command '%s': perigee --help lists them", argv[1]);

	signal(SIGPIPE, SIG_IGN);
	log_setup(STDERR_FILENO, isatty(STDERR_FILENO) ? LOG_COLOUR : LOG_TEXT, LOG_WARN);
	if (crypto_setup())
		return cli_fail(EXIT_NO_HOST, "libsodium does not start: is /dev/urandom there?");
	int code = command->run(command, argc - 1, argv + 1);
	if (fflush(stdout) && code == EXIT_DONE)
		code = cli_fail(EXIT_FAILED, "standard output cannot be written");
	return code;
}
