/* What runs.c offers to those who wait for runs. */
#pragma once

#include "api/call.h"
#include "store/runs.h"

/* Is there nothing to wait for any more? (`stuck` waits for an operator, not for time.) */
bool run_is_over(struct str status);
/* The run that operation `op` of call->tx has read; NULL: there is none. New reference. */
json_t *run_object(const struct call *call, size_t op);
