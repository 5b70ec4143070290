/* GET /v1/deals/{deal}/evidence: the ledger of a deal in the order in which things were said, in pages. */
#include "store/evidence.h"

#include "api/handlers.h"
#include "api/internal.h"

#include <stdlib.h>

static enum flow_result step_ask(struct flow *flow)
{
	return call_read(flow->owner);
}

static enum flow_result step_answer(struct flow *flow)
{
	struct call *call = flow->owner;
	const int64_t *limit = call->state;

	if (call->code)
		return call_store_failed(call);
	call_reply_page(call, evidence_page_json(store_tx_result(call->tx, 0), *limit));
	return FLOW_DONE;
}

void handle_list_evidence(struct call *call)
{
	static const struct flow_step steps[] = { { "ask", step_ask, 0 }, { "answer", step_answer, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "evidence.list", steps, NULL, call_fini };
	struct evidence_query query = { .deal = call_param(call, 0), .playbook = str_of(call_query(call, "playbook")),
		                        .dimension = str_of(call_query(call, "dimension")), .cursor = call_cursor(call) };
	struct errbuf e = { "" };
	int64_t *limit = mem_alloc(sizeof *limit);
	size_t op;
	int code;

	call->state = limit;
	call->state_free = free;
	if (!record_id_is_valid(query.deal)) {
		call_fail(call, ERR_INVALID, "a deal's id is 1 to 200 bytes of UTF-8 without control characters");
		return;
	}
	if (!call_limit(call, limit))
		return;
	query.limit = *limit;
	code = evidence_tx_page(call_tx(call), &query, &op, &e);
	if (code)
		call_fail(call, code, "%s", e.text);
	else
		call_flow(call, &story);
}
