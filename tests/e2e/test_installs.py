"""Rows, balances, decisions and debits, from the view of relays and operators."""

import json
import re
import threading
from datetime import datetime, timedelta, timezone
from urllib.parse import quote

import pytest

import creditsd
from test_faults import clock  # noqa: F401

VECTORS = creditsd.REPO / "tests/data/decisions.json"

DEFAULT_BALANCES = {
    "core": {"remaining": 100, "capped": "lifetime", "gemini_remaining": 50, "held": 0},
    "pro": {"remaining": 1000, "capped": "monthly", "gemini_remaining": 500, "held": 0},
    "max": {"remaining": None, "capped": "monthly", "gemini_remaining": None, "held": 0},
}
COUNTERS = ["lifetime_consumed", "lifetime_gemini_consumed",
            "monthly_consumed", "monthly_gemini_consumed"]
ROW_FIELDS = ["install_id", "tier_snapshot", *COUNTERS[:2], "month", *COUNTERS[2:],
              "last_active_at"]
EVERY_PRINTABLE = "".join(chr(c) for c in range(0x21, 0x7F))


def now():
    return datetime.now(timezone.utc)


def this_month():
    return now().strftime("%Y-%m")


def parse_time(text):
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def counters(install):
    return [install[name] for name in COUNTERS]


def row(install_id, tier="core", consumed=(0, 0, 0, 0), month=None):
    return {"install_id": install_id, "tier_snapshot": tier,
            **dict(zip(COUNTERS, consumed)), "month": month or this_month(),
            "last_active_at": "2026-01-10T00:00:00.000Z"}


def commit(client, install_id, backend="gemini", tier="core", **fields):
    answer = client.post(f"/v1/installs/{quote(install_id, safe='')}/commit",
                         {"backend": backend, "tier": tier, **fields})
    assert answer.status == 200, answer.json
    return answer.json


def plan(client, install_id, **fields):
    answer = client.post(f"/v1/installs/{quote(install_id, safe='')}/plan", fields)
    assert answer.status == 200, answer.json
    return answer.json


def entries(client, install_id, query=""):
    return client.get(f"/v1/installs/{install_id}/entries{query}").json


def listed(client, query=""):
    answer = client.get(f"/v1/installs{query}")
    assert answer.status == 200, answer.json
    return [install["install_id"] for install in answer.json["installs"]]


def create(client, *install_ids):
    for install_id in install_ids:
        assert client.put(f"/v1/installs/{quote(install_id, safe='')}").status == 201


# --- put and get


def test_put_creates_once_and_then_shows(client):
    before = now() - timedelta(milliseconds=1)
    created = client.put("/v1/installs/a")
    assert created.status == 201
    assert created.headers["Content-Type"] == "application/json"
    assert before <= parse_time(created.json["last_active_at"]) <= now()
    assert created.json == {
        "install_id": "a", "tier_snapshot": "core", "lifetime_consumed": 0,
        "lifetime_gemini_consumed": 0, "month": this_month(), "monthly_consumed": 0,
        "monthly_gemini_consumed": 0, "last_active_at": created.json["last_active_at"],
        "version": 1, "balance": DEFAULT_BALANCES["core"]}

    again = client.put("/v1/installs/a")
    assert again.status == 200
    assert again.json == created.json


def test_put_accepts_an_empty_object_as_body(client):
    assert client.put("/v1/installs/a", {}).status == 201


def test_get_shows_the_same_as_put(client):
    created = client.put("/v1/installs/a").json
    shown = client.get("/v1/installs/a")
    assert shown.status == 200
    assert shown.json == created


@pytest.mark.parametrize("path", ["/v1/installs/a", "/v1/installs/a/entries"])
def test_a_read_of_an_unknown_install_is_404_and_creates_nothing(client, path):
    answer = client.get(path)
    assert answer.status == 404
    assert answer.json["code"] == "unknown_install"
    assert listed(client) == []
    assert client.put("/v1/installs/a").status == 201


def test_acknowledged_writes_survive_a_kill(start, connect):
    server = start()
    client = connect(server)
    create(client, "a")
    expected = commit(client, "b", credits=3)
    server.kill()

    client = connect(start())
    assert client.get("/v1/installs/a").json["version"] == 1
    assert client.get("/v1/installs/b").json == expected


# --- plan


def test_plan_creates_the_install_and_debits_nothing(client):
    assert plan(client, "a") == {"allowed": True, "backend": "gemini", "reason": None,
                                 "balance": DEFAULT_BALANCES["core"]}
    install = client.get("/v1/installs/a").json
    assert install["version"] == 1
    assert counters(install) == [0, 0, 0, 0]
    assert [e["kind"] for e in entries(client, "a")["entries"]] == ["create"]

    plan(client, "a")
    assert client.get("/v1/installs/a").json == install


@pytest.mark.parametrize("body", [None, b"", {}], ids=["none", "empty", "object"])
def test_plan_reads_an_empty_body_as_an_empty_object(client, body):
    assert client.post("/v1/installs/a/plan", body).json["allowed"] is True


@pytest.mark.parametrize("tier", DEFAULT_BALANCES)
def test_plan_judges_by_the_requested_tier_and_leaves_the_row_unchanged(client, tier):
    create(client, "a")
    before = client.get("/v1/installs/a").json
    assert plan(client, "a", tier=tier)["balance"] == DEFAULT_BALANCES[tier]
    assert client.get("/v1/installs/a").json == before


@pytest.mark.parametrize("tier", DEFAULT_BALANCES)
def test_plan_without_tier_judges_by_the_row_s_tier(start_with, tier):
    client = start_with([row("a", tier)])
    assert plan(client, "a")["balance"] == DEFAULT_BALANCES[tier]


GEMINI = (True, "gemini", None)
HARDWARE = (True, "hardware", None)
OUT = (False, None, "out_of_credits")
CAPPED = (False, None, "gemini_cap_exceeded_no_hardware")

DECISIONS = [
    # tier, consumed (lifetime, its gemini, monthly, its gemini), credits, hardware, decision
    ("core", (0, 0, 0, 0), 1, False, GEMINI),
    ("core", (49, 49, 0, 0), 1, False, GEMINI),
    ("core", (50, 50, 0, 0), 1, False, CAPPED),
    ("core", (50, 50, 0, 0), 1, True, HARDWARE),
    ("core", (48, 48, 0, 0), 2, False, GEMINI),
    ("core", (48, 48, 0, 0), 3, False, CAPPED),
    ("core", (48, 48, 0, 0), 3, True, HARDWARE),
    ("core", (99, 0, 0, 0), 1, False, GEMINI),
    ("core", (100, 0, 0, 0), 1, False, OUT),
    ("core", (100, 0, 0, 0), 1, True, OUT),
    ("core", (98, 0, 0, 0), 3, True, OUT),
    ("core", (101, 60, 0, 0), 1, True, OUT),
    ("core", (0, 0, 5000, 5000), 50, False, GEMINI),
    ("core", (0, 0, 0, 0), 51, True, HARDWARE),
    ("core", (0, 0, 0, 0), 100, True, HARDWARE),
    ("core", (0, 0, 0, 0), 101, True, OUT),
    ("pro", (0, 0, 499, 499), 1, False, GEMINI),
    ("pro", (0, 0, 500, 500), 1, False, CAPPED),
    ("pro", (0, 0, 500, 500), 1, True, HARDWARE),
    ("pro", (0, 0, 1000, 0), 1, True, OUT),
    ("pro", (0, 0, 999, 0), 1, False, GEMINI),
    ("pro", (5000, 5000, 0, 0), 500, False, GEMINI),
    ("max", (0, 0, 10**9, 10**9), 1, False, GEMINI),
    ("max", (0, 0, 10**9, 10**9), 10**6, False, GEMINI),
    ("retired", (49, 49, 5000, 5000), 1, False, GEMINI),
    ("retired", (100, 0, 0, 0), 1, True, OUT),
]


def test_the_decision_follows_credits_then_gemini_cap_then_hardware(start_with):
    client = start_with([row(f"i{n}", case[0], case[1]) for n, case in enumerate(DECISIONS)])
    for n, (tier, consumed, credits, hardware, expected) in enumerate(DECISIONS):
        decision = plan(client, f"i{n}", credits=credits, has_hardware=hardware)
        assert (decision["allowed"], decision["backend"], decision["reason"]) == expected, (
            tier, consumed, credits, hardware)


def test_plan_and_balance_answer_as_the_old_module_did(start_with):
    vectors = json.loads(VECTORS.read_text())
    by_quota = {}
    for vector in vectors:
        vector["row"]["month"] = this_month()
        by_quota.setdefault(json.dumps(vector["quota"]), []).append(vector)
    client = start_with([v["row"] for v in vectors])

    for quota, judged_by_it in by_quota.items():
        assert client.put("/v1/quota", json.loads(quota)).status == 200
        for vector in judged_by_it:
            install_id = vector["row"]["install_id"]
            balance = {**vector["balance"], "held": 0}
            assert client.get(f"/v1/installs/{install_id}").json["balance"] == balance, vector
            assert plan(client, install_id, has_hardware=vector["has_hardware"]) == {
                **vector["plan"], "balance": balance}, vector


@pytest.mark.parametrize("flags, expected", [
    ([], CAPPED),
    (["--no-hardware"], CAPPED),
    (["--hardware"], HARDWARE),
])
def test_the_server_s_setting_decides_on_hardware_unless_plan_does(start_with, flags, expected):
    client = start_with([row("a", "core", (50, 50, 0, 0))], None, *flags)
    decision = plan(client, "a")
    assert (decision["allowed"], decision["backend"], decision["reason"]) == expected
    assert plan(client, "a", has_hardware=True)["backend"] == "hardware"
    assert plan(client, "a", has_hardware=False)["allowed"] is False


# --- commit


@pytest.mark.parametrize("tier, backend, consumed, remaining, gemini_remaining", [
    ("core", "gemini", [3, 3, 0, 0], 97, 47),
    ("core", "hardware", [3, 0, 0, 0], 97, 50),
    ("pro", "gemini", [0, 0, 3, 3], 997, 497),
    ("pro", "hardware", [0, 0, 3, 0], 997, 500),
    ("max", "gemini", [0, 0, 3, 3], None, None),
    ("max", "hardware", [0, 0, 3, 0], None, None),
])
def test_commit_debits_the_counters_of_its_tier(client, tier, backend, consumed, remaining, gemini_remaining):
    create(client, "a")
    install = commit(client, "a", backend, tier, credits=3)
    assert counters(install) == consumed
    assert install["tier_snapshot"] == tier
    assert install["balance"] == {
        "remaining": remaining, "capped": "lifetime" if tier == "core" else "monthly",
        "gemini_remaining": gemini_remaining, "held": 0}
    assert client.get("/v1/installs/a").json == install


def test_commit_debits_the_counters_that_the_quota_caps_whatever_the_tier_s_name(start_with):
    client = start_with([], {"core": {"monthly": 10, "geminiCapMonthly": 5},
                             "trial": {"lifetime": 10}})
    assert counters(commit(client, "a", "gemini", "core")) == [0, 0, 1, 1]
    trial = commit(client, "a", "gemini", "trial")
    assert counters(trial) == [1, 1, 1, 1]
    assert trial["balance"] == {"remaining": 9, "capped": "lifetime", "gemini_remaining": None,
                                "held": 0}


def test_commit_debits_one_credit_by_default(client):
    assert counters(commit(client, "a")) == [1, 1, 0, 0]


def test_commit_debits_up_to_a_million_credits_even_below_zero(client):
    install = commit(client, "a", credits=1_000_000)
    assert counters(install) == [1_000_000, 1_000_000, 0, 0]
    assert install["balance"] == {"remaining": 0, "capped": "lifetime", "gemini_remaining": 0,
                                  "held": 0}
    assert counters(commit(client, "a")) == [1_000_001, 1_000_001, 0, 0]


def test_commit_on_a_new_id_is_its_version_1(client):
    assert commit(client, "a")["version"] == 1
    assert [e["kind"] for e in entries(client, "a")["entries"]] == ["commit"]


def test_each_mutation_counts_up_the_version_and_no_read_does(client):
    create(client, "a")
    assert [commit(client, "a")["version"] for _ in range(3)] == [2, 3, 4]
    plan(client, "a")
    client.put("/v1/installs/a")
    client.get("/v1/installs/a")
    assert client.get("/v1/installs/a").json["version"] == 4


def test_commit_sets_tier_snapshot_and_last_active_at(start_with):
    client = start_with([row("a", "core")])
    before = now() - timedelta(milliseconds=1)
    install = commit(client, "a", tier="max")
    assert install["tier_snapshot"] == "max"
    assert before <= parse_time(install["last_active_at"]) <= now()


def test_put_and_plan_leave_last_active_at_unchanged(start_with):
    client = start_with([row("a", "core")])
    client.put("/v1/installs/a")
    plan(client, "a", tier="max")
    install = client.get("/v1/installs/a").json
    assert install["last_active_at"] == "2026-01-10T00:00:00.000Z"
    assert install["tier_snapshot"] == "core"


# --- months


def test_in_a_later_month_the_monthly_counters_read_0(start_with):
    client = start_with([row("a", "pro", (7, 3, 1000, 500), "2026-01")])
    install = client.get("/v1/installs/a").json
    assert (install["month"], counters(install)) == (this_month(), [7, 3, 0, 0])
    assert install["balance"] == DEFAULT_BALANCES["pro"]
    assert install["version"] == 1
    [in_list] = client.get("/v1/installs").json["installs"]
    assert in_list == install
    assert plan(client, "a")["backend"] == "gemini"
    assert client.get("/v1/snapshot").json["rows"]["a"]["month"] == "2026-01"


def test_a_commit_makes_the_new_month_permanent(start_with):
    client = start_with([row("a", "pro", (7, 3, 1000, 500), "2026-01")])
    assert counters(commit(client, "a", "gemini", "pro")) == [7, 3, 1, 1]
    stored = client.get("/v1/snapshot").json["rows"]["a"]
    assert (stored["month"], counters(stored)) == (this_month(), [7, 3, 1, 1])


def test_the_month_never_rolls_backwards(clock, start, connect):  # noqa: F811
    clock.set("2026-12-01 00:00:01")
    client = connect(start(env=clock.environment))
    commit(client, "a", "gemini", "pro", credits=1000)
    clock.set("2026-11-30 23:00:00")
    assert plan(client, "a")["reason"] == "out_of_credits"
    install = commit(client, "a", "gemini", "pro")
    assert (install["month"], counters(install)) == ("2026-12", [0, 0, 1001, 1001])
    assert entries(client, "a")["entries"][0]["month"] == "2026-12"


# --- ids


@pytest.mark.parametrize("sent, install_id", [
    ("a%2Fb", "a/b"),
    ("a%2fb", "a/b"),
    ("%2F", "/"),
    ("%61", "a"),
    ("a%25b", "a%b"),
    ("a%252Fb", "a%2Fb"),
    ("a+b", "a+b"),
    ("a%2Bb", "a+b"),
    ("a%3Fb%23c", "a?b#c"),
    ("...", "..."),
    (".a", ".a"),
    ("%2E%2Ea", "..a"),
    ("plan", "plan"),
    ("..%2F..%2Fetc%2Fpasswd", "../../etc/passwd"),
    ("a%3Bb=c", "a;b=c"),
    ("%22%5C%27%3C", "\"\\'<"),
    ("__proto__", "__proto__"),
    ("%7Binstall_id%7D", "{install_id}"),
    ("x" * 128, "x" * 128),
    ("%78" * 128, "x" * 128),
    (quote(EVERY_PRINTABLE, safe=""), EVERY_PRINTABLE),
], ids=lambda text: text[:24])
def test_an_id_is_percent_decoded_once(client, sent, install_id):
    assert client.put(f"/v1/installs/{sent}").json["install_id"] == install_id
    assert client.get(f"/v1/installs/{sent}").json["install_id"] == install_id
    assert client.post(f"/v1/installs/{sent}/plan").json["allowed"] is True
    committed = client.post(f"/v1/installs/{sent}/commit", {"backend": "gemini", "tier": "core"})
    assert (committed.json["install_id"], committed.json["version"]) == (install_id, 2)
    assert len(entries(client, sent)["entries"]) == 2
    assert list(client.get("/v1/snapshot").json["rows"]) == [install_id]
    assert listed(client) == [install_id]


def test_ids_differ_by_case(client):
    create(client, "a", "A")
    assert commit(client, "A")["version"] == 2
    assert client.get("/v1/installs/a").json["version"] == 1


# --- the list


def test_the_list_of_an_empty_ledger_is_empty(client):
    assert client.get("/v1/installs").json == {"installs": [], "next_after": None}


def test_the_list_shows_the_installs_in_id_order(client):
    create(client, "b", "a/x", "B", "a", "~", "!")
    answer = client.get("/v1/installs").json
    assert [i["install_id"] for i in answer["installs"]] == ["!", "B", "a", "a/x", "b", "~"]
    assert answer["next_after"] is None
    assert answer["installs"][0] == client.get("/v1/installs/!").json


def test_the_list_continues_at_next_after(client):
    ids = [f"i{n:02}" for n in range(10)]
    create(client, *ids)
    seen, query = [], "?limit=4"
    for expected in (4, 4, 2):
        page = client.get(f"/v1/installs{query}").json
        assert len(page["installs"]) == expected
        seen += [i["install_id"] for i in page["installs"]]
        query = f"?limit=4&after={page['next_after']}"
    assert page["next_after"] is None
    assert seen == ids


def test_a_full_last_page_ends_the_list(client):
    create(client, "a", "b")
    page = client.get("/v1/installs?limit=2").json
    assert [i["install_id"] for i in page["installs"]] == ["a", "b"]
    assert page["next_after"] is None


@pytest.mark.parametrize("query, expected", [
    ("", 100), ("?limit=1", 1), ("?limit=100", 100), ("?limit=1000", 1000),
])
def test_the_limit_is_100_by_default_and_1_to_1000(start_with, query, expected):
    client = start_with([row(f"i{n:04}") for n in range(1001)])
    page = client.get(f"/v1/installs{query}").json
    assert len(page["installs"]) == expected
    assert page["next_after"] == page["installs"][-1]["install_id"]


@pytest.mark.parametrize("query, expected", [
    ("?prefix=a", ["a", "a%b", "a/b", "a_b", "ab"]),
    ("?prefix=a%2F", ["a/b"]),
    ("?prefix=a/", ["a/b"]),
    ("?prefix=a%25", ["a%b"]),
    ("?prefix=a_", ["a_b"]),
    ("?prefix=A", ["Ab"]),
    ("?prefix=~", ["~~"]),
    ("?prefix=ab", ["ab"]),
    ("?prefix=abc", []),
    ("?prefix=", ["Ab", "a", "a%b", "a/b", "a_b", "ab", "b", "~~"]),
    ("?after=a", ["a%b", "a/b", "a_b", "ab", "b", "~~"]),
    ("?after=a.", ["a/b", "a_b", "ab", "b", "~~"]),
    ("?after=~~", []),
    ("?prefix=a&after=a%25b", ["a/b", "a_b", "ab"]),
    ("?prefix=a&after=b", []),
    ("?prefix=a&limit=2", ["a", "a%b"]),
    ("?prefix=%61", ["a", "a%b", "a/b", "a_b", "ab"]),
])
def test_the_list_filters_by_prefix_and_after(client, query, expected):
    create(client, "b", "a", "ab", "a/b", "a%b", "a_b", "Ab", "~~")
    assert listed(client, query) == expected


def test_the_list_filters_by_tier(start_with):
    client = start_with([row("a"), row("b", "pro"), row("c", "retired"), row("d", "pro")])
    assert listed(client, "?tier=core") == ["a"]
    assert listed(client, "?tier=pro") == ["b", "d"]
    assert listed(client, "?tier=retired") == ["c"]
    assert listed(client, "?tier=none") == []
    page = client.get("/v1/installs?tier=pro&limit=1").json
    assert page["next_after"] == "b"
    assert listed(client, "?tier=pro&limit=1&after=b") == ["d"]
    assert listed(client, "?tier=pro&prefix=d") == ["d"]
    assert listed(client, "?tier=pro&prefix=&after=b&limit=1") == ["d"]


def test_the_list_includes_all_acknowledged_writes(client):
    for n in range(50):
        installed = commit(client, f"i{n:02}", tier="pro")
        assert client.get(f"/v1/installs?prefix=i{n:02}").json["installs"] == [installed]
        assert len(listed(client, "?tier=pro")) == n + 1


# --- entries


def test_entries_show_each_mutation_newest_first(client):
    create(client, "a")
    commit(client, "a", "hardware", "pro", credits=5)
    commit(client, "a", "gemini", "core")
    answer = entries(client, "a")
    assert answer["next_before"] is None
    for entry in answer["entries"]:
        assert abs(parse_time(entry.pop("at")) - now()) < timedelta(minutes=1)
    shared = {"month": this_month(), "idempotency_key": None, "reservation_id": None}
    assert answer["entries"] == [
        {"version": 3, "kind": "commit", "tier": "core", "backend": "gemini", "credits": 1,
         "counter": "lifetime", **shared},
        {"version": 2, "kind": "commit", "tier": "pro", "backend": "hardware", "credits": 5,
         "counter": "monthly", **shared},
        {"version": 1, "kind": "create", "tier": "core", "backend": None, "credits": 0,
         "counter": None, **shared},
    ]


def test_an_imported_install_begins_with_an_import_entry(start_with):
    client = start_with([row("a", "pro", (4, 2, 6, 3))])
    [entry] = entries(client, "a")["entries"]
    assert (entry["version"], entry["kind"], entry["tier"], entry["backend"]) == (
        1, "import", "pro", None)
    assert counters(client.get("/v1/installs/a").json) == [4, 2, 6, 3]


def test_entries_continue_at_next_before_without_a_gap(client):
    for _ in range(25):
        commit(client, "a")
    seen, query = [], "?limit=10"
    for expected in (10, 10, 5):
        page = entries(client, "a", query)
        assert len(page["entries"]) == expected
        seen += [e["version"] for e in page["entries"]]
        query = f"?limit=10&before={page['next_before']}"
    assert page["next_before"] is None
    assert seen == list(range(25, 0, -1))


def test_entries_are_100_by_default(client):
    for _ in range(101):
        commit(client, "a")
    page = entries(client, "a")
    assert [e["version"] for e in page["entries"]] == list(range(101, 1, -1))
    assert page["next_before"] == 2
    assert [e["version"] for e in entries(client, "a", "?before=2")["entries"]] == [1]
    assert len(entries(client, "a", "?limit=1000")["entries"]) == 101


def test_there_are_no_entries_before_the_first_version(client):
    create(client, "a")
    assert entries(client, "a", "?before=1") == {"entries": [], "next_before": None}


def test_before_may_be_beyond_the_newest_version(client):
    create(client, "a")
    assert [e["version"] for e in entries(client, "a", "?before=1000")["entries"]] == [1]


def test_entries_belong_to_the_install_alone(client):
    for n in range(6):
        commit(client, "ab"[n % 2], credits=n + 1)
    assert [e["credits"] for e in entries(client, "a")["entries"]] == [5, 3, 1]
    assert [e["credits"] for e in entries(client, "b")["entries"]] == [6, 4, 2]


def test_the_counter_of_an_entry_survives_a_change_of_the_quota(client):
    commit(client, "a", "gemini", "pro")
    client.put("/v1/quota", {"core": {"lifetime": 1}, "pro": {"lifetime": 5}})
    assert client.get("/v1/installs/a").json["balance"]["remaining"] == 5
    commit(client, "a", "gemini", "pro")
    assert [e["counter"] for e in entries(client, "a")["entries"]] == ["lifetime", "monthly"]
    assert counters(client.get("/v1/installs/a").json) == [1, 1, 1, 1]


def test_entries_add_up_to_the_row(client):
    debits = [("gemini", "core", 3), ("hardware", "core", 4), ("gemini", "pro", 5),
              ("hardware", "max", 6), ("gemini", "max", 7)]
    for backend, tier, credits in debits:
        install = commit(client, "a", backend, tier, credits=credits)
    told = entries(client, "a")["entries"]

    def total(counter, *backends):
        return sum(e["credits"] for e in told
                   if e["counter"] == counter and e["backend"] in backends)

    assert counters(install) == [total("lifetime", "gemini", "hardware"),
                                 total("lifetime", "gemini"),
                                 total("monthly", "gemini", "hardware"),
                                 total("monthly", "gemini")]


# --- the snapshot


def test_the_snapshot_of_an_empty_ledger_has_no_rows(client):
    assert client.get("/v1/snapshot").json == {"rows": {}}


def test_the_snapshot_has_the_eight_fields_of_each_row(client):
    create(client, "a/b")
    installs = [client.get("/v1/installs/a%2Fb").json, commit(client, "c", "gemini", "pro")]
    answer = client.get("/v1/snapshot")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json == {"rows": {i["install_id"]: {f: i[f] for f in ROW_FIELDS}
                                    for i in installs}}


def test_the_snapshot_includes_all_acknowledged_writes(client):
    for n in range(1, 51):
        commit(client, "a")
        assert client.get("/v1/snapshot").json["rows"]["a"]["lifetime_consumed"] == n


def test_a_snapshot_can_be_imported_again(client, start, connect, tmp_path):
    create(client, "a", "quote\"d", "a/b")
    commit(client, "b", "gemini", "max", credits=9)
    snapshot = client.get("/v1/snapshot")
    other = tmp_path / "other"
    other.mkdir()
    (other / "credits.json").write_bytes(snapshot.body)
    second = connect(start("--data-dir", other))
    assert second.get("/v1/snapshot").json == snapshot.json


def test_the_snapshot_is_one_point_in_time(start_with, connect):
    """`a` is written before `z`, repeatedly: in a snapshot, `a` may be ahead by at most one."""
    reader = start_with([row(f"i{n:04}") for n in range(3000)])
    writer = connect(reader)
    rounds = 300

    def write():
        for _ in range(rounds):
            commit(writer, "a")
            commit(writer, "z")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        while thread.is_alive():
            rows = reader.get("/v1/snapshot").json["rows"]
            a, z = (rows.get(i, {}).get("lifetime_consumed", 0) for i in "az")
            assert z <= a <= z + 1
    finally:
        thread.join()
    assert reader.get("/v1/snapshot").json["rows"]["z"]["lifetime_consumed"] == rounds


# --- head


@pytest.mark.parametrize("path", [
    "/v1/installs", "/v1/installs/a", "/v1/installs/a/entries", "/v1/quota", "/v1/snapshot",
    "/healthz", "/readyz", "/openapi.yaml",
])
def test_head_answers_like_get_without_a_body(client, path):
    create(client, "a")
    got = client.get(path)
    head = client.request("HEAD", path)
    assert (got.status, head.status) == (200, 200)
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    assert head.headers["Content-Length"] in (got.headers["Content-Length"], None)
    assert head.body == b""
    assert client.get("/v1/installs/a").status == 200


def test_head_of_an_unknown_install_is_404_without_a_body(client):
    head = client.request("HEAD", "/v1/installs/a")
    assert (head.status, head.body) == (404, b"")
    assert listed(client) == []


# --- the service


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_running_service_is_healthy_and_ready(client, path):
    answer = client.get(path)
    assert answer.status == 200
    assert "status" in answer.json
