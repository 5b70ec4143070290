/*
 * One record per line: time, level, event (noun.verb), message fields key=value (text) or one JSON object (json). Values are escaped:
 * control bytes never reach the terminal. The sink is the one global of the host besides signal flags; thread-safe, one write(2) a record.
 */
#pragma once

#include "base/bytes.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON, LOG_COLOUR };

void log_setup(int fd, enum log_format format, enum log_level least);
/* Is this level written at all? For callers whose values cost something to make. */
bool log_wants(enum log_level level);
MUST_CHECK bool log_level_parse(struct str name, enum log_level *out);
/* Pairs end with NULL: log_event(LOG_INFO, "run.ended", "run", id, "status", "succeeded", NULL). All values are C strings. */
void log_event(enum log_level level, const char *event, ...) __attribute__((sentinel));
