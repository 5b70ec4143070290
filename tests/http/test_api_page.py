#!/usr/bin/env python3
"""The curl examples of docs/api.md are run as they stand. The comment behind each says the status and a piece of the answer."""
import os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import *

host = Host()
with open(os.path.join(TOP, "docs", "api.md"), encoding="utf-8") as page:
    TEXT = page.read()
EXAMPLES = re.findall(r"```sh\n(.*?)\n# (\d+)(?: ([^\n]*))?\n```", TEXT, re.S)


def run_example(script, status, piece):
    # The last curl of the example also writes its status, behind everything else.
    at = script.rindex("curl ")
    script = script[:at] + "curl -w '\\n%{http_code}' " + script[at + 5:]
    done = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, timeout=60, cwd=host.folder,
                          env={"PATH": os.environ["PATH"], "PERIGEE_URL": "http://127.0.0.1:%d" % host.port, "PERIGEE_KEY": host.key})
    equal(done.returncode, 0, done.stderr)
    body, _, got = done.stdout.rpartition("\n")
    equal(got, status, body[:500])
    true(not piece or piece in body, "%r is not in %s" % (piece, body[:800]))


for script, status, piece in EXAMPLES:
    words = re.findall(r"(?:-X (\w+) )?[\"]?\$PERIGEE_URL(/[\w/$?=&.-]*)", script)[-1]

    def example(script=script, status=status, piece=piece):
        run_example(script, status, piece)

    example.__name__ = "the example %s %s answers %s" % (words[0] or "of", words[1], status)
    test(example)


@test
def every_block_of_shell_is_an_example():
    equal(len(EXAMPLES), TEXT.count("```sh\n"))
    true(len(EXAMPLES) >= 12, "only %d examples" % len(EXAMPLES))


@test
def every_route_is_on_the_page():
    for path in host.get("/openapi.json", key=None).json["paths"]:
        short = re.sub(r"/(probe/\w+|\{agent\}/\{capability\})$", "/{agent}/{capability}", path)
        last = short.rsplit("/", 1)[-1]
        true(short in TEXT or "/" + last in TEXT, "%s is not mentioned" % path)


@test
def every_scope_is_on_the_page():
    document = host.get("/openapi.json").json
    for methods in document["paths"].values():
        for operation in methods.values():
            scope = operation.get("x-scope", "loopback")
            true(scope == "loopback" or "`%s`" % scope in TEXT, "the scope %s is not mentioned" % scope)


main(host)
