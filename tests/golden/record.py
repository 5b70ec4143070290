#!/usr/bin/env python3
"""tests/golden/record.py: journals of this version, with the scripts that made them, into tests/golden/VERSION/. Once per release, before it.

    VERSION/NAME/scripts …      the bundle as it was
    VERSION/NAME/journals/*.json  {run, outcomes} as `perigee runs RUN --journal --json` prints them

tests/engine/test_golden.py replays them all, for ever after. What is recorded is never changed.
"""
import glob, json, os, shutil, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PROGRAM = os.environ.get("PERIGEE_PROGRAM") or os.path.join(TOP, "build", "perigee")
sys.path.insert(0, os.path.join(TOP, "tests", "http"))
from harness import Host

FEATURES = [("steps", {"id": "a"}), ("brittle", {"id": "b"}), ("turns", {"left": 2}), ("wrong_turn", {}), ("parent", {"turns": 3}),
            ("reader", {"id": "page", "times": 2})]
ENGINE = [("echo", {"text": "hello"}), ("nap", {"ms": 20}), ("deadline", {"ms": 20}), ("uncaught", {})]


def save(host, folder, name, run):
    os.makedirs(os.path.join(folder, "journals"), exist_ok=True)
    with open(os.path.join(folder, "journals", name + ".json"), "w") as f:
        f.write(host.perigee("runs", run, "--journal", "--json"))


def bundle(folder, root, parts):
    for part in parts:
        shutil.copytree(os.path.join(root, part), os.path.join(folder, part), ignore=shutil.ignore_patterns("perigee", "*_spec.lua"))


def record_features(folder):
    bundle(folder, os.path.join(TOP, "tests/engine/versions"), ["scripts"])
    host = Host(root=folder)
    host.put("/v1/records/page/page", {"text": "long " * 2000})
    try:
        for capability, body in FEATURES:
            run = host.run(capability, body, agent="versions")
            save(host, folder, capability, run["id"])
            if capability == "steps":
                fork = host.post("/v1/runs/%s/fork" % run["id"], {"at": 2}).json["run"]
                host.wait_run(fork, "succeeded")
                save(host, folder, "fork", fork)
            if run.get("continued_from"):
                save(host, folder, capability + "-first", run["continued_from"])
        waiting = host.start("pause", {"id": "w"}, agent="versions")
        host.wait_run(waiting, "waiting")
        save(host, folder, "waiting", waiting)
        host.post("/v1/runs/%s/signals/word" % waiting, {"hello": [1, None, "ü"]})
        host.wait_run(waiting, "succeeded")
        save(host, folder, "signalled", waiting)
    finally:
        host.stop()


def record_engine(folder):
    bundle(folder, os.path.join(TOP, "tests/engine/root"), ["scripts"])
    host = Host(root=folder)
    try:
        for capability, body in ENGINE:
            save(host, folder, capability, host.run(capability, body, agent="engine")["id"])
    finally:
        host.stop()


def record_sales(folder):
    bundle(folder, TOP, ["scripts", "methodology"])
    host = Host(root=folder)
    try:
        for path in sorted(glob.glob(os.path.join(TOP, "examples/*/input.json"))):
            with open(path) as f:
                run = host.run("qualify", json.load(f), agent="sales", wait=60)
            save(host, folder, os.path.basename(os.path.dirname(path)), run["id"])
    finally:
        host.stop()


def main():
    with open(os.path.join(TOP, "VERSION")) as f:
        version = f.read().strip()
    folder = os.path.join(HERE, version)
    if os.path.exists(folder):
        raise SystemExit("%s is there: what is recorded is never changed" % folder)
    record_features(os.path.join(folder, "features"))
    record_engine(os.path.join(folder, "engine"))
    record_sales(os.path.join(folder, "sales"))
    print("\n".join(sorted(glob.glob(os.path.join(folder, "*/journals/*.json")))))


main()
