/* What a JSON value is, for those who check it: its type, equality as JSON Schema has it, and words
 * for messages. */
#pragma once

#include "base/json.h"

/* Is it of this type, or of one of this list of types? 1.0 is an integer, an integer is a number.
 */
bool json_type_allows(const json_t *type, const json_t *value);
/* "integer", or "string, number or null" for a list. */
void json_type_describe(struct buf *b, const json_t *type);
/* `string "abc"`, `number 3`, `an array of 2`; long ones are cut. */
void json_value_describe(struct buf *b, const json_t *value);
int json_numbers_compare(const json_t *a, const json_t *b);
bool json_values_equal(const json_t *a, const json_t *b); /* 1 and 1.0 are the same */
