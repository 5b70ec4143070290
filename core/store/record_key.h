/*
 * Sort keys: a JSON scalar as text whose bytewise order is the order of records: null (and absent) "0", false "1", true "2",
 * numbers "3" and 16 hex digits in numeric order, strings "4" and their first bytes, arrays and objects "5". One order for indexed and other
 * fields, and for every engine. Strings are cut at RECORD_KEY_TEXT_MAX and before a NUL, which not every engine can keep: equal keys may be different strings.
 */
#pragma once

#include "base/json.h"

#define RECORD_KEY_TEXT_MAX 255    /* bytes of a string, cut between characters */
#define RECORD_KEY_LAST "9"        /* above every key */

void record_key_add(struct buf *out, const json_t *value);     /* NULL is null */
/* The same of JSON text; text that is no JSON counts as a string. {NULL, 0} is null. */
void record_key_add_text(struct buf *out, struct str json);
