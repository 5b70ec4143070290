/* What the process says of itself: CPU time, memory, descriptors, start. Part of what metrics_write gives. */
#pragma once

struct metrics;

/* Bring the process metrics up to date, declared with the first call. */
void metrics_process_update(struct metrics *out);
