-- luajit -joff tests/corpus/phrases/run.lua FILE.json [--quiet] [--least BP]   (in the repository's root)
-- Lets the rules read each entry of a phrase bank (README.md here) and says how many were heard right: `expect` found, nothing of `not`
-- found. --least BP: exit 1 when fewer than this share (in 1/10000) of the entries is right.

package.path = "scripts/?.lua;?.lua;?/init.lua;tests/lua/support/?.lua;" .. package.path
package.loaded["perigee.host"] = require "fake_host"
local registry = require "perigee.registry"
registry.open()
local json = require "perigee.json"
local conversation = require "perigee.conversation"
local playbook = require "perigee.playbook"
local rules = require "perigee.rules"
require "methodology.bant"
require "methodology.meddic"

local path, quiet, least = nil, false, nil
do
  local i = 1
  while arg[i] do
    if arg[i] == "--quiet" then
      quiet = true
    elseif arg[i] == "--least" then
      i = i + 1
      least = tonumber(arg[i])
    else
      path = arg[i]
    end
    i = i + 1
  end
end
local file = assert(io.open(path))
local bank = json.decode(file:read "*a")
file:close()


local function heard(entry)
  local messages = {}
  if entry.seller and entry.seller ~= json.null then
    messages[1] = { from = "Sel Seller", side = "seller", text = entry.seller, at = "2025-03-04T10:00:00Z" }
  end
  messages[#messages + 1] = { from = "Bea Buyer", side = "customer", text = entry.customer, at = "2025-03-04T10:01:00Z" }
  local reading = rules.read(conversation.read { form = "messages", messages = messages })
  local found = {}
  for _, book in ipairs(playbook.all()) do
    for _, item in ipairs(rules.extract(reading, book)) do
      found[#found + 1] = { playbook = book.name, dimension = item.dimension, polarity = item.polarity, quote = item.quote }
    end
  end
  return found
end


local function matches(want, item)
  return (want.playbook == "*" or want.playbook == item.playbook) and (not want.dimension or want.dimension == item.dimension)
    and (not want.polarity or want.polarity == item.polarity)
end


local function any(want, found)
  for _, item in ipairs(found) do
    if matches(want, item) then
      return true
    end
  end
  return false
end


local function text_of(want)
  return want.playbook .. "." .. (want.dimension or "*") .. (want.polarity == -1 and " -" or want.polarity == 1 and " +" or "")
end


local counts, right = {}, 0
local function count(key, good)
  local c = counts[key] or { good = 0, all = 0 }
  counts[key] = c
  c.all = c.all + 1
  c.good = c.good + (good and 1 or 0)
end

for _, entry in ipairs(bank) do
  local found, faults = heard(entry), {}
  for _, want in ipairs(entry.expect or {}) do
    local good = any(want, found)
    count("heard " .. text_of(want), good)
    if not good then
      faults[#faults + 1] = "missed " .. text_of(want)
    end
  end
  for _, want in ipairs(entry["not"] or {}) do
    local wrong = any(want, found)
    count("not " .. text_of(want), not wrong)
    if wrong then
      faults[#faults + 1] = "wrong " .. text_of(want)
    end
  end
  if #faults == 0 then
    right = right + 1
  elseif not quiet then
    print(table.concat(faults, ", "))
    print("    S: " .. tostring(entry.seller))
    print("    C: " .. entry.customer)
    for _, item in ipairs(found) do
      print("       -> " .. text_of(item) .. " | " .. item.quote)
    end
  end
end

local keys = {}
for key in pairs(counts) do
  keys[#keys + 1] = key
end
table.sort(keys)
for _, key in ipairs(keys) do
  print(string.format("%-40s %4d of %4d  %5.1f %%", key, counts[key].good, counts[key].all, 100 * counts[key].good / counts[key].all))
end
print(string.format("%d of %d entries right, %.1f %%", right, #bank, 100 * right / #bank))
if least and right * 10000 < least * #bank then
  os.exit(1)
end
