#!/usr/bin/env python3
"""A provider that misbehaves on request and counts what reached it.

    with Upstream() as upstream:
        upstream.url("/do/invoice-1")

Every path but the last rows *does* something under a name (the last part of the path): an act is counted in `arrived` when its request is whole,
and in `done` when it takes effect. Acts with an Idempotency-Key that was there before are answered as before and take no effect again.

    /do/NAME                at once
    /slow/NAME?ms=500       after a while
    /hold/NAME              takes effect, answers when release() is called
    /hold-first/NAME        only the first time; later at once
    /hold-before/NAME       the same, and takes effect only then: a request that is cut while it is held has none
    /cut-before/NAME        the connection ends before it takes effect
    /cut-after/NAME         … after it took effect, without an answer
    /cut-once/NAME          … after it took effect, the first time; then at once
    /cut-body/NAME          … in the middle of the answer's body
    /garbage/NAME           an answer that is not HTTP
    /status/CODE/NAME       any status
    /redirect/NAME?to=URL
    /huge/NAME?bytes=N      an answer of N bytes
    /binary/NAME            bytes that are no text
    /echo/NAME              what was sent, as JSON: method, path, headers, body
    /did/NAME               200 {"name","times"} when it took effect, else 404; counted in `asked` alone
    /did-broken/NAME        503
"""
import collections
import http.server
import json
import sys
import threading
import time
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def finish(self):
        try:
            super().finish()
        except OSError:
            pass

    def answer(self, status, body=b"", headers=()):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def cut(self):
        self.close_connection = True
        try:
            self.connection.shutdown(2)
        except OSError:
            pass

    def act(self, name, key):
        """Take effect, once per key."""
        up = self.server.upstream
        with up.lock:
            if key and key in up.keys:
                return up.keys[key]
            up.done[name] += 1
            answer = {"name": name, "times": up.done[name]}
            if key:
                up.keys[key] = answer
            return answer

    def serve(self):
        up = self.server.upstream
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        parts = urllib.parse.unquote(url.path).strip("/").split("/")
        mode, name = parts[0], parts[-1]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        key = self.headers.get("Idempotency-Key")
        if mode.startswith("did"):
            with up.lock:
                up.asked[name] += 1
                times = up.done[name]
            if mode == "did-broken":
                return self.answer(503, {})
            return self.answer(200 if times else 404, {"name": name, "times": times})
        with up.lock:
            up.arrived[name] += 1
            nth = up.arrived[name]
            if key:
                up.arrived_keys[key] += 1
            up.changed.notify_all()
        if mode == "slow":
            time.sleep(int(query.get("ms", "500")) / 1000)
        elif mode == "cut-before":
            return self.cut()
        elif mode == "hold-before" and nth == 1:
            up.released.wait(60)
            if self.is_cut():
                return self.cut()
        answer = self.act(name, key)
        with up.lock:
            up.changed.notify_all()
        if mode == "hold" or (mode == "hold-first" and nth == 1):
            up.released.wait(60)
        if mode == "cut-after" or (mode == "cut-once" and nth == 1):
            return self.cut()
        if mode == "cut-body":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")
            self.wfile.flush()
            return self.cut()
        if mode == "garbage":
            self.wfile.write(b"\x00\xff nobody talks like this\r\n\r\n" * 20)
            return self.cut()
        if mode == "status":
            return self.answer(int(parts[1]), answer)
        if mode == "redirect":
            return self.answer(302, b"", [("Location", query["to"])])
        if mode == "huge":
            return self.answer(200, b"x" * int(query["bytes"]), [("Content-Type", "text/plain")])
        if mode == "binary":
            return self.answer(200, bytes(range(256)))
        if mode == "echo":
            headers = {k.lower(): v for k, v in self.headers.items()}
            return self.answer(200, {"method": self.command, "path": self.path, "headers": headers, "body": body.decode("utf-8", "replace")})
        return self.answer(200, answer, [("X-Twice", "a"), ("X-Twice", "b")])

    def is_cut(self):
        import select
        readable, _, _ = select.select([self.connection], [], [], 0.5) # whoever was killed may still be going
        try:
            return bool(readable) and self.connection.recv(1, 0x2) == b""
        except OSError:
            return True

    def do_GET(self):
        try:
            self.serve()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_GET


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_):
        pass # clients are killed: their connections end as they like


class Upstream:
    def __init__(self, port=0):
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.released = threading.Event()
        self.arrived, self.done, self.asked = collections.Counter(), collections.Counter(), collections.Counter()
        self.arrived_keys, self.keys = collections.Counter(), {}
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.upstream = self
        self.port = self.server.server_port
        self.origin = "http://127.0.0.1:%d" % self.port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path):
        return self.origin + path

    def release(self):
        """What is held is answered, now and from now on."""
        self.released.set()

    def hold(self):
        self.released.clear()

    def wait_arrived(self, name, times=1, seconds=20):
        return self.wait(lambda: self.arrived[name] >= times, seconds)

    def wait_done(self, name, times=1, seconds=20):
        return self.wait(lambda: self.done[name] >= times, seconds)

    def wait(self, holds, seconds):
        with self.changed:
            return self.changed.wait_for(holds, seconds)

    def stop(self):
        self.release()
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


if __name__ == "__main__":
    upstream = Upstream(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(upstream.origin, flush=True)
    threading.Event().wait()
