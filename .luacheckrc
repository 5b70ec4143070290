-- Scripts run in LuaJIT with less than its standard library: no io, no debug, no load, no outside.
std = "luajit"
max_line_length = 100
max_comment_line_length = 120
codes = true
exclude_files = { "build", "node_modules", "console" }

local withheld = {
  "collectgarbage", "debug", "dofile", "getfenv", "io", "jit", "load", "loadfile", "loadstring",
  "module", "newproxy", "package", "setfenv",
}
-- Cues are data: a line is one cue.
files["scripts/perigee/phrases.lua"] = { max_line_length = false }
files["scripts/perigee/conversation/signs.lua"] = { max_line_length = false }
files["scripts/perigee/rules/words.lua"] = { max_line_length = false }

files["scripts"] = { not_globals = withheld }
files["methodology"] = { not_globals = withheld, max_line_length = false }
files["spec"] = { not_globals = withheld }

-- Configuration is evaluated with one function.
files["perigee.lua"] = { read_globals = { "env" } }
files["**/perigee.lua"] = { read_globals = { "env" } }

local spec = {
  read_globals = {
    "after_each", "assert", "before_each", "context", "describe", "finally", "it", "lazy_setup",
    "lazy_teardown", "mock", "pending", "setup", "spec", "spy", "stub", "strict_setup",
    "strict_teardown", "teardown", "test", "testing",
  },
}
files["**/*_spec.lua"] = spec

-- Stands in for the cell under a plain luajit: it needs what the cell withholds.
files["tests/lua/support/*.lua"] = { globals = { "loadstring", "package", "pairs", "pcall", "xpcall" } }
