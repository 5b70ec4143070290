/* What Prometheus expects every process to say about itself; metrics_write adds it, nobody else needs it. */
#pragma once

#include "base/bytes.h"

void metrics_write_process(struct buf *out);
