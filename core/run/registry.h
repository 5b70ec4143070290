/* The one table of effects (registry.c). */
#pragma once

#include "run/effect.h"

/* Arguments against the effect's schema. ERR_SCHEMA with {pointer, message} objects in errors and one line in e. */
MUST_CHECK int registry_check_arguments(const struct effect_row *row, json_t **args, json_t *errors, struct errbuf *e);
