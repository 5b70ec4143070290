#!/usr/bin/env python3
"""Private servers for tests: PostgreSQL, Redis, PgBouncer. Python's standard library only.

    from servers import Postgres, Redis, PgBouncer, shared_postgres
    with Postgres() as postgres:
        database = postgres.database()            # fresh, everything migrated; a libpq keyword string of perigee_app
        postgres.sql("SELECT 1", database)        # as superuser
        postgres.terminate_backends(database)
        postgres.kill(); postgres.start()         # kill -9, then recovery
        with PgBouncer(postgres) as pooler:
            pooler.conninfo(database)             # the same database, through the pooler

Each lies in a folder of its own and listens on a unix socket there; fsync is on; PostgreSQL sorts text by a language, as many servers do, so that
what relies on bytewise order without asking for it is found. stop() leaves no process and no folder; servers do not outlive the program that started them.

tests/run starts one of each for the suites that may want one, and passes
    PERIGEE_TEST_POSTGRES    keyword string of a superuser (database postgres); the database `perigee_template` has everything migrated:
                             CREATE DATABASE … TEMPLATE perigee_template, then connect as user perigee_app
    PERIGEE_TEST_REDIS       unix:PATH
    PERIGEE_TEST_PGBOUNCER   keyword string of the same superuser through the pooler (transaction mode; any database and user)
Whoever stops, kills or flushes a server starts one of his own.

As a program, for tests in C: `servers.py postgres|redis|pgbouncer` starts one, prints where it is, then obeys lines from its input (stop, kill, start, flush, pause,
resume), answering each with `ok` or `failed TEXT`; at the end of the input all is gone. `pgbouncer` starts a PostgreSQL too and prints both, the pooler first.
"""
import ctypes, itertools, os, pwd, re, shutil, signal, socket, subprocess, sys, tempfile, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("PERIGEE_BUILD") or os.path.join(TOP, "build")
PROGRAM = os.environ.get("PERIGEE_PROGRAM") or os.path.join(BUILD, "perigee")
TEMPLATE = "perigee_template"
USERS = ("postgres", "perigee_app", "perigee_reader", "perigee_owner")
START_SECONDS = 30
_serial = itertools.count(1)


class ServerError(Exception):
    pass


def keywords(conninfo):
    """{'host': …} of a libpq keyword string without quotes, as this module makes them."""
    return dict(word.split("=", 1) for word in conninfo.split())


def joined(values):
    return " ".join("%s=%s" % (key, value) for key, value in values.items())


def _program(name):
    """Where a server's program is; PostgreSQL's lie in a folder per version, sbin is not on everybody's path."""
    folders = ["/usr/lib/postgresql/%d/bin" % version for version in range(30, 14, -1)] + os.environ.get("PATH", "").split(":") + ["/usr/sbin", "/usr/local/bin"]
    for folder in folders:
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK):
            return path
    raise ServerError("%s is not installed: run tools/dependencies.sh build test" % name)


def _nobody_special():
    """Keyword arguments that make a child run as `postgres` when we are root (its servers refuse to be root), as ourselves otherwise."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam("postgres")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


class Server:
    """A child process in a folder of its own. `ready` tells when it answers."""
    name, quick_signal = "server", signal.SIGTERM

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="perigee-%s-" % self.name)
        self.process = None
        os.chmod(self.folder, 0o755)
        if os.geteuid() == 0:
            entry = pwd.getpwnam("postgres")
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)

    def __enter__(self):
        return self.start() if self.process is None else self

    def __exit__(self, *_):
        self.stop()

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)
        os.chmod(self.path(name), 0o644)

    def log(self):
        try:
            with open(self.path("log"), errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def _dies_with_us(self):
        quick, parent = int(self.quick_signal), os.getpid()

        def prepare():
            ctypes.CDLL(None).prctl(1, quick, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)
        return prepare

    def start(self):
        if self.process is not None:
            raise ServerError("%s runs already" % self.name)
        with open(self.path("log"), "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, start_new_session=True,
                                            preexec_fn=self._dies_with_us(), **_nobody_special())
        until = time.monotonic() + START_SECONDS
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > until:
                text = self.log()[-2000:]
                self.stop()
                raise ServerError("%s does not start:\n%s" % (self.name, text))
            time.sleep(0.01)
        return self

    def _end(self, how, seconds=30):
        process, self.process = self.process, None
        if process is None:
            return
        try:
            process.send_signal(signal.SIGCONT)
            process.send_signal(how)
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def halt(self, how=None):
        """Orderly; start() goes on with the same data."""
        self._end(how or self.quick_signal)

    def kill(self):
        """As a power cut for the process; start() recovers."""
        self._end(signal.SIGKILL)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        """For good: process and folder are gone."""
        self.halt()
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres(Server):
    name, quick_signal = "postgres", signal.SIGINT

    def __init__(self, **settings):
        """settings: of postgresql.conf (max_connections=6)."""
        super().__init__()
        self.settings = settings
        self.lock = threading.Lock()
        done = subprocess.run([_program("initdb"), "-D", self.path("data"), "-U", "postgres", "-A", "trust", "--no-sync", "--no-instructions",
                               "--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.folder, **_nobody_special())
        if done.returncode != 0:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise ServerError("initdb failed:\n%s" % done.stdout.decode(errors="replace"))

    def command(self):
        settings = {"listen_addresses": "", "unix_socket_directories": self.folder, "fsync": "on", "shared_buffers": "64MB", "max_connections": 200,
                    "superuser_reserved_connections": 2, "timezone": "UTC", "autovacuum_naptime": "5s", "max_wal_size": "2GB"}
        settings.update(self.settings)
        return [_program("postgres"), "-D", self.path("data")] + ["-c%s=%s" % pair for pair in settings.items()]

    def ready(self):
        done = subprocess.run([_program("psql"), "-X", "-q", "-d", self.conninfo(), "-c", "SELECT 1"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return done.returncode == 0

    def conninfo(self, database="postgres", user="postgres"):
        return joined({"host": self.folder, "port": 5432, "dbname": database, "user": user})

    def url(self, database="postgres", user="postgres"):
        return "postgresql://%s@/%s?host=%s" % (user, database, self.folder)

    def sql(self, text, database="postgres", user="postgres"):
        """Run SQL; rows as lists of text ('' for null). database: a name, or a keyword string whose database is meant."""
        if "=" in database:
            database = keywords(database)["dbname"]
        done = subprocess.run([_program("psql"), "-X", "-q", "-A", "-t", "-F", "\x1f", "-R", "\x1e", "-v", "ON_ERROR_STOP=1", "-d", self.conninfo(database, user)],
                              input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise ServerError(done.stderr.decode(errors="replace").strip())
        out = done.stdout.decode().rstrip("\n")
        return [row.split("\x1f") for row in out.split("\x1e")] if out else []

    def template(self):
        """Makes the migrated template database once; its name."""
        with self.lock:
            if not self.sql("SELECT 1 FROM pg_database WHERE datname = '%s'" % TEMPLATE):
                self.sql("CREATE DATABASE %s" % TEMPLATE)
                migrate(self.conninfo(TEMPLATE))
        return TEMPLATE

    def database(self, migrated=True, user="perigee_app"):
        """A fresh database; its keyword string for `user`."""
        name = "test_%d_%d" % (os.getpid(), next(_serial))
        self.sql("CREATE DATABASE %s%s" % (name, " TEMPLATE " + self.template() if migrated else ""))
        return self.conninfo(name, user if migrated else "postgres")

    def drop(self, database):
        self.sql("DROP DATABASE IF EXISTS %s WITH (FORCE)" % keywords(database)["dbname"])

    def terminate_backends(self, database=None):
        """Cuts client connections (of one database, or all); how many."""
        where = "datname = '%s'" % keywords(database)["dbname"] if database else "true"
        rows = self.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND %s" % where)
        return int(rows[0][0])


class Borrowed(Postgres):
    """The PostgreSQL that tests/run started: databases may be made in it; it is not ours to stop."""

    def __init__(self, conninfo):
        self.folder = keywords(conninfo)["host"]
        self.process, self.lock = None, threading.Lock()

    def start(self):
        return self

    def _refuse(self, *_):
        raise ServerError("the shared PostgreSQL is not stopped: a test that wants that starts a Postgres() of its own")
    halt = kill = pause = resume = _refuse

    def stop(self):
        pass


def shared_postgres():
    """The server of tests/run. By hand, one of our own: use it as `with shared_postgres() as postgres`."""
    given = os.environ.get("PERIGEE_TEST_POSTGRES")
    return Borrowed(given) if given else Postgres()


class Redis(Server):
    name = "redis"

    def __init__(self, *words):
        """words: further ones of redis-server's command line (--maxmemory 10mb)."""
        super().__init__()
        self.words = words

    def command(self):
        return [_program("redis-server"), "--port", "0", "--unixsocket", self.path("redis.sock"), "--unixsocketperm", "777", "--save", "", "--appendonly", "no",
                "--dir", self.folder] + list(self.words)

    def url(self):
        return "unix:" + self.path("redis.sock")

    def ready(self):
        try:
            return self.call("PING") == "PONG"
        except (OSError, ServerError):
            return False

    def call(self, *words):
        """One command; its answer (text, int, None or a list)."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.path("redis.sock"))
            s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in (str(w).encode() for w in words)))
            with s.makefile("rb") as stream:
                return self._answer(stream)

    def _answer(self, stream):
        line = stream.readline().decode()
        kind, rest = line[:1], line[1:].strip()
        if kind == "+":
            return rest
        if kind == ":":
            return int(rest)
        if kind == "$":
            return None if rest == "-1" else stream.read(int(rest) + 2)[:-2].decode(errors="replace")
        if kind == "*":
            return None if rest == "-1" else [self._answer(stream) for _ in range(int(rest))]
        raise ServerError("redis: %s" % (rest or "no answer"))

    def flush(self):
        self.call("FLUSHALL")


class PgBouncer(Server):
    """Transaction mode, in front of a Postgres."""
    name = "pgbouncer"

    def __init__(self, postgres, pool_size=20):
        super().__init__()
        self.write("users", "".join('"%s" ""\n' % user for user in USERS))
        self.write("pgbouncer.ini", "\n".join((
            "[databases]", "* = host=%s port=5432" % postgres.folder, "[pgbouncer]", "listen_addr =", "listen_port = 6432", "unix_socket_dir = %s" % self.folder,
            "auth_type = trust", "auth_file = %s" % self.path("users"), "pool_mode = transaction", "default_pool_size = %d" % pool_size, "max_client_conn = 500",
            "server_idle_timeout = 5", "admin_users = postgres", "")))

    def command(self):
        return [_program("pgbouncer"), self.path("pgbouncer.ini")]

    def conninfo(self, database="postgres", user="postgres"):
        """database: a name, or a keyword string of the server behind, whose database and user are taken."""
        if "=" in database:
            values = keywords(database)
            database, user = values["dbname"], values["user"]
        return joined({"host": self.folder, "port": 6432, "dbname": database, "user": user})

    def ready(self):
        done = subprocess.run([_program("psql"), "-X", "-q", "-d", self.conninfo("pgbouncer"), "-c", "SHOW VERSION"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return done.returncode == 0


def migrate(conninfo):
    """perigee migrate up; the lines it printed."""
    done = subprocess.run([PROGRAM, "migrate", "up", "--store", conninfo], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise ServerError("perigee migrate up failed (exit %d): %s" % (done.returncode, text.strip()))
    return text.splitlines()


def _serve(words):
    """The program: one server, obeying lines."""
    if len(words) != 1 or words[0] not in ("postgres", "redis", "pgbouncer"):
        print(__doc__, file=sys.stderr)
        return 2
    servers = []
    try:
        if words[0] == "redis":
            servers.append(Redis().start())
            print(servers[0].url(), flush=True)
        else:
            servers.append(Postgres().start())
            servers[0].template()
            if words[0] == "pgbouncer":
                servers.insert(0, PgBouncer(servers[0]).start())
                print(servers[0].conninfo(), flush=True)
            print(servers[-1].conninfo(), flush=True)
        for line in sys.stdin:
            word = line.strip()
            method = {"stop": "halt", "kill": "kill", "start": "start", "flush": "flush", "pause": "pause", "resume": "resume"}.get(word)
            try:
                getattr(servers[-1], method or "unknown command " + word)()
                print("ok", flush=True)
            except (ServerError, AttributeError, OSError) as error:
                print("failed %s" % re.sub(r"\s+", " ", str(error)), flush=True)
    finally:
        for server in servers:
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(_serve(sys.argv[1:]))
