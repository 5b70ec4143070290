#!/usr/bin/env python3
"""PostgreSQL that goes away while runs work: no script hears of it, and every run ends as if nothing had been."""
import os, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_storm as storm       # its hosts; its tests are not ours
from harness import equal, main, test, true
import harness, random

harness._tests.clear()
sys.argv = sys.argv[:1]
chance = random.Random(7)


def steps(prefix, count):
    """Many reads and writes, each of which must be there once; nothing in them catches a fault."""
    return [{"op": "mark", "id": "%s-%d" % (prefix, n)} for n in range(count)] + [{"op": "add", "key": "c0", "by": 1}]


@test
def runs_do_not_hear_of_a_database_that_was_away():
    site = storm.Site("postgres")
    try:
        runs = [site.persist(chance, "POST", "/v1/agents/storm/program", {"steps": steps("o%d" % i, 120)})["run"] for i in range(20)]
        for away in (0.3, 3.0):   # shorter and longer than what a transaction waits for
            site.postgres.kill()
            time.sleep(away)
            site.postgres.start()
            time.sleep(0.5)
        storm.wait_for(lambda: storm.all_ended(site, chance), 60, lambda: storm.unfinished(site, chance))
        for run in runs:
            got = site.persist(chance, "GET", "/v1/runs/" + run)
            equal((got["status"], got["error"]), ("succeeded", None))
        marks = storm.records(site, chance, "mark")
        equal(len(marks), 20 * 120)
        true(all(mark["version"] == 1 for mark in marks.values()), "a mark was written twice")
        equal(storm.records(site, chance, "counter")["c0"]["body"]["n"], 20)
    finally:
        site.close()


main()
