"""Batches: many operations in one request, each answered like its single call."""

import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from creditsd import FEW_LIVE, check_problem
from traffic import all_entries, all_installs, counters, path_of, show

OPERATIONS_MAX = 8_192
BODY_BYTES_MAX = 8 * 1024 * 1024
COMMIT = {"backend": "gemini", "tier": "core"}


def send(client, operations):
    return client.post("/v1/batch", {"operations": operations})


def batch(client, *operations):
    answer = send(client, operations)
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "application/json"
    assert list(answer.json) == ["results"]
    assert len(answer.json["results"]) == len(operations)
    return answer.json["results"]


def op(name, install_id="a", **fields):
    return {"op": name, "install_id": install_id, **fields}


def commit(install_id="a", **fields):
    return op("commit", install_id, **{**COMMIT, **fields})


def single(client, name, install_id="a", reservation_id="", idempotency_key=None, **fields):
    """The single call that corresponds to an operation."""
    rid = quote(reservation_id, safe="")
    method, suffix = {
        "get": ("GET", ""), "create": ("PUT", ""), "plan": ("POST", "/plan"),
        "commit": ("POST", "/commit"), "reserve": ("POST", "/reservations"),
        "settle": ("POST", f"/reservations/{rid}/commit"),
        "release": ("DELETE", f"/reservations/{rid}")}[name]
    return client.request(method, path_of(install_id) + suffix, fields or None,
                          {"Idempotency-Key": idempotency_key})


def statuses(results):
    return [r["status"] for r in results]


def without(result, *names):
    return {k: v for k, v in result.items() if k not in names}


def check_in_place(result, codes, field=...):
    """Checks that it is a problem with one of these statuses and codes; `...` means any field or none."""
    for name in ("type", "title", "detail", "code"):
        assert isinstance(result[name], str) and result[name], result
    assert (result["status"], result["code"]) in codes, result
    assert field is ... or result.get("field") == field, result


# --- answers to operations

STEPS = [
    # operation, fields, status; a number n stands for the id of the n-th reservation, from 0
    ("get", {}, 404),
    ("create", {}, 201),
    ("create", {}, 200),
    ("get", {}, 200),
    ("plan", {}, 200),
    ("plan", {"tier": "pro", "credits": 501, "has_hardware": True}, 200),
    ("plan", {"credits": 101}, 200),
    ("commit", COMMIT, 200),
    ("commit", {"backend": "hardware", "tier": "pro", "credits": 7}, 200),
    ("reserve", {}, 201),
    ("reserve", {"tier": "core", "credits": 50}, 402),
    ("reserve", {"tier": "core", "credits": 60, "has_hardware": True, "ttl_seconds": 60}, 201),
    ("reserve", {"tier": "core", "credits": 60}, 402),
    ("reserve", {"tier": "core", "credits": 30}, 201),
    ("get", {}, 200),
    ("settle", {"reservation_id": 0}, 200),
    ("settle", {"reservation_id": 1, "credits": 61}, 422),
    ("settle", {"reservation_id": 1, "backend": "hardware", "credits": 59}, 200),
    ("settle", {"reservation_id": 1, "backend": "hardware", "credits": 2}, 409),
    ("release", {"reservation_id": 1}, 409),
    ("release", {"reservation_id": 2}, 200),
    ("release", {"reservation_id": 2}, 200),
    ("settle", {"reservation_id": 2}, 409),
    ("settle", {"reservation_id": "never-seen"}, 404),
    ("commit", {"backend": "cloud", "tier": "core"}, 422),
    ("get", {}, 200),
]


def test_each_operation_is_answered_like_its_single_call(client):
    """Runs the same steps on two installs, `a` by single calls and `b` by batches of one."""
    own, batched = [], []
    for name, fields, status in STEPS:
        seen = fields.get("reservation_id")
        results = []
        for install_id, ids in (("a", own), ("b", batched)):
            known = {**fields, "reservation_id": ids[seen]} if isinstance(seen, int) else fields
            if install_id == "a":
                answer = single(client, name, install_id, **known)
                results.append({**answer.json, "status": answer.status})
            else:
                results += batch(client, op(name, install_id, **known))
            if name == "reserve" and status == 201:
                ids.append(results[-1]["reservation_id"])
        assert statuses(results) == [status, status], (name, fields, results)
        varying = ["install_id", "last_active_at", "reservation_id", "expires_at", "detail"]
        assert without(results[0], *varying) == without(results[1], *varying)
        assert set(results[0]) == set(results[1])
    assert counters(show(client, "a")) == counters(show(client, "b")) == [60, 1, 8, 1]
    told = [[without(e, "at", "reservation_id") for e in all_entries(client, i)] for i in "ab"]
    assert told[0] == told[1]


def test_a_get_and_a_single_read_show_the_same(client):
    [created, committed, got] = batch(client, op("create"), commit(credits=3), op("get"))
    assert statuses([created, committed, got]) == [201, 200, 200]
    assert committed == got == {**show(client), "status": 200}
    assert (created["version"], got["version"]) == (1, 2)


def test_a_get_of_an_unknown_install_creates_nothing(client):
    [result] = batch(client, op("get"))
    check_in_place(result, [(404, "unknown_install")])
    assert client.get("/v1/installs").json["installs"] == []


@pytest.mark.parametrize("name, fields, kinds", [
    ("create", {}, ["create"]), ("plan", {}, ["create"]), ("commit", COMMIT, ["commit"]),
    ("reserve", {}, ["reserve"])])
def test_calls_that_create_an_install_do_so_in_a_batch_too(client, name, fields, kinds):
    batch(client, op(name, **fields))
    assert [e["kind"] for e in all_entries(client, "a")] == kinds
    assert show(client)["version"] == 1


def test_ids_are_not_encoded_in_a_batch(client):
    ids = ["a/b", "a%2Fb", "a%b", "..a", "\"\\", "x" * 128]
    results = batch(client, *[commit(install_id) for install_id in ids])
    assert [r["install_id"] for r in results] == ids
    for install_id in ids:
        assert show(client, install_id)["version"] == 1


# --- order


def test_results_are_in_the_order_of_the_operations(client):
    ids = [f"i{n % 37:02}" for n in range(500)]
    results = batch(client, *[commit(install_id) for install_id in ids])
    assert [r["install_id"] for r in results] == ids
    assert [r["version"] for r in results] == [n // 37 + 1 for n in range(500)]


def test_operations_on_one_install_apply_in_the_order_given(client):
    results = batch(client, op("get"), op("create"), op("create"), commit(), op("get"),
                    op("reserve", credits=99, has_hardware=True), op("plan"), commit(), op("get"))
    assert statuses(results) == [404, 201, 200, 200, 200, 201, 200, 200, 200]
    assert [results[n]["version"] for n in (1, 2, 3, 4, 7, 8)] == [1, 1, 2, 2, 4, 4]
    assert results[6]["reason"] == "out_of_credits"
    assert results[8]["balance"]["held"] == 99


def test_reserves_of_one_batch_get_exactly_the_credits_left(client):
    results = batch(client, *[op("reserve", has_hardware=True)] * 150)
    assert statuses(results) == [201] * 100 + [402] * 50
    assert [r.get("backend") for r in results[:100]] == ["gemini"] * 50 + ["hardware"] * 50
    for result in results[100:]:
        check_in_place(result, [(402, "out_of_credits")])
        assert result["reason"] == "out_of_credits"
    assert show(client)["balance"]["held"] == 100


def test_a_reservation_of_one_batch_is_settled_or_released_in_the_next(client):
    held = batch(client, *[op("reserve", i, credits=4) for i in "aabb"])
    ends = [op(name, i, reservation_id=r["reservation_id"])
            for name, i, r in zip(("settle", "release") * 2, "aabb", held)]
    results = batch(client, *ends)
    assert statuses(results) == [200] * 4
    for install_id in "ab":
        install = show(client, install_id)
        assert (counters(install), install["balance"]["held"]) == ([4, 4, 0, 0], 0)
    assert [without(r, "replayed") for r in batch(client, *ends[::2])] == results[::2]


def test_a_settled_reservation_cannot_be_committed_in_a_batch(client):
    [held] = batch(client, op("reserve", credits=4))
    rid = held["reservation_id"]
    results = batch(client, op("settle", reservation_id=rid), commit(idempotency_key=rid),
                    op("release", reservation_id=rid), op("get"))
    assert statuses(results) == [200, 409, 409, 200]
    assert {r["code"] for r in results[1:3]} == {"reservation_settled"}
    assert counters(results[3]) == [4, 4, 0, 0]


# --- faulty operations

INVALID = [(422, "invalid_request")]
BAD_ID = [(400, "invalid_install_id")]
BAD_KEY = [(400, "invalid_idempotency_key")]

FAULTY = [
    # operation, statuses and codes, field
    *[({"op": name, "install_id": "a"}, INVALID, "op")
      for name in ("", "Get", "delete", "put", "commit ", "list", None, 1, [], {})],
    ({"install_id": "a"}, INVALID, "op"),
    *[(value, INVALID, ...) for value in (None, 1, 1.5, True, "get", "", [], [op("get")])],
    ({}, INVALID, ...),
    *[({"op": name, **fields}, INVALID + BAD_ID, "install_id") for name, fields in (
        ("get", {}), ("create", {}), ("plan", {}), ("commit", COMMIT), ("reserve", {}),
        ("settle", {"reservation_id": "r"}), ("release", {"reservation_id": "r"}))],
    *[(op("create", value), INVALID + BAD_ID, "install_id") for value in (None, 1, True, [], {})],
    *[(op(name, value), BAD_ID, "install_id") for name in ("create", "get") for value in (
        "", ".", "..", " ", "a b", "a\n", "a\0", "\u00e4", "\u20ac", "a\x7f", "x" * 129)],
    *[(op(name, colour=1, **fields), INVALID, "colour") for name, fields in (
        ("get", {}), ("create", {}), ("plan", {}), ("commit", COMMIT), ("reserve", {}),
        ("settle", {"reservation_id": "r"}), ("release", {"reservation_id": "r"}))],
    (op("get", tier="core"), INVALID, "tier"),
    (op("create", tier="core"), INVALID, "tier"),
    (op("plan", backend="gemini"), INVALID, "backend"),
    (op("plan", ttl_seconds=60), INVALID, "ttl_seconds"),
    (commit(has_hardware=True), INVALID, "has_hardware"),
    (op("reserve", backend="gemini"), INVALID, "backend"),
    (op("settle", reservation_id="r", tier="core"), INVALID, "tier"),
    (op("release", reservation_id="r", credits=1), INVALID, "credits"),
    *[(op(name, credits=credits, **fields), INVALID, "credits")
      for credits in (0, -1, 1_000_001, 2**64 + 1, 1.5, "1", None, True, [])
      for name, fields in (("plan", {}), ("commit", COMMIT), ("reserve", {}))],
    *[(op("settle", reservation_id="r", credits=credits), INVALID, "credits")
      for credits in (-1, "1", None)],
    *[(op("reserve", ttl_seconds=value), INVALID, "ttl_seconds") for value in (0, 86_401, "x")],
    *[(op("reserve", has_hardware=value), INVALID, "has_hardware") for value in (None, 1, "yes")],
    *[(commit(backend=value), INVALID, "backend") for value in (None, "", "cloud", 1)],
    *[(commit(tier=value), INVALID, "tier") for value in (None, 1, [])],
    (op("commit", tier="core"), INVALID, "backend"),
    (op("commit", backend="gemini"), INVALID, "tier"),
    *[(op(name, tier="gold", **fields), [(422, "unknown_tier")], "tier")
      for name, fields in (("plan", {}), ("commit", {"backend": "gemini"}), ("reserve", {}))],
    (op("settle"), INVALID, "reservation_id"),
    (op("release"), INVALID, "reservation_id"),
    (op("settle", reservation_id="r"), [(404, "unknown_reservation")], ...),
    (op("release", reservation_id="r"), [(404, "unknown_reservation")], ...),
    *[(op(name, idempotency_key=key, **fields), BAD_KEY, ...)
      for key in ("", "a b", "a%b", "%", "\u00e4", "a\0", "a\n", "\x7f", "k" * 129)
      for name, fields in (("commit", COMMIT), ("reserve", {}))],
    *[(commit(idempotency_key=key), INVALID + BAD_KEY, ...) for key in (None, 1, True, [])],
]


@pytest.mark.parametrize("faulty, codes, field", FAULTY, ids=lambda value: repr(value)[:60])
def test_a_faulty_operation_gets_its_own_problem_and_does_not_stop_others(shared_client, faulty, codes, field):
    [before] = batch(shared_client, commit())
    [first, problem, second, other, got] = batch(
        shared_client, commit(), faulty, commit(), commit("b"), op("get"))
    check_in_place(problem, codes, field)
    assert statuses([first, second, other, got]) == [200] * 4
    version = before["version"]
    assert [r["version"] for r in (first, second, got)] == [version + 1, version + 2, version + 2]
    assert len(shared_client.get("/v1/installs").json["installs"]) == 2


def test_every_operation_may_be_faulty(client):
    results = batch(client, *[faulty for faulty, _, _ in FAULTY])
    for result, (_, codes, field) in zip(results, FAULTY):
        unseen = [(404, "unknown_install")] if "reservation" in str(codes) else []
        check_in_place(result, codes + unseen, field)
    assert client.get("/v1/installs").json["installs"] == []


# --- the request itself


@pytest.mark.parametrize("body, status, code, field", [
    *[({"operations": value}, 422, "invalid_request", "operations")
      for value in ([], None, {}, "get", 1, True, op("get"))],
    ({}, 422, "invalid_request", "operations"),
    (None, 422, "invalid_request", "operations"),
    (b"", 422, "invalid_request", "operations"),
    ({"operations": [op("create", "new")], "atomic": True}, 422, "invalid_request", "atomic"),
    ({"Operations": [], "operations": [op("create", "new")]}, 422, "invalid_request",
     "Operations"),
    *[(body, 422, "invalid_request", None) for body in (
        [], [op("create", "new")], b"null", b"1", b"true", b'"operations"')],
    *[(body, 400, "invalid_json", None) for body in (
        b"{", b"nonsense", b'{"operations":[}', b'{"operations":[{"op":"create"]}',
        b'{"operations":[{"op":"create","install_id":"new"}]', b'{"operations":[]}{}',
        b'{"operations":[{"op":"create","install_id":"\xff"}]}',
        b'{"operations":[{"op":"create","install_id":"new"},]}')],
], ids=lambda value: repr(value)[:40])
def test_an_invalid_batch_is_refused_as_a_whole(shared_client, body, status, code, field):
    check_problem(shared_client.post("/v1/batch", body), status, code, field)
    assert shared_client.get("/v1/installs/new").status == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_a_batch_is_posted(shared_client, method):
    answer = shared_client.request(method, "/v1/batch")
    check_problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST"


def test_a_batch_is_json(shared_client):
    answer = shared_client.request("POST", "/v1/batch", {"operations": [op("get")]},
                                   {"Content-Type": "text/plain"})
    check_problem(answer, 415, "unsupported_media_type")


def test_a_batch_with_the_maximum_of_operations_on_one_install(client):
    results = batch(client, *[commit()] * OPERATIONS_MAX)
    assert set(statuses(results)) == {200}
    assert [r["version"] for r in results] == list(range(1, OPERATIONS_MAX + 1))
    assert counters(show(client)) == [OPERATIONS_MAX, OPERATIONS_MAX, 0, 0]
    told = [e["version"] for e in all_entries(client, "a")]
    assert told == list(range(1, OPERATIONS_MAX + 1))


@pytest.mark.parametrize("flags", [[], FEW_LIVE], ids=["all-live", "few-live"])
def test_a_batch_with_the_maximum_of_operations_each_on_its_own_install(start, connect, flags):
    client = connect(start(*flags))
    ids = [f"i{n:04}" for n in range(OPERATIONS_MAX)]
    results = batch(client, *[commit(install_id) for install_id in ids])
    assert [(r["install_id"], r["status"], r["version"]) for r in results] == [
        (install_id, 200, 1) for install_id in ids]
    assert all_installs(client) == {r["install_id"]: without(r, "status") for r in results}


@pytest.mark.parametrize("count", [OPERATIONS_MAX + 1, 20_000])
def test_a_batch_with_too_many_operations_is_refused_as_a_whole(shared_client, count):
    answer = send(shared_client, [op("create", "new")] * count)
    check_problem(answer, 422, "invalid_request", "operations")
    assert shared_client.get("/v1/installs/new").status == 404


def test_a_batch_of_8_mib_is_accepted_and_one_byte_more_is_not(client):
    body = json.dumps({"operations": [commit()]}).encode()
    answer = client.post("/v1/batch", body.ljust(BODY_BYTES_MAX))
    assert (answer.status, statuses(answer.json["results"])) == (200, [200])
    check_problem(client.post("/v1/batch", body.ljust(BODY_BYTES_MAX + 1)), 413,
                  "payload_too_large")
    assert show(client)["version"] == 1


def test_a_batch_may_reach_both_limits_at_once(client):
    rows = [commit("x" * 124 + f"{n % 1000:04}", idempotency_key="k" * 120 + f"{n:08}")
            for n in range(OPERATIONS_MAX)]
    body = json.dumps({"operations": rows}).encode()
    answer = client.post("/v1/batch", body.ljust(BODY_BYTES_MAX))
    assert set(statuses(answer.json["results"])) == {200}
    assert sum(i["version"] for i in all_installs(client).values()) == OPERATIONS_MAX


# --- keys


def keyed(name, key="k", install_id="a", **fields):
    return op(name, install_id, idempotency_key=key, **fields)


KEYED = [("commit", COMMIT), ("commit", {**COMMIT, "credits": 3}), ("reserve", {}),
         ("reserve", {"tier": "core", "credits": 3, "ttl_seconds": 60})]


@pytest.mark.parametrize("name, fields", KEYED, ids=str)
def test_a_key_is_replayed_from_batch_to_batch(client, name, fields):
    [first] = batch(client, keyed(name, **fields))
    assert "replayed" not in first
    shuffled = dict(reversed(keyed(name, **fields).items()))
    for operation in (keyed(name, **fields), shuffled):
        assert batch(client, operation) == [{**first, "replayed": True}]
    assert show(client)["version"] == 1


@pytest.mark.parametrize("name, fields", KEYED, ids=str)
def test_a_key_of_a_single_call_is_replayed_in_a_batch(client, name, fields):
    first = single(client, name, idempotency_key="k", **fields)
    assert batch(client, keyed(name, **fields)) == [
        {**first.json, "status": first.status, "replayed": True}]
    assert show(client)["version"] == 1


@pytest.mark.parametrize("name, fields", KEYED, ids=str)
def test_a_key_of_a_batch_is_replayed_in_a_single_call(client, name, fields):
    [first] = batch(client, keyed(name, **fields))
    again = single(client, name, idempotency_key="k", **fields)
    assert {**again.json, "status": again.status} == first
    assert again.headers["Idempotency-Replayed"] == "true"
    assert show(client)["version"] == 1
    third = single(client, name, idempotency_key="k", **fields)
    assert third.body == again.body


@pytest.mark.parametrize("name, fields", KEYED, ids=str)
def test_a_repeated_key_in_one_batch_takes_effect_once(client, name, fields):
    [first, *again, got] = batch(client, *[keyed(name, **fields)] * 3, op("get"))
    assert "replayed" not in first
    assert again == [{**first, "replayed": True}] * 2
    assert got["version"] == 1


def test_a_repeated_key_in_one_batch_with_a_different_request_is_refused(client):
    results = batch(client, keyed("commit", **COMMIT), keyed("commit", credits=1, **COMMIT),
                    keyed("reserve"), keyed("commit", "k2", credits=1, **COMMIT))
    assert statuses(results) == [200, 422, 422, 200]
    for result in results[1:3]:
        check_in_place(result, [(422, "idempotency_key_reused")])
        assert "replayed" not in result
    assert counters(show(client)) == [2, 2, 0, 0]


def test_one_key_on_many_installs_takes_effect_on_each(client):
    results = batch(client, *[keyed("commit", "k", f"i{n}", **COMMIT) for n in range(20)])
    assert [r["version"] for r in results] == [1] * 20
    assert not any("replayed" in r for r in results)


def test_a_refusal_in_a_batch_is_not_remembered(client):
    results = batch(client, keyed("reserve", credits=101), keyed("reserve", tier="gold"),
                    keyed("reserve", credits=0), keyed("reserve"), keyed("reserve"))
    assert statuses(results) == [402, 422, 422, 201, 201]
    assert [r.get("replayed") for r in results] == [None] * 4 + [True]


def test_keys_show_in_the_entries_of_a_batch(client):
    batch(client, keyed("commit", "k1", **COMMIT), keyed("reserve", "k2"), commit(),
          keyed("commit", "k1", **COMMIT))
    assert [(e["kind"], e["idempotency_key"]) for e in all_entries(client, "a")] == [
        ("commit", "k1"), ("reserve", "k2"), ("commit", None)]


# --- a kill, and many at once


@pytest.mark.parametrize("flags", [[], FEW_LIVE], ids=["all-live", "few-live"])
def test_a_kill_right_after_the_answer_loses_nothing(start, connect, flags):
    server = start(*flags)
    client = connect(server)
    ids = [f"i{n:03}" for n in range(200)]
    operations = [operation for i in ids for operation in (
        keyed("commit", "k", i, **COMMIT), op("reserve", i, credits=2),
        keyed("reserve", "r", i, credits=3), op("get", i))]
    results = batch(client, *operations)
    server.kill()

    client = connect(start(*flags))
    assert batch(client, *[op("get", i) for i in ids]) == results[3::4]
    assert batch(client, *operations[::4]) == [{**r, "replayed": True} for r in results[::4]]
    assert batch(client, *operations[2::4]) == [{**r, "replayed": True} for r in results[2::4]]
    ended = batch(client, *[op("settle", i, reservation_id=r["reservation_id"])
                            for i, r in zip(ids, results[1::4])])
    assert [(r["lifetime_consumed"], r["balance"]["held"], r["version"]) for r in ended] == [
        (3, 3, 4)] * len(ids)


def test_concurrent_batches_on_the_same_installs_all_take_effect(client, connect):
    """Each visits the installs in a different order."""
    ids = [f"i{n}" for n in range(10)]
    clients = [connect(client) for _ in range(8)]

    def work(number):
        order = (ids[number:] + ids[:number])[::1 if number % 2 else -1]
        return [batch(clients[number], *[commit(i) for i in order * 20]) for _ in range(2)]

    with ThreadPoolExecutor(len(clients)) as pool:
        answers = list(pool.map(work, range(len(clients))))
    count = len(clients) * 2 * 20
    for install_id in ids:
        versions = [r["version"] for batches in answers for results in batches for r in results
                    if r["install_id"] == install_id]
        assert sorted(versions) == list(range(1, count + 1))
        assert show(client, install_id)["version"] == count
