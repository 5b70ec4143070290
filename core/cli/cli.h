/*
 * What the commands share: exit codes, one-line errors, options, colours. One file per command; main.c lists them.
 * Standard output carries results, standard error everything else.
 */
#pragma once

#include "base/error.h"

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,      /* the work failed */
	EXIT_USAGE = 2,
	EXIT_NO_HOST = 3,     /* the host or a server it needs is not there */
	EXIT_FENCED = 4,      /* of a worker whose lease was taken over: the master starts another at once */
};

struct command {
	const char *name;
	const char *arguments;   /* "AGENT.CAPABILITY [OPTIONS]" */
	const char *summary;     /* one line for `perigee --help` */
	const char *details;     /* paragraphs for `perigee COMMAND --help`; may be NULL */
	int (*run)(const struct command *command, int argc, char **argv);   /* argv[0] is the command's name; returns the exit code */
};
extern const struct command *const commands[];   /* ends with NULL; in the order of `perigee --help` */

/* "perigee: TEXT" on standard error, on one line; returns code. The text says what to do next. */
int cli_fail(int code, const char *format, ...) PRINTF_LIKE(2, 3);
/* The exit code for an error of the host: 2 for the caller's fault, 3 for a host or store that is not there, 1 for the rest. */
int cli_exit_code(int err);

/* Options. Values may be "--name value" or "--name=value"; "--" ends options; the order of options and words is free. */
#define SETTING_FLAGS_MAX 16
struct setting_flags {        /* settings given on the command line: over the environment, over the file */
	struct {
		const char *path, *text;
	} items[SETTING_FLAGS_MAX];
	size_t count;
};
struct option {
	const char *name;         /* "--input"; a row without name ends the list */
	const char *value;        /* "FILE"; NULL for a switch */
	const char *help;
	const char **text;        /* where the value goes … */
	bool *on;                 /* … or the switch … */
	const char *setting;      /* … or which setting it sets in *flags */
};
/* Rows for commands that need the settings; `config` is a `const char *` of theirs. */
#define OPTION_CONFIG(config) { "--config", "FILE", "configuration (perigee.lua)", &(config), NULL, NULL }
#define OPTION_ROOT { "--root", "DIR", "folder with scripts/ and methodology/", NULL, NULL, "root" }
#define OPTION_STORE { "--store", "URL", "where data lives, like sqlite:.perigee", NULL, NULL, "store" }
#define OPTION_TENANT(tenant) { "--tenant", "NAME", "whose data and scripts (example)", &(tenant), NULL, NULL }
#define TENANT_OTHERWISE "example"
struct words {
	char **items;             /* borrowed from argv */
	size_t count;
};
/* Parse argv[1…]. Returns -1 to go on; otherwise the exit code: `--help` was printed (0), or an error was (2). Words: at least `least`, at most `most`. */
int options_parse(const struct command *command, const struct option *options, struct setting_flags *flags, int argc, char **argv, size_t least,
                  size_t most, struct words *words);

/* Colours and styles for a terminal; empty strings elsewhere, with NO_COLOR or with TERM=dumb. */
struct style {
	const char *bold, *dim, *red, *green, *yellow, *blue, *cyan, *off;
	bool is_terminal;
	int columns;              /* width, 100 where unknown */
};
struct style style_of(int fd);
/* Columns that UTF-8 text takes, taking each code point for one (wide scripts two). */
size_t text_columns(struct str text);

/* Write all of b to fd; errors are ignored (a reader that left). */
void cli_write(int fd, const struct buf *b);
/* A whole file, at most max bytes; "-" is standard input. */
MUST_CHECK int cli_read_file(const char *path, size_t max, struct buf *out, struct errbuf *e);
char *path_join(const char *folder, const char *name);           /* owned; an absolute name stays as it is */
char *path_folder(const char *path);                              /* owned; "." for a bare name */
