/* GET /v1/deals/{deal}/evidence: the ledger of a deal, whole: {items, next_cursor: null}. */
#include "store/evidence.h"

#include "api/handlers.h"
#include "api/internal.h"

static enum flow_result step_ask(struct flow *flow)
{
	struct call *call = flow->owner;

	evidence_tx_list(call_tx(call), call_param(call, 0), str_of(call_query(call, "playbook")), str_of(call_query(call, "dimension")));
	return call_read(call);
}

static enum flow_result step_answer(struct flow *flow)
{
	struct call *call = flow->owner;
	json_t *list;

	if (call->code)
		return call_store_failed(call);
	list = evidence_list_json(store_tx_result(call->tx, 0), ROW_TIMES_TEXT);
	json_put_text(list, "next_cursor", NULL);
	call_reply_page(call, list);
	return FLOW_DONE;
}

void handle_list_evidence(struct call *call)
{
	static const struct flow_step steps[] = { { "ask", step_ask, 0 }, { "answer", step_answer, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "evidence.list", steps, NULL, call_fini };

	if (record_id_is_valid(call_param(call, 0)))
		call_flow(call, &story);
	else
		call_fail(call, ERR_INVALID, "a deal's id is 1 to 200 bytes of UTF-8 without control characters");
}
