/* A deal's scorecards as a page for people: what `make run` shows first. Reads the output of `sales.qualify` and nothing else. */
#pragma once

#include "base/json.h"
#include "cli/cli.h"

struct scorecard_page {
	const char *title;        /* of the conversation */
	const char *place;        /* the file it comes from */
	const json_t *input, *output;
	int64_t took_us;
};
void scorecard_print(struct buf *out, const struct style *style, const struct scorecard_page *page);
/* One line of it, for an overview: title, BANT's verdict, what blocks it, the next action. */
void scorecard_print_line(struct buf *out, const struct style *style, const struct scorecard_page *page);
