/* The handlers that routes.c names, one file per resource, and what several of them use. */
#pragma once

#include "api/call.h"

void handle_health(struct call *call);
void handle_health_startup(struct call *call);
void handle_health_ready(struct call *call);
void handle_metrics(struct call *call);
void handle_openapi(struct call *call);

void handle_list_agents(struct call *call);
void handle_get_agent(struct call *call);
void handle_call_capability(struct call *call);

void handle_list_runs(struct call *call);
void handle_get_run(struct call *call);
void handle_run_journal(struct call *call);
void handle_run_events(struct call *call);
void handle_cancel_run(struct call *call);
void handle_fork_run(struct call *call);
void handle_retry_run(struct call *call);
void handle_signal_run(struct call *call);

void handle_list_records(struct call *call);
void handle_get_record(struct call *call);
void handle_put_record(struct call *call);
void handle_delete_record(struct call *call);
void handle_record_history(struct call *call);

void handle_list_evidence(struct call *call);
void handle_list_approvals(struct call *call);
void handle_get_approval(struct call *call);
void handle_decide_approval(struct call *call);
void handle_list_outcomes(struct call *call);
void handle_get_outcome(struct call *call);
void handle_decide_outcome(struct call *call);
void handle_post_event(struct call *call);
void handle_stream_events(struct call *call);
void handle_list_dead(struct call *call);
void handle_replay_dead(struct call *call);

void handle_list_handoffs(struct call *call);
void handle_get_handoff(struct call *call);
void handle_replay_handoff(struct call *call);

void handle_list_schedules(struct call *call);
void handle_get_schedule(struct call *call);
void handle_pause_schedule(struct call *call);
void handle_resume_schedule(struct call *call);
void handle_fire_schedule(struct call *call);

/* 404: no WHAT "NAME"; there are … */
void fail_unknown(struct call *call, const char *what, const char *name, const json_t *known);
/* Keys of an object, bytewise; owned array of borrowed names. */
const char **sorted_names(const json_t *object, size_t *count);
/* call->body against a schema, given as text. False: answered with 422. */
MUST_CHECK bool check_body(struct call *call, const char *schema_text);
/* 404 unless it is a UUID; true: go on. what: "run". */
MUST_CHECK bool need_uuid(struct call *call, size_t param, const char *what);
