/* Another try for a delivery that has failed each time: it is pending again, with all its attempts, and begun at once. */
#include "run/deliveries.h"

#include <stdlib.h>

struct replay {
	struct engine *engine;
	struct tenant *tenant;
	char *id;
	engine_done_fn done;
	void *arg;
	struct loop_item later;
};

static void on_replayed(struct store_tx *tx, int code, void *arg)
{
	struct replay *replay = arg;
	json_t *result = NULL;

	if (code == 0) {
		result = json_object();
		json_put_text(result, "id", replay->id);
		json_put_text(result, "status", "pending");
		deliveries_begin(replay->engine, replay->tenant, str_of(replay->id));
	}
	replay->done(replay->arg, code == ERR_CONFLICT ? ERR_NOT_FOUND : code, result,
	             code == ERR_CONFLICT ? "there is no such dead letter" : code ? store_tx_error(tx) : NULL);
	json_decref(result);
	store_tx_free(tx);
	free(replay->id);
	free(replay);
}

static void replay_on_refused(void *arg)
{
	struct replay *replay = arg;

	replay->done(replay->arg, ERR_NOT_FOUND, NULL, "no such tenant");
	free(replay->id);
	free(replay);
}

void engine_replay_delivery(struct engine *engine, struct str tenant, struct str delivery, engine_done_fn done, void *arg)
{
	struct replay *replay = mem_alloc(sizeof *replay);
	struct store_tx *tx;

	replay->engine = engine;
	replay->tenant = engine_tenant(engine, tenant);
	replay->id = mem_copy(delivery);
	replay->done = done;
	replay->arg = arg;
	if (!replay->tenant) { /* deleted since its key was looked up, or the store does not say */
		loop_defer(engine->options.loop, &replay->later, replay_on_refused, replay);
		return;
	}
	tx = store_tx_new(engine->options.store, tenant);
	store_tx_add(tx, STATEMENT_delivery_replay, STORE_MUST, "t", replay->id);
	store_submit_write(tx, on_replayed, replay);
}
