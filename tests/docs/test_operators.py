#!/usr/bin/env python3
"""docs/operators.md: every `sh` block is run in order against an installed host; events, metrics, settings and budgets there are those of the code.

Comments at a block's end: `# prints TEXT` (in standard output or error), `# exit N` (0 otherwise).
"""
import os, signal, sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "http"), os.path.join(HERE, "..", "lib")]
from harness import *
from servers import shared_postgres
import harness, sqlite3

with open(os.path.join(TOP, "docs", "operators.md"), encoding="utf-8") as page:
    TEXT = page.read()
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.S)
folder = tempfile.mkdtemp(prefix="perigee-operators-")
PREFIX = os.path.join(folder, "prefix")
host = None
postgres = shared_postgres()
postgres.start()


def sources():
    for parent, _, names in os.walk(os.path.join(TOP, "core")):
        for name in names:
            if name.endswith(".c"):
                with open(os.path.join(parent, name), encoding="utf-8") as f:
                    yield f.read()


CODE = "\n".join(sources())


def documented(heading):
    """Names in backquotes of the first column of a section's tables."""
    section = re.search(r"^## %s\n(.*?)(?=^## |\Z)" % re.escape(heading), TEXT, re.S | re.M).group(1)
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    return {name for row in rows for name in re.findall(r"`([a-z_.]+)`", row)}


def same(page, code):
    equal((sorted(page - code), sorted(code - page)), ([], []), "(only on the page, only in the code)")


def sqlite3_program():
    """Machines that build Perigee need no sqlite3 program; the page's readers do."""
    tools = os.path.join(folder, "tools")
    os.makedirs(tools)
    if not shutil.which("sqlite3"):
        path = os.path.join(tools, "sqlite3")
        with open(path, "w") as f:
            f.write("#!%s\nimport sqlite3, sys\nfor row in sqlite3.connect(sys.argv[1], isolation_level=None).execute(sys.argv[2]): print(*row, sep='|')\n"
                    % sys.executable)
        os.chmod(path, 0o755)
    return tools


TOOLS = sqlite3_program()


def environment():
    e = {k: v for k, v in os.environ.items() if not k.startswith("PERIGEE_")}
    e.update(PREFIX=PREFIX, BUILD=os.path.relpath(BUILD, TOP), PATH=os.pathsep.join([PREFIX + "/bin", TOOLS, e["PATH"]]),
             PGHOST=postgres.folder, PGPORT="5432", PGUSER="postgres")     # the page's reader has his in the usual place
    if host:
        e.update(PERIGEE_STORE=host.store, PERIGEE_URL="http://127.0.0.1:%d" % host.port, PERIGEE_KEY=host.key,
                 PERIGEE_PID=str(host.process.pid), ROOT=host.root)
    return e


def run_block(block, cwd):
    expected = re.findall(r"^# prints (.*)$", block, re.M)
    code = int((re.findall(r"^# exit (\d+)$", block, re.M) or ["0"])[0])
    done = subprocess.run(["sh", "-euc", block], capture_output=True, text=True, timeout=120, cwd=cwd, env=environment(), start_new_session=True)
    said = done.stdout + done.stderr
    equal(done.returncode, code, said[-2000:])
    for piece in expected:
        true(piece in said, "%r is not in %s" % (piece, said[-2000:]))


def start_host():
    global host
    harness.PROGRAM = os.path.join(PREFIX, "bin", "perigee")
    host = Host()


for number, block in enumerate(BLOCKS):
    def example(block=block, first=number == 0):
        run_block(block, TOP if first else folder)
        if first:
            start_host()

    lines = [line for line in block.splitlines() if not re.match(r"[A-Z]+=|umask|mkdir -p (?!site)|echo|#| ", line)] or [block]
    example.__name__ = "block %d, %s" % (number + 1, lines[0].replace("_", " ")[:60])
    test(example)


@test
def the_installed_program_runs_in_any_folder():
    with tempfile.TemporaryDirectory(dir=folder) as empty:
        done = subprocess.run(["perigee", "doctor", "--settings", "--listen", "127.0.0.1:0"], capture_output=True, text=True, cwd=empty,
                              env={"PATH": environment()["PATH"]}, timeout=60)
        equal(done.returncode, 0, done.stdout + done.stderr)
        true("share/perigee   (installed)" in done.stdout, done.stdout)
        equal(os.listdir(empty), [], "doctor left something behind")


@test
def the_backup_holds_what_the_store_held():
    dump = next(os.path.join(parent, "store.dump") for parent, _, names in os.walk(folder) if "store.dump" in names)
    restored = os.path.join(os.path.dirname(dump), "restored")
    equal(os.stat(dump).st_mode & 0o077, 0, "others can read the backup")
    with open(dump, encoding="utf-8") as f:
        tenants = [json.loads(line)["tenant"] for line in f if line.startswith('{"tenant"')]
    live = [n[:-3] for n in os.listdir(os.path.join(host.store[len("sqlite:"):], "tenants")) if n.endswith(".db")]
    true(set(tenants) - {""} <= set(live) and "acme" in tenants, "tenants of the backup: %r, of the store: %r" % (tenants, live))
    for name in set(tenants) - {""}:
        columns = [[row[1] for table in ("runs", "journal", "records") for row in sqlite3.connect(os.path.join(at, "tenants", name + ".db")).execute(
            "PRAGMA table_info(%s)" % table)] for at in (restored, host.store[len("sqlite:"):])]
        equal(columns[0], columns[1], name)


@test
def the_unit_is_sound():
    unit = re.search(r"```ini\n(.*?)```", TEXT, re.S).group(1)
    settings = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line)
    equal(settings["KillMode"], "mixed")
    config = os.path.join(folder, "site", "perigee.lua")
    unit = unit.replace("/usr/local", PREFIX).replace("/etc/perigee/perigee.lua", config).replace("User=perigee", "User=daemon")
    if shutil.which("systemd-analyze"):
        path = os.path.join(folder, "perigee.service")
        with open(path, "w") as f:
            f.write(unit)
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, timeout=60)
        complaints = [line for line in done.stderr.splitlines() if "perigee.service" in line]
        equal(complaints, [])
    words = re.search(r"^ExecStart=(.*)$", unit, re.M).group(1).split()
    e = dict(pair.split("=", 1) for pair in settings["Environment"].split())
    e.update(PATH=os.environ["PATH"], PERIGEE_STORE="sqlite:" + os.path.join(folder, "unit"), PERIGEE_LISTEN="127.0.0.1:0")
    with open(os.path.join(folder, "unit.log"), "w") as log:
        process = subprocess.Popen(words, env=e, cwd="/", stdout=subprocess.PIPE, stderr=log, text=True)
        line = process.stdout.readline()
        reload = settings["ExecReload"].replace("$MAINPID", str(process.pid)).split()
        if os.path.exists(reload[0]):
            equal(subprocess.run(reload, timeout=10).returncode, 0)
        else:  # a machine without the package that has kill: what it would do
            equal(reload[1:], ["-HUP", str(process.pid)])
            os.kill(process.pid, signal.SIGHUP)
        time.sleep(0.3)
        process.terminate()
        code = process.wait(30)
        process.stdout.close()
    true("listening on http://" in line, line)
    equal(code, 0)


@test
def every_event_of_the_log_is_on_the_page_and_no_other():
    same(documented("What the log says"), set(re.findall(r'log_event\(\s*LOG_[A-Z]+,\s*"([a-z_.]+)"', CODE)) | {"log.too_long"})


@test
def every_metric_is_on_the_page_and_no_other():
    code = set(re.findall(r'metric_declare\([^;]*?"(\w+)"', CODE, re.S)) | set(re.findall(r'\badd\(out, "(process_\w+)"', CODE))
    same(documented("Is it well?"), code)


@test
def metrics_shows_no_other():
    host.run("steps", {"deal": "metrics", "count": 1})
    shown = set(re.findall(r"^# TYPE (\w+)", host.get("/metrics", key=None).body.decode(), re.M))
    equal(sorted(shown - documented("Is it well?")), [])
    not_yet = {"perigee_deliveries_total", "perigee_events_relayed_total", "perigee_retention_deleted_total", "perigee_schedule_slots_total",
               "perigee_schedule_idle_total"}        # a series appears with its first event
    equal(sorted(documented("Is it well?") - shown - not_yet), [])


@test
def every_setting_is_on_the_page_and_no_other():
    listed = set(re.findall(r"^([a-z_.]+) +=", host.perigee("doctor", "--settings", "--listen", "127.0.0.1:0", "--root", host.root), re.M))
    same(documented("Settings"), listed)
    for name in set(re.findall(r'"(PERIGEE_[A-Z_]+)"', CODE)):
        true("`%s`" % name in TEXT, name + " is not mentioned")


@test
def every_budget_is_on_the_page_and_no_other():
    same({n for n in documented("Limits") if n.startswith("budget.")}, set(re.findall(r'"(budget\.[a-z]+)"', CODE)))


@test
def metrics_behind_a_proxy_take_a_key():
    equal(host.get("/metrics", key=None, headers={"X-Forwarded-For": "192.0.2.1"}).status, 401)
    equal(host.get("/metrics", key=host.make_key("runs:read"), headers={"X-Forwarded-For": "192.0.2.1"}).status, 403)
    equal(host.get("/metrics", key=host.make_key("admin"), headers={"X-Forwarded-For": "192.0.2.1"}).status, 200)


@test
def a_killed_worker_comes_back_and_its_runs_go_on():
    run = host.start("sleep", {"ms": 1500})
    host.wait_run(run, "waiting")
    with open("/proc/%d/task/%d/children" % (host.process.pid, host.process.pid)) as f:
        os.kill(int(f.read().split()[0]), signal.SIGKILL)
    equal(host.wait_run(run, "succeeded")["output"], {"slept": 1500})
    true(any("worker.ended" in line for line in host.said), "not logged")


@test
def the_host_is_alive_at_the_end():
    equal(host.process.poll(), None, "".join(host.said[-20:]))


@test
def links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        true(os.path.exists(os.path.join(TOP, "docs", link)), link)


if __name__ == "__main__":
    try:
        main()
    finally:
        if host:
            host.stop()
        postgres.drop("dbname=perigee")
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)
