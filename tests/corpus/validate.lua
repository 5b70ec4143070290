-- luajit validate.lua CORPUS…: are the labelled conversations well-formed? A line a fault.
-- luacheck: globals io package (a tool for a plain luajit, not a script in a cell)
local here = (arg[0]:match("^(.*/)") or "./")
package.path = here .. "?.lua;" .. package.path
local common = require("common")

if #arg == 0 then
  io.stderr:write("usage: luajit validate.lua CORPUS…\n",
    "  for example: luajit validate.lua tests/corpus/dev tests/corpus/heldout\n")
  os.exit(2)
end

local LABELS = { positive = true, negative = true, unknown = true }
local PLAYBOOKS = { bant = {}, meddic = {} }
for _, name in ipairs(common.BANT) do PLAYBOOKS.bant[name] = true end
for _, name in ipairs(common.MEDDIC) do PLAYBOOKS.meddic[name] = true end

local faults, files = 0, 0
local where
local function fault(format, ...)
  faults = faults + 1
  print(where .. ": " .. format:format(...))
end

-- What was said, by whom, where the file itself tells: {speaker, text} with e-mail history (>
-- lines) left out.
local function turns(conversation)
  local out = {}
  if conversation.messages then
    for _, message in ipairs(conversation.messages) do
      out[#out + 1] = { speaker = message.from, side = message.side, text = message.text }
    end
  elseif conversation.form == "transcript" then
    for line in conversation.text:gmatch("[^\n]+") do
      local speaker, text = line:match("^%[[%d%-T:]+%] ([^:]+): (.+)$")
      if speaker then
        out[#out + 1] = { speaker = speaker, text = text }
      else
        fault("a line of the transcript is not '[time] Name: words': %s", line:sub(1, 60))
      end
    end
  else
    for line in (conversation.text .. "\n"):gmatch("(.-)\n") do
      local speaker = line:match("^From: (.+)$")
      if speaker then
        out[#out + 1] = { speaker = speaker, text = "" }
      elseif #out == 0 then
        fault("the thread does not begin with a From: line")
        break
      elseif not line:match("^[%a%-]+: ") or out[#out].text ~= "" then
        out[#out].text = out[#out].text .. line .. "\n"
      end
    end
  end
  for _, turn in ipairs(out) do
    turn.text = ("\n" .. turn.text):gsub("\n>[^\n]*", "\n")
    for _, name in ipairs(conversation.seller or {}) do
      if turn.speaker:find(name, 1, true) then turn.side = "seller" end
    end
    -- Every transcript of this corpus is opened by the seller.
    if conversation.form == "transcript" and turn.speaker == out[1].speaker then
      turn.side = "seller"
    end
  end
  return out
end

local function check(case)
  local conversation = case.input and case.input.conversation
  if type(case.title) ~= "string" then fault("no title") end
  if not conversation or type(case.input.deal) ~= "string" then
    return fault("no input.deal or no conversation")
  end
  local form = conversation.form
  if form ~= "transcript" and form ~= "messages" and form ~= "thread" then
    return fault("form is %s", tostring(form))
  end
  if (conversation.text == nil) == (conversation.messages == nil) then
    return fault("either text or messages")
  end
  local whole = table.concat(common.texts(conversation), "\n")
  local said = turns(conversation)

  local expect = case.expect
  if type(expect) ~= "table" then return fault("no expect") end
  for playbook, known in pairs(PLAYBOOKS) do
    local dimensions = expect[playbook] and expect[playbook].dimensions
    if type(dimensions) ~= "table" then return fault("no expect.%s.dimensions", playbook) end
    for name, label in pairs(dimensions) do
      if not known[name] then fault("%s has no dimension %s", playbook, name) end
      if not LABELS[label] then fault("%s.%s is labelled %s", playbook, name, tostring(label)) end
    end
  end
  local blocker = expect.bant.blocker
  if blocker ~= nil and blocker ~= common.null then
    if not PLAYBOOKS.bant[blocker] then fault("the blocker is %s", tostring(blocker)) end
    if expect.bant.dimensions[blocker] ~= "negative" then
      fault("the blocker %s is not labelled negative", blocker)
    end
  elseif blocker == common.null then
    for name, label in pairs(expect.bant.dimensions) do
      if label == "negative" then fault("no blocker, but %s is negative", name) end
    end
  end

  for _, quote in ipairs(expect.quotes or {}) do
    local known = PLAYBOOKS[quote.playbook]
    if not known or not known[quote.dimension] then
      fault("a quote for %s.%s", tostring(quote.playbook), tostring(quote.dimension))
    else
      local label = expect[quote.playbook].dimensions[quote.dimension]
      local wanted = quote.polarity == 1 and "positive" or quote.polarity == -1 and "negative"
      if label ~= wanted then
        fault("a quote of polarity %s for %s, which is labelled %s", tostring(quote.polarity),
          quote.dimension, tostring(label))
      end
    end
    local ours, theirs = false, false
    for _, turn in ipairs(said) do
      if common.contains(turn.text, quote.contains) then
        if turn.side == "seller" then ours = true else theirs = true end
      end
    end
    if not theirs then
      fault("%s: '%s'", ours and "only the seller says" or "nobody says", quote.contains)
    end
    for _, never in ipairs(expect.never or {}) do
      if not never.polarity and not never.dimension
        and common.contains(quote.contains, never.contains) then
        fault("'%s' is wanted and forbidden", never.contains)
      end
    end
  end
  for _, never in ipairs(expect.never or {}) do
    if type(never.contains) ~= "string" or never.contains == "" then
      fault("a never without words")
    elseif not common.contains(whole, never.contains) then
      fault("nobody says: '%s'", never.contains)
    elseif not never.polarity and not never.dimension then
      -- What must never be evidence at all may not be the customer's own plain words, where sides
      -- are known.
      for _, turn in ipairs(said) do
        if turn.side == "customer" and common.contains(turn.text, never.contains) then
          fault("the customer says what must never be evidence: '%s'", never.contains)
        elseif form == "transcript" and turn.side ~= "seller"
          and common.contains(turn.text, never.contains) then
          fault("the customer says what must never be evidence: '%s'", never.contains)
        end
      end
    end
  end
end

for _, folder in ipairs(arg) do
  local names = common.names(folder)
  if #names == 0 then
    io.stderr:write(folder, ": no .json files in there\n")
    os.exit(2)
  end
  for _, name in ipairs(names) do
    where = folder:gsub("/$", "") .. "/" .. name .. ".json"
    files = files + 1
    local case, why = common.read(where)
    if case then check(case) else fault("%s", why) end
  end
end
print(("%d files, %d faults"):format(files, faults))
os.exit(faults == 0 and 0 or 1)
