--- The Sales agent: reads what customers say, keeps the evidence, knows what is missing, proposes what to do next.
-- What it looks for stands in methodology/, one file per playbook; this file knows no method by name.

local agent = require "perigee.agent"
local dates = require "perigee.conversation.dates"
local evidence = require "perigee.evidence"
local records = require "perigee.records"
local schema = require "perigee.schema"
local time = require "perigee.time"
local deals = require "sales.deals"
local follow = require "sales.follow"
local qualify = require "sales.qualify"
local view = require "sales.view"

-- null counts as left out.
local TIME = schema.optional(schema.nullable "time")

schema.define("message", {
  from = "string?",
  to = schema.optional(schema.any_of { "string", { "string" } }),
  side = schema.optional(schema.enum { "customer", "seller", "unknown" }),
  at = schema.optional(schema.nullable "string"), -- as its recorder wrote it: perigee.conversation reads many forms
  text = "string",
})
schema.define("conversation", {
  form = schema.enum { "transcript", "messages", "thread" },
  text = "string?",
  messages = schema.optional { "message" },
  at = schema.optional(schema.nullable "string"),
  seller = schema.optional { "string" },
})
schema.define("dimension", {
  level = schema.integer { min = 0, max = 4 },
  red = "boolean",
  evidence = { "string" },
  missing = schema.nullable "string",
})
schema.define("scorecard", {
  dimensions = schema.map "dimension",
  blocker = schema.nullable "string",
  qualified = schema.nullable "boolean",
  score_bp = "integer",
  flags = { "object" },
})
schema.define("stage", {
  current = "string",
  gates = { { gate = "string", met = "boolean", missing = { "string" } } },
  at_risk = "boolean",
  method = schema.nullable "string",
})
schema.define("action", {
  action = "string",
  reasons = { "string" },
  evidence = { "string" },
  rule = "string",
  others = { "object" },
})
schema.define(
  "question",
  { id = "string", text = "string", dimension = "string", ["for"] = "string" }
)

local PERSONA = schema.optional(schema.enum { "ic", "manager", "director", "vp", "c_level" })

-- The deal as it is known now; as_of may look back or ahead.
local function look(input)
  deals.check(input.deal)
  local record = records.get("deal", input.deal)
  local body = deals.tolerate(record and record.body)
  if input.persona then
    body.persona = input.persona
  end
  local ledger = evidence.list(input.deal)
  local as_of = input.as_of and dates.micros(input.as_of) or dates.micros(body.as_of) or time.now()
  return view.of(body, ledger, as_of, { asked = body.asked }), as_of
end

local function ask_next_action(input)
  local context, as_of = look(input)
  local output = qualify.action_of(context)
  output.as_of = dates.text(as_of)
  return output
end

local function ask_stage(input)
  local context = look(input)
  local stage = context.stage
  return {
    current = stage.before,
    proposed = stage.current,
    gates = stage.gates,
    at_risk = stage.at_risk,
    method = stage.method,
  }
end

local function ask_questions(input)
  local context = look(input)
  return { questions = context.questions }
end

return agent "sales" {
  title = "Sales Agent",
  kinds = { deal = { title = "Deal", index = { "account", "stage" } } },
  capabilities = {
    qualify = {
      title = "Read a conversation, update what is known about the deal",
      input = {
        deal = "id",
        account = "string?",
        persona = PERSONA,
        conversation = "conversation",
      },
      output = {
        status = "string",
        coverage = "object",
        as_of = "string",
        scorecards = schema.map "scorecard",
        stage = "stage",
        next_action = "action",
        questions = { "question" },
        evidence = { "object" },
      },
      run = qualify.run,
    },
    next_action = {
      title = "What to do next about a deal, and why",
      input = { deal = "id", as_of = TIME, persona = PERSONA },
      output = {
        action = "string",
        reasons = { "string" },
        evidence = { "string" },
        rule = "string",
        others = { "object" },
        as_of = "string",
      },
      run = ask_next_action,
    },
    stage = {
      title = "Which gates a deal has passed, and what the next one still needs",
      input = { deal = "id", as_of = TIME },
      output = {
        current = "string",
        proposed = "string",
        gates = { { gate = "string", met = "boolean", missing = { "string" } } },
        at_risk = "boolean",
        method = schema.nullable "string",
      },
      run = ask_stage,
    },
    questions = {
      title = "The best next questions for this deal and persona",
      input = { deal = "id", persona = PERSONA, as_of = TIME },
      output = { questions = { "question" } },
      run = ask_questions,
    },
    follow = {
      title = "Follow a deal: read each message, and ask a person before a follow-up leaves",
      input = {
        deal = "id",
        account = "string?",
        seller = schema.optional { "string" },
        owner = "string?",
        silent_ms = "integer?",
        touches = "integer?",
        messages = schema.optional { "message" },
      },
      output = {
        outcome = "string",
        messages = "integer",
        touches = "integer",
        blocker = schema.nullable "string",
        qualified = schema.nullable "boolean",
      },
      run = follow.run,
    },
  },
}
