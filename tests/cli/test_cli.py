"""The command line as its users meet it: help, exit codes, errors in one line that say what to do, settings in their layers."""
import json, os, select, shutil, signal, socket, subprocess, sys, tempfile, time

PROGRAM = os.environ.get("PERIGEE_PROGRAM", os.path.join(os.path.dirname(__file__), "..", "..", "build", "perigee"))
HERE = os.path.dirname(os.path.abspath(__file__))
COMMANDS = "dev serve run test check replay runs records events approvals tenant key doctor version".split()
number = failures = 0
running = []


def test(name, good, detail=""):
    global number, failures
    number += 1
    if good:
        print("ok %d - %s" % (number, name), flush=True)
    else:
        failures += 1
        print("not ok %d - %s" % (number, name), flush=True)
        for line in str(detail).splitlines():
            print("#   " + line, flush=True)


def perigee(*words, cwd=None, env=None, stdin=None, timeout=60):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PERIGEE_")}
    environment.update(env or {})
    done = subprocess.run([PROGRAM, *words], cwd=cwd, env=environment, input=stdin, capture_output=True, text=True, timeout=timeout)
    return done.returncode, done.stdout, done.stderr


def write(folder, path, text):
    path = os.path.join(folder, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)


AGENT = """
local agent = require "perigee.agent"
local records = require "perigee.records"
local time = require "perigee.time"

return agent "greeter" {
  title = "Greets",
  kinds = { greeting = {} },
  capabilities = {
    greet = {
      title = "Greet somebody",
      input = { name = "string" },
      output = { text = "string" },
      run = function(input)
        records.put("greeting", input.name, { text = "VERSION " .. input.name })
        return { text = "VERSION " .. input.name }
      end,
    },
    fail = {
      title = "Fail",
      input = {},
      output = {},
      run = function() error({ code = "greeter.tired", message = "not today" }) end,
    },
    loop = {
      title = "Never end",
      input = {},
      output = {},
      run = function() while true do end end,
    },
  },
}
"""


def make_root(folder, version="hello"):
    write(folder, "scripts/agents/greeter.lua", AGENT.replace("VERSION", version))


def is_alive(pid):
    """There, and not a zombie whose new parent has not looked yet."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def one_line(text):
    return text.endswith("\n") and text.count("\n") == 1 and text.startswith("perigee: ")


def test_help():
    code, out, err = perigee("--help")
    test("perigee --help lists every command and exits 0", code == 0 and all("\n  %s " % c in out for c in COMMANDS), out + err)
    for command in COMMANDS:
        code, out, err = perigee(command, "--help")
        test("perigee %s --help says how" % command, code == 0 and "Options:" in out and out.startswith("perigee " + command), out + err)
    code, out, err = perigee()
    test("no command: usage on stderr, exit 2", code == 2 and "Usage:" in err and not out, err)
    code, out, err = perigee("frobnicate")
    test("an unknown command: one line that points to --help, exit 2", code == 2 and one_line(err) and "--help" in err, err)
    code, out, err = perigee("run", "--frob")
    test("an unknown option: one line, exit 2", code == 2 and one_line(err) and "--frob" in err, err)
    code, out, err = perigee("version")
    test("version prints it", code == 0 and out.startswith("perigee 0."), out)


def test_run(folder):
    make_root(folder)
    code, out, err = perigee("run", "greeter.greet", "--input", "-", cwd=folder, stdin='{"name": "Ada"}')
    result = json.loads(out or "null")
    test("run prints {run, status, output, error} and exits 0",
         code == 0 and set(result) == {"run", "status", "output", "error"} and result["status"] == "succeeded"
         and result["output"] == {"text": "hello Ada"} and result["error"] is None, out + err)
    code, out, err = perigee("run", "greeter.fail", cwd=folder)
    result = json.loads(out or "null")
    test("a run that fails: its error, exit 1", code == 1 and result["status"] == "failed" and result["error"]["code"] == "greeter.tired", out + err)
    code, out, err = perigee("run", "greeter.loop", cwd=folder)
    result = json.loads(out or "null")
    test("a run that loops is ended with a named reason, exit 1", code == 1 and result["error"]["code"].startswith("budget."), out + err)
    code, out, err = perigee("run", "greeter.greet", cwd=folder)
    test("input off its schema: the pointer, one line, exit 2", code == 2 and one_line(err) and "name" in err and not out, out + err)
    code, out, err = perigee("run", "greeter.nothing", cwd=folder)
    test("an unknown capability: the names that exist, exit 2", code == 2 and "greet" in err, err)
    code, out, err = perigee("run", "nobody.greet", cwd=folder)
    test("an unknown agent: the names that exist, exit 2", code == 2 and "greeter" in err, err)
    code, out, err = perigee("run", "greeter.greet", "--input", "-", cwd=folder, stdin="{")
    test("input that is no JSON: line and column, exit 2", code == 2 and one_line(err), err)
    code, out, err = perigee("run", "greeter.greet", "--input", "missing.json", cwd=folder)
    test("an input file that is not there, exit 2", code == 2 and "missing.json" in err, err)
    code, out, err = perigee("run", "greeter.greet", "--input", "-", "--trace", cwd=folder, stdin='{"name": "Bo"}')
    test("--trace tells effects with times on stderr", code == 0 and "records.put" in err and " ms" in err and json.loads(out), err)


def test_data(folder):
    code, out, err = perigee("runs", "--json", cwd=folder)
    items = json.loads(out or "null")["items"]
    test("runs --json lists runs, newest first", code == 0 and len(items) >= 4 and items[0]["created_at"] >= items[-1]["created_at"], out + err)
    done = [r for r in items if r["status"] == "succeeded"][-1]
    code, out, err = perigee("runs", cwd=folder)
    test("runs prints a table", code == 0 and done["id"] in out and "succeeded" in out, out + err)
    code, out, err = perigee("runs", "--status", "failed", "--json", cwd=folder)
    test("runs --status filters", code == 0 and {r["status"] for r in json.loads(out)["items"]} == {"failed"}, out + err)
    code, out, err = perigee("runs", done["id"], "--json", cwd=folder)
    test("runs RUN shows one", code == 0 and json.loads(out)["id"] == done["id"], out + err)
    code, out, err = perigee("runs", done["id"], "--journal", cwd=folder)
    test("runs RUN --journal shows its outcomes", code == 0 and "records.put" in out, out + err)
    code, out, err = perigee("runs", "00000000-0000-7000-8000-000000000000", cwd=folder)
    test("a run that is not there, exit 1", code == 1 and one_line(err), err)
    code, out, err = perigee("records", "greeting", "--json", cwd=folder)
    test("records KIND lists", code == 0 and json.loads(out)["items"][0]["body"] == {"text": "hello Ada"}, out + err)
    code, out, err = perigee("records", "greeting", "Ada", cwd=folder)
    test("records KIND ID shows one", code == 0 and json.loads(out)["id"] == "Ada", out + err)
    code, out, err = perigee("records", "greeting", "Ada", "--history", cwd=folder)
    test("records KIND ID --history shows its versions", code == 0 and "hello Ada" in out, out + err)
    code, out, err = perigee("records", "greetign", cwd=folder)
    test("records of no kind: the kinds that exist, exit 2", code == 2 and one_line(err) and "greeting" in err, out + err)
    code, out, err = perigee("runs", "--status", "bogus", cwd=folder)
    test("runs of no status: those that exist, exit 2", code == 2 and one_line(err) and "succeeded" in err, out + err)
    code, out, err = perigee("runs", "--agent", "ghost", cwd=folder)
    test("runs of no agent: those that exist, exit 2", code == 2 and one_line(err) and "greeter" in err, out + err)
    code, out, err = perigee("runs", "--agent", "greeter", "--status", "stuck", cwd=folder)
    test("runs of an agent that has none: nothing, exit 0", code == 0, out + err)
    for words in (["run", "greeter.greet"], ["check"], ["runs"], ["records", "greeting"], ["events"], ["approvals"]):
        code, out, err = perigee(*words, "--tenant", "ghost", cwd=folder)
        test("%s of no tenant: those that exist, exit 2" % words[0], code == 2 and one_line(err) and "example" in err, out + err)
    for command in ("events", "approvals"):
        code, out, err = perigee(command, "--json", cwd=folder)
        test("%s --json lists" % command, code == 0 and "items" in json.loads(out or "{}"), out + err)
    code, out, err = perigee("runs", "--limit", "0", cwd=folder)
    test("--limit out of range, exit 2", code == 2 and one_line(err), err)
    return done["id"]


def test_replay(folder, run):
    code, out, err = perigee("replay", run, cwd=folder)
    test("replay of a run against the same scripts: same, exit 0", code == 0 and out.startswith("same"), out + err)
    code, out, err = perigee("runs", run, "--journal", "--json", cwd=folder)
    write(folder, "journal.json", out)
    code, out, err = perigee("replay", "journal.json", cwd=folder)
    test("replay of a file: same, exit 0", code == 0 and out.startswith("same"), out + err)
    make_root(folder, version="goodbye")
    code, out, err = perigee("replay", run, cwd=folder)
    test("replay against other scripts: both sides, exit 1", code == 1 and "goodbye" in out and ("hello" in out or "recorded" in out), out + err)
    make_root(folder)
    whole = json.loads(open(os.path.join(folder, "journal.json")).read())
    write(folder, "items.json", json.dumps({"items": whole["outcomes"], "next_cursor": None}))
    write(folder, "run.json", json.dumps(whole["run"]))
    code, out, err = perigee("replay", "items.json", "--run", "run.json", cwd=folder)
    test("replay of what HTTP exports: same, exit 0", code == 0 and out.startswith("same"), out + err)
    write(folder, "both.json", json.dumps({"items": whole["outcomes"], "run": whole["run"]}))
    code, out, err = perigee("replay", "both.json", cwd=folder)
    test("replay of {run, items}: same, exit 0", code == 0 and out.startswith("same"), out + err)
    code, out, err = perigee("replay", "items.json", cwd=folder)
    test("replay of items without their run: says where to get it, exit 2", code == 2 and one_line(err) and "--run" in err, err)
    write(folder, "page.json", json.dumps({"items": whole["outcomes"], "next_cursor": "x", "run": whole["run"]}))
    code, out, err = perigee("replay", "page.json", cwd=folder)
    test("replay of one page of many: refused, exit 2", code == 2 and one_line(err) and "cursor" in err, err)
    code, out, err = perigee("replay", "/nonexistent.json", cwd=folder)
    test("replay of a file that is not there says so, exit 2", code == 2 and one_line(err) and "/nonexistent.json: No such file" in err, err)
    write(folder, "no.json", "[]")
    code, out, err = perigee("replay", "no.json", cwd=folder)
    test("replay of something else, exit 2", code == 2 and one_line(err), err)


FAULTY = """local playbook = require "perigee.playbook"
return playbook "mine" {
  dimensions = {
    { name = "need", title = "Need", confirms = {
      playbook.cue { claim = "a", even = { "zzz" }, "we need *12 it" },
      playbook.cue { claim = "b", strenght = "strong", "we need {nobody}" },
      playbook.cue { claim = "c", "we (need" },
    } },
  },
  questions = { { id = "q", dimension = "need", text = "Why?", personas = { "cfo" }, stages = { "end" } } },
  gates = { { into = "nowhere", requires = {} } },
  power = { "might" },
}
"""


def check_tells_everything():
    with tempfile.TemporaryDirectory() as root:
        write(root, "scripts/agents/a.lua", 'local agent = require "perigee.agent"\nreturn agent "a" { capabilities = { x = { rnu = 1 }, y = { run = 2 } } }\n')
        write(root, "scripts/agents/b.lua", "local x = nil\nreturn x.y\n")
        write(root, "scripts/agents/c.lua", "return = 1\n")
        write(root, "scripts/agents/d.lua", 'return require "agents.c"\n')
        write(root, "methodology/empty.lua", "")
        write(root, "methodology/mine.lua", FAULTY)
        for name in ("one", "two"):
            write(root, "methodology/%s.lua" % name,
                  'local playbook = require "perigee.playbook"\nreturn playbook "twin" { dimensions = { { name = "d", title = "D" } } }\n')
        code, out, err = perigee("check", root)
        lines = out.replace(root + "/", "").splitlines()
        test("check of many faults exits 1 and every line is file:line: message",
             code == 1 and all(l.split(":")[1:2] and l.split(":")[1].isdigit() for l in lines), out + err)
        for what, at, words in (
                ("an unknown key", "scripts/agents/a.lua:2", "rnu"), ("the agent's second fault", "scripts/agents/a.lua:2", "capabilities.y.run"),
                ("an error of another module", "scripts/agents/b.lua:2", "index"), ("a syntax error beside them", "scripts/agents/c.lua:1", ""),
                ("an empty methodology file", "methodology/empty.lua:1", "declares no playbook"),
                ("an unknown circumstance", "methodology/mine.lua:5", "zzz"), ("a gap that is too wide", "methodology/mine.lua:5", "*12"),
                ("an unknown field", "methodology/mine.lua:6", "strenght"), ("an unknown set of the same cue", "methodology/mine.lua:6", "nobody"),
                ("a phrase that does not parse", "methodology/mine.lua:7", "closes"), ("an unknown persona", "methodology/mine.lua:2", "cfo"),
                ("an unknown stage of a question", "methodology/mine.lua:2", '"end"'), ("an unknown stage of a gate", "methodology/mine.lua:2", "nowhere"),
                ("an unknown name in power", "methodology/mine.lua:2", "might"),
                ("a playbook declared twice, by its file", "methodology/two.lua:2", "methodology/one.lua:2")):
            test("check tells " + what, any(l.startswith(at + ": ") and words in l for l in lines), out + err)
        test("check does not blame who requires a broken file", not any(l.startswith("scripts/agents/d.lua") for l in lines), out)


def test_check(folder):
    code, out, err = perigee("check", cwd=folder)
    test("check of a good bundle, exit 0", code == 0 and "1 agents" in out, out + err)
    write(folder, "scripts/agents/broken.lua", "local x = 1\nreturn agent 'x' {{{\n")
    code, out, err = perigee("check", cwd=folder)
    test("check of a broken bundle: file:line: message, exit 1", code == 1 and "scripts/agents/broken.lua:" in out, out + err)
    os.remove(os.path.join(folder, "scripts/agents/broken.lua"))
    check_tells_everything()
    with tempfile.TemporaryDirectory() as empty:
        code, out, err = perigee("check", empty)
        test("check of a folder without scripts, exit 2", code == 2 and one_line(err), out + err)
        code, out, err = perigee("runs", cwd=empty)
        test("data commands without a store: exit 3 and what to do", code == 3 and one_line(err), out + err)


def test_settings(folder):
    write(folder, "perigee.lua", 'return {\n  listen = "127.0.0.1:0",\n  workers = 1,\n  wrokers = 2,\n}\n')
    code, out, err = perigee("check", cwd=folder)
    test("an unknown setting: file and line, exit 2", code == 2 and "perigee.lua:4" in err and "wrokers" in err, err)
    write(folder, "perigee.lua", 'return {\n  cell = {\n    cpu = "soon" },\n}\n')
    code, out, err = perigee("check", cwd=folder)
    test("a setting that does not parse: file and line, exit 2", code == 2 and "perigee.lua:3" in err and "soon" in err, err)
    write(folder, "perigee.lua", "return {\n  listen = \n}\n")
    code, out, err = perigee("check", cwd=folder)
    test("a configuration that does not compile: file and line, exit 2", code == 2 and "perigee.lua:" in err, err)
    write(folder, "perigee.lua", 'return { listen = env("GREETER_LISTEN", "127.0.0.1:1"), redis = env "GREETER_REDIS", log = { level = "warn" } }\n')
    code, out, err = perigee("doctor", "--settings", cwd=folder, env={"GREETER_REDIS": "redis://:sesame@r"})
    test("env() takes the variable, or its default; a URL with a password is not shown", "= 127.0.0.1:1 " in out and "redis                    = (set)" in out and "sesame" not in out, out + err)
    code, out, err = perigee("doctor", "--settings", "--listen", "127.0.0.1:0", cwd=folder, env={"PERIGEE_LISTEN": "127.0.0.1:2", "PERIGEE_LOG_LEVEL": "error", "PERIGEE_ADMIN_KEY": "sesame"})
    test("flags go over the environment, that over the file", "= 127.0.0.1:0 " in out and "= error   (PERIGEE_LOG_LEVEL)" in out, out + err)
    test("doctor finds nothing to mend and shows no secret", code == 0 and not any(line.startswith("fail") for line in out.splitlines()) and "sesame" not in out, out + err)
    code, out, err = perigee("check", cwd=folder, env={"PERIGEE_WORKERS": "many"})
    test("a variable that does not parse is named, exit 2", code == 2 and "PERIGEE_WORKERS" in err, err)
    os.remove(os.path.join(folder, "perigee.lua"))


def die_with_us():
    """In the child: a host must not outlive a test that is killed (PR_SET_PDEATHSIG)."""
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)


class Host:
    """perigee dev or serve, until the listening line."""

    def __init__(self, folder, *words):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PERIGEE_")}
        self.log = open(os.path.join(folder, "log"), "w+")
        self.process = subprocess.Popen([PROGRAM, *words, "--listen", "127.0.0.1:0"], cwd=folder, env=environment, stdout=subprocess.PIPE,
                                        stderr=self.log, bufsize=0, preexec_fn=die_with_us)
        running.append(self.process)
        self.lines, self.address, self.key = [], None, None
        began = time.monotonic()
        while self.address is None:
            line = self.process.stdout.readline().decode()
            if not line:
                break
            self.lines.append(line)
            if "listening on http://" in line:
                self.address = line.split("http://")[1].strip()
        self.ready_s = time.monotonic() - began

    def read_more(self):
        while select.select([self.process.stdout], [], [], 0.3)[0]:
            line = self.process.stdout.readline()
            if not line:
                break
            self.lines.append(line.decode())
        for line in self.lines:
            if line.startswith("key: "):
                self.key = line[5:].strip()

    def call(self, method, path, body=None, key=None):
        words = ["curl", "-s", "-o", "-", "-w", "\n%{http_code}", "-X", method, "http://" + self.address + path]
        if key:
            words += ["-H", "Authorization: Bearer " + key]
        if body is not None:
            words += ["-H", "Content-Type: application/json", "-H", "Prefer: wait=10", "-d", json.dumps(body)]
        text, _, status = subprocess.run(words, capture_output=True, text=True, timeout=30).stdout.rpartition("\n")
        return int(status), text

    def pids(self):
        found, parents = [], {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open("/proc/%s/stat" % name) as f:
                        parents[int(name)] = int(f.read().rpartition(")")[2].split()[1])
                except OSError:
                    pass
        for pid in parents:
            at = pid
            while at in parents and at != self.process.pid:
                at = parents[at]
            if at == self.process.pid and pid != at:
                found.append(pid)
        return found

    def children(self):
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as f:
            return [int(p) for p in f.read().split()]

    def stop(self, how=signal.SIGTERM, timeout=30):
        left = self.pids()
        self.process.send_signal(how)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "late"
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and any(map(is_alive, left)):
            time.sleep(0.02)
        self.log.seek(0)
        return code, [p for p in left if is_alive(p)], self.log.read()


def eventually(check, timeout=10):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.05)
    return False


def test_dev(folder):
    host = Host(folder, "dev")
    host.read_more()
    test("dev says where it listens", host.address is not None, "".join(host.lines))
    if host.address is None:
        print("# " + str(host.stop()))
        return
    test("dev prints a key the first time", host.key is not None, "".join(host.lines))
    status, text = host.call("GET", "/health")
    test("dev answers", status == 200, text)

    def greet():
        return host.call("POST", "/v1/agents/greeter/greet", {"name": "Cy"}, host.key)
    status, text = greet()
    test("the key opens the door", status == 200 and "hello Cy" in text, text)
    make_root(folder, "howdy")
    test("a saved script is live", eventually(lambda: "howdy Cy" in greet()[1]), greet())
    write(folder, "scripts/agents/greeter.lua", "this is no Lua")
    time.sleep(0.5)
    test("a broken save keeps the old script", "howdy Cy" in greet()[1], greet())
    make_root(folder, "hello")
    test("and a mended one goes live", eventually(lambda: "hello Cy" in greet()[1]), greet())
    worker = host.children()[0]
    os.kill(worker, signal.SIGKILL)
    test("a killed worker is started again", eventually(lambda: host.children() and host.children()[0] != worker and greet()[0] == 200), host.children())
    code, left, log = host.stop()
    test("SIGTERM ends it with 0 and leaves no process", code == 0 and not left, (code, left, log))
    test("the broken save was told with file and line", "scripts/agents/greeter.lua:1" in log, log)

    host = Host(folder, "dev")
    first = host.key
    host.read_more()
    test("a later start shows no key", host.key is first is None, "".join(host.lines))
    code, left, log = host.stop(signal.SIGINT)
    test("Ctrl-C ends it with 0", code == 0 and not left, (code, left, log))


def test_serve(folder):
    host = Host(folder, "serve")
    test("serve says where it listens", host.address is not None, "".join(host.lines))
    make_root(folder, "reloaded")
    host.process.send_signal(signal.SIGHUP)
    code, text, err = perigee("key", "create", "--title", "test", cwd=folder)
    key = next((line[5:].strip() for line in text.splitlines() if line.startswith("key: ")), None)
    test("key create prints a key", code == 0 and key, text + err)
    test("SIGHUP reloads scripts",
         eventually(lambda: "reloaded Di" in host.call("POST", "/v1/agents/greeter/greet", {"name": "Di"}, key)[1]), host.call("GET", "/health"))
    for scopes in ("bogus:read", "runs:read,bogus", "bogus:*", ":*", "runs:"):
        code, text, err = perigee("key", "create", "--scopes", scopes, cwd=folder)
        test("key create refuses the scopes %s and names those there are" % scopes,
             code == 2 and text == "" and "runs:read " in err and "events:write" in err and err.count("\n") == 1, text + err)
    code, text, err = perigee("key", "create", "--scopes", "runs:read,records:*,admin", cwd=folder)
    test("key create takes the scopes there are", code == 0 and "key: " in text, text + err)
    code, text, err = perigee("key", "list", "--json", cwd=folder)
    items = json.loads(text or "{}").get("items", [])
    test("key list shows keys and no secret", code == 0 and any(k["title"] == "test" for k in items) and key not in text, text + err)
    mine = [k["id"] for k in items if k["title"] == "test"]
    code, text, err = perigee("key", "revoke", mine[0] if mine else "x", cwd=folder)
    test("key revoke ends it", code == 0 and eventually(lambda: host.call("GET", "/v1/agents", key=key)[0] == 401), text + err)
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    code, out, err = perigee("serve", "--listen", "127.0.0.1:%d" % taken.getsockname()[1], cwd=folder)
    test("a port in use: one line, exit 3", code == 3 and one_line(err), err)
    taken.close()
    code, left, log = host.stop()
    test("serve drains and ends with 0", code == 0 and not left, (code, left, log))
    make_root(folder)


def test_specs(folder):
    write(folder, "spec/greeter_spec.lua", """
describe("numbers", function()
  it("add up", function() assert.are.equal(4, 2 + 2) end)
  it("do not lie", function() assert.are.equal(5, 2 + 2) end)
  pending("are endless")
  it("wait", function() pending("no time") end)
end)
""")
    code, out, err = perigee("test", "--output", "tap", cwd=folder)
    test("test prints TAP and exits 1 on a failure", code == 1 and "\nok 1 - " in out and "not ok 2 - " in out and "1..4" in out, out + err)
    code, out, err = perigee("test", "--filter", "add up", cwd=folder)
    test("test --filter runs some, exit 0", code == 0 and "1 passed" in out, out + err)
    code, out, err = perigee("test", "--filter", "nomatch", cwd=folder)
    test("test --filter that lets nothing through says so, exit 1", code == 1 and one_line(err) and "nomatch" in err, out + err)
    code, out, err = perigee("test", "--output", "junit", cwd=folder)
    test("a JUnit suite counts what became of its tests", '<testsuite name="spec/greeter_spec.lua" tests="4" failures="1" errors="0" skipped="2"' in out, out)
    test("JUnit gives the reason of a pending test", '<skipped message="no time"/>' in out, out)
    test("test prints JUnit", code == 1 and out.startswith("<?xml") and "<failure" in out and "<skipped/>" in out, out + err)
    write(folder, "spec/greeter_spec.lua", 'it("eats memory", function() local t = {} for i = 1, 1e9 do t[i] = ("x"):rep(1000) .. i end end)\n')
    code, out, err = perigee("test", "--output", "tap", cwd=folder)
    test("a spec whose cell is ended is a failed test with the reason", code == 1 and "not ok 1" in out and "budget.memory" in out, out + err)
    write(folder, "spec/greeter_spec.lua", "local x = = 1\n")
    code, out, err = perigee("test", "--output", "tap", cwd=folder)
    test("a spec that does not compile is a failed test with its line", code == 1 and "not ok 1" in out and "greeter_spec.lua:1" in out, out + err)
    shutil.rmtree(os.path.join(folder, "spec"))
    code, out, err = perigee("test", cwd=folder)
    test("no spec anywhere: one line, exit 2", code == 2 and one_line(err), err)


def main():
    test_help()
    with tempfile.TemporaryDirectory() as folder:
        test_run(folder)
        run = test_data(folder)
        test_replay(folder, run)
        test_check(folder)
        test_settings(folder)
        test_specs(folder)
    with tempfile.TemporaryDirectory() as folder:
        make_root(folder)
        test_dev(folder)
        test_serve(folder)
    print("1..%d" % number)
    return 1 if failures else 0


try:
    sys.exit(main())
finally:
    for process in running:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
