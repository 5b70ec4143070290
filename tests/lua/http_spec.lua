-- perigee.http: what it hands to the effect, and what it refuses before.

local errors = require "perigee.errors"
local http = require "perigee.http"
local testing = require "perigee.testing"

local function answering(answer)
  testing.fake("http.request", function()
    return answer
  end)
end

describe("http", function()
  it("gets by default and posts what has a body", function()
    answering { status = 200, headers = {}, body = "{}" }
    http.request { url = "https://a.example/" }
    http.request { url = "https://a.example/", body = "x" }
    http.post("https://a.example/", { class = "keyed" })
    local calls = testing.calls("http.request")
    assert.equal("GET", calls[1].method)
    assert.equal("POST", calls[2].method)
    assert.equal("POST", calls[3].method)
    assert.equal("keyed", calls[3].class)
  end)

  it("sends json with its type, unless the caller names another", function()
    answering { status = 201, headers = {}, body = '{"id":"p1"}' }
    local answer = http.post("https://a.example/", { json = { amount = 5 } })
    local headers = { ["content-type"] = "application/vnd.x+json" }
    http.post("https://a.example/", { json = {}, headers = headers })
    local calls = testing.calls("http.request")
    assert.equal('{"amount":5}', calls[1].body)
    assert.equal("application/json", calls[1].headers["Content-Type"])
    assert.equal("application/vnd.x+json", calls[2].headers["content-type"])
    assert.is_nil(calls[2].headers["Content-Type"])
    assert.equal("p1", http.json(answer).id)
  end)

  it("refuses what it does not know", function()
    local url = "https://a.example/"
    local both = { url = url, body = "x", json = {} }
    local wrong = { {}, { url = "" }, { url = url, bodi = "x" }, both }
    for _, request in ipairs(wrong) do
      assert.is_false((pcall(http.request, request)))
    end
    assert.equal(0, #testing.calls("http.request"))
  end)

  it("says that a body is no json", function()
    local ok, caught = pcall(http.json, { status = 502, headers = {}, body = "<html>" })
    assert.is_false(ok)
    assert.is_not_nil(string.find(errors.message(caught), "status 502", 1, true))
  end)

  it("is refused where the operator lists nothing", function()
    local ok, caught = pcall(http.get, "https://a.example/")
    assert.is_false(ok)
    assert.equal("http.refused", errors.code(caught))
  end)
end)
