#!/usr/bin/env python3
"""Journals that released versions recorded are replayed by this one, with the scripts that made them: the same effects, to the byte."""
import glob, json, os, subprocess, sys, tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "http"))
from harness import PROGRAM, TOP, equal, main, test, true

GOLDEN = os.path.join(TOP, "tests", "golden")


def replay(path, root):
    done = subprocess.run([PROGRAM, "replay", path, "--bundle", root, "--json"], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def journals():
    return sorted(glob.glob(os.path.join(GOLDEN, "*", "*", "journals", "*.json")))


@test
def every_golden_journal_replays_as_it_was():
    true(len(journals()) >= 15, "the golden folder is empty")
    for path in journals():
        code, said = replay(path, os.path.dirname(os.path.dirname(path)))
        equal(code, 0, "%s: %s" % (os.path.relpath(path, GOLDEN), said))


@test
def a_journal_that_says_something_else_is_told():
    for path in journals():
        with open(path) as f:
            journal = json.load(f)
        if not journal["outcomes"]:
            continue
        last = journal["outcomes"][-1]
        last["digest"] = ("0" if last["digest"][0] != "0" else "1") + last["digest"][1:]
        with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
            json.dump(journal, f)
            f.flush()
            code, said = replay(f.name, os.path.dirname(os.path.dirname(path)))
        equal(code, 1, "%s: %s" % (os.path.relpath(path, GOLDEN), said))


main()
