/* Names that a wrong name was probably meant to be, for messages about properties. */
#pragma once

#include "base/json.h"

/* Appends "did you mean "quantity"?" when a property's name is near, else "allowed: a, b, c" (cut
 * when long). */
void json_near_hint(struct buf *b, const json_t *properties, const char *name);
