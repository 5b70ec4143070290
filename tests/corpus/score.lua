-- luajit score.lua CORPUS OUTPUTS [--min BP]: how good is `qualify` on labelled conversations?
-- luacheck: globals io package (a tool for a plain luajit, not a script in a cell)
-- OUTPUTS holds a NAME.json for each CORPUS/NAME.json. README.md says what the labels mean.
local here = (arg[0]:match("^(.*/)") or "./")
package.path = here .. "?.lua;" .. package.path
local common = require("common")
local null = common.null

local function usage()
  io.stderr:write("usage: luajit score.lua CORPUS OUTPUTS [--min BP]\n",
    "  --min BP   exit 1 when the blocker accuracy is under BP basis points (9000 = 90 %) or a\n",
    "             never is violated\n")
  os.exit(2)
end

local folders, minimum = {}, nil
do
  local i = 1
  while arg[i] do
    if arg[i] == "--min" then
      minimum = tonumber(arg[i + 1]) or usage()
      i = i + 1
    else
      folders[#folders + 1] = arg[i]
    end
    i = i + 1
  end
end
if #folders ~= 2 then usage() end
local corpus, outputs = folders[1]:gsub("/$", ""), folders[2]:gsub("/$", "")

local function given(value)
  if value ~= nil and value ~= null then return value end
end

local misses = {}
local function miss(name, format, ...)
  misses[#misses + 1] = name .. ": " .. format:format(...)
end

local function scorecard(output, playbook)
  local cards = given(output.scorecards)
  return cards and given(cards[playbook]) or {}
end

local function dimension(output, playbook, name)
  local dimensions = given(scorecard(output, playbook).dimensions)
  return dimensions and given(dimensions[name]) or {}
end

-- positive: level 2 and up and not red; negative: red; else unknown.
local function label(found)
  local red = given(found.red)
  if red and red ~= 0 then return "negative" end
  if (tonumber(given(found.level)) or 0) >= 2 then return "positive" end
  return "unknown"
end

-- Is this evidence of the playbook's dimension? Its name says so, or the scorecard lists its id.
local function belongs(output, evidence, playbook, name)
  if evidence.dimension == name or evidence.dimension == playbook .. "." .. name then
    return true
  end
  for _, id in ipairs(given(dimension(output, playbook, name).evidence) or {}) do
    if id == evidence.id then return true end
  end
  return false
end

local function quoted(evidence)
  local quote = given(evidence.quote)
  return type(quote) == "string" and quote or ""
end

local function signed(evidence)
  return (tonumber(given(evidence.polarity)) or 1) < 0 and -1 or 1
end

-- counts[playbook][dimension][label] = { right, said, meant }
local counts = { bant = {}, meddic = {} }
local function count(playbook, name, meant, said)
  local cell = counts[playbook][name] or {}
  counts[playbook][name] = cell
  for _, which in ipairs({ "positive", "negative", "unknown" }) do
    local c = cell[which] or { right = 0, said = 0, meant = 0 }
    cell[which] = c
    if meant == which then c.meant = c.meant + 1 end
    if said == which then c.said = c.said + 1 end
    if meant == which and said == which then c.right = c.right + 1 end
  end
end

local blockers = { right = 0, all = 0, meant = {} }
local quotes = { right = 0, all = 0 }
local nevers = { broken = 0, all = 0 }
local foreign, absent, evidences = 0, 0, 0
local names = common.names(corpus)
if #names == 0 then
  io.stderr:write(corpus, ": no .json files in there\n")
  os.exit(2)
end

for _, name in ipairs(names) do
  local case, why = common.read(corpus .. "/" .. name .. ".json")
  if not case then
    io.stderr:write(why, "\n")
    os.exit(2)
  end
  local expect = case.expect
  local output, missing = common.read(outputs .. "/" .. name .. ".json")
  if type(output) == "table" and output ~= null and not given(output.scorecards)
    and given(output.output) then
    output = output.output
  end
  if type(output) ~= "table" or output == null or not given(output.scorecards) then
    absent = absent + 1
    miss(name, "no output: %s", missing or "the file has no scorecards")
    output = nil
  end

  local wanted = expect.bant.blocker
  if wanted ~= nil then
    wanted = wanted == null and "none" or wanted
    local said = output and (given(scorecard(output, "bant").blocker) or "none") or "no output"
    local row = blockers.meant[wanted] or { right = 0, all = 0 }
    blockers.meant[wanted] = row
    blockers.all, row.all = blockers.all + 1, row.all + 1
    if said == wanted then
      blockers.right, row.right = blockers.right + 1, row.right + 1
    else
      miss(name, "blocker %s, should be %s", said, wanted)
    end
  end

  for _, playbook in ipairs({ "bant", "meddic" }) do
    for _, dim in ipairs(playbook == "bant" and common.BANT or common.MEDDIC) do
      local meant = expect[playbook].dimensions[dim]
      if meant then
        local said = output and label(dimension(output, playbook, dim)) or "no output"
        count(playbook, dim, meant, said)
        if said ~= meant and output then
          miss(name, "%s.%s %s, should be %s", playbook, dim, said, meant)
        end
      end
    end
  end

  local ledger = output and given(output.evidence) or {}
  local texts = common.texts(case.input.conversation)
  for _, evidence in ipairs(ledger) do
    evidences = evidences + 1
    local found = false
    for _, text in ipairs(texts) do
      if quoted(evidence) ~= "" and text:find(quoted(evidence), 1, true) then found = true end
    end
    if not found then
      foreign = foreign + 1
      miss(name, "evidence that is not in the conversation byte for byte: '%s'", quoted(evidence))
    end
  end
  for _, quote in ipairs(expect.quotes or {}) do
    quotes.all = quotes.all + 1
    local found = false
    for _, evidence in ipairs(ledger) do
      if signed(evidence) == quote.polarity
        and belongs(output, evidence, quote.playbook, quote.dimension)
        and common.contains(quoted(evidence), quote.contains) then
        found = true
      end
    end
    if found then
      quotes.right = quotes.right + 1
    elseif output then
      miss(name, "no %s evidence for %s.%s with '%s'",
        quote.polarity == 1 and "positive" or "negative",
        quote.playbook, quote.dimension, quote.contains)
    end
  end
  for _, never in ipairs(expect.never or {}) do
    nevers.all = nevers.all + 1
    local broken
    for _, evidence in ipairs(ledger) do
      if common.contains(quoted(evidence), never.contains)
        and (not never.polarity or never.polarity == signed(evidence))
        and (not never.dimension or belongs(output, evidence, "bant", never.dimension)
          or belongs(output, evidence, "meddic", never.dimension)) then
        broken = evidence
      end
    end
    if broken then
      nevers.broken = nevers.broken + 1
      miss(name, "never evidence, but is for %s: '%s'", tostring(broken.dimension), never.contains)
    end
  end
end

local function share(part, whole)
  if whole == 0 then return "      -" end
  return ("%5.1f %%"):format(100 * part / whole)
end

for _, line in ipairs(misses) do print("MISS " .. line) end
if #misses > 0 then print() end

print(("%d conversations, %d without output"):format(#names, absent))
print(("%d pieces of evidence, %d of them not in the conversation"):format(evidences, foreign))
print(("blocker    %s  (%d of %d)"):format(share(blockers.right, blockers.all), blockers.right,
  blockers.all))
for _, which in ipairs({ "budget", "authority", "need", "timeline", "none" }) do
  local row = blockers.meant[which]
  if row then
    print(("  %-9s %s  (%d of %d)"):format(which, share(row.right, row.all), row.right, row.all))
  end
end

print(("\n%-26s %-26s %-26s %s"):format("dimension", "positive: prec.   recall",
  "negative: prec.   recall", "right"))
local function line(title, cell, right, all)
  local p, n = cell.positive, cell.negative
  print(("%-26s %s %s (%3d)   %s %s (%3d)   %s"):format(title, share(p.right, p.said),
    share(p.right, p.meant), p.meant,
    share(n.right, n.said), share(n.right, n.meant), n.meant, share(right, all)))
end
for _, playbook in ipairs({ "bant", "meddic" }) do
  local sum = {
    positive = { right = 0, said = 0, meant = 0 },
    negative = { right = 0, said = 0, meant = 0 },
  }
  local sum_right, sum_all = 0, 0
  for _, dim in ipairs(playbook == "bant" and common.BANT or common.MEDDIC) do
    local cell = counts[playbook][dim]
    if cell then
      local right, all = 0, 0
      for which, c in pairs(cell) do
        right, all = right + c.right, all + c.meant
        if sum[which] then
          for key, n in pairs(c) do sum[which][key] = sum[which][key] + n end
        end
      end
      sum_right, sum_all = sum_right + right, sum_all + all
      line(playbook .. "." .. dim, cell, right, all)
    end
  end
  line(playbook .. " (all)", sum, sum_right, sum_all)
end

print(("\nquotes     %s  (%d of %d)"):format(share(quotes.right, quotes.all), quotes.right,
  quotes.all))
print(("never      %d violated of %d"):format(nevers.broken, nevers.all))

if minimum and (blockers.right * 10000 < minimum * blockers.all or nevers.broken > 0) then
  os.exit(1)
end
