"""Live figures of the service and of one install's actor; reading them wakes no actor."""

import json
import re
import threading
import time
from datetime import datetime

import pytest

import creditsd
from access import COMMIT
from creditsd import check_problem, open_socket, wait_until
from exposition import OPERATIONS
from traffic import path_of, show

INSTALL = "/v1/installs/a"
HOTTEST_MAX = 32
SOON = ["--passivate-after", "300ms"]
NUMBER = (int, float)

OF_OPERATION = {"count": int, "errors": int, "p50_us": NUMBER, "p99_us": NUMBER, "p999_us": NUMBER}
SHAPE = {
    "started_at": str, "uptime_seconds": NUMBER, "version": str,
    "store": {"engine": str, "installs": int, "conflicts_total": int, "write_failures_total": int,
              "checkpoint_failures_total": int, "busy_installs_total": int,
              "damaged_installs_total": int, "went_back_total": int, "trouble": type(None), "snapshot_lag_ms": NUMBER, "snapshot_pending_rows": int},
    "actors": {"live": int, "spawned_total": int, "passivated_total": int, "mailbox_max": int,
               "hottest": [{"install_id": str, "messages_handled": int}]},
    "requests": {operation: OF_OPERATION for operation in OPERATIONS},
    "persister": {"batches": int, "rows": int, "rows_per_batch_mean": NUMBER,
                  "rows_per_batch_p99": NUMBER, "queue_depth": int, "sync_p50_us": NUMBER,
                  "sync_p99_us": NUMBER, "oldest_pending_ms": NUMBER},
    "http": {"connections": int, "in_flight": int, "shed_total": int},
    "log": {"lines_dropped_total": int},
}
ACTOR_SHAPE = {
    "install_id": str, "live": bool, "version": int, "mailbox_depth": int, "pending_writes": int,
    "held": int, "messages_handled": int, "spawned_at": (str, type(None)),
    "last_message_at": (str, type(None)),
    "reservations": [{"reservation_id": str, "tier": str, "backend": str, "credits": int,
                      "month": str, "counter": str, "expires_at": str}],
}
COLD = {"live": False, "mailbox_depth": 0, "pending_writes": 0, "messages_handled": 0,
        "spawned_at": None, "last_message_at": None}


def check_shape(value, shape, at="stats"):
    """Checks that it has exactly these keys, with these types; figures are never below 0."""
    if isinstance(shape, dict):
        assert isinstance(value, dict) and value.keys() == shape.keys(), at
        for key, inner in shape.items():
            check_shape(value[key], inner, f"{at}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list), at
        for inner in value:
            check_shape(inner, shape[0], at + "[]")
    else:
        assert isinstance(value, shape), f"{at} is {value!r}"
        if shape is not bool and isinstance(value, NUMBER):
            assert value >= 0 and not isinstance(value, bool), f"{at} is {value!r}"


def stats_of(client):
    answer = client.get("/v1/stats")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    return answer.json


def actor_of(client, install_id="a"):
    answer = client.get(path_of(install_id) + "/actor")
    assert answer.status == 200, answer.body
    check_shape(answer.json, ACTOR_SHAPE, "actor")
    assert answer.json["install_id"] == install_id
    return answer.json


def commit(client, install_id="a", count=1):
    for _ in range(count):
        assert client.post(path_of(install_id) + "/commit", COMMIT).status == 200


def wait_until_cold(client, live=0):
    wait_until(lambda: stats_of(client)["actors"]["live"] == live, f"{live} live actors")


# --- the shape


def test_stats_of_a_new_ledger_have_each_figure_and_count_nothing(client):
    stats = stats_of(client)
    check_shape(stats, SHAPE)
    assert stats["version"] == creditsd.run("--version").stdout.split()[-1]
    assert stats["store"] == {"engine": "sqlite", "installs": 0, "conflicts_total": 0,
                              "write_failures_total": 0, "checkpoint_failures_total": 0,
                              "busy_installs_total": 0, "damaged_installs_total": 0,
                              "went_back_total": 0, "trouble": None, "snapshot_lag_ms": 0,
                              "snapshot_pending_rows": 0}
    assert stats["actors"] == {"live": 0, "spawned_total": 0, "passivated_total": 0,
                               "mailbox_max": 0, "hottest": []}
    assert stats["http"] == {"connections": 1, "in_flight": 1, "shed_total": 0}
    assert stats["log"] == {"lines_dropped_total": 0}
    del stats["requests"]["stats"]
    assert all(set(figures.values()) == {0} for figures in stats["requests"].values())


def test_stats_keep_their_shape_under_traffic(client):
    for n in range(40):
        commit(client, f"i{n}")
    client.post(INSTALL + "/reservations", {"credits": 3})
    stats = stats_of(client)
    check_shape(stats, SHAPE)
    assert len(stats["actors"]["hottest"]) == HOTTEST_MAX
    check_shape(client.get("/v1/stats").json, SHAPE)


@pytest.mark.parametrize("path", ["/v1/stats", INSTALL + "/actor"])
def test_parameters_and_other_methods_are_refused(client, path):
    client.put(INSTALL)
    for query, field in (("limit=1", "limit"), ("x", "x"), ("id=a&id=b", "id")):
        check_problem(client.get(f"{path}?{query}"), 422, "invalid_request", field)
    for method in ("POST", "PUT", "DELETE"):
        answer = client.request(method, path)
        check_problem(answer, 405, "method_not_allowed")
        assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}
    head = client.request("HEAD", path)
    assert (head.status, head.body) == (200, b"")


def test_the_uptime_grows_and_restarts_at_a_start(start, connect):
    begun = time.monotonic()
    server = start()
    client = connect(server)
    first, second = stats_of(client)["uptime_seconds"], stats_of(client)["uptime_seconds"]
    assert 0 <= first <= second <= time.monotonic() - begun
    wait_until(lambda: stats_of(client)["uptime_seconds"] > 0.3, "some time")
    server.stop()
    begun = time.monotonic()
    assert stats_of(connect(start()))["uptime_seconds"] <= time.monotonic() - begun


# --- requests


def reserve(client):
    answer = client.post(INSTALL + "/reservations", {"credits": 1})
    assert answer.status == 201
    return f"{INSTALL}/reservations/{answer.json['reservation_id']}"


CALLS = {
    # operation: a call that succeeds and one that fails, each as (method, path, body)
    # {r} is the path of a live reservation
    "get": (("GET", INSTALL, None), ("GET", "/v1/installs/none", None)),
    "create": (("PUT", "/v1/installs/new", None), ("PUT", "/v1/installs/new", {"x": 1})),
    "plan": (("POST", INSTALL + "/plan", {}), ("POST", INSTALL + "/plan", {"tier": "gold"})),
    "commit": (("POST", INSTALL + "/commit", COMMIT), ("POST", INSTALL + "/commit", b"{")),
    "reserve": (("POST", INSTALL + "/reservations", {}),
                ("POST", INSTALL + "/reservations", {"credits": 1000})),
    "settle": (("POST", "{r}/commit", {}), ("POST", INSTALL + "/reservations/none/commit", {})),
    "release": (("DELETE", "{r}", None), ("DELETE", INSTALL + "/reservations/none", None)),
    "batch": (("POST", "/v1/batch", {"operations": [{"op": "get", "install_id": "a"}]}),
              ("POST", "/v1/batch", {"operations": []})),
    "list": (("GET", "/v1/installs", None), ("GET", "/v1/installs?limit=0", None)),
    "entries": (("GET", INSTALL + "/entries", None), ("GET", INSTALL + "/entries?limit=0", None)),
    "snapshot": (("GET", "/v1/snapshot", None), ("GET", "/v1/snapshot?x", None)),
    "stats": (("GET", "/v1/stats", None), ("GET", "/v1/stats?x", None)),
    "actor": (("GET", INSTALL + "/actor", None), ("GET", "/v1/installs/none/actor", None)),
    "get_quota": (("GET", "/v1/quota", None), ("GET", "/v1/quota?x", None)),
    "put_quota": (("PUT", "/v1/quota", {"core": {"lifetime": 100}}), ("PUT", "/v1/quota", {})),
}


def counts(stats):
    return {operation: (figures["count"], figures["errors"])
            for operation, figures in stats["requests"].items()}


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize("errs", [0, 1], ids=["done", "refused"])
def test_a_request_is_counted_under_its_operation(client, operation, errs):
    client.put(INSTALL)
    reservation = reserve(client)
    method, path, body = CALLS[operation][errs]
    before = counts(stats_of(client))
    answer = client.request(method, path.replace("{r}", reservation), body)
    assert (answer.status >= 400) is bool(errs)
    after = counts(stats_of(client))
    calls, failures = after[operation]
    extra = operation == "stats"  # the second request for stats counts the first
    assert (calls - before[operation][0], failures - before[operation][1]) == (1 + extra, errs)
    for other in set(OPERATIONS) - {operation, "stats"}:
        assert after[other] == before[other]


def test_an_import_is_counted_as_one(client):
    ledger = {"rows": {"a": {"lifetime_consumed": 3}, "b": {}}}
    for status, counted in ((200, (1, 0)), (409, (2, 1))):
        assert client.post("/v1/import", ledger).status == status
        assert counts(stats_of(client))["import"] == counted
    assert stats_of(client)["store"]["installs"] == 2


def test_other_requests_are_not_counted(client):
    before = counts(stats_of(client))
    for method, path in (("GET", "/nothing"), ("DELETE", "/v1/quota"), ("GET", "/healthz"),
                         ("GET", "/readyz"), ("GET", "/openapi.yaml"), ("GET", "/metrics")):
        client.request(method, path)
    after = counts(stats_of(client))
    del before["stats"], after["stats"]
    assert after == before


def test_traffic_gives_percentiles(client):
    commit(client, count=50)
    commits = stats_of(client)["requests"]["commit"]
    assert 0 < commits["p50_us"] <= commits["p99_us"] <= commits["p999_us"]
    persister = stats_of(client)["persister"]
    assert 0 < persister["sync_p50_us"] <= persister["sync_p99_us"]


def test_parallel_requests_are_all_counted(server, client, connect):
    def work(mine):
        for _ in range(50):
            mine.post(INSTALL + "/commit", COMMIT)
            mine.get("/v1/installs/none")

    workers = [threading.Thread(target=work, args=[connect(server)]) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    wait_until(lambda: counts(stats_of(client))["get"] == (400, 400), "400 gets")
    assert counts(stats_of(client))["commit"] == (400, 0)


# --- the persister and the store


def test_rows_and_batches_follow_the_writes(client):
    commit(client, count=10)
    persister = stats_of(client)["persister"]
    assert persister["rows"] == 10
    assert 1 <= persister["batches"] <= 10
    operations = [{"op": "commit", "install_id": f"i{n}", **COMMIT} for n in range(500)]
    assert client.post("/v1/batch", {"operations": operations}).status == 200
    after = stats_of(client)["persister"]
    assert after["rows"] == 510
    assert persister["batches"] < after["batches"] <= persister["batches"] + 500
    assert after["rows_per_batch_mean"] == pytest.approx(510 / after["batches"], rel=0.01)
    assert 1 <= after["rows_per_batch_p99"] <= 4096


@pytest.mark.parametrize("method, path, body", [
    ("GET", INSTALL, None), ("PUT", INSTALL, None), ("POST", INSTALL + "/plan", {}),
    ("POST", INSTALL + "/reservations", {"credits": 1000}), ("GET", "/v1/installs", None),
])
def test_requests_without_effect_write_nothing(client, method, path, body):
    client.put(INSTALL)
    before = stats_of(client)["persister"]["rows"]
    client.request(method, path, body)
    assert stats_of(client)["persister"]["rows"] == before == 1


def test_at_rest_nothing_is_pending_and_the_snapshots_are_up_to_date(client):
    commit(client, count=20)

    def at_rest():
        stats = stats_of(client)
        return [stats["persister"][k] for k in ("queue_depth", "oldest_pending_ms")] + [
            stats["store"][k] for k in ("snapshot_lag_ms", "snapshot_pending_rows")] == [0] * 4

    wait_until(at_rest, "rest")


def test_installs_are_counted_through_restarts(start, connect):
    server = start()
    client = connect(server)
    for n in range(3):
        commit(client, f"i{n}", 2)
    client.get("/v1/installs/none")
    assert stats_of(client)["store"]["installs"] == 3
    server.kill()
    client = connect(start())
    assert stats_of(client)["store"]["installs"] == 3
    assert stats_of(client)["persister"]["rows"] == 0
    client.put("/v1/installs/i0")
    client.put("/v1/installs/new")
    assert stats_of(client)["store"]["installs"] == 4


# --- actors


def test_actors_come_and_go(start, connect):
    client = connect(start(*SOON))
    for n in range(3):
        commit(client, f"i{n}")
    actors = stats_of(client)["actors"]
    assert actors["spawned_total"] == actors["live"] + actors["passivated_total"] == 3
    wait_until_cold(client)
    actors = stats_of(client)["actors"]
    assert (actors["spawned_total"], actors["passivated_total"], actors["hottest"]) == (3, 3, [])
    show(client, "i1")
    actors = stats_of(client)["actors"]
    assert (actors["spawned_total"], actors["passivated_total"]) == (4, 3)


def test_the_limit_of_live_actors_holds(start, connect):
    client = connect(start("--max-live-installs", "4"))
    for n in range(40):
        commit(client, f"i{n}")
    wait_until(lambda: stats_of(client)["actors"]["live"] <= 4, "4 live actors")
    actors = stats_of(client)["actors"]
    assert actors["spawned_total"] - actors["passivated_total"] == actors["live"]
    assert actors["spawned_total"] >= 40
    assert stats_of(client)["store"]["installs"] == 40


def test_the_hottest_come_first_with_their_message_counts(client):
    for n, count in enumerate((3, 9, 1, 5)):
        commit(client, f"i{n}", count)
    hottest = stats_of(client)["actors"]["hottest"]
    assert [hot["install_id"] for hot in hottest] == ["i1", "i3", "i0", "i2"]
    for hot, count in zip(hottest, (9, 5, 3, 1)):
        assert hot["messages_handled"] == count
        assert actor_of(client, hot["install_id"])["messages_handled"] == hot["messages_handled"]


def test_the_hottest_of_many_are_kept(client):
    for n in range(100):
        commit(client, f"i{n}", 4 if n % 5 == 0 else 1)
    hottest = stats_of(client)["actors"]["hottest"]
    handled = [hot["messages_handled"] for hot in hottest]
    assert handled == sorted(handled, reverse=True) and len(handled) == HOTTEST_MAX
    assert {hot["install_id"] for hot in hottest[:20]} == {f"i{n}" for n in range(0, 100, 5)}


def test_the_mailbox_maximum_shows_concurrent_requests(client):
    operations = [{"op": "commit", "install_id": "a", **COMMIT} for _ in range(2000)]
    assert client.post("/v1/batch", {"operations": operations}).status == 200
    assert stats_of(client)["actors"]["mailbox_max"] >= 1
    assert actor_of(client)["mailbox_depth"] == 0


def test_reading_stats_wakes_no_actor(start, connect):
    client = connect(start(*SOON))
    for n in range(5):
        commit(client, f"i{n}")
    wait_until_cold(client)
    before = stats_of(client)["actors"]["spawned_total"]
    for n in range(5):
        actor_of(client, f"i{n}")
        check_problem(client.get(f"/v1/installs/none{n}/actor"), 404, "unknown_install")
        client.get("/metrics")
    after = stats_of(client)["actors"]
    assert (after["live"], after["spawned_total"]) == (0, before)


def test_reading_stats_keeps_no_actor_awake(start, connect):
    client = connect(start(*SOON))
    commit(client)
    wait_until(lambda: not actor_of(client)["live"], "a cold install")


# --- one actor


def moment(text):
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def test_a_live_actor_reports_its_state(client):
    before = time.time() - 0.001
    commit(client, count=3)
    wait_until(lambda: actor_of(client)["pending_writes"] == 0, "all of it durable")
    actor = actor_of(client)
    assert actor["live"] is True
    assert (actor["version"], actor["held"], actor["reservations"]) == (3, 0, [])
    assert actor["messages_handled"] >= 3
    assert before <= moment(actor["spawned_at"]) <= moment(actor["last_message_at"]) <= time.time()
    show(client)
    again = actor_of(client)
    assert again["spawned_at"] == actor["spawned_at"]
    assert again["messages_handled"] > actor["messages_handled"]
    assert moment(again["last_message_at"]) >= moment(actor["last_message_at"])
    assert actor_of(client) == again


def test_a_cold_install_shows_its_durable_state(start, connect):
    client = connect(start(*SOON))
    commit(client, count=3)
    reservation = client.post(INSTALL + "/reservations", {"credits": 7, "tier": "pro"}).json
    live = actor_of(client)
    wait_until(lambda: not actor_of(client)["live"], "a cold install")
    assert actor_of(client) == live | COLD
    assert live["version"] == 4 and live["held"] == 7
    assert [r["reservation_id"] for r in live["reservations"]] == [reservation["reservation_id"]]


def test_after_a_restart_all_are_cold(start, connect):
    server = start()
    client = connect(server)
    commit(client, count=2)
    client.post(INSTALL + "/reservations", {"credits": 7})
    live = actor_of(client)
    server.kill()
    client = connect(start())
    assert actor_of(client) == live | COLD
    assert stats_of(client)["actors"]["spawned_total"] == 0
    commit(client)
    assert actor_of(client)["live"] and actor_of(client)["version"] == live["version"] + 1


@pytest.mark.parametrize("install_id", ["a/b", "%2F", "\"<b>\\", "x" * 128])
def test_an_actor_is_found_by_any_id(client, install_id):
    client.put(path_of(install_id))
    assert actor_of(client, install_id)["live"]
    assert stats_of(client)["actors"]["hottest"][0]["install_id"] == install_id


def test_an_unknown_install_has_no_actor_and_gets_none(client):
    check_problem(client.get("/v1/installs/none/actor"), 404, "unknown_install")
    check_problem(client.get("/v1/installs/%20/actor"), 400, "invalid_install_id", "install_id")
    assert client.get("/v1/installs/none").status == 404
    assert stats_of(client)["store"]["installs"] == 0


@pytest.mark.parametrize("tier, counter", [("core", "lifetime"), ("pro", "monthly")])
def test_a_reservation_is_shown_with_all_its_fields(client, tier, counter):
    reserved = client.post(INSTALL + "/reservations", {"credits": 5, "tier": tier}).json
    [entry] = client.get(INSTALL + "/entries").json["entries"]
    actor = actor_of(client)
    assert actor["reservations"] == [{
        "reservation_id": reserved["reservation_id"], "tier": tier, "backend": "gemini",
        "credits": 5, "month": entry["month"], "counter": counter,
        "expires_at": reserved["expires_at"]}]
    assert actor["held"] == 5


@pytest.mark.parametrize("end", ["settle", "release", "commit", "expire"])
def test_a_reservation_that_has_ended_is_gone(client, end):
    kept = client.post(INSTALL + "/reservations", {"credits": 2}).json["reservation_id"]
    fields = {"credits": 5, "ttl_seconds": 1 if end == "expire" else 600}
    rid = client.post(INSTALL + "/reservations", fields).json["reservation_id"]
    actor = actor_of(client)
    assert {r["reservation_id"] for r in actor["reservations"]} == {kept, rid}
    assert (actor["held"], actor["version"]) == (7, 2)
    path = f"{INSTALL}/reservations/{rid}"
    if end == "settle":
        assert client.post(path + "/commit", {}).status == 200
    elif end == "release":
        assert client.request("DELETE", path).status == 200
    elif end == "commit":
        assert client.request("POST", INSTALL + "/commit", {**COMMIT, "tier": "core"}, {
            "Idempotency-Key": rid}).status == 200
    wait_until(lambda: [r["reservation_id"] for r in actor_of(client)["reservations"]] == [kept],
               "the end of the reservation")
    assert actor_of(client)["held"] == 2 == show(client)["balance"]["held"]


def test_a_thousand_reservations_are_shown(client):
    operations = [{"op": "reserve", "install_id": "a", "tier": "max"} for _ in range(1000)]
    results = client.post("/v1/batch", {"operations": operations}).json["results"]
    actor = actor_of(client)
    assert {r["reservation_id"] for r in actor["reservations"]} == {
        result["reservation_id"] for result in results}
    assert (actor["held"], actor["version"]) == (1000, 1000)


# --- connections and shed load


def test_connections_counts_open_connections(server, client):
    opened = [open_socket(server.port) for _ in range(20)]
    try:
        wait_until(lambda: stats_of(client)["http"]["connections"] == 21, "21 connections")
        assert stats_of(client)["http"]["in_flight"] == 1
    finally:
        for connection in opened:
            connection.close()
    wait_until(lambda: stats_of(client)["http"]["connections"] == 1, "1 connection")


def test_an_excess_connection_is_counted_as_shed(start, connect):
    server = start("--max-connections", "2")
    client = connect(server)
    with open_socket(server.port):
        wait_until(lambda: stats_of(client)["http"]["connections"] == 2, "2 connections")
        for n in range(1, 4):
            assert creditsd.raw(server.port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
                                ).startswith(b"HTTP/1.1 503 ")
            wait_until(lambda: stats_of(client)["http"]["shed_total"] == n, f"{n} shed")


def test_excess_requests_are_counted_as_shed(start, connect):
    server = start("--max-in-flight", "1")
    shed = []

    def work(mine):
        for _ in range(100):
            if mine.post(INSTALL + "/commit", COMMIT).status == 503:
                shed.append(1)

    workers = [threading.Thread(target=work, args=[connect(server)]) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    client = connect(server)
    wait_until(lambda: client.get("/v1/stats").status == 200, "room for a request")
    stats = stats_of(client)
    assert stats["http"]["shed_total"] >= len(shed) > 0
    assert counts(stats)["commit"] == (800, len(shed))


# --- many installs


def test_stats_and_actors_of_a_hundred_thousand_installs(data_dir, start, connect):
    count = 100_000
    rows = {f"install-{n}": {"lifetime_consumed": n % 100} for n in range(count)}
    (data_dir / "credits.json").write_text(json.dumps({"rows": rows}))
    client = connect(start())
    stats = stats_of(client)
    check_shape(stats, SHAPE)
    assert (stats["store"]["installs"], stats["actors"]["live"]) == (count, 0)
    assert actor_of(client, "install-99999") == COLD | {
        "install_id": "install-99999", "version": 1, "held": 0, "reservations": []}
    commit(client, "install-7")
    commit(client, "new")
    stats = stats_of(client)
    assert (stats["store"]["installs"], stats["actors"]["live"]) == (count + 1, 2)
