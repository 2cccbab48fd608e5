"""The calls of a relay and of an operator, on a server that is well."""

import datetime
import re

import pytest

from creditsd import check_problem, path_of

THIS_MONTH = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m")
TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")


def test_put_creates_an_install_once(client):
    first = client.put(path_of("a"))
    assert first.status == 201
    install = first.json
    assert TIME.fullmatch(install.pop("last_active_at"))
    assert install == {
        "install_id": "a", "tier_snapshot": "core", "lifetime_consumed": 0,
        "lifetime_gemini_consumed": 0, "month": THIS_MONTH, "monthly_consumed": 0,
        "monthly_gemini_consumed": 0, "version": 1,
        "balance": {"remaining": 100, "capped": "lifetime", "gemini_remaining": 50, "held": 0}}
    again = client.put(path_of("a"))
    assert again.status == 200
    assert again.text == first.text


def test_get_creates_nothing(client):
    check_problem(client.install("a"), 404, "unknown_install")
    check_problem(client.get(path_of("a") + "/entries"), 404, "unknown_install")
    assert client.snapshot() == {}


def test_plan_creates_the_install_and_debits_nothing(client):
    assert client.plan("a").json == {
        "allowed": True, "backend": "gemini", "reason": None,
        "balance": {"remaining": 100, "capped": "lifetime", "gemini_remaining": 50, "held": 0}}
    install = client.install("a").json
    assert (install["version"], install["lifetime_consumed"]) == (1, 0)


@pytest.mark.parametrize("gemini, hardware, credits, has_hardware, expected", [
    (0, 0, 50, False, ("gemini", None)),
    (0, 0, 51, False, (None, "gemini_cap_exceeded_no_hardware")),
    (0, 0, 51, True, ("hardware", None)),
    (50, 0, 1, False, (None, "gemini_cap_exceeded_no_hardware")),
    (50, 0, 1, True, ("hardware", None)),
    (50, 49, 1, True, ("hardware", None)),
    (50, 49, 2, True, (None, "out_of_credits")),
    (50, 50, 1, True, (None, "out_of_credits")),
])
def test_plan_decides_by_balance_then_gemini_cap_then_hardware(
        client, gemini, hardware, credits, has_hardware, expected):
    if gemini:
        client.commit("a", "gemini", credits=gemini)
    if hardware:
        client.commit("a", "hardware", credits=hardware)
    plan = client.plan("a", credits=credits, has_hardware=has_hardware).json
    assert (plan["backend"], plan["reason"]) == expected
    assert plan["allowed"] == (plan["backend"] is not None)


@pytest.mark.parametrize("flag, backend", [("--hardware", "hardware"), ("--no-hardware", None)])
def test_plan_takes_the_servers_hardware_where_the_request_does_not_say(start, flag, backend):
    client = start(flag).client()
    client.commit("a", credits=50)
    assert client.plan("a").json["backend"] == backend


@pytest.mark.parametrize("tier, backend, consumed", [
    ("core", "gemini", (3, 3, 0, 0)),
    ("core", "hardware", (3, 0, 0, 0)),
    ("pro", "gemini", (0, 0, 3, 3)),
    ("max", "hardware", (0, 0, 3, 0)),
])
def test_commit_debits_the_counters_of_its_tier(client, tier, backend, consumed):
    before = client.put(path_of("a")).json
    install = client.commit("a", backend, tier, credits=3).json
    assert (install["lifetime_consumed"], install["lifetime_gemini_consumed"],
            install["monthly_consumed"], install["monthly_gemini_consumed"]) == consumed
    assert install["tier_snapshot"] == tier
    assert install["version"] == 2
    assert install["last_active_at"] >= before["last_active_at"]
    assert client.install("a").json == install


def test_commit_on_a_new_install_is_version_1_of_one_credit(client):
    install = client.commit("a").json
    assert (install["version"], install["lifetime_consumed"]) == (1, 1)
    assert [e["kind"] for e in client.entries("a")] == ["commit"]


def test_commit_debits_beyond_the_balance_as_the_backend_is_paid(client):
    install = client.commit("a", credits=1_000_000).json
    assert install["lifetime_consumed"] == 1_000_000
    assert install["balance"]["remaining"] == 0


@pytest.mark.parametrize("install_id", [
    "a/b", "a%2Fb", "a+b", "?x=1", "#", "!", "~", "%", "..a", "a" * 128, "__proto__", "\"'<>&",
    "{install_id}", ";", "\\"])
def test_an_id_of_any_printable_ascii_keeps_its_bytes(client, install_id):
    assert client.put(path_of(install_id)).json["install_id"] == install_id
    assert list(client.snapshot()) == [install_id]
    assert client.commit(install_id).json["install_id"] == install_id


def test_an_id_may_be_encoded_in_more_than_one_way(client):
    client.put("/v1/installs/a-b")
    assert client.get("/v1/installs/%61%2Db").status == 200
    assert client.get("/v1/installs/%61%2db").status == 200


def test_installs_are_listed_in_id_order_page_by_page(client):
    ids = ["B", "a", "a/1", "a/2", "b", "~"]
    for install_id in reversed(ids):
        client.commit(install_id, tier="pro" if install_id.startswith("a") else "core")
    found, after = [], ""
    for _ in range(3):
        page = client.get(f"/v1/installs?limit=2&after={after}").json
        found += page["installs"]
        after = page["next_after"]
    assert after is None
    assert [i["install_id"] for i in found] == ids
    assert found[0] == client.install("B").json

    def listed(query):
        return [i["install_id"] for i in client.get("/v1/installs?" + query).json["installs"]]
    assert listed("prefix=a%2F") == ["a/1", "a/2"]
    assert listed("tier=pro") == ["a", "a/1", "a/2"]
    assert listed("tier=pro&prefix=a/&after=a/1") == ["a/2"]
    assert listed("tier=gold") == []
    assert client.get("/v1/installs?limit=6").json["next_after"] is None


def test_entries_tell_every_version_newest_first(client):
    client.put(path_of("a"))
    client.commit("a", "gemini", "core", credits=2)
    client.commit("a", "hardware", "pro", credits=3)
    entries = client.entries("a")
    assert [e["version"] for e in entries] == [3, 2, 1]
    assert [e["kind"] for e in entries] == ["commit", "commit", "create"]
    assert TIME.fullmatch(entries[0].pop("at"))
    assert entries[0] == {
        "version": 3, "kind": "commit", "tier": "pro", "backend": "hardware", "credits": 3,
        "month": THIS_MONTH, "counter": "monthly", "idempotency_key": None,
        "reservation_id": None}
    page = client.get(path_of("a") + "/entries?limit=2").json
    assert page["next_before"] == 2
    assert client.get(path_of("a") + "/entries?limit=2&before=2").json["next_before"] is None


def test_a_snapshot_is_the_old_file_with_its_eight_fields(client):
    client.commit("a", "gemini", "pro", credits=3)
    client.put(path_of("b"))
    snapshot = client.get("/v1/snapshot")
    assert snapshot.headers["Content-Type"] == "application/json"
    rows = snapshot.json["rows"]
    assert list(rows) == ["a", "b"]
    for install_id, row in rows.items():
        shown = client.install(install_id).json
        del shown["version"], shown["balance"]
        assert list(row.items()) == list(shown.items())


@pytest.mark.parametrize("path", ["/v1/installs/a", "/v1/installs", "/healthz", "/v1/snapshot"])
def test_head_is_get_without_its_body(client, path):
    client.put(path_of("a"))
    head = client.request("HEAD", path)
    assert head.status == 200
    assert head.text == b""
    assert head.headers["Content-Type"] == "application/json"
    assert client.install("a").status == 200


def test_health_and_readiness(client):
    assert client.get("/healthz").status == 200
    assert client.get("/readyz").status == 200
