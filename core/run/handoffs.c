#include "run/run_internal.h"
void handoffs_replay(struct engine *engine, struct tenant *tenant, const struct store_result *rows) { (void)engine; (void)tenant; (void)rows; }
