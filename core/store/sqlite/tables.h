/* The generated table of the SQLite engine's statements (tools/sqlgen.sh), by enum statement. */
#pragma once

#include "store/engine.h"

extern const struct store_statement sqlite_statements[STATEMENT_COUNT];
