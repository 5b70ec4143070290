#!/usr/bin/env python3
"""/v1/records: versions, conditions, filters, order, pages, history, bad input."""
import os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import *

host = Host()


def etag(answer):
    matches(answer.header("ETag"), r'^"\d+"$')
    return answer.header("ETag")


@test
def a_record_is_made_replaced_and_deleted():
    made = host.put("/v1/records/note/a", {"owner": "ann", "n": 1})
    equal(made.status, 201)
    equal(made.header("Location"), "/v1/records/note/a")
    equal(etag(made), '"1"')
    holds(made.json, kind="note", id="a", version=1, run=None, body={"owner": "ann", "n": 1})
    matches(made.json["updated_at"], TIME)
    got = host.get("/v1/records/note/a")
    equal(got.status, 200)
    equal(etag(got), '"1"')
    equal(got.json, made.json)
    replaced = host.put("/v1/records/note/a", {"owner": "bob"})
    equal((replaced.status, etag(replaced), replaced.json["version"]), (200, '"2"', 2))
    true(replaced.header("Location") is None, "Location of a record that was there")
    equal(host.get("/v1/records/note/a").json["body"], {"owner": "bob"})
    gone = host.delete("/v1/records/note/a")
    equal((gone.status, gone.body), (204, b""))
    problem(host.get("/v1/records/note/a"), 404, "not.found")
    problem(host.delete("/v1/records/note/a"), 404, "not.found")


@test
def a_record_made_again_goes_on_counting():
    host.put("/v1/records/note/again", {"owner": "a"})
    host.delete("/v1/records/note/again")
    made = host.put("/v1/records/note/again", {"owner": "b"})
    equal((made.status, made.json["version"]), (201, 3))


@test
def if_match_replaces_the_version_it_names_only():
    host.put("/v1/records/note/m", {"owner": "a"})
    equal(host.put("/v1/records/note/m", {"owner": "b"}, headers={"If-Match": '"1"'}).status, 200)
    body = problem(host.put("/v1/records/note/m", {"owner": "c"}, headers={"If-Match": '"1"'}), 412, "version.mismatch", "version 2")
    equal(body["instance"], "/v1/records/note/m")
    problem(host.delete("/v1/records/note/m", headers={"If-Match": '"1"'}), 412, "version.mismatch")
    equal(host.get("/v1/records/note/m").json["body"], {"owner": "b"})
    equal(host.put("/v1/records/note/m", {"owner": "d"}, headers={"If-Match": "*"}).status, 200)
    equal(host.delete("/v1/records/note/m", headers={"If-Match": '"3"'}).status, 204)
    problem(host.put("/v1/records/note/m", {"owner": "e"}, headers={"If-Match": '"3"'}), 412)
    problem(host.put("/v1/records/note/m", {"owner": "e"}, headers={"If-Match": "*"}), 412)
    problem(host.put("/v1/records/note/never", {"owner": "e"}, headers={"If-Match": '"1"'}), 412)


@test
def if_none_match_makes_a_record_that_must_not_exist():
    equal(host.put("/v1/records/note/n", {"owner": "a"}, headers={"If-None-Match": "*"}).status, 201)
    problem(host.put("/v1/records/note/n", {"owner": "b"}, headers={"If-None-Match": "*"}), 412, "version.mismatch")
    equal(host.get("/v1/records/note/n").json["body"], {"owner": "a"})
    host.delete("/v1/records/note/n")
    equal(host.put("/v1/records/note/n", {"owner": "c"}, headers={"If-None-Match": "*"}).status, 201)


@test
def unfit_conditions_are_400():
    host.put("/v1/records/note/u", {"owner": "a"})
    for headers in ({"If-Match": "1"}, {"If-Match": '"x"'}, {"If-Match": ""}, {"If-Match": 'W/"1"'}, {"If-Match": '"1", "2"'}, {"If-Match": '"-1"'},
                    {"If-Match": '"0"'}, {"If-Match": '"99999999999999999999"'}, {"If-None-Match": '"1"'}, {"If-Match": '"1"', "If-None-Match": "*"}):
        problem(host.put("/v1/records/note/u", {"owner": "b"}, headers=headers), 400, "request.invalid")
    problem(host.delete("/v1/records/note/u", headers={"If-None-Match": "*"}), 400)
    equal(host.get("/v1/records/note/u").json["version"], 1)


@test
def a_reader_that_has_the_version_gets_304():
    host.put("/v1/records/note/c", {"owner": "a"})
    for tag in ('"1"', 'W/"1"', '"7", "1"', "*"):
        answer = host.get("/v1/records/note/c", headers={"If-None-Match": tag})
        equal((answer.status, answer.body, answer.header("ETag")), (304, b"", '"1"'))
    equal(host.get("/v1/records/note/c", headers={"If-None-Match": '"2"'}).status, 200)
    equal(host.get("/v1/records/note/c", headers={"If-None-Match": '"11"'}).status, 200)


@test
def of_many_writers_of_one_version_one_wins():
    host.put("/v1/records/note/race", {"owner": "start", "n": 0})
    statuses = []
    threads = [threading.Thread(target=lambda i=i: statuses.append(
        host.put("/v1/records/note/race", {"owner": str(i), "n": i}, headers={"If-Match": '"1"'}).status)) for i in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(sorted(statuses), [200] + [412] * 19)
    equal(host.get("/v1/records/note/race").json["version"], 2)


@test
def writers_without_a_condition_all_get_through():
    statuses = []
    threads = [threading.Thread(target=lambda i=i: statuses.append(host.put("/v1/records/loose/all", {"i": i}).status)) for i in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    true(set(statuses) <= {200, 201, 409}, statuses)
    done = len([s for s in statuses if s != 409])
    equal(host.get("/v1/records/loose/all").json["version"], done)
    true(done >= 15, "only %d got through" % done)


@test
def the_history_tells_every_version_newest_first():
    for i in range(5):
        host.put("/v1/records/note/h", {"owner": "o%d" % i})
    host.delete("/v1/records/note/h")
    page = host.get("/v1/records/note/h/history").json
    equal([v["version"] for v in page["items"]], [6, 5, 4, 3, 2, 1])
    equal(page["items"][0]["body"], None)
    equal(page["items"][1]["body"], {"owner": "o4"})
    equal(page["next_cursor"], None)
    for version in page["items"]:
        matches(version["at"], TIME)
        matches(version["actor"], "^key:[0-9a-f-]{36}$")
    seen, path = [], "/v1/records/note/h/history?limit=4"
    while path:
        answer = host.get(path)
        seen += [v["version"] for v in answer.json["items"]]
        path = answer.json["next_cursor"] and re.match("<(.*)>", answer.header("Link")).group(1)
    equal(seen, [6, 5, 4, 3, 2, 1])
    problem(host.get("/v1/records/note/never-was/history"), 404)


@test
def the_history_names_the_run_that_wrote():
    run = host.run("steps", {"deal": "wrote", "count": 1})["id"]
    equal(host.get("/v1/records/note/wrote-1").json["run"], run)
    equal(host.get("/v1/records/note/wrote-1/history").json["items"][0]["run"], run)
    host.put("/v1/records/note/wrote-1", {"owner": "person"})
    history = host.get("/v1/records/note/wrote-1/history").json["items"]
    equal([v["run"] for v in history], [None, run])


@test
def lists_are_filtered_sorted_and_paged():
    for i in range(12):
        host.put("/v1/records/note/list-%02d" % i, {"owner": "lister" if i % 2 else "5", "n": i * 7 % 12, "done": i < 3})
    def ids(query):
        seen, path = [], "/v1/records/note?" + query
        while path:
            answer = host.get(path)
            equal(answer.status, 200, answer)
            seen += [r["id"] for r in answer.json["items"]]
            path = answer.json["next_cursor"] and re.match("<(.*)>", answer.header("Link")).group(1)
        return seen
    odd = ["list-%02d" % i for i in range(12) if i % 2]
    equal(ids("owner=lister"), odd)
    equal(ids("owner=lister&limit=2"), odd)
    by_n = sorted(odd, key=lambda r: int(r[-2:]) * 7 % 12)
    equal(ids("owner=lister&sort=n"), by_n)
    equal(ids("owner=lister&sort=-n&limit=1"), by_n[::-1])
    equal(ids("owner=lister&n=7"), ["list-01"])
    equal(ids("owner=lister&done=true"), ["list-01"])
    equal(ids("owner=%225%22&limit=3"), ["list-%02d" % i for i in range(12) if not i % 2])
    equal(ids("owner=5"), ids("owner=%225%22"))
    equal(ids("owner=nobody"), [])
    equal(host.get("/v1/records/note?owner=lister").json["items"][0]["body"], {"owner": "lister", "n": 7, "done": True})


@test
def a_filter_is_text_where_the_schema_says_text():
    for i, (owner, n) in enumerate((("5", 5), ("true", 6), ("null", 7), ("x", 5))):
        host.put("/v1/records/note/typed-%d" % i, {"owner": owner, "n": n, "text": owner})

    def found(query):
        return [item["id"] for item in host.get("/v1/records/note?" + query).json["items"] if item["id"].startswith("typed-")]
    for field in ("owner", "text"):
        for value in ("5", "%225%22"):
            equal(found("%s=%s" % (field, value)), ["typed-0"])
        equal(found(field + "=true"), ["typed-1"])
        equal(found(field + "=null"), ["typed-2"])
    equal(found("n=5"), ["typed-0", "typed-3"])
    equal(found("n=%225%22"), [])
    host.put("/v1/records/loose/typed-a", {"x": 5})
    host.put("/v1/records/loose/typed-b", {"x": "5"})
    equal([i["id"] for i in host.get("/v1/records/loose?x=5").json["items"]], ["typed-a"])
    equal([i["id"] for i in host.get("/v1/records/loose?x=%225%22").json["items"]], ["typed-b"])


@test
def a_cursor_belongs_to_its_list():
    for i in range(3):
        host.put("/v1/records/loose/cursor-%d" % i, {"x": i})
    cursor = host.get("/v1/records/loose?limit=1").json["next_cursor"]
    equal(host.get("/v1/records/loose?limit=1&cursor=" + cursor).status, 200)
    problem(host.get("/v1/records/loose?limit=1&sort=x&cursor=" + cursor), 400, "request.invalid")
    host.put("/v1/records/note/cursor-1", {"owner": "ann", "n": 1})
    host.put("/v1/records/note/cursor-2", {"owner": "ann", "n": 2})
    cursor = host.get("/v1/records/note?limit=1&owner=ann&sort=n").json["next_cursor"]
    for same in ("limit=1&owner=ann&sort=n", "sort=n&owner=ann", "owner=ann&sort=n&limit=200"):
        equal(host.get("/v1/records/note?%s&cursor=%s" % (same, cursor)).status, 200, same)
    for other in ("owner=bob&sort=n", "owner=ann&sort=-n", "owner=ann", "sort=n", "owner=ann&sort=n&n=1", "owner=ann&sort=owner"):
        problem(host.get("/v1/records/note?%s&cursor=%s" % (other, cursor)), 400, "request.invalid", "cursor")
    problem(host.get("/v1/records/loose?owner=ann&sort=n&cursor=" + cursor), 400, "request.invalid", "cursor")
    cursor = host.get("/v1/records/loose?limit=1").json["next_cursor"]
    for nonsense in ("x", "6162", "7b7d", "5b5d", "ff", "%00", "a" * 5000, cursor[:-2], cursor + "00"):
        problem(host.get("/v1/records/loose?cursor=" + nonsense), 400, "request.invalid")


@test
def unfit_lists_are_400():
    for query in ("sort=a%20b", "a%27b=1", "limit=0", "limit=201", "limit=-1", "limit=1e2", "sort=;drop", "a=1&b=2&c=3&d=4&e=5"):
        problem(host.get("/v1/records/loose?" + query), 400, "request.invalid")


@test
def unknown_kinds_are_404_with_the_names_that_exist():
    for method, path in (("GET", ""), ("GET", "/x"), ("PUT", "/x"), ("DELETE", "/x"), ("GET", "/x/history")):
        problem(host.call(method, "/v1/records/nothing" + path, b"{}" if method == "PUT" else None), 404, "not.found", "loose, note")


@test
def sources_are_read_only():
    host.run("cite", {"deal": "sourced"})
    sources = host.get("/v1/records/source?deal=sourced").json["items"]
    equal(len(sources), 1)
    matches(sources[0]["body"]["text"], "budget of")
    problem(host.put("/v1/records/source/x", {"deal": "d"}), 403, "auth.forbidden")
    problem(host.delete("/v1/records/source/" + sources[0]["id"]), 403)


@test
def ids_of_every_kind_work():
    for name in ("a b", "a/b", "é漢🙂", "%", "?#&=", "..", ".", "x" * 200, "history", "\"'\\", "A.b_c-d~"):
        path = "/v1/records/loose/" + quote(name, safe="")
        made = host.put(path, {"name": name})
        equal(made.status, 201, name)
        equal(made.header("Location"), path)
        equal(host.get(path).json["id"], name)
        equal(len(host.get(path + "/history").json["items"]), 1)
        equal(host.delete(path).status, 204)


@test
def unfit_ids_are_400():
    for name in ("%00", "a%0ab", "%7f", "%ff", "%c0%af", "x" * 201, quote("é" * 101)):
        problem(host.put("/v1/records/loose/" + name, {}), 400, "request.invalid")
        problem(host.get("/v1/records/loose/" + name), 400, "request.invalid")


@test
def a_body_off_its_schema_is_422_with_pointers():
    for body, pointers in (({}, {""}), ({"owner": 5}, {"/owner"}), ({"owner": "a", "n": "x"}, {"/n"}), ({"owner": "a", "x": 1}, {"/x", ""}),
                           ({"n": 1.5, "owner": "a"}, {"/n"})):
        answer = problem(host.put("/v1/records/note/off", body), 422, "input.schema")
        true({e["pointer"] for e in answer["errors"]} <= pointers and answer["errors"], answer["errors"])
    problem(host.get("/v1/records/note/off"), 404)


@test
def a_body_that_is_no_object_is_refused():
    for body in (b"[]", b"5", b"null", b'"text"', b"true"):
        true(host.put("/v1/records/loose/no-object", body).status in (400, 422), body)
        problem(host.put("/v1/records/loose/no-object", body), host.put("/v1/records/loose/no-object", body).status)
    problem(host.put("/v1/records/loose/no-object", None), 400, "request.invalid")
    problem(host.put("/v1/records/loose/no-object", b"{"), 400, "request.invalid")
    problem(host.put("/v1/records/loose/no-object", b"{}", headers={"Content-Type": "text/plain"}), 415)
    problem(host.get("/v1/records/loose/no-object"), 404)


@test
def a_body_over_1_mib_is_413():
    equal(host.put("/v1/records/loose/large", {"text": "a" * 1000000}).status, 201)
    problem(host.put("/v1/records/loose/large", {"text": "a" * 1100000}), 413, "body.too_large")
    equal(host.get("/v1/records/loose/large").json["version"], 1)


@test
def documents_come_back_as_they_went():
    body = {"a": [], "b": {}, "c": None, "d": [1, 1.5, -0.25, 1e300, 123456789012345678], "e": {"f": {"g": [[], {}, [None]]}}, "é": "\u2028🙂", "": 0,
            "nested": [[[[[1]]]]]}
    host.put("/v1/records/loose/exact", body)
    equal(host.get("/v1/records/loose/exact").json["body"], body)


main(host)
