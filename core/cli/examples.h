/* Work through a folder of conversations, one run of sales.qualify each, and print the scorecards: the first thing that a newcomer sees. */
#pragma once

#include "cli/host.h"

struct examples;

/* FOLDER/NAME/input.json each, in order of their names; done fires in the loop once all are through. With failures counted: runs that did not succeed. */
MUST_CHECK int examples_start(struct host *host, const char *folder, const char *tenant, void (*done)(void *arg, size_t runs, size_t failures),
                              void *arg, struct examples **out, struct errbuf *e);
char *examples_first(const struct examples *examples);   /* path of the first input; owned */
void examples_free(struct examples *examples);   /* in the loop's thread, after done or as the last thing before host_close */
