/* http.request: its handler and its schema, for the registry. */
#pragma once

#include "run/effect.h"

extern const char effect_schema_http_request[];
void effect_begin_http_request(struct effect *effect);
