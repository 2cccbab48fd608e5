"""The metrics for Prometheus: well formed, complete and correct."""

import math
import sqlite3
import threading

import pytest

import creditsd
from access import ADMIN, COMMIT, RELAY, bearer, token_flags
from creditsd import check_problem, wait_until
from exposition import METRICS, OPERATIONS, Exposition, promtool, scrape
from traffic import Traffic, path_of

INSTALL = "/v1/installs/a"
RESERVATIONS = INSTALL + "/reservations"
CORE = {"backend": "gemini", "tier": "core"}
QUOTA = {"core": {"lifetime": 100, "geminiCapLifetime": 50}, "max": {"monthly": None}}
ODD_TIERS = ['quo"ted', "back\\slash", "{le=\"1\"} 5", "gr\u00f6\u00dfer", "# HELP x", "a,b=c"]


def check_with_promtool(client):
    answer = client.get("/metrics")
    assert answer.status == 200
    assert promtool("check", "metrics", input=answer.body) == (0, "")


def check_histograms(metrics):
    """Checks that buckets rise to the count, for each combination of labels."""
    for family, (kind, labels) in METRICS.items():
        if kind != "histogram":
            continue
        for key, buckets in metrics.buckets(family).items():
            counts = [count for _, count in buckets]
            assert dict(key).keys() == labels
            assert len(buckets) >= 3 and buckets[-1][0] == math.inf
            assert counts == sorted(counts)
            assert counts[-1] == metrics.value(family + "_count", **dict(key))
            assert metrics.value(family + "_sum", **dict(key)) >= 0


class Change:
    """The change of a server's metrics."""

    def __init__(self, client):
        self.client = client
        self.before = scrape(client)

    def of(self, name, **labels):
        return scrape(self.client).total(name, **labels) - self.before.total(name, **labels)


@pytest.fixture
def change(client):
    """Changes since the install was created."""
    assert client.put(INSTALL).status == 201
    return Change(client)


# --- the text


def test_it_is_prometheus_text_without_faults_for_promtool(client):
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    check_with_promtool(client)
    operations = [{"op": "commit", "install_id": f"i{n}", **COMMIT} for n in range(100)]
    for path, body in ((INSTALL + "/commit", CORE), (INSTALL + "/commit", {}),
                       (RESERVATIONS, {"ttl_seconds": 5}),
                       ("/v1/batch", {"operations": operations})):
        client.post(path, body)
    client.get("/v1/snapshot")
    check_with_promtool(client)


@pytest.mark.parametrize("name", METRICS)
def test_each_metric_exists_from_the_start_with_type_and_help(shared_client, name):
    metrics = scrape(shared_client)
    kind, labels = METRICS[name]
    assert metrics.types[name] == kind
    assert len(metrics.helps[name]) > 10
    if not labels and kind != "histogram":
        assert list(metrics.samples[name]) == [frozenset()]


def test_every_label_is_in_the_contract(client):
    client.post(INSTALL + "/commit", CORE)
    client.post(RESERVATIONS, {})
    client.get("/v1/installs/none")
    metrics = scrape(client)
    for family, (kind, labels) in METRICS.items():
        for name in [family + end for end in ("_bucket", "_sum", "_count")] if (
                kind == "histogram") else [family]:
            extra = {"le"} if name.endswith("_bucket") else set()
            assert metrics.samples.get(name), name
            for key in metrics.samples[name]:
                assert dict(key).keys() == labels | extra, name


def test_a_label_may_have_any_characters(client):
    quota = QUOTA | {tier: {"monthly": 5} for tier in ODD_TIERS}
    assert client.put("/v1/quota", quota).status == 200
    for tier in ODD_TIERS:
        assert client.post(INSTALL + "/commit", {**CORE, "tier": tier}).status == 200
    check_with_promtool(client)
    metrics = scrape(client)
    for tier in ODD_TIERS:
        assert metrics.value("credits_commits_total", tier=tier, backend="gemini") == 1


def test_clients_cannot_invent_labels(client):
    client.post(path_of("made-up") + "/commit", CORE)
    client.post(path_of("a") + "/commit", {**CORE, "tier": "made-up"})
    client.request("POST", INSTALL + "/commit", CORE, {"Idempotency-Key": "made-up"})
    client.get("/made-up")
    client.request("MADE-UP", "/made-up")
    client.get("/v1/installs?made-up=1")
    assert "made-up" not in client.get("/metrics").body.decode().lower()


def test_other_methods_are_refused_and_head_has_no_body(client):
    for method in ("POST", "PUT", "DELETE"):
        check_problem(client.request(method, "/metrics"), 405, "method_not_allowed")
    head = client.request("HEAD", "/metrics")
    assert (head.status, head.body) == (200, b"")


# --- gauges


def test_gauges_match_stats(client):
    for n in range(5):
        client.post(path_of(f"i{n}") + "/commit", COMMIT)
    metrics, stats = scrape(client), client.get("/v1/stats").json
    assert metrics.value("credits_build_info", version=stats["version"]) == 1
    assert metrics.value("credits_store_info", engine=stats["store"]["engine"]) == 1
    assert 0 <= metrics.value("credits_uptime_seconds") <= stats["uptime_seconds"]
    for name, value in (("credits_installs", stats["store"]["installs"]),
                        ("credits_actors_live", stats["actors"]["live"]),
                        ("credits_actors_spawned_total", stats["actors"]["spawned_total"]),
                        ("credits_actors_passivated_total", 0),
                        ("credits_http_connections", 1), ("credits_store_up", 1),
                        ("credits_store_conflicts_total", 0), ("credits_write_failures_total", 0),
                        ("credits_checkpoint_failures_total", 0), ("credits_busy_installs_total", 0),
                        ("credits_damaged_installs_total", 0),
                        ("credits_database_went_back_total", 0),
                        ("credits_log_lines_dropped_total", 0),
                        ("credits_shed_total", 0)):
        assert metrics.value(name) == value, name
    assert (stats["store"]["installs"], stats["actors"]["live"]) == (5, 5)
    assert metrics.value("credits_mailbox_depth_max") >= 1
    assert metrics.value("credits_http_requests_in_flight") <= 1


def holds(client):
    metrics = scrape(client)
    return metrics.value("credits_live_reservations"), metrics.value("credits_held_credits")


def test_live_reservations_and_their_credits_are_reported(start, connect):
    flags = ["--passivate-after", "1h"]
    server = start(*flags)
    client = connect(server)
    assert holds(client) == (0, 0)
    first = client.post(path_of("a") + "/reservations", {"credits": 5}).json
    second = client.post(path_of("a") + "/reservations", {"credits": 7}).json
    client.post(path_of("b") + "/reservations", {"credits": 3})
    client.post(path_of("b") + "/reservations", {"credits": 1000})  # refused
    client.post(path_of("c") + "/reservations", {"credits": 1, "ttl_seconds": 1})
    assert holds(client) == (4, 16)
    client.post(f"{path_of('a')}/reservations/{first['reservation_id']}/commit", {"credits": 2})
    assert holds(client) == (3, 11)
    client.request("DELETE", f"{path_of('a')}/reservations/{second['reservation_id']}")
    assert holds(client) == (2, 4)

    def is_expired():
        client.post(path_of("c") + "/commit", CORE)
        return holds(client) == (1, 3)

    wait_until(is_expired, "the end of the short one")
    server.kill()
    client = connect(start(*flags))
    assert holds(client) == (0, 0)  # of the installs in memory
    client.get(path_of("b"))
    assert holds(client) == (1, 3)


def test_the_reservations_of_a_retired_install_are_no_longer_counted(start, connect):
    client = connect(start("--passivate-after", "10ms"))
    client.post(path_of("a") + "/reservations", {"credits": 5})
    wait_until(lambda: holds(client) == (0, 0), "its retirement")
    assert client.get(path_of("a")).json["balance"]["held"] == 5


def test_at_rest_nothing_waits(client):
    client.post(INSTALL + "/commit", CORE)
    names = ("credits_pending_mutations", "credits_oldest_pending_seconds",
             "credits_snapshot_lag_seconds", "credits_snapshot_pending_rows")
    wait_until(lambda: [scrape(client).value(name) for name in names] == [0] * 4, "rest")


# --- counters


@pytest.mark.parametrize("operation, method, path, body, status", [
    ("get", "GET", INSTALL, None, "2xx"), ("get", "GET", "/v1/installs/none", None, "4xx"),
    ("create", "PUT", "/v1/installs/new", None, "2xx"),
    ("plan", "POST", INSTALL + "/plan", {}, "2xx"),
    ("commit", "POST", INSTALL + "/commit", CORE, "2xx"),
    ("commit", "POST", INSTALL + "/commit", {}, "4xx"),
    ("reserve", "POST", RESERVATIONS, {}, "2xx"),
    ("reserve", "POST", RESERVATIONS, {"credits": 1000}, "4xx"),
    ("settle", "POST", RESERVATIONS + "/none/commit", {}, "4xx"),
    ("release", "DELETE", RESERVATIONS + "/none", None, "4xx"),
    ("batch", "POST", "/v1/batch", {"operations": [{"op": "get", "install_id": "a"}]}, "2xx"),
    ("list", "GET", "/v1/installs", None, "2xx"),
    ("entries", "GET", INSTALL + "/entries", None, "2xx"),
    ("snapshot", "GET", "/v1/snapshot", None, "2xx"), ("stats", "GET", "/v1/stats", None, "2xx"),
    ("actor", "GET", INSTALL + "/actor", None, "2xx"),
    ("import", "POST", "/v1/import", {"rows": {"b": {}}}, "4xx"),
    ("get_quota", "GET", "/v1/quota", None, "2xx"), ("put_quota", "PUT", "/v1/quota", {}, "4xx"),
    ("put_quota", "PUT", "/v1/quota", QUOTA, "2xx"),
])
def test_requests_and_their_times_are_counted(client, change, operation, method, path, body, status):
    client.request(method, path, body)
    for name, labels in (("credits_requests_total", {"status": status}),
                         ("credits_request_duration_seconds_count", {})):
        assert change.of(name, operation=operation, **labels) == 1
        assert change.of(name) == 1


@pytest.mark.parametrize("code, method, path, body", [
    ("unknown_install", "GET", "/v1/installs/none", None), ("not_found", "GET", "/nothing", None),
    ("invalid_install_id", "GET", "/v1/installs/%20", None),
    ("invalid_json", "POST", INSTALL + "/commit", b"{"),
    ("invalid_request", "POST", INSTALL + "/commit", {}),
    ("unknown_tier", "POST", INSTALL + "/commit", {**CORE, "tier": "gold"}),
    ("out_of_credits", "POST", RESERVATIONS, {"credits": 1000}),
    ("unknown_reservation", "POST", RESERVATIONS + "/none/commit", {}),
    ("method_not_allowed", "DELETE", "/v1/quota", None),
])
def test_problems_are_counted_by_their_code(client, change, code, method, path, body):
    for _ in range(2):
        assert client.request(method, path, body).json["code"] == code
    assert change.of("credits_problems_total", code=code) == 2
    assert change.of("credits_problems_total") == 2


def test_refused_tokens_are_counted(start, connect, tmp_path):
    client = connect(start(*token_flags(tmp_path)))
    for headers, times in (({}, 3), (bearer(RELAY), 2)):
        for _ in range(times):
            client.request("GET", "/v1/stats", headers=headers)
    metrics = Exposition(client.request("GET", "/metrics", headers=bearer(ADMIN)).body.decode())
    assert metrics.value("credits_problems_total", code="unauthorized") == 3
    assert metrics.value("credits_problems_total", code="forbidden") == 2


def test_commits_and_credits_are_counted_by_tier_and_backend(client, change):
    for tier, backend, credits in (("core", "gemini", 3), ("core", "hardware", 1),
                                   ("max", "gemini", 7), ("core", "gemini", 2)):
        client.post(INSTALL + "/commit", {"tier": tier, "backend": backend, "credits": credits})
    client.post(INSTALL + "/commit", {"tier": "gold", "backend": "gemini"})
    for tier, backend, commits, credits in (("core", "gemini", 2, 5), ("core", "hardware", 1, 1),
                                            ("max", "gemini", 1, 7), ("max", "hardware", 0, 0)):
        labels = {"tier": tier, "backend": backend}
        assert change.of("credits_commits_total", **labels) == commits
        assert change.of("credits_debited_credits_total", **labels) == credits


def test_a_replay_is_not_counted_as_a_commit(client, change):
    for _ in range(3):
        client.request("POST", INSTALL + "/commit", CORE, {"Idempotency-Key": "k"})
    assert change.of("credits_requests_total", operation="commit", status="2xx") == 3
    for name in ("credits_commits_total", "credits_debited_credits_total"):
        assert change.of(name) == 1
    assert change.of("credits_entries_total", kind="commit") == 1


def test_commits_in_a_batch_are_counted(client, change):
    operations = [{"op": "commit", "install_id": f"i{n % 10}", **CORE, "credits": 2}
                  for n in range(100)]
    client.post("/v1/batch", {"operations": operations})
    assert change.of("credits_commits_total", tier="core", backend="gemini") == 100
    assert change.of("credits_debited_credits_total") == 200
    assert change.of("credits_entries_total", kind="commit") == 100
    assert change.of("credits_batch_rows_sum") == 100


def reserve(client, **fields):
    answer = client.post(RESERVATIONS, fields)
    assert answer.status == 201
    return f"{RESERVATIONS}/{answer.json['reservation_id']}"


def test_entries_are_counted_by_their_kind(client, change):
    client.post(INSTALL + "/commit", CORE)
    client.post(reserve(client, credits=5) + "/commit", {"credits": 3})
    client.post(reserve(client, credits=5) + "/commit", {"credits": 0})
    client.request("DELETE", reserve(client))
    client.post("/v1/installs/planned/plan", {})
    kinds = {"create": 1, "import": 0, "commit": 1, "reserve": 3, "settle": 2, "release": 1,
             "expire": 0}
    assert {kind: change.of("credits_entries_total", kind=kind) for kind in kinds} == kinds
    assert change.of("credits_debited_credits_total") == 4
    assert change.of("credits_commits_total") == 1


def test_an_expiry_is_counted_when_it_is_written(client, change):
    late = reserve(client, ttl_seconds=1)
    wait_until(lambda: not client.get(INSTALL + "/actor").json["reservations"], "its end")
    check_problem(client.post(late + "/commit", {}), 410, "reservation_expired")
    assert change.of("credits_entries_total", kind="expire") == 1


def test_imported_rows_are_counted_as_entries(client):
    change = Change(client)
    rows = {f"i{n}": {"lifetime_consumed": n} for n in range(50)}
    assert client.post("/v1/import", {"rows": rows}).json == {"imported": 50}
    assert change.of("credits_entries_total", kind="import") == 50
    assert change.of("credits_commits_total") == change.of("credits_debited_credits_total") == 0
    assert scrape(client).value("credits_installs") == 50


def test_writes_are_measured(client, change):
    for n in range(20):
        client.post(INSTALL + "/commit", CORE)
    assert change.of("credits_batch_rows_sum") == 20
    writes = change.of("credits_batch_rows_count")
    assert 1 <= writes <= 20
    assert change.of("credits_sync_duration_seconds_count") == writes
    assert change.of("credits_sync_duration_seconds_sum") > 0


def test_a_bucket_includes_its_bound(client):
    for n in range(3):
        client.put(f"/v1/installs/i{n}")
    buckets = dict(scrape(client).buckets("credits_batch_rows")[frozenset()])
    assert buckets[1] == buckets[math.inf] == 3


def test_shed_requests_are_counted(start, connect):
    server = start("--max-connections", "1")
    client = connect(server)
    change = Change(client)
    for _ in range(3):
        assert creditsd.raw(server.port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
                            ).startswith(b"HTTP/1.1 503 ")
    wait_until(lambda: change.of("credits_shed_total") == 3, "3 shed")


# --- histograms and counters under load


def test_counters_never_fall_and_histograms_hold_under_load(server, client):
    traffic = Traffic(server.port, [f"i{n}" for n in range(50)], writers=8, readers=2)
    before = {}
    for n in range(40):
        traffic.wait_for(n * 20)
        metrics = scrape(client)
        check_histograms(metrics)
        now = metrics.counters()
        assert [key for key, value in before.items() if now.get(key, -1) < value] == []
        before = now
    traffic.end()
    assert traffic.refused == []


def test_the_figures_after_a_load_match_it(server, client, connect):
    def work(mine, n):
        for _ in range(50):
            mine.post(path_of(f"i{n}") + "/commit", {**COMMIT, "credits": 2})

    workers = [threading.Thread(target=work, args=[connect(server), n]) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    wait_until(lambda: scrape(client).total("credits_requests_total", operation="commit") == 400,
               "400 commits")
    metrics = scrape(client)
    check_histograms(metrics)
    assert metrics.value("credits_commits_total", tier="max", backend="gemini") == 400
    assert metrics.value("credits_debited_credits_total", tier="max", backend="gemini") == 800
    assert metrics.value("credits_batch_rows_sum") == 400
    for operation in OPERATIONS:
        assert metrics.value("credits_request_duration_seconds_count", operation=operation) == (
            metrics.total("credits_requests_total", operation=operation))


def test_counters_restart_at_a_start(start, connect):
    server = start()
    client = connect(server)
    client.post(INSTALL + "/commit", CORE)
    server.kill()
    metrics = scrape(connect(start()))
    assert metrics.value("credits_installs") == 1
    for name in ("credits_commits_total", "credits_entries_total", "credits_requests_total",
                 "credits_actors_spawned_total"):
        assert metrics.total(name) == 0


# --- damage


DAMAGE = {
    # damage: the file, the change, and the calls that meet it
    "row": ("snapshots.db", "UPDATE rows SET lifetime_consumed = lifetime_consumed + 1 WHERE install_id = 'a'",
            ["/v1/installs", "/v1/snapshot", "/v1/installs/a/actor", "/v1/installs/a/entries", "/v1/installs/a"]),
    "entry": ("journal.db", "UPDATE entries SET credits = credits + 1 WHERE install_id = 'a' AND version = 2",
              ["/v1/installs/a/entries"]),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_counted_wherever_a_call_meets_it(start, connect, data_dir, case):
    file, sql, paths = DAMAGE[case]
    server = start("--store", "sqlite")
    for _ in range(3):
        assert connect(server).post("/v1/installs/a/commit", {"backend": "gemini", "tier": "core"}).status == 200
    assert server.stop() == 0
    with sqlite3.connect(data_dir / file) as database:
        assert database.execute(sql).rowcount == 1
    database.close()
    server = start("--store", "sqlite")
    for times, path in enumerate(paths, 1):
        sent = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        received = creditsd.raw(server.port, sent)
        assert b"storage_damaged" in received or not received.endswith(b"0\r\n\r\n")
        counted = connect(server).get("/v1/stats").json["store"]["damaged_installs_total"]
        assert counted == times, path
