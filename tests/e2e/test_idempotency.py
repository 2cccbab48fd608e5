"""Idempotency keys: a repeated request gets the same answer and takes effect once."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from urllib.parse import quote

import pytest

from creditsd import FEW_LIVE, check_problem, parse_answers, raw
from traffic import all_entries, counters, path_of, show, state

COMMIT = {"backend": "gemini", "tier": "core", "credits": 3}
RESERVE = {"tier": "core", "credits": 3}
BODIES = {"commit": COMMIT, "reserve": RESERVE}
PATHS = {"commit": "commit", "reserve": "reservations"}
EVERY_CHARACTER = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) != "%")


def send(client, call, body, key="k", install_id="a", header="Idempotency-Key"):
    return client.request("POST", f"{path_of(install_id)}/{PATHS[call]}", body, {header: key})


def check_first(answer):
    assert answer.status in (200, 201), answer.body
    assert "Idempotency-Replayed" not in answer.headers
    return answer


def first(client, call, body, key="k", install_id="a"):
    return check_first(send(client, call, body, key, install_id))


def check_replay(answer, before):
    assert (answer.status, answer.body) == (before.status, before.body)
    assert answer.headers["Idempotency-Replayed"] == "true"
    assert answer.headers["Content-Type"] == before.headers["Content-Type"]


def check_refused(answer, status, code):
    check_problem(answer, status, code, answer.json.get("field"))
    assert "Idempotency-Replayed" not in answer.headers


def check_reused(answer):
    check_refused(answer, 422, "idempotency_key_reused")


def end_reservation(client, method, reservation, suffix=""):
    rid = quote(reservation["reservation_id"], safe="")
    answer = client.request(method, f"/v1/installs/a/reservations/{rid}{suffix}")
    assert answer.status == 200, answer.body


def batch(client, operations):
    answer = client.post("/v1/batch", {"operations": operations})
    assert answer.status == 200, answer.body
    return answer.json["results"]


# --- the same request again


@pytest.mark.parametrize("call", BODIES)
def test_the_same_key_and_request_gets_the_same_answer_and_takes_effect_once(client, call):
    told = first(client, call, BODIES[call])
    before = state(client)
    for _ in range(3):
        check_replay(send(client, call, BODIES[call]), told)
    assert state(client) == before
    assert show(client)["version"] == 1


@pytest.mark.parametrize("call", BODIES)
def test_without_a_key_each_request_takes_effect(client, call):
    versions = []
    for _ in range(3):
        check_first(send(client, call, BODIES[call], key=None))
        versions.append(show(client)["version"])
    assert versions == [1, 2, 3]


@pytest.mark.parametrize("call", BODIES)
def test_another_key_is_another_request(client, call):
    for n, key in enumerate(("k", "K", "k2", '"k"', "k,k", "k;q=1")):
        first(client, call, BODIES[call], key)
        assert show(client)["version"] == n + 1


@pytest.mark.parametrize("call, again", [
    ("commit", b'{"credits":3,"tier":"core","backend":"gemini"}'),
    ("commit", b'{"tier":"core","backend":"gemini","credits":3}'),
    ("commit", b' {\r\n\t"backend" : "gemini" ,"tier":"core",\n "credits"  :3 } \n'),
    ("reserve", b'{"credits":3,"tier":"core"}'),
    ("reserve", b'\n{ "credits": 3,\t"tier": "core" }'),
])
def test_order_and_white_space_do_not_change_the_request(client, call, again):
    told = first(client, call, BODIES[call])
    check_replay(send(client, call, again), told)
    assert show(client)["version"] == 1


def test_no_body_an_empty_one_and_an_empty_object_are_the_same_request(client):
    told = first(client, "reserve", None)
    for body in (b"", {}, b" { } ", None):
        check_replay(send(client, "reserve", body), told)


def test_the_name_of_the_header_ignores_case(client):
    told = first(client, "commit", COMMIT)
    for header in ("idempotency-key", "IDEMPOTENCY-KEY"):
        check_replay(send(client, "commit", COMMIT, header=header), told)


def test_a_key_belongs_to_its_install(client):
    told = {install_id: first(client, "commit", {**COMMIT, "credits": n + 1}, "k", install_id)
            for n, install_id in enumerate(("a", "b", "a/b"))}
    for n, (install_id, answer) in enumerate(told.items()):
        assert counters(show(client, install_id)) == [n + 1, n + 1, 0, 0]
        check_replay(send(client, "commit", {**COMMIT, "credits": n + 1}, "k", install_id), answer)


@pytest.mark.parametrize("call", BODIES)
def test_a_key_is_in_its_entry(client, call):
    first(client, call, BODIES[call], "key-1")
    check_first(send(client, call, BODIES[call], key=None))
    first(client, call, BODIES[call], EVERY_CHARACTER)
    send(client, call, BODIES[call], "key-1")
    assert [(e["kind"], e["idempotency_key"]) for e in all_entries(client, "a")] == [
        (call, "key-1"), (call, None), (call, EVERY_CHARACTER)]


# --- another request


OTHER_REQUESTS = [
    # the first request, the second, for commit and reserve, with their fields
    *[("commit", COMMIT, "commit", {**COMMIT, **other}) for other in (
        {"credits": 4}, {"backend": "hardware"}, {"tier": "pro"}, {"tier": "gold"})],
    ("commit", COMMIT, "commit", {"backend": "gemini", "tier": "core"}),
    ("commit", {"backend": "gemini", "tier": "core"}, "commit",
     {"backend": "gemini", "tier": "core", "credits": 1}),
    *[("reserve", RESERVE, "reserve", {**RESERVE, **other}) for other in (
        {"credits": 4}, {"credits": 101}, {"tier": "pro"}, {"tier": "gold"},
        {"has_hardware": False}, {"has_hardware": True}, {"ttl_seconds": 600})],
    ("reserve", RESERVE, "reserve", {"credits": 3}),
    ("reserve", RESERVE, "reserve", {}),
    ("reserve", {}, "reserve", {"credits": 1}),
    ("reserve", {}, "reserve", {"tier": "core"}),
    ("reserve", {"credits": 3, "ttl_seconds": 600}, "reserve", {"credits": 3}),
    ("commit", COMMIT, "reserve", RESERVE),
    ("reserve", RESERVE, "commit", COMMIT),
]


@pytest.mark.parametrize("call, body, other_call, other_body", OTHER_REQUESTS, ids=str)
def test_another_request_with_the_same_key_is_refused(shared_client, unused_id, call, body, other_call, other_body):
    told = first(shared_client, call, body, "k", unused_id)
    before = state(shared_client, unused_id)
    check_reused(send(shared_client, other_call, other_body, "k", unused_id))
    check_replay(send(shared_client, call, body, "k", unused_id), told)
    assert state(shared_client, unused_id) == before
    first(shared_client, other_call, {**BODIES[other_call], "tier": "max"}, "k2", unused_id)


@pytest.fixture
def unused_id(shared_client):
    return f"i{len(shared_client.get('/v1/installs?limit=1000').json['installs']):03}"


@pytest.mark.parametrize("call", BODIES)
@pytest.mark.parametrize("wrong, status, code", [
    ({"credits": 0}, 422, "invalid_request"), ({"credits": "x"}, 422, "invalid_request"),
    ({"colour": 1}, 422, "invalid_request"), (b"{", 400, "invalid_json"),
], ids=str)
def test_the_syntax_is_checked_before_the_key(shared_client, unused_id, call, wrong, status, code):
    told = first(shared_client, call, BODIES[call], "k", unused_id)
    body = wrong if isinstance(wrong, bytes) else {**BODIES[call], **wrong}
    check_refused(send(shared_client, call, body, "k", unused_id), status, code)
    check_replay(send(shared_client, call, BODIES[call], "k", unused_id), told)


# --- refusals


@pytest.mark.parametrize("call", BODIES)
@pytest.mark.parametrize("wrong, status, code", [
    ({"credits": 0}, 422, "invalid_request"), ({"colour": 1}, 422, "invalid_request"),
    ({"tier": "gold"}, 422, "unknown_tier"), (b"{", 400, "invalid_json"),
], ids=str)
def test_a_refusal_of_the_request_is_not_remembered(shared_client, unused_id, call, wrong, status, code):
    body = wrong if isinstance(wrong, bytes) else {**BODIES[call], **wrong}
    for _ in range(2):
        check_refused(send(shared_client, call, body, "k", unused_id), status, code)
    told = first(shared_client, call, BODIES[call], "k", unused_id)
    check_replay(send(shared_client, call, BODIES[call], "k", unused_id), told)


@pytest.mark.parametrize("call", BODIES)
def test_a_tier_added_later_is_accepted_with_the_refused_key(client, call):
    body = {**BODIES[call], "tier": "gold"}
    check_refused(send(client, call, body), 422, "unknown_tier")
    quota = {"core": {"lifetime": 5}, "gold": {"lifetime": 5}}
    assert client.put("/v1/quota", quota).status == 200
    told = first(client, call, body)
    check_replay(send(client, call, body), told)


def test_a_refusal_for_want_of_credits_is_not_remembered(client):
    for credits, code in ((101, "out_of_credits"), (51, "gemini_cap_exceeded_no_hardware")):
        for _ in range(2):
            check_refused(send(client, "reserve", {"credits": credits}), 402, code)
    assert client.put("/v1/quota", {"core": {"lifetime": 1000}}).status == 200
    told = first(client, "reserve", {"credits": 101})
    check_replay(send(client, "reserve", {"credits": 101}), told)
    check_reused(send(client, "reserve", {"credits": 51}))


# --- later


def test_a_replay_shows_the_past_state(client):
    told = first(client, "commit", COMMIT)
    held = first(client, "reserve", RESERVE, "k2")
    for n in range(5):
        first(client, "commit", {**COMMIT, "tier": "pro"}, f"later{n}")
    before = state(client)
    check_replay(send(client, "commit", COMMIT), told)
    check_replay(send(client, "reserve", RESERVE, "k2"), held)
    assert state(client) == before
    assert (told.json["version"], show(client)["version"]) == (1, 7)


def test_keys_survive_their_actor(life):
    client, next_life = life
    told = {}
    for n in range(20):
        call = ("commit", "reserve")[n % 2]
        body = {**BODIES[call], "credits": n // 2 + 1, "tier": "pro"}
        told[f"k{n}"] = call, body, first(client, call, body, f"k{n}")
    before = state(client)
    client = next_life()
    for _ in range(2):
        for key, (call, body, answer) in told.items():
            check_replay(send(client, call, body, key), answer)
            check_reused(send(client, call, {**body, "credits": 99}, key))
    assert state(client) == before


@pytest.mark.parametrize("call", BODIES)
def test_a_kill_right_after_the_answer_does_not_lose_the_key(start, connect, call):
    for n in range(3):
        server = start()
        told = first(connect(server), call, BODIES[call], f"k{n}")
        server.kill()
        server = start()
        client = connect(server)
        check_replay(send(client, call, BODIES[call], f"k{n}"), told)
        assert show(client)["version"] == n + 1
        server.kill()


@pytest.mark.parametrize("call", BODIES)
def test_a_replay_needs_no_tier_in_the_quota(client, call):
    body = {**BODIES[call], "tier": "pro"}
    told = first(client, call, body)
    assert client.put("/v1/quota", {"core": {"lifetime": 5}}).status == 200
    check_replay(send(client, call, body), told)
    check_refused(send(client, call, body, "k2"), 422, "unknown_tier")


def test_a_replay_needs_neither_credits_nor_room(client):
    told = first(client, "reserve", {"tier": "pro", "credits": 500})
    check_refused(send(client, "reserve", {"tier": "pro", "credits": 501}, "k2"), 402,
                  "out_of_credits")
    results = batch(client, [{"op": "reserve", "install_id": "a", "tier": "max"}] * 999)
    assert {r["status"] for r in results} == {201}
    check_refused(send(client, "reserve", {"tier": "max"}, "k3"), 429, "too_many_reservations")
    check_replay(send(client, "reserve", {"tier": "pro", "credits": 500}), told)


def test_a_reserve_is_replayed_after_its_end(client):
    bodies = {"settled": RESERVE, "released": RESERVE, "expired": {**RESERVE, "ttl_seconds": 1}}
    told = {key: first(client, "reserve", body, key) for key, body in bodies.items()}
    end_reservation(client, "POST", told["settled"].json, "/commit")
    end_reservation(client, "DELETE", told["released"].json)
    expires_at = datetime.fromisoformat(told["expired"].json["expires_at"].replace("Z", "+00:00"))
    time.sleep(max(0, (expires_at - datetime.now(timezone.utc)).total_seconds()) + 0.05)
    first(client, "commit", COMMIT, "after")
    before = state(client)
    for key, body in bodies.items():
        check_replay(send(client, "reserve", body, key), told[key])
    assert state(client) == before
    assert (counters(show(client)), show(client)["balance"]["held"]) == ([6, 6, 0, 0], 0)


# --- all at once


@pytest.mark.parametrize("call", BODIES)
@pytest.mark.parametrize("flags", [[], FEW_LIVE], ids=["all-live", "few-live"])
def test_one_of_many_concurrent_requests_takes_effect_and_all_get_the_same_answer(start, connect, call, flags):
    server = start(*flags)
    clients = [connect(server) for _ in range(12)]
    with ThreadPoolExecutor(len(clients)) as pool:
        for n in range(10):
            answers = list(pool.map(lambda c: send(c, call, BODIES[call], f"k{n}"), clients))
            assert {(a.status, a.body) for a in answers} == {(answers[0].status, answers[0].body)}
            replayed = [a.headers["Idempotency-Replayed"] for a in answers]
            assert sorted(map(str, replayed)) == ["None"] + ["true"] * (len(clients) - 1)
            assert show(clients[0])["version"] == n + 1
    keys = [e["idempotency_key"] for e in all_entries(clients[0], "a")]
    assert keys == [f"k{n}" for n in range(10)]


def test_one_of_two_concurrent_requests_with_one_key_takes_effect(client, connect):
    clients = [connect(client) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        for n in range(20):
            answers = list(pool.map(
                lambda c, credits: send(c, "commit", {**COMMIT, "credits": credits}, f"k{n}"),
                clients, (1, 2)))
            [done] = [a for a in answers if a.status == 200]
            check_first(done)
            [refused] = [a for a in answers if a.status != 200]
            check_reused(refused)
            assert show(client) == done.json
    assert show(client)["version"] == 20


# --- invalid keys


def send_raw(server, path, key):
    body = json.dumps(COMMIT if path == "commit" else RESERVE).encode()
    data = (b"POST /v1/installs/a/" + path.encode() + b" HTTP/1.1\r\nHost: x\r\n"
            b"Connection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
            b"Idempotency-Key: " % len(body) + key + b"\r\n\r\n" + body)
    [answer] = parse_answers(raw(server.port, data), ["POST"])
    return answer


@pytest.mark.parametrize("path", PATHS.values())
@pytest.mark.parametrize("key", [
    b"", b"k" * 129, b"k" * 1000, b"a b", b"a\tb", b"%", b"a%b", b"a%20b", b"%%%",
    "k\u00e4".encode(), "\u20ac".encode(), b"k\xe4", b"\xff",
], ids=lambda key: repr(key)[:24] if isinstance(key, bytes) else key)
def test_an_invalid_key_is_refused(shared_server, shared_client, path, key):
    check_refused(send_raw(shared_server, path, key), 400, "invalid_idempotency_key")
    assert shared_client.get("/v1/installs/a").status == 404


@pytest.mark.parametrize("call", BODIES)
@pytest.mark.parametrize("key", ["k", "!", "~", "k" * 128, EVERY_CHARACTER, ".", "..", "a/b",
                                 "\"'\\"], ids=lambda key: key[:8])
def test_a_key_of_1_to_128_characters_is_accepted(shared_client, unused_id, call, key):
    told = first(shared_client, call, BODIES[call], key, unused_id)
    check_replay(send(shared_client, call, BODIES[call], key, unused_id), told)


def test_long_keys_differ_in_their_last_character(client):
    told = {end: first(client, "commit", COMMIT, "k" * 127 + end) for end in "ab"}
    assert show(client)["version"] == 2
    for end, answer in told.items():
        check_replay(send(client, "commit", COMMIT, "k" * 127 + end), answer)


# --- many


def test_thousands_of_keys_of_one_install_are_remembered(start, connect):
    server = start()
    client = connect(server)
    chunks = [[{"op": "commit", "install_id": "a", "idempotency_key": f"key-{n:05}", **COMMIT}
               for n in range(start_at, start_at + 1_000)] for start_at in (0, 1_000, 2_000)]
    told = [batch(client, chunk) for chunk in chunks]
    results = sum(told, [])
    assert [r["version"] for r in results] == list(range(1, 3_001))
    assert not any("replayed" in r for r in results)
    for _ in range(2):
        for chunk, before in zip(chunks, told):
            assert batch(client, chunk) == [{**r, "replayed": True} for r in before]
        assert show(client)["version"] == 3_000
        for n in (0, 1, 1_499, 2_999):
            answer = send(client, "commit", COMMIT, f"key-{n:05}")
            assert {**answer.json, "status": answer.status} == results[n]
            assert answer.headers["Idempotency-Replayed"] == "true"
            check_reused(send(client, "commit", {**COMMIT, "credits": 4}, f"key-{n:05}"))
        server.kill()
        server = start()
        client = connect(server)
    assert counters(show(client)) == [9_000, 9_000, 0, 0]
