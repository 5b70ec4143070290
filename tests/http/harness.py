"""A host of one's own over HTTP, and TAP. Python's standard library only.

    from harness import *
    host = Host()
    @test
    def a_sentence_of_behaviour():
        answer = host.get("/v1/agents")
        equal(answer.status, 200)
    main(host)
"""
import atexit, functools, glob, http.client, json, os, re, runpy, shutil, signal, socket, sqlite3, subprocess, sys, tempfile, threading, time, traceback
from urllib.parse import quote

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
import servers
from libpq import Connection
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("PERIGEE_BUILD") or os.path.join(TOP, "build")
PROGRAM = os.environ.get("PERIGEE_PROGRAM") or os.path.join(BUILD, "perigee")
ROOT = os.path.join(HERE, "root")
UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"
UNKNOWN = "01890000-0000-7000-8000-000000000000"
_tests = []


def die_with_us():
    """In the child: a host must not outlive a test that is killed. PR_SET_PDEATHSIG with SIGTERM; the workers and cells below go with it."""
    import ctypes
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM, 0, 0, 0)


class Failure(Exception):
    pass


def test(function):
    _tests.append(function)
    return function


def equal(got, wanted, what=""):
    if got != wanted:
        raise Failure("%sgot %r, wanted %r" % (what and "%s: " % (what,), got, wanted))


def true(value, what="not so"):
    if not value:
        raise Failure(what)


def matches(text, pattern, what=""):
    if not isinstance(text, str) or not re.search(pattern, text):
        raise Failure("%s%r does not match %s" % (what and what + ": ", text, pattern))


def holds(whole, **wanted):
    for key, value in wanted.items():
        if whole.get(key, "absent") != value:
            raise Failure("%s is %r, wanted %r" % (key, whole.get(key, "absent"), value))


def children_of(parent):
    """Processes right below this one, read from /proc: a bare machine has no pgrep."""
    found = []
    for stat in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(stat) as f:
                text = f.read()
        except OSError:
            continue
        if text[text.rindex(")") + 2:].split()[1] == str(parent):
            found.append(int(stat.split("/")[2]))
    return sorted(found)


def command_of(pid):
    try:
        with open("/proc/%d/comm" % pid) as f:
            return f.read().strip()
    except OSError:
        return None


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            raise Failure("no JSON: %r" % self.body[:300])

    def header(self, name):
        return self.headers.get(name)

    def __repr__(self):
        return "%d %r" % (self.status, self.body[:500])


def problem(answer, status, name=None, detail=None):
    """The answer is this problem, in the form of RFC 9457."""
    if answer.status != status:
        raise Failure("status %d, wanted %d: %r" % (answer.status, status, answer.body[:500]))
    equal(answer.header("Content-Type"), "application/problem+json")
    body = answer.json
    for key in ("type", "title", "status", "detail"):
        true(key in body, "a problem without %s: %r" % (key, body))
    equal(body["status"], status)
    matches(body["type"], r"^urn:perigee:problem:[a-z_]+\.[a-z_]+$")
    true(body["title"] and body["detail"], "empty title or detail")
    if name:
        equal(body["type"], "urn:perigee:problem:" + name)
    if detail:
        matches(body["detail"], detail)
    return body


def new_store(folder):
    """A fresh one: SQLite in this folder; PostgreSQL where the test says so (PERIGEE_TEST_ENGINE=postgres: see on_postgres)."""
    if os.environ.get("PERIGEE_TEST_ENGINE") != "postgres":
        return "sqlite:" + os.path.join(folder, "store")
    return postgres().database()


@functools.lru_cache(None)
def postgres():
    """The server of tests/run, or one of our own until this program ends."""
    server = servers.shared_postgres().start()
    atexit.register(server.stop)
    return server


def on_postgres(program):
    """Run a test program of these folders again, its hosts on PostgreSQL."""
    os.environ["PERIGEE_TEST_ENGINE"] = "postgres"
    sys.argv[0] = program
    runpy.run_path(program, run_name="__main__")


class Rows(list):
    """Answers as sqlite3's cursors give them."""
    rowcount = -1

    def fetchall(self):
        return list(self)

    def fetchone(self):
        return self[0] if self else None


class SqliteDatabase(sqlite3.Connection):
    """What a store holds, read and changed beside the host, in words that PostgresDatabase understands too. `with` commits; close() ends."""

    def insert(self, table, columns, rows):
        """Rows in one transaction. PostgreSQL adds the tenant."""
        with self:
            self.executemany("INSERT INTO %s (%s) VALUES (%s)" % (table, ", ".join(columns), ", ".join("?" * len(columns))), rows)

    def columns(self, table):
        return [row[1] for row in self.execute("PRAGMA table_info(%s)" % table)]

    def administer(self, sql):
        """What the host's own role may not do: change tables."""
        with self:
            self.execute(sql)


class PostgresDatabase:
    """What tests use of sqlite3, of one tenant in a PostgreSQL database (None: of the platform): ? for parameters; each statement is committed at once."""

    def __init__(self, store, tenant):
        self.tenant = tenant
        self.db = Connection(servers.joined({**servers.keywords(store), "user": "postgres"}))
        self.db.ask("SET search_path = perigee; SET perigee.tenant = '%s'; SET ROLE perigee_app" % (tenant or ""))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.db.close()

    def commit(self):
        """Is done."""

    def execute(self, sql, values=()):
        parts = sql.split("?")
        numbered = parts[0] + "".join("$%d%s" % pair for pair in enumerate(parts[1:], 1))
        answer = self.db.ask(numbered, ["\\x" + v.hex() if isinstance(v, bytes) else v for v in values], read=True)
        rows = Rows(tuple(row) for row in answer.rows)
        rows.rowcount = answer.changed
        return rows

    def insert(self, table, columns, rows):
        if self.tenant:
            columns, rows = ["tenant_id", *columns], [[self.tenant, *row] for row in rows]
        rows, one = list(rows), "(" + ", ".join("?" * len(columns)) + ")"
        self.db.ask("BEGIN")
        for at in range(0, len(rows), 500):
            some = rows[at:at + 500]
            self.execute("INSERT INTO %s (%s) VALUES %s" % (table, ", ".join(columns), ", ".join([one] * len(some))), [value for row in some for value in row])
        self.db.ask("COMMIT")

    def columns(self, table):
        return [name for (name,) in self.execute("SELECT column_name::text FROM information_schema.columns WHERE table_schema = 'perigee' AND table_name = ? "
                                                 "AND column_name <> 'tenant_id' ORDER BY ordinal_position", (table,))]

    def administer(self, sql):
        self.db.ask("RESET ROLE")
        self.db.ask(sql)
        self.db.ask("SET ROLE perigee_app")


def open_database(store, tenant):
    """tenant: a name, or None for what belongs to the platform."""
    if not store.startswith("sqlite:"):
        return PostgresDatabase(store, tenant)
    folder = store[len("sqlite:"):]
    return sqlite3.connect(os.path.join(folder, "tenants", tenant + ".db") if tenant else os.path.join(folder, "platform.db"), timeout=30, factory=SqliteDatabase)


class Host:
    """`perigee dev` in a temporary folder. Ends with its master and everything below it."""

    def __init__(self, root=ROOT, tenants=(), words=(), environment=None, config=None):
        self.folder = tempfile.mkdtemp(prefix="perigee-http-")
        self.store = new_store(self.folder)
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("PERIGEE_")}
        self.environment.update(environment or {})
        for tenant in tenants:
            self.perigee("tenant", "create", tenant)
        self.root, self.words, self.key = root, list(words), None
        if config:
            path = os.path.join(self.folder, "perigee.lua")
            with open(path, "w") as f:
                f.write(config)
            self.words += ["--config", path]
        self.start_host()

    def start_host(self):
        """On the store that is there; again after its end."""
        self.said, self.address = [], None
        self.ready = threading.Event()
        self.process = subprocess.Popen([PROGRAM, "dev", "--root", self.root, "--store", self.store, "--listen", "127.0.0.1:0", *self.words],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environment,
                                        cwd=self.folder, start_new_session=True, preexec_fn=die_with_us, restore_signals=False)
        threading.Thread(target=self._read, args=(self.process.stdout, self.said, self.ready), daemon=True).start()
        if not self.ready.wait(60) or not self.address:
            self.stop()
            raise SystemExit("the host did not come up:\n" + "".join(self.said))
        self.port = int(self.address.rsplit(":", 1)[1])

    def _read(self, output, said, ready):
        for line in output:
            said.append(line)
            plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
            at = re.search(r"listening on http://(\S+)", plain)
            key = re.match(r"keys?: (\S+)", plain)
            if at:
                self.address = at.group(1)
            if key and key.group(1).startswith("pg_"):
                self.key = key.group(1)
            if key:
                ready.set()
        ready.set()

    def perigee(self, *words, check=True):
        done = subprocess.run([PROGRAM, *words, "--store", self.store], capture_output=True, text=True, env=self.environment,
                              cwd=self.folder, timeout=60)
        if check and done.returncode:
            raise SystemExit("perigee %s: %s%s" % (" ".join(words), done.stdout, done.stderr))
        return done.stdout

    def make_key(self, scopes=None, tenant="example", *words):
        text = self.perigee("key", "create", "--tenant", tenant, *(["--scopes", scopes] if scopes else []), *words)
        return re.search(r"pg_\w+", text).group(0)

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- requests --

    def call(self, method, path, body=None, headers=None, key=True, timeout=70):
        """body: bytes as they are, anything else as JSON. key: True the host's own, a text, or None."""
        all_headers = {"Authorization": "Bearer " + (self.key if key is True else key)} if key else {}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            all_headers["Content-Type"] = "application/json"
        all_headers.update(headers or {})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers={k: v for k, v in all_headers.items() if v is not None})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path, **more):
        return self.call("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.call("POST", path, body, **more)

    def put(self, path, body=None, **more):
        return self.call("PUT", path, body, **more)

    def delete(self, path, **more):
        return self.call("DELETE", path, **more)

    def pages(self, path, count):
        """The items of a whole list, which has so many pages, by its links."""
        items, pages = [], 0
        while path:
            answer = self.get(path)
            equal(answer.status, 200, answer)
            items += answer.json["items"]
            pages += 1
            path = answer.json["next_cursor"] and re.match(r'^<([^>]+)>; rel="next"$', answer.header("Link")).group(1)
        equal(pages, count, "pages")
        return items

    def run(self, capability, body, wait=20, agent="probe", **headers):
        """Call and stay until it has ended."""
        answer = self.post("/v1/agents/%s/%s" % (agent, capability), body,
                           headers={"Prefer": "wait=%d" % wait, **{k.replace("_", "-"): v for k, v in headers.items()}})
        equal(answer.status, 200, answer)
        return answer.json

    def start(self, capability, body, agent="probe"):
        answer = self.post("/v1/agents/%s/%s" % (agent, capability), body)
        equal(answer.status, 202, answer)
        return answer.json["run"]

    def wait_run(self, run, *statuses, seconds=20):
        until = time.monotonic() + seconds
        while True:
            answer = self.get("/v1/runs/" + run)
            equal(answer.status, 200, answer)
            if answer.json["status"] in statuses:
                return answer.json
            true(time.monotonic() < until, "the run is still %s" % answer.json["status"])
            time.sleep(0.02)

    def raw(self, *parts, pause=0.03, half_close=False, timeout=8):
        """Send bytes as they are; everything that comes back until the server closes (or "<open>" when it does not)."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as s:
            out = b""
            try:
                for i, part in enumerate(parts):
                    if i:
                        time.sleep(pause)
                    s.sendall(part)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
                while True:
                    piece = s.recv(65536)
                    if not piece:
                        return out
                    out += piece
            except socket.timeout:
                return out + b"<open>"
            except (ConnectionResetError, BrokenPipeError):
                try:
                    while True:
                        piece = s.recv(65536)
                        if not piece:
                            break
                        out += piece
                except OSError:
                    pass
                return out + b"<reset>"


def parse_answers(data):
    """Answers with Content-Length or without a body, one behind the other."""
    answers = []
    while data:
        head, separator, data = data.partition(b"\r\n\r\n")
        if not separator:
            raise Failure("a broken answer: %r" % head[:200])
        lines = head.decode().split("\r\n")
        status = int(lines[0].split()[1])
        headers = http.client.HTTPMessage()
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            headers[name] = value
        n = int(headers.get("Content-Length", 0))
        answers.append(Answer(status, headers, data[:n]))
        data = data[n:]
    return answers


class Events:
    """Server-sent events of one connection."""

    def __init__(self, host, path, headers=None, key=True, timeout=20):
        self.connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=timeout)
        self.connection.request("GET", path, headers={"Authorization": "Bearer " + (host.key if key is True else key),
                                                      "Accept": "text/event-stream", **(headers or {})})
        self.answer = self.connection.getresponse()
        self.status, self.headers = self.answer.status, self.answer.headers

    def __iter__(self):
        event = {"event": "message", "data": [], "id": None}
        for line in self.answer:
            line = line.decode().rstrip("\n")
            if not line:
                if event["data"]:
                    yield event["event"], event["id"], json.loads("\n".join(event["data"]))
                event = {"event": "message", "data": [], "id": None}
            elif not line.startswith(":"):
                name, _, value = line.partition(":")
                value = value[1:] if value.startswith(" ") else value
                if name == "data":
                    event["data"].append(value)
                else:
                    event[name] = value

    def close(self):
        self.answer.close()
        self.connection.close()


def main(*hosts):
    failures = 0
    wanted = sys.argv[1:]
    try:
        for number, function in enumerate(_tests, 1):
            name = function.__name__.replace("_", " ")
            if wanted and not any(w in function.__name__ for w in wanted):
                continue
            try:
                function()
                print("ok %d - %s" % (number, name), flush=True)
            except Exception as error:
                failures += 1
                print("not ok %d - %s" % (number, name), flush=True)
                where = traceback.extract_tb(error.__traceback__)
                at = [f for f in where if f.filename != __file__] or where
                print("#   line %d: %s" % (at[-1].lineno, at[-1].line), flush=True)
                print("#   " + str(error if isinstance(error, Failure) else repr(error)).replace("\n", "\n#   "), flush=True)
        for host in hosts:
            if host.process.poll() is not None:
                failures += 1
                print("not ok %d - the host was alive at the end\n#   %s" % (len(_tests) + 1, "#   ".join(host.said[-30:])), flush=True)
            elif failures:
                print("#   the host said: " + "#   ".join(host.said[-20:]), flush=True)
    finally:
        for host in hosts:
            host.stop()
    sys.exit(1 if failures else 0)
