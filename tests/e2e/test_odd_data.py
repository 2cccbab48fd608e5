"""Odd input: future months and times, counters at their limit, tiers that left the quota, late settles, and
clock jumps. On both stores."""

import datetime
import json

import pytest

import creditsctl
from cluster import new_ledger, postgres as servers
from creditsctl import check_done
from creditsd import check_problem, wait_until
from exposition import scrape
from test_faults import clock  # noqa: F401
from traffic import all_entries, all_installs, path_of, show

BOUND = 2**53
QUOTA = {"core": {"lifetime": 100, "geminiCapLifetime": 50}, "pro": {"monthly": 1000},
         "max": {"monthly": None}, "endless": {"lifetime": 2**53}}


@pytest.fixture(scope="module")
def database():
    with servers.running() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request):
    """The flags of an empty ledger in each store."""
    if request.param == "sqlite":
        return []
    return ["--store", new_ledger(request.getfixturevalue("database").uri())]


@pytest.fixture
def serve(start, store, connect, tmp_path):
    """Starts a server on that ledger with QUOTA; returns a client."""
    (tmp_path / "quota.json").write_text(json.dumps(QUOTA))

    def serve_ledger(*args, **settings):
        return connect(start(*store, "--quota", tmp_path / "quota.json", *args, **settings))

    return serve_ledger


def import_rows(client, **rows):
    answer = client.post("/v1/import", {"rows": rows})
    assert answer.status == 200, answer.body


def commit(client, install_id="a", key=None, **fields):
    return client.request("POST", f"{path_of(install_id)}/commit", {"backend": "gemini", "tier": "core"} | fields,
                          {"Idempotency-Key": key} if key else None)


def reserve(client, install_id="a", **fields):
    return client.post(f"{path_of(install_id)}/reservations", fields)


def settle(client, reserved, install_id="a", **fields):
    return client.post(f"{path_of(install_id)}/reservations/{reserved.json['reservation_id']}/commit", fields)


# --- an import from the future


def this_month():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m")


def test_a_future_month_is_imported_as_the_current_one_with_its_counters(serve):
    client = serve()
    import_rows(client, a={"month": "9999-12", "monthly_consumed": 7, "tier_snapshot": "pro",
                           "last_active_at": "9999-12-01T00:00:00.000Z"})
    install = show(client)
    assert (install["month"], install["monthly_consumed"]) == (this_month(), 7)
    assert install["last_active_at"] < "9999"
    assert all_entries(client, "a")[0]["month"] == this_month()
    assert scrape(client).value("credits_clock_behind_seconds") == 0


def test_an_imported_future_month_does_not_persist(clock, serve):  # noqa: F811
    clock.set("2026-11-24 12:00:00")
    client = serve(env=clock.environment)
    import_rows(client, a={"month": "2027-05", "monthly_consumed": 7, "tier_snapshot": "pro"})
    clock.set("2026-12-01 00:00:01")
    assert (show(client)["month"], show(client)["monthly_consumed"]) == ("2026-12", 0)


def test_an_old_file_with_a_future_month_is_imported_as_of_now(serve, data_dir):
    (data_dir / "credits.json").write_text('{"rows":{"a":{"month":"9999-12","monthly_consumed":7}}}')
    install = show(serve())
    assert (install["month"], install["monthly_consumed"]) == (this_month(), 7)


def test_a_body_may_begin_with_a_byte_order_mark_and_other_encodings_are_named(serve):
    client = serve()
    rows = '{"rows":{"a":{"lifetime_consumed":7}}}'
    utf16 = client.request("POST", "/v1/import", rows.encode("utf-16"))
    check_problem(utf16, 400, "invalid_json")
    assert "UTF-16" in utf16.json["detail"]
    assert client.request("POST", "/v1/import", rows.encode("utf-8-sig")).json == {"imported": 1}
    quota = json.dumps(QUOTA).encode("utf-8-sig")
    assert client.request("PUT", "/v1/quota", quota).status == 200


# --- counters at their limit


@pytest.fixture
def full(serve):
    """An install with each counter one credit below 2^53."""
    client = serve()
    import_rows(client, a={"lifetime_consumed": BOUND - 1, "lifetime_gemini_consumed": BOUND - 1,
                           "month": this_month(), "monthly_consumed": BOUND - 1, "monthly_gemini_consumed": BOUND - 1})
    return client


@pytest.mark.parametrize("tier, window", [("core", "lifetime"), ("max", "monthly")])
def test_no_commit_takes_a_counter_past_its_limit(full, tier, window):
    before = show(full)
    refused = commit(full, tier=tier, credits=2)
    check_problem(refused, 409, "counter_overflow", "credits")
    assert window in refused.json["detail"] and str(BOUND) in refused.json["detail"]
    assert show(full) == before
    assert commit(full, tier=tier).json[f"{window}_consumed"] == BOUND
    check_problem(commit(full, tier=tier), 409, "counter_overflow", "credits")


def test_holds_count_so_that_their_settles_always_fit(full):
    held = reserve(full, tier="max")
    assert held.status == 201
    check_problem(reserve(full, tier="max"), 409, "counter_overflow", "credits")
    check_problem(commit(full, tier="max"), 409, "counter_overflow", "credits")
    assert settle(full, held).json["monthly_consumed"] == BOUND


def test_a_commit_that_ends_a_hold_may_use_its_room(full):
    held = reserve(full, tier="max")
    committed = commit(full, tier="max", key=held.json["reservation_id"])
    assert (committed.status, committed.json["monthly_consumed"]) == (200, BOUND)


def test_the_limit_applies_to_batches_too(full):
    operation = {"op": "commit", "install_id": "a", "backend": "hardware", "tier": "max"}
    results = full.post("/v1/batch", {"operations": [operation] * 2}).json["results"]
    assert [result["status"] for result in results] == [200, 409]
    assert results[1]["code"] == "counter_overflow"


def test_a_snapshot_can_always_be_imported(full, start, connect, tmp_path):
    commit(full, tier="max")
    commit(full)
    other = connect(start("--data-dir", tmp_path / "other"))
    answer = other.request("POST", "/v1/import", full.get("/v1/snapshot").body)
    assert answer.status == 200
    assert show(other)["monthly_consumed"] == BOUND


# --- tiers that left the quota


def test_a_commit_that_ends_a_hold_may_name_its_tier_though_it_left_the_quota(clock, serve):  # noqa: F811
    client = serve(env=clock.environment)
    live, due = (reserve(client, tier="pro", credits=3, ttl_seconds=ttl).json["reservation_id"] for ttl in (3600, 60))
    client.put("/v1/quota", {tier: QUOTA[tier] for tier in ("core", "max")})
    clock.set("2026-11-24 12:02:00")
    check_problem(client.post(f"/v1/installs/a/reservations/{due}/commit", {}), 410, "reservation_expired")
    check_problem(commit(client, tier="pro", credits=3), 422, "unknown_tier", "tier")
    check_problem(commit(client, tier="endless", credits=3, key=due), 422, "unknown_tier", "tier")
    for reservation in (due, live):
        assert commit(client, tier="pro", credits=3, key=reservation).status == 200
    # It is judged as core, like everything with a tier that left the quota.
    assert (show(client)["lifetime_consumed"], show(client)["balance"]["held"]) == (6, 0)


# --- late settles


def tier_after(client, work):
    reserved = reserve(client, tier="core")
    work()
    assert settle(client, reserved).status == 200
    return show(client)["tier_snapshot"]


def test_the_tier_is_that_of_the_debit_reserved_last(serve, store):
    client = serve()
    assert tier_after(client, lambda: None) == "core"
    assert tier_after(client, lambda: commit(client, tier="pro")) == "pro"

    def reserve_and_settle():
        settle(client, reserve(client, tier="max"))

    assert tier_after(client, reserve_and_settle) == "max"
    # Reservations that are only held or released do not count.
    assert tier_after(client, lambda: reserve(client, tier="pro")) == "core"
    assert client.post("/v1/installs/a/plan", {}).json["balance"]["capped"] == "lifetime"
    assert [entry["tier"] for entry in all_entries(client, "a") if entry["kind"] == "settle"] == \
        ["core", "core", "max", "core", "core"]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_late_settle_is_late_after_a_restart_too(start, store, connect, data_dir, end):
    def next_life():
        nonlocal server
        getattr(server, end)()
        server = start(*store)
        return connect(server)

    server = start(*store)
    client = connect(server)
    reserved = [reserve(client, tier=tier) for tier in ("core", "max", "core")]
    settle(client, reserved[1])
    client = next_life()
    settle(client, reserved[0])
    assert show(client)["tier_snapshot"] == "max"
    client = next_life()
    settle(client, reserved[2])
    assert show(client)["tier_snapshot"] == "core"
    server.stop()
    check_done(creditsctl.run("check", *(store[1:] or [data_dir])))


# --- the clock


def test_a_clock_behind_the_ledger_is_logged_at_startup_and_later(clock, start, store, connect):  # noqa: F811
    def be(hours):
        now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)
        clock.set(now.strftime("%Y-%m-%d %H:%M:%S"))

    be(0)
    server = start(*store, env=clock.environment)
    commit(connect(server))
    assert "clock_behind:" not in server.log()
    be(-1)
    wait_until(lambda: "clock_behind:" in server.log(), "a line about the clock")
    be(1)
    wait_until(lambda: "clock_recovered:" in server.log(), "the line about its recovery")
    server.kill()
    be(-1)
    server = start(*store, env=clock.environment)
    assert "clock_behind:" in server.log()
    assert 3_500 < scrape(connect(server)).value("credits_clock_behind_seconds") < 4_000


def test_a_clock_behind_the_database_is_logged_at_startup(clock, start, database):  # noqa: F811
    clock.set("2020-01-01 12:00:00")
    server = start("--store", new_ledger(database.uri()), env=clock.environment)
    assert "clock_behind:" in server.log()


@pytest.mark.parametrize("wrong", ["2026-11-26 12:00:00", "2031-01-01 12:00:00"])
def test_keys_survive_a_clock_that_steps_forth_and_back(clock, wrong, serve):  # noqa: F811
    client = serve("--keep-entries", "1s", env=clock.environment)
    commit(client, "first")
    answer = commit(client, key="k")
    all_installs(client)  # from now on the snapshots have the key
    clock.set(wrong)
    wait_until(lambda: all_entries(client, "first") == [], "pruning under the wrong clock")
    clock.set("2026-11-24 12:00:05")
    again = commit(client, key="k")
    assert (again.status, again.body) == (200, answer.body)
    assert again.headers["Idempotency-Replayed"] == "true"


def test_keys_survive_a_start_with_a_clock_that_is_ahead(clock, start, connect):  # noqa: F811
    server = start(env=clock.environment)
    client = connect(server)
    commit(client, "first")
    answer = commit(client, key="k")
    server.kill()
    clock.set("2026-11-28 12:00:00")
    server = start("--keep-entries", "1s", env=clock.environment)
    client = connect(server)
    wait_until(lambda: all_entries(client, "first") == [], "pruning under the wrong clock")
    clock.set("2026-11-24 12:00:05")
    again = commit(client, key="k")
    assert (again.status, again.body) == (200, answer.body)
