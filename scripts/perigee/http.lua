-- Requests to other hosts. What may be asked is the operator's list (`egress` in perigee.lua).
-- An HTTP status is an answer, not an error.

local check = require("perigee.check")
local effects = require("perigee.effects")
local host = require("perigee.host")

local http = {}

---@class perigee.HttpRequest
---@field method? "GET"|"HEAD"|"OPTIONS"|"POST"|"PUT"|"PATCH"|"DELETE" GET unless there is a body, then POST
---@field url string
---@field headers? table<string, string>
---@field body? string text, at most 4 MiB
---@field json? any instead of body: sent as JSON
---@field body_encoding? "text"|"base64" how `body` is written here
---@field timeout_ms? integer for the whole request; 30000
---@field max_bytes? integer of the answer's body; 1 MiB, at most 4 MiB
---@field class? "pure"|"keyed"|"queryable"|"unsafe" what a repetition does; GET, HEAD, OPTIONS: pure, else unsafe
---@field query? { method?: "GET"|"HEAD", url: string, headers?: table } with class "queryable"
---@field on_unknown? "ask"|"fail"|"retry" when a crash leaves nobody knowing whether it happened; "ask" a person

---@class perigee.HttpResponse
---@field status integer
---@field headers table<string, string> names in lower case; several of one name joined by ", "
---@field body string
---@field encoding? "base64" when the body is not text

local FIELDS = {
  "method", "url", "headers", "body", "json", "body_encoding",
  "timeout_ms", "max_bytes", "class", "query", "on_unknown",
}

local function has_header(headers, name)
  for key in pairs(headers) do
    if string.lower(key) == name then
      return true
    end
  end
  return false
end

local function with_json(who, request, args)
  if request.json == nil then
    return
  end
  if request.body ~= nil then
    error(who .. ": body and json are both given", 3)
  end
  args.body = host.json_encode(request.json)
  local headers = {}
  for name, value in pairs(request.headers or {}) do
    headers[name] = value
  end
  if not has_header(headers, "content-type") then
    headers["Content-Type"] = "application/json"
  end
  args.headers = headers
end

local function ask(who, request)
  check.type(who, "request", request, "table")
  local fault = check.unknown_key("field", request, FIELDS)
  if fault then
    error(who .. ": " .. fault, 3)
  end
  check.name(who, "url", request.url)
  local args = {
    url = request.url,
    headers = request.headers,
    body = request.body,
    body_encoding = request.body_encoding,
    timeout_ms = request.timeout_ms,
    max_bytes = request.max_bytes,
    class = request.class,
    query = request.query,
    on_unknown = request.on_unknown,
  }
  with_json(who, request, args)
  args.method = request.method or (args.body and "POST" or "GET")
  return effects.call("http.request", args)
end

---Ask another host and wait for its answer. Raises http.refused, http.unreachable, http.tls,
---http.timeout, http.cut, http.protocol, http.too_large;
---`unknown = true` in the error says that the other side may have acted.
---@param request perigee.HttpRequest
---@return perigee.HttpResponse
function http.request(request)
  return ask("http.request", request)
end

local function with(who, method, url, options)
  check.name(who, "url", url)
  local request = {}
  if options ~= nil then
    check.type(who, "options", options, "table")
    for key, value in pairs(options) do
      request[key] = value
    end
  end
  request.method = method
  request.url = url
  return ask(who, request)
end

---@param url string
---@param options? perigee.HttpRequest without method and url
---@return perigee.HttpResponse
function http.get(url, options)
  return with("http.get", "GET", url, options)
end

---@param url string
---@param options? perigee.HttpRequest without method and url; body or json is what is sent
---@return perigee.HttpResponse
function http.post(url, options)
  return with("http.post", "POST", url, options)
end

---The body of an answer, read as JSON.
---@param response perigee.HttpResponse
---@return any
function http.json(response)
  check.type("http.json", "response", response, "table")
  local ok, value = pcall(host.json_decode, response.body)
  if not ok then
    error("http.json: the body is no JSON (status " .. tostring(response.status) .. ")", 2)
  end
  return value
end

return http
