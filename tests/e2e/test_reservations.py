"""Reservations: their holds, each way that they end, and that they never overspend."""

import itertools
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from http.client import HTTPException
from urllib.parse import quote

import pytest

from creditsd import Client, check_problem, wait_until
from test_faults import clock  # noqa: F401
from traffic import COUNTERS, all_entries, counters, path_of, show, state

LIVE_MAX = 1_000
LONG_AGO = "2026-01-10T00:00:00.000Z"
UNTOUCHED = {"remaining": 100, "capped": "lifetime", "gemini_remaining": 50, "held": 0}
QUOTA = {"core": {"lifetime": 100, "geminiCapLifetime": 50},
         "pro": {"monthly": 1000, "geminiCapMonthly": 500},
         "max": {"monthly": None, "geminiCapMonthly": None}}


def now():
    return datetime.now(timezone.utc)


def parse_time(text):
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def row(install_id, tier="core", consumed=(0, 0, 0, 0), month=None):
    return {"install_id": install_id, "tier_snapshot": tier, **dict(zip(COUNTERS, consumed)),
            "month": month or now().strftime("%Y-%m"), "last_active_at": LONG_AGO}


def ask(client, install_id="a", **fields):
    return client.post(f"{path_of(install_id)}/reservations", fields)


def reserve(client, install_id="a", **fields):
    answer = ask(client, install_id, **fields)
    assert answer.status == 201, answer.body
    return answer.json


def path_to(reservation, install_id="a"):
    rid = quote(reservation["reservation_id"], safe="")
    return f"{path_of(install_id)}/reservations/{rid}"


def settle(client, reservation, install_id="a", **fields):
    return client.post(path_to(reservation, install_id) + "/commit", fields)


def release(client, reservation, install_id="a"):
    return client.request("DELETE", path_to(reservation, install_id))


def commit(client, install_id="a", key=None, **fields):
    return client.request("POST", f"{path_of(install_id)}/commit",
                          {"backend": "gemini", "tier": "core", **fields},
                          {"Idempotency-Key": key})


def commit_for(client, reservation, install_id="a", **fields):
    """A relay's commit for a reservation that ended before it could settle."""
    return commit(client, install_id, reservation["reservation_id"], **fields)


def plan(client, install_id="a", **fields):
    return ok(client.post(f"{path_of(install_id)}/plan", fields))


def ok(answer):
    assert answer.status == 200, answer.body
    return answer.json


def check_refused(answer, status, code):
    return check_problem(answer, status, code, answer.json.get("field"))


def check_out(answer, reason):
    assert check_refused(answer, 402, reason)["reason"] == reason


def kinds(client, install_id="a"):
    return [e["kind"] for e in all_entries(client, install_id)]


def sleep_past(reservation):
    left = parse_time(reservation["expires_at"]) - now()
    time.sleep(max(0, left.total_seconds()) + 0.05)


def at_once(clients, *works):
    """Runs the clients concurrently; they take the works in turn."""
    with ThreadPoolExecutor(len(clients)) as pool:
        return list(pool.map(lambda client, work: work(client), clients, itertools.cycle(works)))


# --- reserve


def test_a_reserve_returns_its_hold(client):
    before = now()
    answer = ask(client)
    after = now()
    assert answer.status == 201
    assert answer.headers["Content-Type"] == "application/json"
    result = answer.json
    assert re.fullmatch(r"[!-$&-~]{1,128}", result["reservation_id"])
    assert result == {
        "reservation_id": result["reservation_id"], "backend": "gemini", "tier": "core",
        "credits": 1, "expires_at": result["expires_at"],
        "balance": {"remaining": 99, "capped": "lifetime", "gemini_remaining": 49, "held": 1}}
    ttl, slack = timedelta(seconds=600), timedelta(seconds=1)
    assert before + ttl - slack <= parse_time(result["expires_at"]) <= after + ttl + slack


@pytest.mark.parametrize("body", [None, b"", {}], ids=["none", "empty", "object"])
def test_a_reserve_reads_an_empty_body_as_an_empty_object(client, body):
    answer = client.post("/v1/installs/a/reservations", body)
    assert (answer.status, answer.json["credits"]) == (201, 1)


def test_a_reservation_lasts_as_long_as_requested(client):
    for ttl_seconds in (1, 2, 60, 86_400):
        before = now()
        left = parse_time(reserve(client, ttl_seconds=ttl_seconds)["expires_at"]) - before
        assert abs(left - timedelta(seconds=ttl_seconds)) < timedelta(seconds=1)


def test_a_reserve_on_a_new_id_is_its_version_1(client):
    before = now() - timedelta(milliseconds=1)
    result = reserve(client, tier="pro", credits=3)
    assert (result["tier"], result["credits"]) == ("pro", 3)
    install = show(client)
    assert (install["version"], install["tier_snapshot"]) == (1, "core")
    assert before <= parse_time(install["last_active_at"]) <= now()
    assert counters(install) == [0, 0, 0, 0]
    assert kinds(client) == ["reserve"]
    assert client.put("/v1/installs/a").status == 200


def test_each_reservation_has_a_unique_id(client):
    result = [reserve(client, install_id) for install_id in "abab" * 5]
    assert len({r["reservation_id"] for r in result}) == len(result)


def test_reserve_settle_and_release_accept_an_id_that_needs_escapes(client):
    install_id = "a/b%c?d"
    assert ok(settle(client, reserve(client, install_id), install_id))["install_id"] == install_id
    assert ok(release(client, reserve(client, install_id), install_id))["version"] == 4


@pytest.mark.parametrize("tier", ["core", "pro", "max", "retired"])
def test_a_reserve_without_tier_uses_the_row_s(start_with, tier):
    client = start_with([row("a", tier)])
    result = reserve(client)
    assert result["tier"] == tier
    assert result["balance"] == plan(client)["balance"] == show(client)["balance"]
    assert ok(settle(client, result))["tier_snapshot"] == tier


GEMINI = ("gemini", None)
HARDWARE = ("hardware", None)
OUT = (None, "out_of_credits")
CAPPED = (None, "gemini_cap_exceeded_no_hardware")

DECISIONS = [
    # tier, consumed (lifetime, its gemini, monthly, its gemini), credits, hardware, decision
    ("core", (0, 0, 0, 0), 1, False, GEMINI),
    ("core", (0, 0, 0, 0), 50, False, GEMINI),
    ("core", (0, 0, 0, 0), 51, False, CAPPED),
    ("core", (0, 0, 0, 0), 51, True, HARDWARE),
    ("core", (0, 0, 0, 0), 100, True, HARDWARE),
    ("core", (0, 0, 0, 0), 101, True, OUT),
    ("core", (48, 48, 0, 0), 2, False, GEMINI),
    ("core", (48, 48, 0, 0), 3, False, CAPPED),
    ("core", (48, 48, 0, 0), 3, True, HARDWARE),
    ("core", (99, 0, 0, 0), 1, False, GEMINI),
    ("core", (99, 0, 0, 0), 2, True, OUT),
    ("core", (100, 0, 0, 0), 1, True, OUT),
    ("core", (101, 60, 0, 0), 1, True, OUT),
    ("core", (0, 0, 5000, 5000), 50, False, GEMINI),
    ("pro", (5000, 5000, 499, 499), 1, False, GEMINI),
    ("pro", (0, 0, 500, 500), 1, False, CAPPED),
    ("pro", (0, 0, 500, 500), 500, True, HARDWARE),
    ("pro", (0, 0, 1000, 0), 1, True, OUT),
    ("max", (0, 0, 10**9, 10**9), 10**6, False, GEMINI),
    ("retired", (100, 0, 0, 0), 1, True, OUT),
]


def test_a_reserve_decides_as_plan_does(start_with):
    client = start_with([row(f"i{n}", case[0], case[1]) for n, case in enumerate(DECISIONS)])
    for n, (_, _, credits, hardware, (backend, reason)) in enumerate(DECISIONS):
        fields = {"credits": credits, "has_hardware": hardware}
        decision = plan(client, f"i{n}", **fields)
        assert (decision["backend"], decision["reason"]) == (backend, reason), DECISIONS[n]
        before = state(client, f"i{n}")
        answer = ask(client, f"i{n}", **fields)
        if reason is None:
            assert (answer.status, answer.json["backend"]) == (201, backend), DECISIONS[n]
            assert show(client, f"i{n}")["balance"]["held"] == credits
        else:
            check_out(answer, reason)
            assert state(client, f"i{n}") == before


@pytest.mark.parametrize("fields, reason", [
    ({"credits": 101}, "out_of_credits"),
    ({"credits": 51}, "gemini_cap_exceeded_no_hardware"),
])
def test_a_refused_reserve_creates_nothing(client, fields, reason):
    check_out(ask(client, **fields), reason)
    check_refused(client.get("/v1/installs/a"), 404, "unknown_install")
    assert client.put("/v1/installs/a").status == 201


@pytest.mark.parametrize("flags, has_hardware", [
    ([], False), (["--no-hardware"], False), (["--hardware"], True)])
def test_the_server_s_setting_decides_on_hardware_unless_reserve_does(start, connect, flags, has_hardware):
    client = connect(start(*flags))
    if has_hardware:
        assert reserve(client, credits=51)["backend"] == "hardware"
    else:
        check_out(ask(client, credits=51), CAPPED[1])
    assert reserve(client, "b", credits=51, has_hardware=True)["backend"] == "hardware"
    check_out(ask(client, "c", credits=51, has_hardware=False), CAPPED[1])


# --- holds


def test_every_balance_is_net_of_holds(client):
    result = [reserve(client, credits=3), reserve(client, credits=51, has_hardware=True)]
    assert [r["backend"] for r in result] == ["gemini", "hardware"]
    expected = {"remaining": 46, "capped": "lifetime", "gemini_remaining": 47, "held": 54}
    assert result[1]["balance"] == expected
    assert plan(client)["balance"] == expected
    assert show(client)["balance"] == expected
    assert client.get("/v1/installs").json["installs"] == [show(client)]
    assert counters(show(client)) == [0, 0, 0, 0]


def test_holds_count_on_their_own_counter_and_held_counts_all(client):
    result = reserve(client, tier="pro", credits=10)
    assert result["balance"] == {"remaining": 990, "capped": "monthly", "gemini_remaining": 490,
                               "held": 10}
    assert show(client)["balance"] == {**UNTOUCHED, "held": 10}
    assert plan(client, tier="pro")["balance"] == result["balance"]
    assert plan(client, tier="max")["balance"] == {
        "remaining": None, "capped": "monthly", "gemini_remaining": None, "held": 10}


def test_tiers_with_the_same_counter_share_holds(start_with):
    client = start_with([], {**QUOTA, "team": {"monthly": 20, "geminiCapMonthly": 16}})
    reserve(client, tier="pro", credits=15)
    assert plan(client, tier="team")["balance"] == {
        "remaining": 5, "capped": "monthly", "gemini_remaining": 1, "held": 15}
    check_out(ask(client, tier="team", credits=6, has_hardware=True), "out_of_credits")
    assert reserve(client, tier="team", credits=5, has_hardware=True)["backend"] == "hardware"


def test_held_credits_are_not_granted_again(client):
    assert reserve(client, credits=50)["backend"] == "gemini"
    check_out(ask(client), CAPPED[1])
    assert plan(client)["reason"] == CAPPED[1]
    assert plan(client, has_hardware=True)["backend"] == "hardware"
    assert reserve(client, credits=50, has_hardware=True)["backend"] == "hardware"
    check_out(ask(client, has_hardware=True), "out_of_credits")
    assert plan(client, has_hardware=True)["reason"] == "out_of_credits"
    assert show(client)["balance"] == {**UNTOUCHED, "remaining": 0, "gemini_remaining": 0,
                                       "held": 100}


def test_a_commit_may_use_held_credits_and_no_balance_is_below_zero(client):
    held = reserve(client, credits=50)
    install = ok(commit(client, credits=60))
    assert install["balance"] == {"remaining": 0, "capped": "lifetime", "gemini_remaining": 0,
                                  "held": 50}
    assert counters(ok(settle(client, held))) == [110, 110, 0, 0]


def test_a_reserve_makes_the_new_month_permanent(start_with):
    client = start_with([row("a", "pro", (7, 3, 1000, 500), "2026-01")])
    assert reserve(client)["balance"]["remaining"] == 999
    stored = client.get("/v1/snapshot").json["rows"]["a"]
    assert (stored["month"] > "2026-01", counters(stored)) == (True, [7, 3, 0, 0])


def test_a_hold_has_its_row_s_month_which_never_rolls_backwards(clock, start, connect):  # noqa: F811
    clock.set("2026-12-01 00:00:01")
    client = connect(start(env=clock.environment))
    ok(client.post("/v1/installs/a/commit", {"backend": "hardware", "tier": "pro", "credits": 998}))
    clock.set("2026-11-30 23:00:00")
    held = reserve(client, credits=2)
    check_out(ask(client), "out_of_credits")
    assert counters(ok(settle(client, held))) == [0, 0, 1000, 2]
    assert [e["month"] for e in all_entries(client, "a")] == ["2026-12"] * 3


# --- settle


@pytest.mark.parametrize("tier, fields, consumed, remaining, gemini_remaining", [
    ("core", {}, [5, 5, 0, 0], 95, 45),
    ("core", {"credits": 5}, [5, 5, 0, 0], 95, 45),
    ("core", {"backend": "gemini"}, [5, 5, 0, 0], 95, 45),
    ("core", {"credits": 2}, [2, 2, 0, 0], 98, 48),
    ("core", {"credits": 0}, [0, 0, 0, 0], 100, 50),
    ("core", {"backend": "hardware"}, [5, 0, 0, 0], 95, 50),
    ("core", {"backend": "hardware", "credits": 2}, [2, 0, 0, 0], 98, 50),
    ("core", {"backend": "hardware", "credits": 0}, [0, 0, 0, 0], 100, 50),
    ("pro", {}, [0, 0, 5, 5], 995, 495),
    ("pro", {"backend": "hardware", "credits": 4}, [0, 0, 4, 0], 996, 500),
    ("max", {}, [0, 0, 5, 5], None, None),
])
def test_a_settle_debits_its_amount_and_frees_the_rest(client, tier, fields, consumed, remaining, gemini_remaining):
    held = reserve(client, tier=tier, credits=5)
    install = ok(settle(client, held, **fields))
    assert counters(install) == consumed
    assert (install["version"], install["tier_snapshot"]) == (2, tier)
    assert install["balance"] == {
        "remaining": remaining, "capped": "lifetime" if tier == "core" else "monthly",
        "gemini_remaining": gemini_remaining, "held": 0}
    assert show(client) == install


@pytest.mark.parametrize("body", [None, b"", {}], ids=["none", "empty", "object"])
def test_a_settle_reads_an_empty_body_as_an_empty_object(client, body):
    held = reserve(client, credits=2)
    answer = client.post(path_to(held) + "/commit", body)
    assert counters(ok(answer)) == [2, 2, 0, 0]


def test_a_settle_ends_only_its_own_reservation(client):
    first, second = reserve(client, credits=3), reserve(client, credits=4)
    assert ok(settle(client, second))["balance"]["held"] == 3
    install = ok(settle(client, first))
    assert (counters(install), install["balance"]["held"]) == ([7, 7, 0, 0], 0)


def test_a_hold_on_hardware_settles_on_gemini_only_if_its_cap_has_room(client):
    other = reserve(client, credits=48)
    held = reserve(client, credits=3, has_hardware=True)
    assert held["backend"] == "hardware"
    before = state(client)
    check_refused(settle(client, held, backend="gemini"), 409, "gemini_cap_exceeded")
    assert state(client) == before
    ok(release(client, other))
    install = ok(settle(client, held, backend="gemini"))
    assert counters(install) == [3, 3, 0, 0]
    assert install["balance"] == {**UNTOUCHED, "remaining": 97, "gemini_remaining": 47}


def test_a_hold_that_cannot_settle_on_gemini_stays_live(client):
    ok(commit(client, credits=50))
    held = reserve(client, credits=3, has_hardware=True)
    check_refused(settle(client, held, backend="gemini"), 409, "gemini_cap_exceeded")
    assert show(client)["balance"]["held"] == 3
    assert counters(ok(settle(client, held))) == [53, 50, 0, 0]


def test_a_hold_on_gemini_settles_there_even_if_the_cap_was_lowered(client):
    held = reserve(client, credits=5)
    lowered = {**QUOTA, "core": {"lifetime": 1, "geminiCapLifetime": 0}}
    assert client.put("/v1/quota", lowered).status == 200
    assert counters(ok(settle(client, held, backend="gemini"))) == [5, 5, 0, 0]


def test_the_counter_of_a_hold_survives_a_change_of_the_quota(client):
    held = reserve(client, tier="pro", credits=3)
    client.put("/v1/quota", {**QUOTA, "pro": {"lifetime": 10, "geminiCapLifetime": 10}})
    assert plan(client, tier="pro")["balance"] == {
        "remaining": 10, "capped": "lifetime", "gemini_remaining": 10, "held": 3}
    assert counters(ok(settle(client, held))) == [0, 0, 3, 3]
    assert [e["counter"] for e in all_entries(client, "a")] == ["monthly", "monthly"]


def test_a_hold_of_a_tier_that_left_the_quota_still_settles(client):
    held = reserve(client, tier="pro", credits=3)
    assert client.put("/v1/quota", {"core": {"lifetime": 100}}).status == 200
    install = ok(settle(client, held))
    assert (counters(install), install["tier_snapshot"]) == ([0, 0, 3, 3], "pro")


@pytest.mark.parametrize("credits", [6, 100, 1_000_000])
def test_a_settle_of_more_than_the_hold_is_refused(client, credits):
    held = reserve(client, credits=5)
    before = state(client)
    check_problem(settle(client, held, credits=credits), 422, "invalid_request", "credits")
    assert state(client) == before
    assert counters(ok(settle(client, held, credits=5))) == [5, 5, 0, 0]


@pytest.mark.parametrize("fields", [{}, {"credits": 2}, {"backend": "hardware", "credits": 0}])
def test_a_repeated_settle_gets_the_same_answer(client, fields):
    held = reserve(client, credits=5)
    first = settle(client, held, **fields)
    assert first.status == 200
    ok(commit(client, credits=7))
    before = state(client)
    for _ in range(2):
        again = settle(client, held, **fields)
        assert (again.status, again.body) == (200, first.body)
    assert state(client) == before


@pytest.mark.parametrize("fields", [
    {}, {"credits": 3}, {"credits": 0}, {"credits": 2, "backend": "hardware"},
    {"backend": "hardware"}], ids=str)
def test_a_settle_with_other_fields_is_refused_once_settled(client, fields):
    held = reserve(client, credits=5)
    first = settle(client, held, credits=2)
    before = state(client)
    check_refused(settle(client, held, **fields), 409, "reservation_settled")
    assert state(client) == before
    assert settle(client, held, credits=2).body == first.body


# --- release


def test_a_release_frees_the_hold_and_debits_nothing(client):
    other = reserve(client, credits=4)
    held = reserve(client, credits=5)
    install = ok(release(client, held))
    assert counters(install) == [0, 0, 0, 0]
    assert install["balance"] == {**UNTOUCHED, "remaining": 96, "gemini_remaining": 46, "held": 4}
    assert install["version"] == 3
    assert show(client) == install
    assert ok(release(client, other))["balance"] == UNTOUCHED


def test_a_repeated_release_is_200_and_has_no_effect(client):
    held = reserve(client)
    first = ok(release(client, held))
    before = state(client)
    assert ok(release(client, held)) == first
    assert state(client) == before


# --- neither settle nor release


@pytest.mark.parametrize("install_id", ["a", "b", "new"])
def test_an_unknown_reservation_is_404(client, install_id):
    held = reserve(client)
    client.put("/v1/installs/b")
    unknown = held if install_id != "a" else {"reservation_id": "never-seen"}
    known = ["unknown_reservation"] + ["unknown_install"] * (install_id == "new")
    before = [state(client, i) for i in ("a", "b")]
    for answer in (settle(client, unknown, install_id), release(client, unknown, install_id)):
        check_refused(answer, 404, answer.json["code"])
        assert answer.json["code"] in known
    assert [state(client, i) for i in ("a", "b")] == before
    assert len(client.get("/v1/installs").json["installs"]) == 2


@pytest.mark.parametrize("path, allowed", [
    ("/v1/installs/a/reservations", "POST"),
    ("/v1/installs/a/reservations/r", "DELETE"),
    ("/v1/installs/a/reservations/r/commit", "POST"),
])
def test_a_method_that_a_reservations_path_lacks_is_405(client, path, allowed):
    for method in {"PUT", "PATCH", "POST", "DELETE"} - {allowed}:
        answer = client.request(method, path)
        check_problem(answer, 405, "method_not_allowed")
        assert allowed in answer.headers["Allow"].split(", ")


# --- the audit trail


def test_entries_show_each_step_of_a_reservation(client):
    settled = reserve(client, credits=4)
    ok(settle(client, settled, credits=3, backend="hardware"))
    released = reserve(client, tier="pro", credits=2)
    ok(release(client, released))
    result = all_entries(client, "a")
    for entry in result:
        assert abs(parse_time(entry.pop("at")) - now()) < timedelta(minutes=1)
    shared = {"month": show(client)["month"], "idempotency_key": None}
    core = {**shared, "tier": "core", "counter": "lifetime",
            "reservation_id": settled["reservation_id"]}
    pro = {**shared, "tier": "pro", "counter": "monthly",
           "reservation_id": released["reservation_id"]}
    assert result[:3] == [
        {"version": 1, "kind": "reserve", "backend": "gemini", "credits": 4, **core},
        {"version": 2, "kind": "settle", "backend": "hardware", "credits": 3, **core},
        {"version": 3, "kind": "reserve", "backend": "gemini", "credits": 2, **pro},
    ]
    [freed] = result[3:]
    assert set(freed) == set(result[0])
    assert freed["credits"] in (0, 2)
    assert {k: freed[k] for k in ("version", "kind", "tier", "reservation_id", "month")} == {
        "version": 4, "kind": "release", "tier": "pro", "month": shared["month"],
        "reservation_id": released["reservation_id"]}


def test_a_settle_of_0_credits_has_its_entry_too(client):
    ok(settle(client, reserve(client, credits=4), credits=0))
    assert [(e["kind"], e["credits"]) for e in all_entries(client, "a")] == [
        ("reserve", 4), ("settle", 0)]


def test_reserve_and_release_leave_tier_snapshot_and_last_active_at_unchanged(start_with):
    client = start_with([row("a", "pro")])
    ok(release(client, reserve(client, tier="core")))
    install = show(client)
    assert (install["tier_snapshot"], install["last_active_at"]) == ("pro", LONG_AGO)
    assert install["version"] == 3


@pytest.mark.parametrize("fields", [{}, {"credits": 0}], ids=str)
def test_a_settle_sets_tier_snapshot_and_last_active_at(start_with, fields):
    client = start_with([row("a", "pro")])
    held = reserve(client, tier="max")
    before = now() - timedelta(milliseconds=1)
    install = ok(settle(client, held, **fields))
    assert install["tier_snapshot"] == "max"
    assert before <= parse_time(install["last_active_at"]) <= now()


# --- expiry


def test_an_expired_hold_frees_its_credits_by_itself(client):
    held = reserve(client, credits=100, has_hardware=True, ttl_seconds=1)
    check_out(ask(client), "out_of_credits")
    sleep_past(held)
    assert show(client)["balance"] == plan(client)["balance"] == UNTOUCHED
    assert client.get("/v1/installs").json["installs"] == [show(client)]
    assert (show(client)["version"], kinds(client)) == (1, ["reserve"])

    check_refused(settle(client, held), 410, "reservation_expired")
    [reserved, expired] = all_entries(client, "a")
    assert (expired["version"], expired["kind"]) == (2, "expire")
    for name in ("reservation_id", "tier", "month"):
        assert expired[name] == reserved[name]
    assert expired["credits"] in (0, 100)
    before = state(client)
    for fields in ({}, {"credits": 0}, {"backend": "gemini"}):
        check_refused(settle(client, held, **fields), 410, "reservation_expired")
    install = ok(release(client, held))
    assert (install["balance"], counters(install)) == (UNTOUCHED, [0, 0, 0, 0])
    assert state(client) == before
    assert reserve(client, credits=50)["backend"] == "gemini"


def test_a_release_of_an_expired_hold_is_200(client):
    held = reserve(client, ttl_seconds=1)
    sleep_past(held)
    for _ in range(2):
        install = ok(release(client, held))
        assert (install["balance"], counters(install)) == (UNTOUCHED, [0, 0, 0, 0])
    assert settle(client, held).status in (409, 410)
    assert counters(show(client)) == [0, 0, 0, 0]


MUTATIONS = {
    "commit": lambda client, _: commit(client, "commit"),
    "reserve": lambda client, _: ask(client, "reserve"),
    "settle": lambda client, other: settle(client, other, "settle"),
    "release": lambda client, other: release(client, other, "release"),
}


def test_the_next_mutation_writes_the_expire_entries_before_its_own(client):
    held = {kind: [reserve(client, kind, ttl_seconds=ttl) for ttl in (600, 1, 1)]
            for kind in MUTATIONS}
    sleep_past(held["release"][2])
    for kind, mutate in MUTATIONS.items():
        assert mutate(client, held[kind][0]).status in (200, 201)
        result = all_entries(client, kind)
        assert [e["kind"] for e in result] == ["reserve"] * 3 + ["expire"] * 2 + [kind]
        assert [e["version"] for e in result] == list(range(1, 7))
        assert {e["reservation_id"] for e in result[3:5]} == {
            r["reservation_id"] for r in held[kind][1:]}
        assert show(client, kind)["version"] == 6


def test_a_commit_for_an_expired_hold_debits_once(client):
    """Whether or not a settle was refused before as too late."""
    held = {install_id: reserve(client, install_id, credits=5, ttl_seconds=1)
            for install_id in ("refused", "unsettled")}
    sleep_past(held["unsettled"])
    check_refused(settle(client, held["refused"], "refused"), 410, "reservation_expired")
    for install_id, reservation in held.items():
        first = commit_for(client, reservation, install_id, credits=4)
        assert counters(ok(first)) == [4, 4, 0, 0]
        again = commit_for(client, reservation, install_id, credits=4)
        assert (again.status, again.body) == (200, first.body)
        assert again.headers["Idempotency-Replayed"] == "true"
        result = all_entries(client, install_id)
        assert [e["kind"] for e in result] == ["reserve", "expire", "commit"]
        assert result[2]["idempotency_key"] == reservation["reservation_id"]
        assert settle(client, reservation, install_id).status in (409, 410)
        assert show(client, install_id) == first.json


# --- a commit whose key is a reservation


def test_a_commit_for_a_live_hold_ends_it(client):
    other, held = reserve(client, credits=2), reserve(client, credits=10)
    first = commit_for(client, held, credits=3)
    install = ok(first)
    assert counters(install) == [3, 3, 0, 0]
    assert install["balance"] == {**UNTOUCHED, "remaining": 95, "gemini_remaining": 45, "held": 2}
    result = all_entries(client, "a")
    assert [e["version"] for e in result] == list(range(1, install["version"] + 1))
    assert (result[-1]["kind"], result[-1]["credits"]) == ("commit", 3)
    assert result[-1]["idempotency_key"] == held["reservation_id"]

    before = state(client)
    for answer in (settle(client, held), settle(client, held, credits=3), release(client, held)):
        check_refused(answer, 409, "reservation_settled")
    again = commit_for(client, held, credits=3)
    assert (again.status, again.body) == (200, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert state(client) == before
    ok(settle(client, other))


def test_a_commit_for_a_hold_debits_any_amount(client):
    held = reserve(client, credits=10)
    install = ok(commit_for(client, held, tier="pro", backend="hardware", credits=2_000))
    assert counters(install) == [0, 0, 2_000, 0]
    assert (install["tier_snapshot"], install["balance"]["held"]) == ("pro", 0)


@pytest.mark.parametrize("credits", [5, 3, 0])
def test_a_commit_for_a_settled_hold_is_refused_and_debits_nothing(client, credits):
    held = reserve(client, credits=5)
    first = settle(client, held, credits=credits)
    before = state(client)
    for _ in range(2):
        check_refused(commit_for(client, held, credits=5), 409, "reservation_settled")
    assert state(client) == before
    assert settle(client, held, credits=credits).body == first.body


def test_a_commit_for_a_released_hold_debits_once(client):
    held = reserve(client, credits=5)
    ok(release(client, held))
    first = commit_for(client, held, credits=4)
    assert counters(ok(first)) == [4, 4, 0, 0]
    assert commit_for(client, held, credits=4).body == first.body
    assert counters(show(client)) == [4, 4, 0, 0]


def test_the_reservation_of_another_install_is_a_key_like_any_other(client):
    held = reserve(client, credits=5)
    assert counters(ok(commit_for(client, held, "b"))) == [1, 1, 0, 0]
    assert show(client)["balance"]["held"] == 5
    assert counters(ok(settle(client, held))) == [5, 5, 0, 0]


# --- the limit


def reserve_many(client, count, **fields):
    operations = [{"op": "reserve", "install_id": "a", "tier": "max", **fields}] * count
    results = ok(client.post("/v1/batch", {"operations": operations}))["results"]
    assert {r["status"] for r in results} == {201}
    return results


def test_an_install_has_at_most_a_thousand_live_reservations(client):
    held = reserve_many(client, LIVE_MAX)
    before = state(client)
    check_refused(ask(client, tier="max"), 429, "too_many_reservations")
    check_refused(ask(client), 429, "too_many_reservations")
    assert state(client) == before
    assert show(client)["balance"]["held"] == LIVE_MAX
    reserve(client, "b")

    ends = [release, settle, commit_for]
    for reservation, end in zip(held, ends):
        ok(end(client, reservation))
        reserve(client, tier="max")
        check_refused(ask(client, tier="max"), 429, "too_many_reservations")


def test_expired_reservations_leave_room(client):
    held = reserve_many(client, LIVE_MAX, ttl_seconds=1)
    sleep_past(held[-1])
    reserve(client, tier="max")
    result = all_entries(client, "a")
    assert sorted(e["kind"] for e in result) == ["expire"] * LIVE_MAX + ["reserve"] * (LIVE_MAX + 1)
    assert [e["version"] for e in result] == list(range(1, len(result) + 1))
    assert show(client)["balance"]["held"] == 1


# --- bad requests


@pytest.fixture(scope="module")
def held_there(shared_server):
    client = Client(shared_server.port)
    yield reserve(client, credits=5, ttl_seconds=86_400)
    client.close()


INVALID = (422, "invalid_request")
WRONG_TYPES = [None, "x", "1", "", 1.5, 1.0, True, [], {}]


@pytest.mark.parametrize("body, expected, field", [
    *[({"ttl_seconds": value}, INVALID, "ttl_seconds")
      for value in (0, -1, 86_401, 2**32 + 1, 2**64 + 1, *WRONG_TYPES)],
    *[({"credits": value}, INVALID, "credits")
      for value in (0, -1, 1_000_001, 2**32 + 1, 2**64 + 1, *WRONG_TYPES)],
    *[({"has_hardware": value}, INVALID, "has_hardware") for value in (None, 0, 1, "true", [])],
    *[({"tier": value}, INVALID, "tier") for value in (None, 1, True, [], {})],
    *[({"tier": value}, (422, "unknown_tier"), "tier") for value in ("", "gold", "Core", "core ")],
    *[({name: "core"}, INVALID, name)
      for name in ("backend", "colour", "Tier", "ttl", "install_id", "reservation_id",
                   "idempotency_key")],
    ({"tier": "core", "credits": 1, "colour": 1}, INVALID, "colour"),
    (b'{"credits":1,"credits":1}', INVALID, "credits"),
    *[(body, INVALID, None) for body in (b"[]", b"null", b"1", b'"core"')],
    *[(body, (400, "invalid_json"), None) for body in (b"{", b"nonsense", b'{"credits":}')],
], ids=repr)
def test_a_bad_reserve_is_refused(shared_server, held_there, connect, body, expected, field):
    client = connect(shared_server)
    before = state(client)
    check_problem(client.post("/v1/installs/a/reservations", body), *expected, field)
    assert state(client) == before
    check_problem(client.post("/v1/installs/new/reservations", body), *expected, field)
    check_refused(client.get("/v1/installs/new"), 404, "unknown_install")


@pytest.mark.parametrize("body, expected, field", [
    *[({"credits": value}, INVALID, "credits")
      for value in (-1, 6, 1_000_001, 2**32, 2**64, *WRONG_TYPES)],
    *[({"backend": value}, INVALID, "backend")
      for value in (None, "", "cloud", "Gemini", 1, True, [], {})],
    *[({name: "core"}, INVALID, name)
      for name in ("tier", "colour", "Credits", "ttl_seconds", "has_hardware", "reservation_id")],
    (b'{"credits":1,"credits":1}', INVALID, "credits"),
    *[(body, INVALID, None) for body in (b"[]", b"null", b"1")],
    *[(body, (400, "invalid_json"), None) for body in (b"{", b"nonsense")],
], ids=repr)
def test_a_bad_settle_is_refused(shared_server, held_there, connect, body, expected, field):
    client = connect(shared_server)
    before = state(client)
    check_problem(client.post(path_to(held_there) + "/commit", body), *expected, field)
    assert state(client) == before


@pytest.mark.parametrize("method, path", [
    ("POST", "reservations"), ("POST", "reservations/r/commit"), ("DELETE", "reservations/r")])
def test_a_bad_install_id_is_refused(shared_server, connect, method, path):
    client = connect(shared_server)
    for install_id in ("", "%20", "..", "a%00", "%C3%A4", "x" * 129):
        answer = client.request(method, f"/v1/installs/{install_id}/{path}")
        check_problem(answer, 400, "invalid_install_id", "install_id")


# --- surviving the actor


def test_every_end_of_a_reservation_survives_its_actor(life):
    client, next_life = life
    live = reserve(client, credits=7)
    settled, released, committed = (reserve(client, credits=5) for _ in range(3))
    expired, unseen = (reserve(client, credits=5, ttl_seconds=1) for _ in range(2))
    stored = settle(client, settled, credits=3)
    ok(release(client, released))
    result = commit_for(client, committed, credits=2)
    sleep_past(unseen)
    check_refused(settle(client, expired), 410, "reservation_expired")
    before = state(client)

    client = next_life()
    assert state(client) == before
    install = show(client)
    assert (install["balance"]["held"], counters(install)) == (7, [5, 5, 0, 0])
    check_refused(settle(client, unseen), 410, "reservation_expired")
    before = state(client)
    for _ in range(2):
        for answer, first in ((settle(client, settled, credits=3), stored),
                              (commit_for(client, committed, credits=2), result)):
            assert (answer.status, answer.body) == (200, first.body)
        for answer in (settle(client, settled), release(client, settled),
                       commit_for(client, settled), settle(client, committed),
                       release(client, committed)):
            check_refused(answer, 409, "reservation_settled")
        check_refused(settle(client, released), 409, "reservation_released")
        for reservation in (expired, unseen):
            check_refused(settle(client, reservation), 410, "reservation_expired")
        for reservation in (released, expired):
            ok(release(client, reservation))
    assert state(client) == before
    assert counters(ok(settle(client, live))) == [12, 12, 0, 0]


def test_a_live_hold_survives_its_actor_with_its_fields(life):
    client, next_life = life
    held = reserve(client, tier="pro", credits=501, has_hardware=True)
    ok(commit(client, credits=9))
    client = next_life()
    assert show(client)["balance"] == {**UNTOUCHED, "remaining": 91, "gemini_remaining": 41,
                                       "held": 501}
    assert plan(client, tier="pro")["balance"] == {
        "remaining": 499, "capped": "monthly", "gemini_remaining": 500, "held": 501}
    check_out(ask(client, tier="pro", credits=500, has_hardware=True), "out_of_credits")
    assert counters(ok(settle(client, held))) == [9, 9, 501, 0]


def test_a_hold_that_expires_while_no_server_runs_has_ended_at_startup(start, connect):
    server = start()
    held = reserve(connect(server), credits=100, has_hardware=True, ttl_seconds=1)
    server.kill()
    sleep_past(held)
    server = start()
    client = connect(server)
    assert show(client)["balance"] == UNTOUCHED
    check_refused(settle(client, held), 410, "reservation_expired")
    server.kill()
    client = connect(start())
    assert kinds(client) == ["reserve", "expire"]
    check_refused(settle(client, held), 410, "reservation_expired")


@pytest.mark.parametrize("end", [settle, release, commit_for], ids=lambda end: end.__name__)
def test_a_kill_right_after_an_answer_loses_neither_a_hold_nor_its_end(start, connect, end):
    server = start()
    held = reserve(connect(server), credits=10)
    server.kill()
    server = start()
    client = connect(server)
    assert show(client)["balance"]["held"] == 10
    ended = ok(end(client, held))
    server.kill()
    assert show(connect(start())) == ended


# --- concurrency


def test_concurrent_reserves_get_exactly_the_credits_left(client, connect):
    clients = [connect(client) for _ in range(8)]
    answers = sum(at_once(clients, lambda c: [ask(c, has_hardware=True) for _ in range(20)]), [])
    granted = [a.json for a in answers if a.status == 201]
    assert len({r["reservation_id"] for r in granted}) == len(granted) == 100
    assert [r["backend"] for r in granted].count("gemini") == 50
    for answer in answers:
        if answer.status != 201:
            check_out(answer, "out_of_credits")
    assert show(client)["balance"] == {**UNTOUCHED, "remaining": 0, "gemini_remaining": 0,
                                       "held": 100}
    assert [e["version"] for e in all_entries(client, "a")] == list(range(1, 101))


def test_concurrent_reserves_settles_and_releases_never_overspend(client, connect):
    def work(own):
        spent = 0
        for n in range(25):
            answer = ask(own, credits=n % 4 + 1, has_hardware=True)
            if answer.status != 201:
                check_out(answer, "out_of_credits")
            elif n % 3 == 0:
                ok(release(own, answer.json))
            else:
                ok(settle(own, answer.json, credits=n % 4))
                spent += n % 4
            install = show(own)
            assert install["lifetime_consumed"] + install["balance"]["held"] <= 100
            assert install["lifetime_gemini_consumed"] <= 50
        return spent

    spent = sum(at_once([connect(client) for _ in range(8)], work))
    install = show(client)
    assert (install["lifetime_consumed"], install["balance"]["held"]) == (spent, 0)
    held = used = 0
    live = {}
    for entry in all_entries(client, "a"):
        if entry["kind"] == "reserve":
            live[entry["reservation_id"]] = entry["credits"]
            held += entry["credits"]
        else:
            held -= live.pop(entry["reservation_id"])
            used += entry["credits"] if entry["kind"] == "settle" else 0
        assert held + used <= 100
    assert (live, used) == ({}, spent)


def test_one_of_a_concurrent_settle_and_release_wins(client, connect):
    clients = [connect(client) for _ in range(4)]
    settled = 0
    for _ in range(20):
        held = reserve(client)
        answers = at_once(clients, lambda c: settle(c, held), lambda c: release(c, held))
        statuses = [a.status for a in answers]
        assert statuses in ([200, 409, 200, 409], [409, 200, 409, 200])
        code = "reservation_settled" if statuses[0] == 200 else "reservation_released"
        for answer in answers:
            if answer.status == 409:
                check_refused(answer, 409, code)
        settled += statuses[0] == 200
    assert counters(show(client)) == [settled, settled, 0, 0]


def test_a_kill_under_load_loses_no_hold_and_overspends_nothing(start, connect):
    server = start()
    granted, failures = [], []

    def work():
        own = Client(server.port)
        try:
            for credits in itertools.cycle((1, 2, 3)):
                answer = ask(own, tier="pro", credits=credits, has_hardware=True)
                if answer.status != 201:
                    check_out(answer, "out_of_credits")
                    return
                granted.append(answer.json)
        except (ConnectionError, HTTPException):
            pass
        except Exception as failure:  # noqa: BLE001
            failures.append(failure)
        finally:
            own.close()

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(granted) >= 100 or failures, "an answer to 100 reserves")
    server.kill()
    for thread in threads:
        thread.join()
    assert failures == []

    client = connect(start())
    answered = sum(r["credits"] for r in granted)
    held = show(client)["balance"]["held"]
    assert answered <= held <= 1000
    assert len({r["reservation_id"] for r in granted}) == len(granted)
    for reservation in granted:
        ok(settle(client, reservation))
    install = show(client)
    assert (install["monthly_consumed"], install["balance"]["held"]) == (answered, held - answered)
