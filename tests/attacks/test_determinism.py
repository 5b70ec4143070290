#!/usr/bin/env python3
"""What a script computes is the same in every process: several zygotes (each with its own address space layout and its own entropy), the same answer."""
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cells import *

SCRIPTS = {
    "the length of tables with holes": """
        local r = {}
        for i = 1, 3000 do
          local t, n = {}, math.random(1, 40)
          for j = 1, n do
            if math.random() < 0.5 then t[math.random(1, 20)] = j
            elseif math.random() < 0.5 then t[{}] = 1
            else t['k' .. math.random(1, 50) .. i] = j end
            if math.random() < 0.2 then t[math.random(1, 20)] = nil end
          end
          r[#r + 1] = #t
        end
        return table.concat(r, ',')""",
    "the order of keys": """
        local t, r = {}, {}
        for i = 1, 500 do t[host.uuid()] = i end
        for k, v in pairs(t) do r[#r + 1] = v end
        return r""",
    "chance": "local r = {} for i = 1, 100 do r[i] = { math.random(), math.random(10), host.uuid() } end return r",
    "text of values": "return { tostring({}), tostring(print), tostring(coroutine.create(print)), ('%s %s'):format({}, print), tostring(1e300), tostring(-0.0), tostring(2^53) }",
    "errors": "local r = {} for i, f in ipairs{ function() return nil .. 'x' end, function() return {} < {} end, function() local t t.x = 1 end } do r[i] = select(2, pcall(f)) end return r",
    "where memory ends": "local n = 0 local t = {} local ok = pcall(function() for i = 1, 3e5 do t[i] = { i } n = i end end) return { ok, n }",
}


def answer(name, args, number):
    return {"ok": number}


failed = 0
for number, (what, body) in enumerate(SCRIPTS.items(), 1):
    seen = set()
    for _ in range(4):
        host = Host()
        stem = host.stem(bundle(body))
        for _ in range(2):
            cell = stem.fork()
            cell.start()
            result = cell.finish(answer, wall=10)
            seen.add(json.dumps([result["end"], result["value"]]))
        stem.close()
        host.close()
    good = len(seen) == 1 and list(seen)[0].startswith('["DONE"')
    failed += not good
    print("%sok %d - %s%s" % ("" if good else "not ", number, what, "" if good else " # %d answers: %s" % (len(seen), str(seen)[:300])))
print("1..%d" % len(SCRIPTS))
sys.exit(1 if failed else 0)
