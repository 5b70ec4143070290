"""Drives perigee-cell from Python as the host does, for attacks on it: zygote, stems, cells, frames. Blocking, one thing at a time."""
import json, os, select, signal, socket, struct, subprocess, time

TYPES = ["", "LOAD", "MANIFEST", "ERROR", "FORK", "FORKED", "EXITED", "START", "OUTCOME", "CANCEL", "EFFECT", "LOG", "DONE", "FAIL",
         "STEM", "STEMMED", "GONE"]
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PROGRAM = os.environ.get("PERIGEE_CELL") or os.path.join(os.environ.get("PERIGEE_BUILD", os.path.join(TOP, "build")), "perigee-cell")
LIMITS = {"memory_bytes": 64 << 20, "cpu_ms": 500, "wall_ms": 2000}
NOW = 1700000000000000

REGISTRY = """
local registry, capabilities = {}, {}
function registry.add(t) for k, v in pairs(t) do capabilities[k] = v end end
function registry.manifest() return { agents = {}, kinds = {}, playbooks = {} } end
function registry.call(agent, capability, input) return capabilities[capability](input) end
return registry
"""
EFFECTS = """
local host = require "perigee.host"
return { host = host, call = function(name, args) return host.effect(name, args) end }
"""


def frame(kind, sequence=0, payload=b""):
    return struct.pack("<IHHI", len(payload), TYPES.index(kind), 0, sequence) + payload


class Stream:
    """Frames of a stream socket; descriptors in order of arrival."""

    def __init__(self, sock):
        self.sock, self.data, self.fds = sock, b"", []

    def next(self, timeout=20.0):
        """(type, sequence, value), or None at end of file; TimeoutError."""
        end = time.monotonic() + timeout
        while True:
            if len(self.data) >= 12:
                length, kind, zero, sequence = struct.unpack("<IHHI", self.data[:12])
                if len(self.data) >= 12 + length:
                    payload, self.data = self.data[12:12 + length], self.data[12 + length:]
                    return TYPES[kind], sequence, json.loads(payload) if payload else None
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                raise TimeoutError
            try:
                data, fds, _, _ = socket.recv_fds(self.sock, 1 << 20, 4)
            except ConnectionResetError:
                return None
            self.fds += fds
            if not data:
                return None
            self.data += data

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self.sock.close()


class Host:
    def __init__(self, program=PROGRAM):
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        number = theirs.fileno()

        def prepare():
            os.dup2(number, 3)

        self.process = subprocess.Popen([program], env={}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, close_fds=False,
                                        preexec_fn=prepare)
        theirs.close()
        self.stems = 0

    def stem(self, files=None, limits=None, mode="bundle"):
        self.stems += 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        socket.send_fds(self.control, [frame("STEM", self.stems)], [theirs.fileno()])
        theirs.close()
        stream = Stream(self.control)
        while True: # a GONE of an earlier stem may come first
            kind, sequence, _ = stream.next()
            if kind == "STEMMED":
                break
        return Stem(ours, stream.fds.pop(), files, limits or LIMITS, mode)

    def close(self):
        self.control.close()
        return self.process.wait(10)


class Stem:
    def __init__(self, sock, pidfd, files, limits, mode):
        self.stream, self.pidfd, self.cells, self.exits = Stream(sock), pidfd, 0, {}
        self.answer = None
        if files is not None:
            self.load({"files": files, "limits": limits, "mode": mode})

    def load(self, payload, timeout=20.0):
        self.stream.sock.sendall(frame("LOAD", 0, json.dumps(payload).encode()))
        self.answer = self.stream.next(timeout)

    def fork(self):
        self.cells += 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        socket.send_fds(self.stream.sock, [frame("FORK", self.cells)], [theirs.fileno()])
        theirs.close()
        while True:
            kind, sequence, value = self.stream.next()
            if kind == "FORKED":
                return Cell(self, self.cells, ours, self.stream.fds.pop(0))
            self.exits[sequence] = value

    def wait_exit(self, cell, timeout=20.0):
        while cell not in self.exits:
            kind, sequence, value = self.stream.next(timeout)
            self.exits[sequence] = value
        return self.exits.pop(cell)

    def close(self):
        self.stream.close()
        os.close(self.pidfd)


class Cell:
    def __init__(self, stem, number, sock, pidfd):
        self.stem, self.number, self.stream, self.pidfd = stem, number, Stream(sock), pidfd
        with open("/proc/self/fdinfo/%d" % pidfd) as f:
            self.pid = int([line for line in f if line.startswith("Pid:")][0].split()[1])

    def send(self, kind, sequence=0, value=None, raw=None):
        payload = raw if raw is not None else b"" if value is None else json.dumps(value).encode()
        self.stream.sock.sendall(frame(kind, sequence, payload))

    def start(self, capability="run", input=None, replay=0, **more):
        start = {"agent": "t", "capability": capability, "input": input, "run": "018bcfe5-6800-7000-8000-000000000001", "now": NOW,
                 "seed": "00112233445566778899aabbccddeeff", "replay": replay}
        start.update(more)
        self.send("START", 0, start)

    def next(self, timeout=10.0):
        return self.stream.next(timeout)

    def kill(self):
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def close(self):
        self.stream.close()
        os.close(self.pidfd)

    def finish(self, answer=None, wall=2.0):
        """Answer effects with answer(name, args, number) until the end. {end, value, status, signal, logs, effects, seconds}"""
        logs, effects, began = [], [], time.monotonic()
        end, value = "killed", None
        try:
            while True:
                got = self.next(max(0.01, began + wall - time.monotonic()))
                if got is None:
                    end = "closed"
                    break
                kind, sequence, value = got
                if kind == "LOG":
                    logs.append(value)
                elif kind == "EFFECT":
                    effects.append(value)
                    ok = answer(value["name"], value["args"], sequence) if answer else None
                    self.send("OUTCOME", sequence, {"at": NOW + sequence * 1000, **(ok if isinstance(ok, dict) and set(ok) & {"ok", "error"} else {"ok": ok})})
                else:
                    end = kind
                    break
        except TimeoutError:
            self.kill()
        exit = self.stem.wait_exit(self.number)
        self.close()
        return {"end": end, "value": value, "logs": logs, "effects": effects, "seconds": time.monotonic() - began, **exit}


def bundle(body, **more):
    """A bundle whose agent t has the capability `run` with this body (of a function of `input`), `effects` at hand."""
    files = {
        "scripts/perigee/registry.lua": REGISTRY,
        "scripts/perigee/effects.lua": EFFECTS,
        "scripts/agents/t.lua": "local effects = require 'perigee.effects'\nlocal host = effects.host\n"
                                "require('perigee.registry').add{ run = function(input)\n" + body + "\nend }",
    }
    files.update(more)
    return files


def tree(root=TOP):
    """The bundle of a root folder."""
    files = {}
    for folder in ("scripts", "methodology"):
        for where, _, names in os.walk(os.path.join(root, folder)):
            for name in names:
                if name.endswith(".lua") and not name.endswith("_spec.lua"):
                    path = os.path.join(where, name)
                    with open(path, encoding="utf-8") as f:
                        files[os.path.relpath(path, root)] = f.read()
    return files
