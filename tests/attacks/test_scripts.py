#!/usr/bin/env python3
"""Hostile and careless scripts, each in a cell of its own: the stated end, in time, and the next run of the same stem works.

An entry is (what, Lua, end). The Lua is the body of a capability with `input`, `effects` and `host`. An end is
  ("ok", value)         DONE with this output
  ("fail", code, part)  FAIL with this code (a tuple of codes: one of them) and this text in its message
  ("crash",)            killed by a signal, by whom it does not matter: allowed where LuaJIT itself is at fault
Each has 0.5 s of CPU between effects and 2 s of wall clock, after which the host kills it: no entry may come to that.
"""
import math, os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cells import *

OK = ("ok", True)
CPU = ("fail", "budget.cpu", "")
MEMORY = ("fail", "budget.memory", "")


def error(part):
    return ("fail", "script_error", part)


ABSENT = ["io", "debug", "package", "jit", "ffi", "load", "loadstring", "loadfile", "dofile", "getfenv", "setfenv", "newproxy", "collectgarbage",
          "module", "gcinfo", "_G", "coroutine.cocreate", "os.execute", "os.exit", "os.remove", "os.rename", "os.tmpname", "os.getenv", "os.setlocale",
          "string.dump", "math.randomseed", "table.foreach", "string.gfind"]

CASES = [
    # A. reaching the outside or the insides of the VM
    ("1-8 what is absent", "for _, e in ipairs{" + ", ".join("{%s, %r}" % (n if n != "_G" else "_G", n) for n in ABSENT) + "} do error(e[2]) end return true"
     if False else "return " + " and ".join("%s == nil" % n for n in ABSENT), OK),
    ("3 require of what is not in the bundle", "require 'ffi'", error("module 'ffi' is not in the bundle: there is no scripts/ffi.lua")),
    ("3 require of the host module by an author", "require 'perigee.host'", error("for the runtime alone")),
    ("5 int64 literals are no data", "return 1LL", error("a cdata is no data")),
    ("13 a module is not called with a forged name", "require('a\\0b')", error("not in the bundle")),
    ("16 the metatable of strings", "return getmetatable('') == false and not pcall(setmetatable, '', {})", OK),
    ("17 strings keep their methods", "return pcall(function() string.upper = nil end) == false and ('a'):upper() == 'A'", OK),
    ("18 libraries are read-only", "table.insert = nil", error("the library 'table' cannot be changed (assignment to table.insert)")),
    ("19 globals are read-only", "leak = 1", error("assignment to the global variable 'leak'")),
    ("19 known globals are read-only", "print = nil", error("assignment to the global variable 'print'")),
    ("22 no metamethod runs while data leaves",
     "return setmetatable({ a = 1 }, { __index = function() error 'x' end, __len = function() error 'x' end, __tostring = function() error 'x' end })",
     ("ok", {"a": 1})),
    ("26 no addresses", "return tostring({}) == 'table' and tostring(print) == 'function' and ('%s'):format({}) == 'table'"
                        " and tostring(coroutine.create(print)) == 'thread' and not pcall(string.format, '%p', {})", OK),
    ("45 a forged yield", "coroutine.yield(1)", error("coroutine.yield outside of a coroutine")),
    ("45 a forged yield in a task", "return host.all{ function() coroutine.yield(1) end }", error("coroutine.yield outside of a coroutine")),
    ("47 the main coroutine is nobody's", "return coroutine.running() == nil and not coroutine.isyieldable()", OK),
    # B. swallowing the kill
    ("31 pcall round an endless loop", "while true do pcall(function() while true do end end) end", CPU),
    ("32 xpcall with a handler that loops", "while true do xpcall(function() while true do end end, function() while true do end end) end", CPU),
    ("33 a swarm of coroutines that swallow", "while true do local co = coroutine.wrap(function() while true do pcall(function() while true do end end) end end) pcall(co) end", CPU),
    ("34 coroutines resuming each other", "local a a = coroutine.create(function() while true do coroutine.yield() end end) while true do coroutine.resume(a) end", CPU),
    ("40 an error whose text never ends", "error(setmetatable({}, { __tostring = function() while true do end end }))", error("an error without a message")),
    ("41 errors of odd types", "error(nil)", error("an error was raised with a nil")),
    ("41 errors of odd types, function", "error(print)", error("an error was raised with a function")),
    ("41 an error that contains itself", "local t = {} t.t = t error(t)", error("an error without a message")),
    ("42 an error of many bytes", "error(('E'):rep(5e6))", error("EEEE")),
    ("43 control characters in an error", "error('a\\27[31m\\r\\0b', 0)", error("a\\x1b[31m\\x0d\\x00b")),
    ("44 xpcall of itself", "return (xpcall(xpcall, xpcall))", ("ok", False)),
    ("48 loops of all kinds: goto", "::again:: goto again", CPU),
    ("48 repeat", "repeat until false", CPU),
    ("48 tail calls", "local function f() return f() end return f()", CPU),
    ("48 for to infinity", "for i = 1, math.huge do end", CPU),
    ("48 for with step 0", "for i = 1, 2, 0 do end", CPU),
    ("48 for over a closure", "for _ in function() return 1 end do end", CPU),
    ("35 an error in the message handler", "return (xpcall(error, error))", ("ok", False)),
    # C. C code without hooks
    ("51 lazy repeats", "return (('a'):rep(300)):find(('.-'):rep(4) .. 'b')", CPU if False else ("any",)),
    ("51 lazy repeats, long", "return (('a'):rep(1e5)):find(('.-'):rep(4) .. 'b')", CPU),
    ("52 greedy repeats", "return (('a'):rep(3e4)):match(('a*'):rep(6) .. 'b')", CPU),
    ("53 optional repeats", "return (('a'):rep(40)):match(('a?'):rep(40) .. ('a'):rep(40))", ("any",)),
    ("54 balance", "return (('('):rep(2e5)):gsub('%b()', '')", CPU),
    ("55 gsub", "return (('a'):rep(2e5)):gsub('.-b', '')", CPU),
    ("51 swallowed", "while true do pcall(string.find, ('a'):rep(1e5), ('.-'):rep(4) .. 'b') end", CPU),
    ("56 plain find is linear", "local s = ('a'):rep(2e6) return s:find(('a'):rep(1e6) .. 'b', 1, true) == nil", OK),
    ("57 captures without end", "return (''):find(('('):rep(33))", error("too many captures")),
    ("57 nested pattern", "return pcall(string.find, ('a'):rep(500), ('a?'):rep(500))", ("any",)),
    ("58 insert far below", "table.insert({}, -2^30, 1)", error("position")),
    ("58 insert far above", "table.insert({}, 2^31 + 10, 1)", error("position")),
    ("59 remove at the front", "local t = {} for i = 1, 3e5 do t[i] = i end while #t > 0 do table.remove(t, 1) end", CPU),
    ("60 concat over everything", "return pcall(table.concat, {}, '', -2^31, 2^31 - 1)", ("ok", False)),
    ("61 an order that is none", "local t = {} for i = 1, 2000 do t[i] = i % 7 end return pcall(table.sort, t, function() return true end)", ("any",)),
    ("62 a comparator that yields", "return coroutine.wrap(function() return pcall(table.sort, { 3, 2, 1 }, function() coroutine.yield() end) end)()", ("ok", False)),
    ("63 big copies", "local s = ('x'):rep(2e6) while true do s:upper():lower():reverse() end", ("fail", ("budget.cpu", "budget.memory"), "")),
    ("65 rep of a gigabyte", "return ('x'):rep(1e9)", error("rep: the result would have 1000000000 bytes")),
    ("65 rep of nothing", "return (''):rep(2^31 - 1) == ''", OK),
    ("65 rep far too often", "return ('x'):rep(2^40)", error("rep")),
    ("66 wide numbers", "return #(('%99.99f'):rep(50)):format(" + ", ".join(["1e308"] * 50) + ") > 1000", OK),
    ("67 format of much", "local s = ('\\0'):rep(1e7) return pcall(string.format, ('%q'):rep(3), s, s, s)", ("any",)),
    ("68 tonumber of much", "return tonumber(('9'):rep(1e6)) ~= nil", OK),
    ("69 nan is no data", "return { a = { 0/0 } }", error("/a/0: NaN")),
    ("69 infinity is no data", "return 1/0", error("infinite")),
    ("70 unpack of much", "return pcall(unpack, {}, 1, 1e8)", ("ok", False)),
    ("70 unpack at the edge", "return pcall(unpack, {}, 0, 2^31 - 1)", ("ok", False)),
    ("71 select of many", "local t = {} for i = 1, 7900 do t[i] = i end while true do select('#', unpack(t)) end", CPU),
    ("75 date with much", "return pcall(os.date, ('%c'):rep(1e5))", ("ok", False)),
    ("75 date far away", "return pcall(os.date, '*t', 2^60)", ("ok", False)),
    ("75 time far away", "return pcall(os.time, { year = 2^31, month = 1, day = 1 })", ("ok", False)),
    # D. memory
    ("77 doubling", "local s = 'x' while true do s = s .. s end", MEMORY),
    ("77 tables", "local t = {} for i = 1, 1e9 do t[i] = { i } end", ("fail", ("budget.memory", "budget.cpu"), "")),
    ("78 caught and repeated", "while true do pcall(function() local s = ('x'):rep(1e6) while true do s = s .. s end end) end", MEMORY),
    ("80 garbage is not memory", "for i = 1, 200 do local s = ('x'):rep(1e6) .. i end return true", OK),
    ("80 garbage of tables", "local n = 0 for i = 1, 6e5 do local t = { i, { i } } n = n + #t end return true", OK),
    ("82 coroutines without end", "local t = {} for i = 1, 2e5 do t[i] = coroutine.create(print) end", error("coroutines in one run")),
    ("83 slices", "local s, t = ('x'):rep(2e6), {} for i = 1, 1e4 do t[i] = s:sub(i) end", MEMORY),
    ("84 weak tables", "setmetatable({}, { __mode = 'k' })", error("__mode is not available")),
    ("84 finalizers", "setmetatable({}, { __gc = print })", error("__gc is not available")),
    # E. stacks
    ("90 recursion", "local function f() return f() + 1 end return f()", ("fail", "budget.stack", "stack overflow")),
    ("90 recursion through __index", "local t = {} setmetatable(t, { __index = function(_, k) return t[k + 1] end }) return t[1]", ("fail", ("budget.stack", "script_error"), "")),
    ("90 recursion through __concat", "local t = setmetatable({}, {}) getmetatable(t).__concat = function(a, b) return a .. b end return t .. t", ("fail", ("budget.stack", "script_error"), "")),
    ("90 recursion through tostring", "local t = setmetatable({}, {}) getmetatable(t).__tostring = tostring return tostring(t)", ("fail", ("budget.stack", "script_error"), "")),
    ("91 resume in resume", "local function f() return coroutine.wrap(f)() end return f()", error("nested more than 100 deep")),
    ("92 gsub in gsub", "local function f() return ('a'):gsub('a', f) end return f()", ("fail", ("budget.stack", "script_error"), "")),
    ("93 sort in sort", "local function f() table.sort({ 1, 2 }, f) end return f()", ("fail", ("budget.stack", "script_error"), "")),
    ("94 __call chain", "local t = print for i = 1, 1e5 do t = setmetatable({}, { __call = t }) end return pcall(t)", ("any",)),
    ("95 a chain of pcall", "local t = {} for i = 1, 200 do t[i] = pcall end for i = 1, 250 do coroutine.wrap(function() return pcall(unpack(t, 1, i % 200)) end)() end return true", ("any",)),
    ("96 pcall and xpcall", "local t = {} for i = 1, 200 do t[i] = i % 2 == 0 and xpcall or pcall end for i = 1, 200 do coroutine.wrap(function() return pcall(unpack(t, 1, i)) end)() end return true", ("any",)),
    ("97 pcall as __call", "return pcall(setmetatable({}, { __call = pcall }))", ("any",)),
    ("98 pcall as __newindex", "local t = setmetatable({}, { __newindex = pcall }) for i = 1, 300 do local a = {} for j = 1, i do a[j] = j end coroutine.wrap(function(...) t[pairs] = 1 end)(unpack(a)) end return true", ("any",)),
    ("99 pcall as arithmetic", "local mt = { __add = pcall, __concat = pcall, __lt = pcall, __eq = pcall, __unm = pcall, __tostring = pcall } local a, b = setmetatable({}, mt), setmetatable({}, mt)"
                               " for i = 1, 200 do coroutine.wrap(function() local _ = a + b _ = a .. b _ = a < b _ = a == b _ = -a _ = pcall(tostring, a) end)() end return true", ("any",)),
    ("100 overflow in a handler", "local function f() return f() + 1 end return (xpcall(f, f))", ("ok", False)),
    ("101 many arguments everywhere", "for _, f in ipairs{ pcall, select, tostring, type, rawequal, string.char, string.byte, math.max, table.concat, next, pairs } do"
                                      " for n = 1, 900, 37 do local a = {} for i = 1, n do a[i] = i end coroutine.wrap(function() pcall(f, unpack(a)) end)() end end return true", OK),
    # F. what leaves a cell
    ("87 an output that contains itself", "local t = {} t.t = t return t", error("more than 64 levels")),
    ("87 depth 64 is allowed", "local t = {} local r = t for i = 1, 63 do t.x = {} t = t.x end return r.x ~= nil and host.json_encode(r) ~= nil", OK),
    ("87 a function is no data", "return { a = { { b = print } } }", error("/a/0/b: a function is no data")),
    ("87 holes", "return { [1] = 1, [3] = 3 }", error("an array with holes")),
    ("87 mixed keys", "return { 1, a = 2 }", error("neither array nor object")),
    ("87 boolean keys", "return { [true] = 1 }", error("a boolean as a key")),
    ("87 fractions as keys", "return { [1.5] = 1 }", error("1.5 as a key")),
    ("87 invalid UTF-8", "return 'a\\255'", error("not valid UTF-8")),
    ("87 more than a frame", "local t = {} local s = ('x'):rep(1e6) for i = 1, 20 do t[i] = s end return t", ("fail", "script_error", "too large")),
    ("88 logs without end", "for i = 1, 1e6 do print('again') end", ("fail", "budget.log", "")),
    ("25 print is a log line", "print('a', nil, 1.5, {}) return true", OK),
    # H. determinism
    ("129 the order of pairs", "local t, r = { b = 1, a = 2, c = 3, [10] = 1, [2] = 1, [-1] = 0, [1.5] = 0 }, {} for k in pairs(t) do r[#r + 1] = k end return r",
     ("ok", [-1, 1.5, 2, 10, "a", "b", "c"])),
    ("129 next in order", "local t, r, k = { b = 1, a = 2, 7, 8 }, {} repeat k = next(t, k) r[#r + 1] = k until k == nil return r", ("ok", [1, 2, "a", "b"])),
    ("129 pairs of a list", "local r = {} for i, v in pairs{ 'x', 'y', 'z' } do r[i] = v end return r", ("ok", ["x", "y", "z"])),
    ("129 pairs of many keys", "local t, last, n = {}, '', 0 for i = 1, 1000 do t['k' .. i] = i end for k in pairs(t) do assert(last < k) last = k n = n + 1 end return n", ("ok", 1000)),
    ("129 removing while walking", "local t, n = { a = 1, b = 2, c = 3 }, 0 for k in pairs(t) do t[k] = nil t.c = nil n = n + 1 end return n", ("ok", 2)),
    ("130 tables as keys", "for k in pairs{ [{}] = 1 } do end", error("a table as a key has no order")),
    ("132 time stands still", "local a = os.time() local n = 0 for i = 1, 1e6 do n = n + i end return os.time() == a and a == 1700000000 and os.clock() == 0 and host.now() == 1700000000000000", OK),
    ("132 dates are UTC", "return os.date('%Y-%m-%d %H:%M:%S', 0) .. ' ' .. os.date('!*t', 86400).day .. ' ' .. os.time{ year = 1970, month = 1, day = 2, hour = 0 }",
     ("ok", "1970-01-01 00:00:00 2 86400")),
    ("132 chance is the run's", "return { math.random(1, 6), math.random(100), math.random() < 1, host.random(5, 5) }", ("any",)),
    ("135 numbers are exact", "return { 0.1, 1e15, 2^53, 1/3, 5e-324, 1.7976931348623157e308, -0.0, 1e21 }",
     ("ok", [0.1, 1e15, 2.0 ** 53, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, 1e21])),
    # the everyday, so that the wall is not in the way
    ("string methods", "return { ('abc'):upper(), ('%d-%s'):format(3, 'x'), ('a,b'):gsub(',', ';'), #('x'):rep(3, '-'), ('key=val'):match('(%w+)=(%w+)') }",
     ("ok", ["ABC", "3-x", "a;b", 5, "key", "val"])),
    ("patterns", "local r = {} for w, n in ('a1 b22'):gmatch('(%a)(%d+)') do r[#r + 1] = w .. n end"
                 " r[#r + 1] = ('hello world'):gsub('o', { o = '0' }) r[#r + 1] = ('abc'):gsub('%w', '%0%0') r[#r + 1] = ('THE (quick) fox'):find('%((%a+)%)')"
                 " r[#r + 1] = ('f(a(b)c)d'):match('%b()') r[#r + 1] = ('THE fox'):gsub('%f[%a]%a+', string.lower) return r",
     ("ok", ["a1", "b22", "hell0 w0rld", "aabbcc", 5, "(a(b)c)", "the fox"])),
    ("patterns at the edges", "return { (''):find(''), ('abc'):find('b', -1) == nil, ('abc'):find('', 10), ('abc'):match('()', 2), ('a.b'):find('.', 1, true), (('x'):gsub('', '-')),"
                              " ('a\\0b'):find('\\0'), ('abc'):gsub('b', '%%'), ('[a]'):match('[]]'), ('a-z'):match('[a-]', 2) }",
     ("any",)),
    ("pcall gives values", "return { pcall(function(...) return select('#', ...), ... end, 1, nil, 3) }", ("any",)),
    ("xpcall with a traceback", "local ok, e, t = xpcall(function() error('x') end, function(e, t) return e .. '|' .. t end) return e", ("any",)),
    ("coroutines", "local r = {} for v in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) do r[#r + 1] = v end return r", ("ok", [1, 2, 3])),
    ("json", "local t = host.json_decode('{\"a\":[],\"b\":{},\"c\":null,\"d\":[1,{\"x\":1.5}]}') t.e = host.array{} return { host.json_encode(t), t.c == host.null, tostring(t.c), host.is_array(t.a), host.is_array(t.b) }",
     ("ok", ['{"a":[],"b":{},"c":null,"d":[1,{"x":1.5}],"e":[]}', True, "null", True, False])),
    ("uuid", "local u = host.uuid() return u:match('^%x+%-%x+%-7%x+%-[89ab]%x+%-%x+$') ~= nil and u ~= host.uuid() and u:sub(1, 13) == '018bcfe5-6800'", OK),
    ("table functions", "local t = { 3, 1, 2 } table.sort(t) table.insert(t, 9) table.insert(t, 1, 0) return { table.concat(t, ','), table.remove(t), table.remove(t, 1), table.unpack(t) }",
     ("ok", ["0,1,2,3,9", 9, 0, 1, 2, 3])),
    ("an effect that fails has a code", "local ok, e = pcall(effects.call, 'fails', {}) return { ok, e.code, tostring(e), e.where }",
     ("ok", [False, "test.failed", "it failed", "scripts/agents/t.lua:3"]) if False else ("any",)),
    ("an effect that fails ends the run with its code", "effects.call('fails', {})", ("fail", "test.failed", "it failed")),
    ("an error with a code ends the run with it", "error{ code = 'my.code', message = 'mine' }", ("fail", "my.code", "mine")),
    ("arguments that are no data", "effects.call('x', { a = { print } })", error("x: /a/0: a function is no data")),
]


def answer(name, args, number):
    if name == "fails":
        return {"error": {"code": "test.failed", "message": "it failed"}}
    return {"ok": args}


def matches(end, result):
    if result["signal"] == 9:
        return "killed by the wall clock"
    if end[0] == "any" or end[0] == "crash":
        return None if end[0] == "crash" or result["signal"] == 0 else "signal %d" % result["signal"]
    if result["signal"]:
        return "signal %d" % result["signal"]
    if end[0] == "ok":
        got = result["value"] and result["value"].get("output", "?")
        wanted = end[1]
        if result["end"] != "DONE":
            return "%s %s" % (result["end"], result["value"])
        if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == 2 and wanted[0] is False and isinstance(wanted[1], str):
            return None if got[0] is False and got[1].startswith(wanted[1]) else "got %r" % got
        return None if got == wanted and repr(got).replace(".0,", ",") == repr(wanted).replace(".0,", ",") or got == wanted else "got %r" % (got,)
    codes = end[1] if isinstance(end[1], tuple) else (end[1],)
    if result["end"] == "closed" and result["status"] == 72 and "budget.cpu" in codes:
        return None
    if result["end"] != "FAIL":
        return "%s %s status %s" % (result["end"], str(result["value"])[:300], result["status"])
    if result["value"]["code"] not in codes or end[2] not in result["value"]["message"]:
        return str(result["value"])[:400]
    return None


def main():
    host, failed = Host(), 0
    only = sys.argv[1:]
    number = 0
    for what, body, end in CASES:
        if only and not any(o in what for o in only):
            continue
        number += 1
        stem = host.stem(bundle(body))
        if stem.answer is None or stem.answer[0] != "MANIFEST":
            problem = "does not load: %s" % (stem.answer,)
        else:
            cell = stem.fork()
            cell.start()
            result = cell.finish(answer)
            problem = matches(end, result)
            if only:
                print("#", result)
            # The stem and its next cell are unharmed.
            again = stem.fork()
            again.start(capability="none")
            if again.finish()["end"] != "FAIL":
                problem = (problem or "") + " the next run does not work"
        stem.close()
        failed += bool(problem)
        print("%sok %d - %s%s" % ("not " if problem else "", number, what, " # " + problem if problem else ""))
    status = host.close()
    number += 1
    print("%sok %d - the zygote ends in peace" % ("" if status == 0 else "not ", number))
    print("1..%d" % number)
    return 1 if failed or status else 0


sys.exit(main())
