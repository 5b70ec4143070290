/* Rows of the store as JSON and as a table: what `perigee runs`, `records`, `events` and `approvals` print. */
#pragma once

#include "cli/host.h"

struct column {
	const char *name;
	char type;             /* t text, i integer, m time (RFC 3339), j document */
	bool listed;           /* in the table of a list */
};

/* An object per row; columns as the statement returns them, ends with a row without name. New reference. */
json_t *data_rows(const struct store_result *result, const struct column *columns);
/* Read the one operation of tx (taken). NULL when it fails: told on standard error. New reference. */
json_t *data_read(struct store_tx *tx, const struct column *columns);
/* Lists as a table for people, or {items:[…]} for machines; returns the exit code. */
int data_print_list(json_t *items /* taken */, const struct column *columns, bool json);
int data_print_one(json_t *item /* taken */, bool json);
/* "--limit N" from 1 to 200; -1 after telling that it is something else. */
int64_t data_limit(const char *text);
