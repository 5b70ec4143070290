--- The signs of a side as cues: the phrases of `signs`, compiled once per bundle and shared by all its runs.

local phrases = require "perigee.conversation.signs"
local registry = require "perigee.registry"
local cues = require "perigee.rules.cues"

local M = {}

local function compile_groups(groups)
  local list = {}
  for _, group in ipairs(groups) do
    local unless = {}
    for k, phrase in ipairs(group.unless or {}) do
      unless[k] = assert(cues.compile(phrase, phrases.words))
    end
    for _, phrase in ipairs(group) do
      local cue = assert(cues.compile(phrase, phrases.words))
      cue.points, cue.when, cue.unless = group.points, group.when, unless
      list[#list + 1] = cue
    end
  end
  return cues.index(list)
end

local said, titles

--- What people say that shows their side, and what is business at all (no points).
---@return table index
function M.said()
  if not said then
    local groups = { { points = 0, unpack(phrases.business) } }
    for _, group in ipairs(phrases.groups) do
      groups[#groups + 1] = group
    end
    said = compile_groups(groups)
  end
  return said
end

--- Titles that stand under a mail or in a label.
---@return table index
function M.titles()
  titles = titles or compile_groups(phrases.titles)
  return titles
end

registry.before_runs(function()
  M.said()
  M.titles()
  cues.prepare()
end)

return M
