#!/usr/bin/env python3
"""Backup, restore, export, import, placement, deletion: drilled from the command line on SQLite and PostgreSQL, compared row by row."""
import json, os, re, signal, sqlite3, subprocess, sys, tempfile, threading, time, shutil

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "http"))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import harness
from harness import Host, equal, main, matches, test, true
from servers import shared_postgres, keywords

postgres = shared_postgres().start()
folder = tempfile.mkdtemp(prefix="perigee-dumps-")
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("PERIGEE_") or k.startswith("PERIGEE_TEST")}


def at(name):
    return os.path.join(folder, name)


def perigee(*words, status=0):
    done = subprocess.run([harness.PROGRAM, *words], capture_output=True, text=True, cwd=folder, env=ENVIRONMENT, timeout=60)
    equal(done.returncode, status, "perigee %s: %s%s" % (" ".join(words), done.stdout, done.stderr))
    return done.stdout + done.stderr


def tables(path):
    """{tenant: {table: (columns in order of name, rows as sets)}} of a dump, in an order that no engine chooses; without what a move changes."""
    found, tenant, table = {}, None, None
    for line in open(path):
        value = json.loads(line)
        if isinstance(value, list):
            row = {c: v for c, v in zip(columns, value) if not (table == "runs" and c in ("owner", "fence"))}
            found[tenant][table].add(json.dumps(row, sort_keys=True))
        elif "tenant" in value:
            tenant = value["tenant"]
            found[tenant] = {}
        elif "table" in value:
            table, columns = value["table"], value["columns"]
            found[tenant][table] = set()
    return found


def same(got, wanted):
    for tenant in wanted:
        for table, rows in wanted[tenant].items():
            if table in got.get(tenant, {}) or rows:
                equal(sorted(got[tenant].get(table, ())), sorted(rows), "%s of %s" % (table, tenant))


# A store with some of everything: runs that ended, one that waits, records, evidence, events, keys, approvals, signals.
source = Host(root=os.path.join(HERE, "..", "chaos", "root"), tenants=["other"])
source.make_key(None, "other")
done = source.run("twenty", {"deal": "acme-1"}, agent="chaos")
equal(done["status"], "succeeded", done)
asking = source.start("ask", {"title": "Really?"}, agent="chaos")
source.wait_run(asking, "waiting")
perigee("backup", at("whole.jsonl"), "--store", source.store)
FROM_SQLITE = tables(at("whole.jsonl"))


def serve(store, key=None, seconds=20):
    """`perigee serve` on the store; gives (address, end)."""
    process = subprocess.Popen([harness.PROGRAM, "serve", "--root", os.path.join(HERE, "..", "chaos", "root"), "--store", store, "--listen", "127.0.0.1:0"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT, cwd=folder, preexec_fn=harness.die_with_us, start_new_session=True)
    for line in process.stdout:
        listening = re.search(r"listening on http://127.0.0.1:(\d+)", line)
        if listening:
            break
    else:
        raise harness.Failure("no host on %s" % store)
    threading.Thread(target=process.stdout.read, daemon=True).start()

    def end():
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    return int(listening.group(1)), end


def ask(port, key, method, path, body=None):
    import http.client
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, None if body is None else json.dumps(body), {"Authorization": "Bearer " + key, "Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text else None


def until(what, wanted, seconds=20):
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got == wanted:
            return
        true(time.monotonic() < end, "still %r, wanted %r" % (got, wanted))
        time.sleep(0.05)


@test
def a_backup_is_taken_while_the_host_serves_and_holds_everything():
    equal(set(FROM_SQLITE), {"", "example", "other"})
    for table in ("runs", "journal", "waits", "records", "record_history", "evidence", "events", "approvals", "bundles", "keys", "tenants"):
        true(FROM_SQLITE["example"].get(table), "no row of %s" % table)
    equal(len(FROM_SQLITE["example"]["journal"]) >= 20, True)
    matches(perigee("backup", at("one.jsonl"), "--tenant", "other", "--store", source.store), r"one\.jsonl: \d+ rows")
    equal(set(tables(at("one.jsonl"))), {"other"})
    true(not [name for name in os.listdir(folder) if name.endswith(".part")], "a part was left")


@test
def restored_on_sqlite_it_is_the_same_row_by_row():
    store = "sqlite:" + at("restored")
    perigee("restore", at("whole.jsonl"), "--store", store)
    perigee("backup", at("again.jsonl"), "--store", store)
    same(tables(at("again.jsonl")), FROM_SQLITE)


@test
def restored_on_postgres_and_back_it_is_the_same_with_every_policy():
    database = postgres.database()
    perigee("restore", at("whole.jsonl"), "--store", database)
    perigee("backup", at("postgres.jsonl"), "--store", database)
    same(tables(at("postgres.jsonl")), FROM_SQLITE)
    open_tables = postgres.sql("SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' WHERE c.relkind = 'r'"
                               " AND c.relnamespace = 'perigee'::regnamespace AND NOT (c.relrowsecurity AND c.relforcerowsecurity"
                               " AND EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid))", database)
    equal(open_tables, [], "tables without a forced policy")
    store = "sqlite:" + at("back")
    perigee("restore", at("postgres.jsonl"), "--store", store)
    perigee("backup", at("back.jsonl"), "--store", store)
    same(tables(at("back.jsonl")), FROM_SQLITE)


@test
def a_run_that_waited_goes_on_where_it_was_restored():
    for store in ("sqlite:" + at("goes-on"), postgres.database()):
        perigee("restore", at("whole.jsonl"), "--store", store)
        port, end = serve(store)
        try:
            approval = next(a for a in ask(port, source.key, "GET", "/v1/approvals?status=pending")[1]["items"] if a["run"] == asking)
            key = re.search(r"pg_\w+", perigee("key", "create", "--tenant", "example", "--store", store)).group(0)
            status, answer = ask(port, key, "POST", "/v1/approvals/" + approval["id"], {"decision": "approved"})
            equal(status, 200, answer)
            until(lambda: ask(port, source.key, "GET", "/v1/runs/" + asking)[1]["status"], "succeeded")
            status, fresh = ask(port, source.key, "POST", "/v1/events", {"specversion": "1.0", "type": "after.restore", "source": "/drill", "id": "d1"})
            true(status in (200, 202), fresh)
            perigee("events", "--store", store)
        finally:
            end()


@test
def a_tenant_is_exported_imported_under_another_name_and_deleted():
    for store in ("sqlite:" + at("names"), postgres.database()):
        matches(perigee("tenant", "export", "example", at("example.jsonl"), "--store", source.store), r"\d+ rows")
        perigee("tenant", "import", at("example.jsonl"), "--as", "copy", "--store", store)
        matches(perigee("tenant", "list", "--store", store), r"\bcopy\b")
        equal(len(json.loads(perigee("records", "item", "--tenant", "copy", "--json", "--store", store))["items"]) > 0, True)
        matches(perigee("tenant", "import", at("example.jsonl"), "--as", "copy", "--store", store, status=1), r"copy is there already.*--as")
        matches(perigee("tenant", "delete", "copy", "--store", store, status=2), r"cannot be undone.*--yes")
        perigee("tenant", "delete", "copy", "--yes", "--store", store)
        matches(perigee("tenant", "delete", "copy", "--yes", "--store", store, status=2), r"no tenant copy")
        perigee("backup", at("after.jsonl"), "--store", store)
        equal(sum(len(rows) for t in tables(at("after.jsonl")).values() for rows in t.values()), 0, "rows of a tenant that was deleted")


@test
def a_damaged_file_is_refused_whole():
    text = open(at("whole.jsonl")).read().splitlines(keepends=True)
    row = next(i for i, line in enumerate(text) if line.startswith("[") and "acme-1" in line)
    cases = {
        "changed": (text[:row] + [text[row].replace("acme-1", "acme-2")] + text[row + 1:], r"digest"),
        "short": (text[:-1], r"cut off"),
        "half": (text[:row] + [text[row][:20]], r"cut off|line %d" % (row + 1)),
        "without": (text[:row] + text[row + 1:], r"number of rows"),
        "other": (["{}\n"], r"no dump"),
        "empty": ([], r"no dump"),
        "newer": ([text[0].replace('"version":1', '"version":9')] + text[1:], r"version 9"),
        "more": (text + ["[]\n"], r"follows the end"),
    }
    for name, (lines, why) in cases.items():
        with open(at(name), "w") as f:
            f.writelines(lines)
        store = "sqlite:" + at("refused-" + name)
        matches(perigee("restore", at(name), "--store", store, status=1), why, name)
        equal(perigee("tenant", "list", "--store", store).strip(), "", name)
    matches(perigee("restore", at("nowhere"), "--store", "sqlite:" + at("x"), status=2), r"No such file")
    matches(perigee("backup", "/proc/nothing/file", "--store", source.store, status=1), r"choose a file")


@test
def a_tenant_placed_in_another_database_is_served_from_there():
    for main_store, elsewhere in (("sqlite:" + at("home1"), postgres.database()), (postgres.database(), "sqlite:" + at("far")), (postgres.database(), postgres.database())):
        perigee("tenant", "create", "near", "--store", main_store)
        perigee("tenant", "create", "far", "--database", elsewhere, "--store", main_store)
        matches(perigee("tenant", "create", "far", "--database", elsewhere, "--store", main_store, status=3), r"there already")
        keys = {name: re.search(r"pg_\w+", perigee("key", "create", "--tenant", name, "--store", main_store)).group(0) for name in ("near", "far")}
        port, end = serve(main_store)
        try:
            for name, key in keys.items():
                status, answer = ask(port, key, "POST", "/v1/agents/chaos/child", {"n": 4 if name == "near" else 5})
                equal(status, 202, answer)
                until(lambda: ask(port, key, "GET", "/v1/runs/" + answer["run"])[1]["status"], "succeeded")
            equal([ask(port, keys[name], "GET", "/v1/records/item/child")[1]["body"]["n"] for name in ("near", "far")], [4, 5])
        finally:
            end()
        perigee("backup", at("home.jsonl"), "--store", main_store)
        perigee("backup", at("elsewhere.jsonl"), "--store", elsewhere)
        both, there = tables(at("home.jsonl")), tables(at("elsewhere.jsonl"))
        equal((len(both["near"]["runs"]), len(both["far"]["runs"]), len(both["far"]["keys"])), (1, 1, 1))
        equal((len(there["far"]["runs"]), "near" in there), (1, False), "what lies in the other database")
        perigee("tenant", "delete", "far", "--yes", "--store", main_store)
        perigee("backup", at("elsewhere.jsonl"), "--store", elsewhere)
        equal(sum(len(rows) for t in tables(at("elsewhere.jsonl")).values() for rows in t.values()), 0)


@test
def a_database_that_is_away_stops_its_own_tenants_and_nobody_else():
    store = "sqlite:" + at("home2")
    perigee("tenant", "create", "near", "--store", store)
    far = at("far2")
    perigee("tenant", "create", "far", "--database", "sqlite:" + far, "--store", store)
    keys = {name: re.search(r"pg_\w+", perigee("key", "create", "--tenant", name, "--store", store)).group(0) for name in ("near", "far")}
    os.rename(far, far + ".away")
    with open(far, "w") as f:
        f.write("no folder")
    port, end = serve(store)
    try:
        status, answer = ask(port, keys["near"], "POST", "/v1/agents/chaos/child", {"n": 4})
        equal(status, 202, answer)
        status, answer = ask(port, keys["far"], "GET", "/v1/runs")
        equal(status, 503, answer)
        os.remove(far)
        os.rename(far + ".away", far)
        until(lambda: ask(port, keys["far"], "GET", "/v1/runs")[0], 200)
    finally:
        end()


try:
    main(source)
finally:
    postgres.stop()
    shutil.rmtree(folder, ignore_errors=True)
