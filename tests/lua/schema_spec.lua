local json = require("perigee.json")
local schema = require("perigee.schema")

local function compiled(short)
  return json.encode(schema.compile(short))
end

local function pointers(short, value)
  local _, found = schema.check(short, value)
  local list = {}
  for i, one in ipairs(found or {}) do
    list[i] = one.pointer
  end
  return list
end

describe("schema", function()
  it("compiles names, lists and closed objects", function()
    local text = compiled({ deal = "id", note = "text?", tags = { "string" } })
    assert.equal('{"additionalProperties":false,"properties":{'
      .. '"deal":{"maxLength":200,"minLength":1,"type":"string"},"note":{"type":"string"},'
      .. '"tags":{"items":{"type":"string"},"type":"array"}},'
      .. '"required":["deal","tags"],"type":"object"}', text)
  end)

  it("takes any object for an open one, and any value for any", function()
    assert.equal('{"type":"object"}', compiled("object"))
    assert.equal("{}", compiled("any"))
    assert.is_true(schema.check(schema.open({ a = "string" }), { a = "x", b = 1 }))
    assert.is_true(schema.check("any", nil))
  end)

  it("compiles an empty table to an object without members", function()
    assert.is_true(schema.check({}, {}))
    assert.same({ "/a" }, pointers({}, { a = 1 }))
  end)

  it("reports every fault with its pointer", function()
    local short = { deal = "id", amount = "money", items = { { name = "string" } } }
    local value = { amount = { amount = 1.5, currency = "EUR" }, items = { { name = 1 } }, x = 1 }
    assert.same({ "", "/amount/amount", "/items/0/name", "/x" }, pointers(short, value))
  end)

  it("words its faults as the host does", function()
    local short = { a = "string", b = schema.enum({ "x", "y" }), c = schema.integer({ min = 2 }) }
    local _, found = schema.check(short, { a = 1, b = "z", c = 1, cc = true })
    local words = {}
    for i, one in ipairs(found) do
      words[i] = one.pointer .. " " .. one.message
    end
    assert.same({
      "/a expected string, got number 1",
      '/b expected one of "x", "y", got string "z"',
      "/c expected at least 2, got number 1",
      '/cc unknown property "cc"; did you mean "c"?',
    }, words)
    local _, missing = schema.check(short, {})
    assert.equal('required property "a" is missing', missing[1].message)
  end)

  it("shows the faults of the form that was meant", function()
    local short = schema.any_of({ "string", { a = "integer" } })
    assert.same({ "/a" }, pointers(short, { a = "x" }))
  end)

  it("escapes pointers", function()
    assert.same({ "/a~1b~0c" }, pointers({}, { ["a/b~c"] = 1 }))
  end)

  it("tells an optional member from a nullable one", function()
    local short = { a = "string?", b = schema.nullable("string") }
    assert.is_true(schema.check(short, { b = json.null }))
    assert.same({ "" }, pointers(short, {}))
    assert.same({ "/a" }, pointers(short, { a = json.null, b = "x" }))
  end)

  it("checks enums, bounds, maps and choices", function()
    assert.same({ "" }, pointers(schema.enum({ "open", "won" }), "lost"))
    assert.same({ "" }, pointers(schema.integer({ min = 0, max = 4 }), 5))
    assert.same({ "" }, pointers("integer", 1.5))
    assert.same({ "" }, pointers(schema.string({ max = 2 }), "äöü"))
    assert.is_true(schema.check(schema.string({ max = 3 }), "äöü"))
    assert.same({ "/b" }, pointers(schema.map("integer"), { a = 1, b = "x" }))
    assert.is_true(schema.check(schema.any_of({ "string", { "string" } }), { "x" }))
    assert.same({ "" }, pointers(schema.any_of({ "string", { "string" } }), 1))
    assert.same({ "" }, pointers(schema.list("string", { min = 1 }), {}))
  end)

  it("checks times and uuids", function()
    assert.is_true(schema.check("time", "2026-11-22T07:00:00.5+01:00"))
    assert.same({ "" }, pointers("time", "yesterday"))
    assert.is_true(schema.check("uuid", "0198f3a0-0000-7000-8000-000000000001"))
    assert.same({ "" }, pointers("uuid", "0198"))
  end)

  it("takes an empty table for a list or an object", function()
    assert.is_true(schema.check({ "string" }, {}))
    assert.is_true(schema.check("object", {}))
  end)

  it("refuses what is not data", function()
    assert.same({ "" }, pointers("any", print or function() end))
  end)

  it("uses defined types by name, in place", function()
    schema.define("spec_point", { x = "number", y = "number" })
    assert.same({ "/1" }, pointers({ "spec_point" }, { { x = 1, y = 2 }, { x = 1 } }))
    assert.not_matches("$defs", compiled({ "spec_point" }), nil, true)
  end)

  it("lets a type refer to itself through schema.optional and its like", function()
    schema.define("reply", {
      text = "string",
      replies = schema.optional({ "reply" }),
      more = schema.optional(schema.list("reply", { max = 2 })),
      by_name = schema.optional(schema.map(schema.nullable("reply"))),
    })
    local leaf = { text = "c" }
    local value = { text = "a", replies = { { text = "b", replies = { leaf } } }, more = { leaf }, by_name = { x = leaf } }
    assert.is_true(schema.check("reply", value))
    leaf.text = 1
    local ok, found = schema.check("reply", value)
    assert.is_nil(ok)
    assert.equal(3, #found)
  end)

  it("says where a type was named that stays unknown", function()
    local short = { a = schema.optional({ "strin" }) }
    local ok, caught = pcall(schema.compile, short)
    assert.is_false(ok)
    assert.matches("a: unknown type", caught, nil, true)
    assert.matches("written at tests/lua/schema_spec.lua:%d+", caught)
  end)

  it("lets a type refer to itself", function()
    schema.define("spec_node", { name = "string", children = { "spec_node" } })
    local leaves = { { name = "b", children = {} }, { name = 1, children = {} } }
    local tree = { name = "a", children = leaves }
    assert.same({ "/children/1/name" }, pointers("spec_node", tree))
    local text = compiled({ root = "spec_node?" })
    assert.matches('"$defs":{"spec_node":', text, nil, true)
    assert.matches('"root":{"$ref":"#/$defs/spec_node"}', text, nil, true)
  end)

  it("may be told the same definition again, but no other", function()
    schema.define("spec_twice", { a = "string" })
    schema.define("spec_twice", { a = "string" })
    assert.error_matches(function()
      schema.define("spec_twice", { a = "integer" })
    end, "already defined, and differently")
    assert.error_matches(function()
      schema.define("money", "string")
    end, "built%-in")
  end)

  it("says where a declaration is wrong, and what was meant", function()
    local wrong = {
      ['a.b: unknown type "strng"; did you mean "string"?'] = { a = { b = "strng" } },
      ["a[].b: a schema is a type's name, a table or schema.*; got 1"] = { a = { { b = 1 } } },
      ["a list is written { T } with one T"] = { "string", "integer" },
      ["a: a table is either a list { T } or has names for keys; got both"] = {
        a = { "id", b = "id" },
      },
      ["a: the items of a list cannot be optional"] = { a = { "string?" } },
    }
    for message, short in pairs(wrong) do
      local ok, caught = pcall(schema.compile, short)
      assert.is_false(ok)
      assert.matches("schema.compile: " .. message, caught, nil, true)
      assert.matches("^tests/lua/schema_spec.lua:%d+: ", caught)
    end
  end)

  it("refuses bad arguments at the author's line", function()
    for _, fn in ipairs({
      function() schema.enum("open") end,
      function() schema.enum({}) end,
      function() schema.integer({ minimum = 1 }) end,
      function() schema.string({ max = "2" }) end,
      function() schema.open({ "string" }) end,
      function() schema.any_of("string") end,
      function() schema.define("Message", "string") end,
      function() schema.compile(schema.map("nothing")) end,
    }) do
      assert.error_matches(fn, "^tests/lua/schema_spec.lua:%d+: schema%.")
    end
  end)
end)
