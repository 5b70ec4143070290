-- Records: JSON documents of a declared kind, with version, indexed fields and full history.

local check = require("perigee.check")
local effects = require("perigee.effects")
local errors = require("perigee.errors")

local records = {}

local ATTEMPTS = 20

---@class perigee.Record
---@field kind string
---@field id string
---@field version integer
---@field updated_at integer unix microseconds
---@field run? string the run that wrote this version
---@field body table

---Read one record.
---@param kind string
---@param id string
---@return perigee.Record? record nil when there is none
function records.get(kind, id)
  check.name("records.get", "kind", kind)
  check.name("records.get", "id", id)
  local record = effects.call("records.get", { kind = kind, id = id })
  return record and effects.without_nulls(record)
end

---Write a record whole. With a version, only if that is still the current one (0: there is none yet);
---otherwise the error `records.conflict` is raised.
---@param kind string
---@param id string
---@param body table
---@param version? integer
---@return integer version the new one
function records.put(kind, id, body, version)
  check.name("records.put", "kind", kind)
  check.name("records.put", "id", id)
  check.type("records.put", "body", body, "table")
  if version ~= nil then
    check.integer("records.put", "version", version, 0)
  end
  local args = { kind = kind, id = id, body = body, version = version }
  return effects.call("records.put", args).version
end

---Delete a record; its history stays.
---@param kind string
---@param id string
---@param version? integer the one expected
---@return boolean deleted false when there was none
function records.delete(kind, id, version)
  check.name("records.delete", "kind", kind)
  check.name("records.delete", "id", id)
  if version ~= nil then
    check.integer("records.delete", "version", version, 0)
  end
  return effects.call("records.delete", { kind = kind, id = id, version = version }).deleted
end

local LIST_OPTIONS = { "where", "sort", "limit", "cursor" }

---List the records of a kind, a page at a time. `where` and `sort` name indexed fields.
---@param kind string
---@param options? { where?: table<string, any>, sort?: string, limit?: integer, cursor?: string }
---@return perigee.Record[] items
---@return string? next_cursor pass it as `cursor` for the next page; nil at the end
function records.list(kind, options)
  check.name("records.list", "kind", kind)
  options = check.options("records.list", options, LIST_OPTIONS)
  if options.where ~= nil then
    check.type("records.list", "where", options.where, "table")
  end
  if options.limit ~= nil then
    check.integer("records.list", "limit", options.limit, 1)
  end
  local page = effects.call("records.list", {
    kind = kind,
    where = options.where,
    sort = options.sort,
    limit = options.limit,
    cursor = options.cursor,
  })
  for _, record in ipairs(page.items) do
    effects.without_nulls(record)
  end
  return page.items, effects.without_nulls(page).next_cursor
end

---All records of a kind, page after page: `for record in records.each("deal") do … end`.
---@param kind string
---@param options? { where?: table<string, any>, sort?: string }
---@return fun(): perigee.Record?
function records.each(kind, options)
  check.name("records.each", "kind", kind)
  options = check.options("records.each", options, { "where", "sort" })
  local page, cursor, position = {}, nil, 0
  local ended = false
  return function()
    while position >= #page do
      if ended then
        return nil
      end
      page, cursor = records.list(kind, {
        where = options.where,
        sort = options.sort,
        limit = 200,
        cursor = cursor,
      })
      position, ended = 0, cursor == nil
    end
    position = position + 1
    return page[position]
  end
end

---The versions of a record, newest first. A version without body is a deletion.
---@param kind string
---@param id string
---@param options? { limit?: integer }
---@return { version: integer, at: integer, run?: string, actor?: string, body?: table }[]
function records.history(kind, id, options)
  check.name("records.history", "kind", kind)
  check.name("records.history", "id", id)
  options = check.options("records.history", options, { "limit" })
  local args = { kind = kind, id = id, limit = options.limit }
  local items = effects.call("records.history", args).items
  for _, item in ipairs(items) do
    effects.without_nulls(item)
  end
  return items
end

---Read, change, write; again when somebody else wrote in between (20 times at most, with growing pauses).
---The function gets the body ({} for a new record) and changes it, or returns the new one.
---@param kind string
---@param id string
---@param change fun(body: table, record?: perigee.Record): table?
---@return table body as written
---@return integer version
function records.update(kind, id, change)
  check.name("records.update", "kind", kind)
  check.name("records.update", "id", id)
  check.type("records.update", "change", change, "function")
  for attempt = 1, ATTEMPTS do
    local record = records.get(kind, id)
    local body = record and record.body or {}
    local changed = change(body, record)
    if changed == nil then
      changed = body
    end
    if type(changed) ~= "table" then
      local got = check.describe(changed)
      error("records.update: the function must return a table or nothing, got " .. got, 2)
    end
    local ok, result = pcall(records.put, kind, id, changed, record and record.version or 0)
    if ok then
      return changed, result
    end
    if errors.code(result) ~= "records.conflict" or attempt == ATTEMPTS then
      error(result, 0)
    end
    if attempt > 1 then
      -- writers in step would lose to the same one for ever
      effects.call("time.sleep", { ms = math.random(1, 4 * attempt) })
    end
  end
end

return records
