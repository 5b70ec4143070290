/*
 * JSON as text: what both programs write and check alike, so that digests agree.
 * Canonical form: object keys in bytewise order, no spaces, UTF-8 as it is (only ", \ and control
 * characters escaped), integers below 2^53 without fraction, every other double in the shortest
 * form that reads back to the same bits
 * (-0 is "-0.0"). NaN and infinities have no form. "Shortest" is the first of
 * %.15g, %.16g, %.17g that reads back (%.1g upwards for subnormals), whatever the locale. Strings
 * may hold U+0000, keys may not: the host's parser refuses them.
 */
#pragma once

#include "base/bytes.h"

#define JSON_DEPTH_MAX 64

void json_add_string(struct buf *b, struct str s); /* with quotes; s must be valid UTF-8 */
void json_add_int(struct buf *b, int64_t value);
MUST_CHECK bool json_add_double(struct buf *b, double value); /* false: not finite, nothing added */
bool utf8_is_valid(struct str s); /* no surrogates, no overlong forms, <= U+10FFFF */
/* Nesting depth of brackets outside strings; a cheap look before any parser runs. */
size_t json_depth(struct str text);
