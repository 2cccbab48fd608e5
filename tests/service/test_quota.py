"""The quota: its file, its calls, and SIGHUP."""

import json
import signal

import pytest

from creditsd import check_problem, path_of, run

QUOTA = {"core": {"lifetime": 100, "geminiCapLifetime": 50},
         "max": {"monthly": None, "geminiCapMonthly": None},
         "pro": {"monthly": 1000, "geminiCapMonthly": 500}}

MISTAKES = [
    # quota, field
    ({}, "core"),
    ({"pro": {"monthly": 1}}, "core"),
    ({"core": []}, "core"),
    ({"core": {}}, "core"),
    ({"core": {"lifetime": 1, "monthly": 1}}, "core"),
    ({"core": {"lifetime": None}}, "core.lifetime"),
    ({"core": {"lifetime": -1}}, "core.lifetime"),
    ({"core": {"lifetime": 1.5}}, "core.lifetime"),
    ({"core": {"lifetime": "100"}}, "core.lifetime"),
    ({"core": {"lifetime": 1, "geminiCapLifetime": -1}}, "core.geminiCapLifetime"),
    ({"core": {"lifetime": 1, "geminiCapMonthly": 1}}, "core.geminiCapMonthly"),
    ({"core": {"lifetime": 1, "lifetme": 1}}, "core.lifetme"),
    ({**QUOTA, "pro": {"monthly": -1}}, "pro.monthly"),
    ({**QUOTA, "pro": {"monthly": True}}, "pro.monthly"),
    ({**QUOTA, "pro": {"monthly": 1, "geminiCapMonthly": "x"}}, "pro.geminiCapMonthly"),
    ({**QUOTA, "pro": {"geminiCapMonthly": 1}}, "pro"),
    ({**QUOTA, "pro": None}, "pro"),
]
IDS = range(len(MISTAKES))


def test_a_new_ledger_has_a_quota_that_makes_sense_and_a_file_to_edit(client, data_dir):
    assert client.get("/v1/quota").json == QUOTA
    assert json.loads((data_dir / "quota.json").read_text()) == QUOTA


def test_a_put_applies_at_once_and_is_kept(start, data_dir):
    server = start()
    client = server.client()
    client.commit("a", credits=3)
    changed = {"core": {"lifetime": 5}, "gold": {"monthly": 7, "geminiCapMonthly": 1}}
    full = {"core": {"lifetime": 5, "geminiCapLifetime": None}, "gold": changed["gold"]}
    assert client.put("/v1/quota", changed).json == full
    assert client.get("/v1/quota").json == full
    assert client.install("a").json["balance"] == {
        "remaining": 2, "capped": "lifetime", "gemini_remaining": None, "held": 0}
    assert client.commit("a", tier="gold").status == 200
    check_problem(client.commit("a", tier="pro"), 422, "unknown_tier", "tier")
    server.kill()
    assert start().client().get("/v1/quota").json == full


@pytest.mark.parametrize("quota, field", MISTAKES, ids=IDS)
def test_a_mistake_in_a_put_is_named_and_changes_nothing(client, data_dir, quota, field):
    before = (data_dir / "quota.json").read_bytes()
    problem = check_problem(client.put("/v1/quota", quota), 422, "invalid_request")
    assert problem["field"] == field
    for part in field.split("."):
        assert part in problem["detail"]
    assert client.get("/v1/quota").json == QUOTA
    assert (data_dir / "quota.json").read_bytes() == before


def test_a_put_that_is_no_json_or_no_object_is_refused(client):
    check_problem(client.put("/v1/quota", b"core: 1"), 400, "invalid_json")
    check_problem(client.put("/v1/quota"), 400, "invalid_json")
    check_problem(client.put("/v1/quota", []), 422, "invalid_request")
    check_problem(client.put("/v1/quota", b'{"core":{"lifetime":1},"core":{"lifetime":1}}'), 422,
                  "invalid_request", "core")
    assert client.get("/v1/quota").json == QUOTA


@pytest.mark.parametrize("quota, field", MISTAKES, ids=IDS)
def test_a_mistake_in_the_file_stops_the_start(tmp_path, data_dir, quota, field):
    path = tmp_path / "quota.json"
    path.write_text(json.dumps(quota))
    ended = run("--data-dir", data_dir, "--quota", path, "--listen", "127.0.0.1:0")
    assert ended.returncode == 1
    assert str(path) in ended.stderr
    for part in field.split("."):
        assert part in ended.stderr
    assert ended.stdout == ""


def test_a_file_that_is_no_json_or_not_there_stops_the_start(tmp_path, data_dir):
    path = tmp_path / "quota.json"
    ended = run("--data-dir", data_dir, "--quota", path)
    assert (ended.returncode, str(path) in ended.stderr) == (1, True)
    path.write_text('{"core":\n  {"lifetime":')
    ended = run("--data-dir", data_dir, "--quota", path)
    assert ended.returncode == 1
    assert str(path) in ended.stderr and "line 2" in ended.stderr


def test_sighup_reads_the_file_again(start, tmp_path):
    path = tmp_path / "quota.json"
    path.write_text(json.dumps(QUOTA))
    server = start("--quota", path)
    client = server.client()
    path.write_text('{"core":{"lifetime":9}}')
    assert client.get("/v1/quota").json == QUOTA
    server.signal(signal.SIGHUP)
    server.wait_for_log("quota read again")
    assert client.get("/v1/quota").json == {"core": {"lifetime": 9, "geminiCapLifetime": None}}


def test_sighup_on_a_broken_file_keeps_the_quota_and_the_server(start, tmp_path):
    path = tmp_path / "quota.json"
    path.write_text(json.dumps(QUOTA))
    server = start("--quota", path)
    path.write_text('{"core":{"lifetime":-9}}')
    server.signal(signal.SIGHUP)
    server.wait_for_log("core")
    assert "lifetime" in server.log()
    assert server.client().get("/v1/quota").json == QUOTA
    assert server.stop() == 0


def test_rows_of_a_tier_that_is_gone_are_judged_as_core_and_keep_its_name(client):
    client.commit("a", tier="pro", credits=4)
    client.put("/v1/quota", {"core": {"lifetime": 10, "geminiCapLifetime": 2}})
    install = client.install("a").json
    assert install["tier_snapshot"] == "pro"
    assert install["balance"] == {
        "remaining": 10, "capped": "lifetime", "gemini_remaining": 2, "held": 0}
    assert client.plan("a").json["balance"] == install["balance"]
    check_problem(client.plan("a", tier="pro"), 422, "unknown_tier", "tier")
    assert client.get("/v1/installs?tier=pro").json["installs"] == [install]


def test_a_change_of_a_tiers_counter_rewrites_no_history(client):
    client.commit("a", tier="pro", credits=4)
    client.put("/v1/quota", {**QUOTA, "pro": {"lifetime": 10}})
    assert client.install("a").json["balance"]["remaining"] == 10
    client.commit("a", tier="pro", credits=3)
    assert [e["counter"] for e in client.entries("a")] == ["lifetime", "monthly"]
    install = client.get(path_of("a")).json
    assert (install["lifetime_consumed"], install["monthly_consumed"]) == (3, 4)
