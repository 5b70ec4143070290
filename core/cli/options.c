#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
print_help(const struct command *command, const struct option *options)
{
	printf("perigee %s %s\n\n%s.\n", command->name, command->arguments, command->summary);
	if (command->details)
		printf("\n%s\n", command->details);
	printf("\nOptions:\n");
	for (const struct option *o = options; o->name; o++) {
		char left[64];
		snprintf(left, sizeof left, "%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
		printf("  %-26s %s\n", left, o->help);
	}
	printf("  %-26s %s\n", "--help", "this text");
}

static const struct option *
find_option(const struct option *options, const char *word, size_t length)
{
	for (const struct option *o = options; o->name; o++)
		if (strlen(o->name) == length && memcmp(o->name, word, length) == 0)
			return o;
	return NULL;
}

static void
store_value(const struct option *o, const char *value, struct setting_flags *flags)
{
	if (o->on)
		*o->on = true;
	if (o->text)
		*o->text = value;
	if (o->setting && flags && flags->count < SETTING_FLAGS_MAX) {
		flags->items[flags->count].path = o->setting;
		flags->items[flags->count].text = value;
		flags->count++;
	}
}

int
options_parse(const struct command *command, const struct option *options, struct setting_flags *flags, int argc, char **argv, size_t least,
              size_t most, struct words *words)
{
	size_t count = 0;
	bool ended = false;

	for (int i = 1; i < argc; i++) {
		char *word = argv[i];
		if (ended || word[0] != '-' || word[1] == '\0') {
			argv[1 + count++] = word;   /* never overtakes i */
			continue;
		}
		if (strcmp(word, "--") == 0) {
			ended = true;
			continue;
		}
		if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
			print_help(command, options);
			return EXIT_DONE;
		}
		const char *equals = strchr(word, '=');
		size_t length = equals ? (size_t)(equals - word) : strlen(word);
		const struct option *o = find_option(options, word, length);
		if (!o)
			return cli_fail(EXIT_USAGE, "no option %.*s: see perigee %s --help", (int)length, word, command->name);
		if (!o->value && equals)
			return cli_fail(EXIT_USAGE, "%s takes no value: see perigee %s --help", o->name, command->name);
		if (o->value && !equals && i + 1 >= argc)
			return cli_fail(EXIT_USAGE, "%s needs a value: %s %s", o->name, o->name, o->value);
		const char *value = NULL;
		if (o->value)
			value = equals ? equals + 1 : argv[++i];
		store_value(o, value, flags);
	}
	if (count < least || count > most)
		return cli_fail(EXIT_USAGE, "usage: perigee %s %s (more: perigee %s --help)", command->name, command->arguments, command->name);
	words->items = argv + 1;
	words->count = count;
	return -1;
}
