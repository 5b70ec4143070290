#include "run/run_internal.h"
void deadlines_expire(struct engine *engine, struct tenant *tenant, const struct store_result *rows) { (void)engine; (void)tenant; (void)rows; }
void handoffs_replay(struct engine *engine, struct tenant *tenant, const struct store_result *rows) { (void)engine; (void)tenant; (void)rows; }
