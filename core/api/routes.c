/* Every route, one row each. A row without a scope does not compile: SCOPE_ is pasted in front of it. */
#include "api/handlers.h"

#define ROUTE(method_, pattern_, scope_, handle_, operation_, summary_, ...)                                                          \
	{ .method = method_, .pattern = pattern_, .scope = SCOPE_##scope_, .handle = handle_, .operation_id = operation_,              \
	  .summary = summary_, __VA_ARGS__ }

const struct route routes[] = {
	ROUTE("GET", "/health", PUBLIC, handle_health, "getHealth", "Does the process answer?", .answers = "Health"),
	ROUTE("GET", "/health/startup", PUBLIC, handle_health_startup, "getStartup", "Are the bundles live?", .answers = "Health"),
	ROUTE("GET", "/health/ready", PUBLIC, handle_health_ready, "getReadiness", "Can this host take work?", .answers = "Readiness"),
	ROUTE("GET", "/metrics", LOOPBACK, handle_metrics, "getMetrics", "Metrics in Prometheus' text form", .flags = ROUTE_TEXT),
	ROUTE("GET", "/openapi.json", PUBLIC, handle_openapi, "getOpenAPI", "This document", .answers = "Document",
	      .flags = ROUTE_KEY_OPTIONAL),

	ROUTE("GET", "/v1/agents", AGENTS_READ, handle_list_agents, "listAgents", "Agents and their capabilities", .answers = "AgentList"),
	ROUTE("GET", "/v1/agents/{agent}", AGENTS_READ, handle_get_agent, "getAgent", "One agent", .answers = "Agent"),
	ROUTE("POST", "/v1/agents/{agent}/{capability}", AGENTS_CALL, handle_call_capability, "callCapability", "Start a run of a capability",
	      .flags = ROUTE_OWN_KEY, .status = 202, .takes = "Document", .answers = "Started"),

	ROUTE("GET", "/v1/runs", RUNS_READ, handle_list_runs, "listRuns", "Runs, newest first", .flags = ROUTE_LIST, .answers = "RunList",
	      .query = "agent capability status subject waiting_for"),
	ROUTE("GET", "/v1/runs/{run}", RUNS_READ, handle_get_run, "getRun", "One run", .answers = "Run"),
	ROUTE("GET", "/v1/runs/{run}/journal", RUNS_READ, handle_run_journal, "getRunJournal", "Outcomes that a run's script has seen, in order",
	      .flags = ROUTE_LIST, .answers = "JournalList"),
	ROUTE("GET", "/v1/runs/{run}/events", RUNS_READ, handle_run_events, "streamRunEvents", "What a run does, as it happens, from its beginning",
	      .flags = ROUTE_STREAM),
	ROUTE("POST", "/v1/runs/{run}/cancel", RUNS_WRITE, handle_cancel_run, "cancelRun", "End a run and everything below it", .answers = "Cancelled"),
	ROUTE("POST", "/v1/runs/{run}/fork", RUNS_WRITE, handle_fork_run, "forkRun", "Go on from a place in a run's journal, as a new run", .status = 202,
	      .takes = "Fork", .answers = "Started"),
	ROUTE("POST", "/v1/runs/{run}/retry", RUNS_WRITE, handle_retry_run, "retryRun", "Try again: what is stuck goes on, what failed or was cancelled begins anew",
	      .status = 202, .answers = "Started", .query = "bundle"),
	ROUTE("POST", "/v1/runs/{run}/signals/{name}", RUNS_WRITE, handle_signal_run, "signalRun", "Send a run what it may be waiting for",
	      .status = 202, .takes = "Document", .answers = "Signalled"),

	ROUTE("GET", "/v1/records/{kind}", RECORDS_READ, handle_list_records, "listRecords", "Records of a kind; further parameters are filters",
	      .flags = ROUTE_LIST | ROUTE_ANY_QUERY, .answers = "RecordList", .query = "sort"),
	ROUTE("GET", "/v1/records/{kind}/{id}", RECORDS_READ, handle_get_record, "getRecord", "One record", .flags = ROUTE_VERSIONED, .answers = "Record"),
	ROUTE("PUT", "/v1/records/{kind}/{id}", RECORDS_WRITE, handle_put_record, "putRecord", "Make or replace a record", .flags = ROUTE_VERSIONED,
	      .takes = "Document", .answers = "Record"),
	ROUTE("DELETE", "/v1/records/{kind}/{id}", RECORDS_WRITE, handle_delete_record, "deleteRecord", "Delete a record; its history stays",
	      .flags = ROUTE_VERSIONED, .status = 204),
	ROUTE("GET", "/v1/records/{kind}/{id}/history", RECORDS_READ, handle_record_history, "getRecordHistory", "Versions, newest first",
	      .flags = ROUTE_LIST, .answers = "VersionList"),

	ROUTE("GET", "/v1/deals/{deal}/evidence", EVIDENCE_READ, handle_list_evidence, "listEvidence", "What is known about a deal, with the words that say so",
	      .flags = ROUTE_LIST, .answers = "EvidenceList", .query = "playbook dimension"),
	ROUTE("GET", "/v1/approvals", APPROVALS_READ, handle_list_approvals, "listApprovals", "What waits for a person's decision", .flags = ROUTE_LIST,
	      .answers = "ApprovalList", .query = "status"),
	ROUTE("GET", "/v1/approvals/{approval}", APPROVALS_READ, handle_get_approval, "getApproval", "One approval", .answers = "Approval"),
	ROUTE("POST", "/v1/approvals/{approval}", APPROVALS_DECIDE, handle_decide_approval, "decideApproval", "Approve or reject", .takes = "Decision",
	      .answers = "Approval"),

	ROUTE("GET", "/v1/handoffs", RUNS_READ, handle_list_handoffs, "listHandoffs", "What agents handed to one another, newest first", .flags = ROUTE_LIST,
	      .answers = "HandoffList", .query = "status correlation type"),
	ROUTE("GET", "/v1/handoffs/{handoff}", RUNS_READ, handle_get_handoff, "getHandoff", "One hand-off", .answers = "Handoff"),
	ROUTE("POST", "/v1/handoffs/{handoff}/replay", RUNS_WRITE, handle_replay_handoff, "replayHandoff", "Check a dead one again and start it",
	      .status = 202, .answers = "Handoff"),

	ROUTE("GET", "/v1/schedules", AGENTS_READ, handle_list_schedules, "listSchedules", "What fires by the clock", .flags = ROUTE_LIST,
	      .answers = "ScheduleList"),
	ROUTE("GET", "/v1/schedules/{schedule}", AGENTS_READ, handle_get_schedule, "getSchedule", "One schedule and its last slots", .answers = "Schedule"),
	ROUTE("POST", "/v1/schedules/{schedule}/pause", RUNS_WRITE, handle_pause_schedule, "pauseSchedule", "Fire no more until it is resumed",
	      .answers = "Schedule"),
	ROUTE("POST", "/v1/schedules/{schedule}/resume", RUNS_WRITE, handle_resume_schedule, "resumeSchedule", "Fire again, from the next slot on",
	      .answers = "Schedule"),
	ROUTE("POST", "/v1/schedules/{schedule}/fire", AGENTS_CALL, handle_fire_schedule, "fireSchedule", "Fire now, whatever the clock says",
	      .status = 202, .answers = "Schedule"),

	ROUTE("GET", "/v1/outcomes", RUNS_READ, handle_list_outcomes, "listOutcomes", "Effects whose outcome nobody knows, and what was decided",
	      .flags = ROUTE_LIST, .answers = "UnknownOutcomeList", .query = "status"),
	ROUTE("GET", "/v1/outcomes/{run}/{effect}", RUNS_READ, handle_get_outcome, "getOutcome", "One of them: its last attempt", .answers = "UnknownOutcome"),
	ROUTE("POST", "/v1/outcomes/{run}/{effect}", RUNS_WRITE, handle_decide_outcome, "decideOutcome", "Say what became of it", .takes = "OutcomeDecision",
	      .answers = "UnknownOutcome"),

	ROUTE("POST", "/v1/events", EVENTS_WRITE, handle_post_event, "postEvent", "Hand in a CloudEvent; agents that listen for its type run", .status = 202,
	      .takes = "CloudEvent", .answers = "Accepted"),
	ROUTE("GET", "/v1/events", EVENTS_READ, handle_stream_events, "streamEvents", "Events as they happen, in their order", .flags = ROUTE_STREAM,
	      .query = "type since"),
	ROUTE("GET", "/v1/events/dead", EVENTS_READ, handle_list_dead, "listDeadLetters", "Events whose capability failed each time, newest first",
	      .flags = ROUTE_LIST, .answers = "DeadLetterList"),
	ROUTE("POST", "/v1/events/dead/{delivery}/replay", EVENTS_WRITE, handle_replay_dead, "replayDeadLetter", "Deliver a dead letter again, with all its attempts",
	      .status = 202, .answers = "Replayed"),
};
const size_t routes_count = sizeof routes / sizeof *routes;
