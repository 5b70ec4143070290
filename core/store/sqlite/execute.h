/* Run the operations of one transaction on a connection; the caller has begun and will commit. */
#pragma once

#include "store/sqlite/connection.h"

enum executed {
	EXECUTED,                 /* all of it; results are in the transaction */
	EXECUTED_NOT,             /* code and text are set, something may have been written: undo this transaction */
	EXECUTED_UNTOUCHED,       /* the same, and certainly nothing was written */
	EXECUTED_BROKEN,          /* the store failed, nothing of this connection's transaction holds */
};

enum executed execute_tx(struct connection *c, struct store_tx *tx);
