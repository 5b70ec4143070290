/*
 * The subset of JSON Schema 2020-12 that short forms compile to, checked on every call:
 * type (one or a list), properties, required, additionalProperties (bool or schema), items, enum,
 * const, minimum, maximum, minLength, maxLength (characters), minItems, maxItems, pattern-free;
 * format "date-time" and "uuid"; anyOf; $ref to "#/$defs/NAME"; title, description and default are
 * carried and ignored. Any other keyword makes json_schema_check_schema fail: nothing is silently
 * unchecked.
 */
#pragma once

#include "base/json.h"

/* Is this document a schema we can check in full? ERR_INVALID with the pointer of the fault in e.
 */
MUST_CHECK int json_schema_check_schema(const json_t *schema, struct errbuf *e);
/* Check value; appends {pointer, message} objects to the array `errors` (at most 20; may be NULL)
 * and returns ERR_SCHEMA, or 0. With coerce, an empty object where the schema wants an array
 * becomes an empty array in place (Lua cannot tell them apart). */
MUST_CHECK int json_schema_check(const json_t *schema, json_t **value, bool coerce, json_t *errors);
