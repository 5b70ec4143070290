/* perigee version. */
#include "cli/commands.h"

#include <stdio.h>

static int
run(const struct command *command, int argc, char **argv)
{
	static const struct option options[] = { { 0 } };
	struct words words;
	int code = options_parse(command, options, NULL, argc, argv, 0, 0, &words);
	if (code >= 0)
		return code;
	puts("perigee " PERIGEE_VERSION);
	return EXIT_DONE;
}

const struct command command_version = { "version", "", "Print the version", NULL, run };
