--- The next best action. Every rule is evaluated; each that holds says why and cites evidence; the highest score
-- comes first. score = 40 urgency + 30 impact on the deal + 20 chance that the customer reacts + 10 ease, each
-- term 0 to 100; ties by rule id. A rule is {id, action, when(context) -> reasons, evidence ids; nil where it does
-- not hold, urgency, impact, chance, ease}.

local json = require "perigee.json"

local M = {}

-- The dimensions that are red in any playbook, the blocker first.
local function red_dimensions(context)
  local list = {}
  for _, book in ipairs(context.books) do
    local card = context.cards[book.name]
    for _, dimension in ipairs(book.dimensions) do
      local view = card.dimensions[dimension.name]
      if view.red then
        list[#list + 1] = {
          book = book,
          dimension = dimension,
          view = view,
          blocks = card.blocker == dimension.name,
        }
      end
    end
  end
  return list
end

local function flag_action(book, name)
  for _, flag in ipairs(book.red_flags) do
    if flag.dimension == name and flag.action then
      return flag.action
    end
  end
  return "resolve_" .. name
end

local function blocked(context)
  local method = context.method
  local card = method and context.cards[method.name]
  if not card or card.blocker == json.null then
    for _, red in ipairs(red_dimensions(context)) do
      if red.blocks then
        return red
      end
    end
    return nil
  end
  for _, red in ipairs(red_dimensions(context)) do
    if red.book == method and red.blocks then
      return red
    end
  end
  return nil
end

local RULES = {
  {
    id = "01-stop",
    action = "stop_contact",
    urgency = 100,
    impact = 100,
    chance = 100,
    ease = 100,
    when = function(context)
      if context.talk.stop then
        return { 'The customer asked not to be contacted: "' .. context.talk.stop .. '"' }
      end
    end,
  },
  {
    id = "02-answer",
    action = "answer_question",
    urgency = 95,
    impact = 60,
    chance = 90,
    ease = 80,
    when = function(context)
      if context.talk.open_question then
        return {
          "The customer's question stands unanswered: \"" .. context.talk.open_question .. '"',
        }
      end
    end,
  },
  {
    id = "03-blocker",
    urgency = 80,
    impact = 100,
    chance = 60,
    ease = 40,
    when = function(context)
      local red = blocked(context)
      if red then
        return { red.dimension.title .. " keeps it from being qualified: " .. red.view.claim },
          red.view.doubts,
          flag_action(red.book, red.dimension.name)
      end
    end,
  },
  {
    id = "04-red",
    urgency = 60,
    impact = 80,
    chance = 60,
    ease = 40,
    when = function(context)
      local first = blocked(context)
      for _, red in ipairs(red_dimensions(context)) do
        if not first or red.dimension.name ~= first.dimension.name then
          return {
            red.dimension.title
              .. " is contradicted ("
              .. red.book.title
              .. "): "
              .. red.view.claim,
          },
            red.view.doubts,
            flag_action(red.book, red.dimension.name)
        end
      end
    end,
  },
  {
    id = "05-second-contact",
    action = "find_second_contact",
    urgency = 50,
    impact = 80,
    chance = 50,
    ease = 40,
    when = function(context)
      local late = context.stage.current == "evaluation" or context.stage.current == "negotiation"
      if late and #context.customers < 2 then
        return {
          "Only one person on the customer's side has spoken, and the deal is in "
            .. context.stage.current,
        }
      end
    end,
  },
  {
    id = "06-advance",
    action = "propose_next_step",
    urgency = 70,
    impact = 90,
    chance = 80,
    ease = 70,
    when = function(context)
      local card = context.method and context.cards[context.method.name]
      if card and card.qualified == true then
        local evidence = {}
        for _, dimension in ipairs(context.method.dimensions) do
          for _, id in ipairs(card.dimensions[dimension.name].evidence) do
            evidence[#evidence + 1] = id
          end
        end
        return { "Qualified by " .. context.method.title .. ": agree a dated next step" }, evidence
      end
    end,
  },
  {
    id = "07-learn",
    action = "ask_question",
    urgency = 50,
    impact = 60,
    chance = 70,
    ease = 90,
    when = function(context)
      local question = context.questions[1]
      if question then
        return { "Not known yet: " .. question.dimension .. ". Ask: " .. question.text }
      end
    end,
  },
  {
    id = "08-wait",
    action = "wait",
    urgency = 0,
    impact = 10,
    chance = 50,
    ease = 100,
    when = function()
      return { "Nothing else is called for" }
    end,
  },
}

local function score(rule)
  return 40 * rule.urgency + 30 * rule.impact + 20 * rule.chance + 10 * rule.ease
end

--- Evaluates every rule.
---@param context table
---@return table[] actions best first: {action, rule, score, reasons, evidence}
function M.choose(context)
  local list = {}
  for _, rule in ipairs(RULES) do
    local reasons, evidence, action = rule.when(context)
    if reasons then
      list[#list + 1] = {
        action = action or rule.action,
        rule = rule.id,
        score = math.floor(score(rule) / 100),
        reasons = json.array(reasons),
        evidence = json.array(evidence or {}),
      }
    end
  end
  table.sort(list, function(a, b)
    if a.score ~= b.score then
      return a.score > b.score
    end
    return a.rule < b.rule
  end)
  return list
end

return M
