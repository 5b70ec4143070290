/* How `perigee test` tells what happened: TAP 13, JUnit XML, or a list for people. */
#pragma once

#include "base/json.h"
#include "cli/cli.h"

enum report_form { REPORT_SPEC, REPORT_TAP, REPORT_JUNIT };

struct report {
	enum report_form form;
	struct style style;
	size_t number, passed, failed, errors, pending;   /* errors: of those that failed */
	struct buf junit;          /* test suites so far */
	int64_t began_us;
};

void report_begin(struct report *r, enum report_form form);
/* The tests of one file: [{name, path, line, status: "passed"|"failed"|"error"|"pending", message, traceback}]. */
void report_file(struct report *r, const char *path, const json_t *tests, int64_t took_us);
/* A file that ended before it could report: one failed test. */
void report_broken_file(struct report *r, const char *path, const json_t *error, int64_t took_us);
void report_end(struct report *r);
