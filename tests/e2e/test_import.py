"""The old ledger's file, credits.json: imported at the first start, all or nothing; and GET /v1/snapshot
returns such a file again."""

import json
import shutil
import subprocess
import time
from datetime import datetime, timezone

import pytest

import creditsd
from creditsd import check_problem, run
from traffic import (COUNTERS, Traffic, all_entries, all_installs, check_count, counters, history,
                     path_of)

REAL = creditsd.REPO / "tests/data/credits.json"
REAL_TEXT = REAL.read_bytes()
ROW_FIELDS = ["install_id", "tier_snapshot", *COUNTERS[:2], "month", *COUNTERS[2:],
              "last_active_at"]
LIMITS = {"core": ("lifetime", 100, 50), "pro": ("monthly", 1000, 500),
          "max": ("monthly", None, None)}
COMMIT = {"backend": "gemini", "tier": "core"}
GOOD = b'{"rows":{"a":{"lifetime_consumed":3},"b":{}}}'


def this_month():
    return datetime.now(timezone.utc).strftime("%Y-%m")


def balance_of(row):
    """The balance under the default quota."""
    capped, limit, gemini_limit = LIMITS[row["tier_snapshot"]]

    def left(limit, consumed):
        return None if limit is None else max(0, limit - consumed)

    return {"remaining": left(limit, row[f"{capped}_consumed"]), "capped": capped,
            "gemini_remaining": left(gemini_limit, row[f"{capped}_gemini_consumed"]), "held": 0}


def install_of(row):
    """The install that results from importing this row."""
    shown = dict(row)
    if shown["month"] < this_month():
        shown |= {"month": this_month(), "monthly_consumed": 0, "monthly_gemini_consumed": 0}
    return shown | {"version": 1, "balance": balance_of(shown)}


def snapshot_of(client):
    answer = client.get("/v1/snapshot")
    assert answer.status == 200
    return answer.body


def rows_of(snapshot):
    """The bytes of each row, after its id; in any order."""
    text = snapshot.decode()
    decoder = json.JSONDecoder()
    assert text.startswith('{"rows":{')
    found, start = [], len('{"rows":{')
    while text[start] != "}":
        _, colon = decoder.raw_decode(text, start)
        assert text[colon] == ":"
        _, end = decoder.raw_decode(text, colon + 1)
        found.append(text[start:end])
        start = end + (text[end] == ",")
    assert text[start:] == "}}"
    return sorted(found)


@pytest.fixture
def ledger_path(data_dir):
    return data_dir / "credits.json"


@pytest.fixture
def real_rows(ledger_path):
    """The rows of the real file, which is copied into the data directory."""
    shutil.copy(REAL, ledger_path)
    return json.loads(REAL_TEXT)["rows"]


@pytest.fixture
def start_beside(start, connect, tmp_path):
    """Starts a second server, whose ledger begins with this snapshot; returns a client."""

    def start_with_snapshot(snapshot):
        other = tmp_path / "other"
        other.mkdir()
        (other / "credits.json").write_bytes(snapshot)
        return connect(start("--data-dir", other))

    return start_with_snapshot


def refuse_start(data_dir):
    ended = run("--data-dir", data_dir, "--listen", "127.0.0.1:0")
    assert (ended.returncode, ended.stdout) == (1, ""), ended.stderr
    return ended.stderr.splitlines()[-1]


# --- a real file


def test_the_real_file_is_the_expected_one(real_rows):
    assert len(real_rows) == 1310
    assert sum(row["tier_snapshot"] == "core" for row in real_rows.values()) == 904
    assert sum(row["lifetime_consumed"] for row in real_rows.values()) == 7343
    for install_id, row in real_rows.items():
        assert (list(row), row["install_id"]) == (ROW_FIELDS, install_id)


def test_each_row_of_the_real_file_is_imported(real_rows, start, connect):
    client = connect(start())
    for install_id, row in real_rows.items():
        answer = client.get(path_of(install_id))
        assert (answer.status, answer.json) == (200, install_of(row))


def test_each_row_of_the_real_file_begins_with_an_import_entry(real_rows, start, connect):
    client = connect(start())
    for install_id, row in real_rows.items():
        [entry] = all_entries(client, install_id)
        del entry["at"]
        assert entry == {
            "version": 1, "kind": "import", "tier": row["tier_snapshot"], "backend": None,
            "credits": 0, "counter": None, "month": row["month"], "idempotency_key": None,
            "reservation_id": None}


def test_the_list_has_each_row_of_the_real_file_in_id_order(real_rows, start, connect):
    client = connect(start())
    listed = all_installs(client)
    assert list(listed) == sorted(real_rows)
    assert listed == {install_id: install_of(row) for install_id, row in real_rows.items()}
    assert len(all_installs(client, "&tier=core")) == 904
    assert sum(install["lifetime_consumed"] for install in listed.values()) == 7343


def test_a_plan_on_a_row_of_the_real_file_follows_its_balance(real_rows, start, connect):
    client = connect(start())
    for install_id in list(real_rows)[::10]:
        balance = install_of(real_rows[install_id])["balance"]
        planned = client.post(f"{path_of(install_id)}/plan", {"has_hardware": False}).json
        assert planned["balance"] == balance
        assert planned["allowed"] == (0 not in (balance["remaining"],
                                                balance["gemini_remaining"]))
        assert client.get(path_of(install_id)).json["version"] == 1


def test_kills_during_traffic_on_the_real_file_lose_nothing_and_double_nothing(
        real_rows, start, connect, ledger_path):
    ids = [*list(real_rows)[:60], *[f"new-{n}" for n in range(20)]]
    installs = {install_id: install_of(row) for install_id, row in real_rows.items()}
    entries = len(installs)
    for _ in range(3):
        server = start()
        traffic = Traffic(server.port, ids)
        traffic.wait_for(1_000)
        server.kill()
        traffic.end()
        assert traffic.refused == []

        server = start()
        client = connect(server)
        installs = check_count(client, traffic, installs)
        in_doubt = sum(map(len, traffic.in_doubt.values()))
        added = sum(install["version"] for install in installs.values()) - entries
        assert traffic.count() <= added <= traffic.count() + in_doubt
        entries += added
        server.kill()

    client = connect(start())
    told = {install_id: all_entries(client, install_id) for install_id in ids
            if install_id in installs}
    assert sum(map(len, told.values())) + len(real_rows) - 60 == entries
    assert sum(row["lifetime_consumed"] for row in json.loads(snapshot_of(client))["rows"].values()
               ) == 7343 + sum(entry["credits"] for entries_of_one in told.values()
                               for entry in entries_of_one if entry["counter"] == "lifetime")
    assert ledger_path.read_bytes() == REAL_TEXT


# --- export and import


def test_the_snapshot_of_the_real_file_equals_the_file_except_for_row_order(real_rows, start, connect):
    assert rows_of(snapshot_of(connect(start()))) == rows_of(REAL_TEXT)


def test_an_export_imported_and_exported_again_is_the_same_except_for_row_order(
        real_rows, start, connect, start_beside):
    first = connect(start())
    for n, install_id in enumerate([*list(real_rows)[:9], "new", "a/b", "quote\"d", "back\\slash"]):
        answer = first.post(f"{path_of(install_id)}/commit", {
            "backend": ["gemini", "hardware"][n % 2], "tier": ["core", "pro", "max"][n % 3]})
        assert answer.status == 200
    exported = snapshot_of(first)
    second = start_beside(exported)
    assert rows_of(snapshot_of(second)) == rows_of(exported)

    expected = {install_id: install | {"version": 1}
                for install_id, install in all_installs(first).items()}
    assert all_installs(second) == expected


def test_an_export_of_odd_rows_is_the_same_again(start_with, start_beside):
    client = start_with([
        {"install_id": "retired", "tier_snapshot": "gold", "lifetime_consumed": 2**53},
        {"install_id": "umlaut", "tier_snapshot": "gr\u00f6\u00dfer \"+\" \\ \U0001f600\n"},
        {"install_id": "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"},
        {"install_id": "past", "month": "2020-02", "monthly_consumed": 7},
        {"install_id": "future", "month": "2199-12", "monthly_consumed": 7},
        {"install_id": "__proto__"}, {"install_id": "x" * 128}])
    exported = snapshot_of(client)
    assert len(rows_of(exported)) == 7
    assert rows_of(snapshot_of(start_beside(exported))) == rows_of(exported)


def test_an_export_of_an_empty_ledger_is_an_empty_ledger_again(client, start_beside):
    exported = snapshot_of(client)
    assert rows_of(exported) == []
    assert snapshot_of(start_beside(exported)) == exported


# --- once


def test_another_import_is_refused_before_its_body_is_sent(start, connect):
    server = start()
    head = (f"POST /v1/import HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\n"
            f"Content-Length: {len(GOOD)}\r\n\r\n").encode()
    with creditsd.open_socket(server.port) as first, creditsd.open_socket(server.port) as second:
        first.sendall(head)
        assert b"100 Continue" in first.recv(100)
        second.sendall(head)
        [refused] = creditsd.parse_answers(creditsd.read_to_end(second), ["POST"])
        check_problem(refused, 503, "overloaded")
        first.sendall(GOOD)
        [answer] = creditsd.parse_answers(creditsd.read_to_end(first), ["POST"])
        assert (answer.status, answer.json) == (200, {"imported": 2})


def test_an_import_whose_client_goes_leaves_its_place_to_another(start, connect):
    server = start()
    with creditsd.open_socket(server.port) as gone:
        gone.sendall(b"POST /v1/import HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
        assert b"100 Continue" in gone.recv(100)
    creditsd.wait_until(lambda: connect(server).post("/v1/import", GOOD).status == 200, "the place")


def test_the_file_is_imported_once_and_left_unchanged(real_rows, start, connect, ledger_path):
    server = start()
    install_id = next(iter(real_rows))
    committed = connect(server).post(f"{path_of(install_id)}/commit", {**COMMIT, "credits": 5})
    assert committed.json["lifetime_consumed"] == real_rows[install_id]["lifetime_consumed"] + 5
    told = history(connect(server))
    for end in (creditsd.Server.stop, creditsd.Server.kill):
        end(server)
        assert ledger_path.read_bytes() == REAL_TEXT
        server = start()
        assert history(connect(server)) == told
    assert told[0][install_id] == committed.json


def test_only_an_actual_import_is_logged(start, ledger_path):
    ledger_path.write_bytes(GOOD)
    for told in (True, False):
        server = start()
        assert ("imported 2 installs" in server.log()) is told
        server.stop()


IGNORED = {"good": GOOD, "real": REAL_TEXT, "cut": REAL_TEXT[:1000], "no-json": b"credits",
           "bad-row": b'{"rows":{"a":{"lifetime_consumed":-1}}}', "empty": b""}


@pytest.mark.parametrize("content", IGNORED.values(), ids=IGNORED)
def test_a_file_beside_a_ledger_with_installs_is_ignored(start, connect, ledger_path, content):
    server = start()
    assert connect(server).put("/v1/installs/mine").status == 201
    told = history(connect(server))
    server.stop()
    ledger_path.write_bytes(content)
    assert history(connect(start())) == told
    assert list(told[0]) == ["mine"]
    assert ledger_path.read_bytes() == content


def test_a_file_changed_since_its_import_is_ignored(start, connect, ledger_path):
    ledger_path.write_bytes(GOOD)
    server = start()
    told = history(connect(server))
    server.kill()
    ledger_path.write_bytes(b'{"rows":{"a":{"lifetime_consumed":99},"c":{}}}')
    assert history(connect(start())) == told


def test_a_file_added_while_the_ledger_is_still_empty_is_imported(start, connect, ledger_path):
    server = start()
    assert all_installs(connect(server)) == {}
    server.stop()
    ledger_path.write_bytes(GOOD)
    assert list(all_installs(connect(start()))) == ["a", "b"]


def test_a_start_that_is_killed_has_imported_all_or_nothing(tmp_path, start, connect):
    """Kills a little later each time, from before the import until after it."""
    for delay_ms in range(0, 90, 10):
        place = tmp_path / f"killed-{delay_ms}"
        place.mkdir()
        shutil.copy(REAL, place / "credits.json")
        args = ["--listen", "127.0.0.1:0", "--data-dir", place]
        with subprocess.Popen([creditsd.BINARY, *args], env=creditsd.environment(None),
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            time.sleep(delay_ms / 1000)
            process.kill()

        (place / "credits.json").rename(place / "later.json")
        server = start(*args)
        found = rows_of(snapshot_of(connect(server)))
        assert found in ([], rows_of(REAL_TEXT))
        server.kill()
        (place / "later.json").rename(place / "credits.json")
        server = start(*args)
        assert rows_of(snapshot_of(connect(server))) == rows_of(REAL_TEXT)
        assert {i["version"] for i in all_installs(connect(server)).values()} == {1}
        server.kill()


# --- odd rows, judged as before

BLANK = {"install_id": "a", "tier_snapshot": "core", "lifetime_consumed": 0,
         "lifetime_gemini_consumed": 0, "month": "now", "monthly_consumed": 0,
         "monthly_gemini_consumed": 0, "last_active_at": "1970-01-01T00:00:00.000Z"}
CORE = {"remaining": 100, "capped": "lifetime", "gemini_remaining": 50, "held": 0}
PRO = {"remaining": 1000, "capped": "monthly", "gemini_remaining": 500, "held": 0}

ODD = {
    # oddity: the row in the file, the stored row, its balance
    "nothing": ({}, {}, CORE),
    "all-null": (dict.fromkeys(BLANK), {}, CORE),
    "null-counter": ({"lifetime_consumed": None, "lifetime_gemini_consumed": 2},
                     {"lifetime_gemini_consumed": 2}, CORE | {"gemini_remaining": 48}),
    "missing-counter": ({"lifetime_consumed": 30}, {"lifetime_consumed": 30},
                        CORE | {"remaining": 70}),
    "counter-3.0": (b'{"lifetime_consumed":3.0,"lifetime_gemini_consumed":2e0}',
                    {"lifetime_consumed": 3, "lifetime_gemini_consumed": 2},
                    CORE | {"remaining": 97, "gemini_remaining": 48}),
    "counter-minus-0": (b'{"lifetime_consumed":-0,"lifetime_gemini_consumed":-0.0}', {}, CORE),
    "counter-2^53": ({"lifetime_consumed": 2**53}, {"lifetime_consumed": 2**53},
                     CORE | {"remaining": 0}),
    "over-the-cap": ({"lifetime_consumed": 101, "lifetime_gemini_consumed": 60},
                     {"lifetime_consumed": 101, "lifetime_gemini_consumed": 60},
                     CORE | {"remaining": 0, "gemini_remaining": 0}),
    "gemini-alone": ({"lifetime_consumed": 1, "lifetime_gemini_consumed": 9},
                     {"lifetime_consumed": 1, "lifetime_gemini_consumed": 9},
                     CORE | {"remaining": 99, "gemini_remaining": 41}),
    "no-tier": ({"monthly_consumed": 4, "month": "2199-12"}, {"monthly_consumed": 4}, CORE),
    "retired-tier": ({"tier_snapshot": "gold", "lifetime_consumed": 30},
                     {"tier_snapshot": "gold", "lifetime_consumed": 30},
                     CORE | {"remaining": 70}),
    "tier-of-64-bytes": ({"tier_snapshot": "x" * 64}, {"tier_snapshot": "x" * 64}, CORE),
    "no-month": ({"tier_snapshot": "pro", "monthly_consumed": 9, "monthly_gemini_consumed": 9},
                 {"tier_snapshot": "pro"}, PRO),
    "null-month": ({"tier_snapshot": "pro", "month": None, "monthly_consumed": 9},
                   {"tier_snapshot": "pro"}, PRO),
    "past-month": ({"tier_snapshot": "pro", "month": "2020-02", "monthly_consumed": 9},
                   {"tier_snapshot": "pro", "month": "2020-02", "monthly_consumed": 9}, PRO),
    "future-month": ({"tier_snapshot": "pro", "month": "2199-12", "monthly_consumed": 9,
                      "monthly_gemini_consumed": 8},
                     {"tier_snapshot": "pro", "monthly_consumed": 9, "monthly_gemini_consumed": 8},
                     PRO | {"remaining": 991, "gemini_remaining": 492}),
    "unknown-fields": ({"note": "vip", "version": 7, "balance": {"remaining": 1}, "": [[]],
                        "lifetime_consumed": 1}, {"lifetime_consumed": 1},
                       CORE | {"remaining": 99}),
    "its-own-id": ({"install_id": "a"}, {}, CORE),
}


@pytest.mark.parametrize("fields, stored, balance", ODD.values(), ids=ODD)
def test_an_odd_row_is_judged_as_before_except_for_future_months(start, connect, ledger_path, fields, stored, balance):
    if not isinstance(fields, bytes):
        fields = json.dumps(fields).encode()
    ledger_path.write_bytes(b'{"rows":{"a":' + fields + b"}}")
    client = connect(start())
    expected = BLANK | {"month": this_month()} | stored
    assert json.loads(snapshot_of(client)) == {"rows": {"a": expected}}
    install = client.get("/v1/installs/a").json
    assert install["balance"] == balance
    assert (install["version"], install["tier_snapshot"]) == (1, expected["tier_snapshot"])
    lives = expected["month"] >= this_month()
    assert counters(install) == [*counters(expected)[:2],
                                 *(counters(expected)[2:] if lives else (0, 0))]
    committed = client.post("/v1/installs/a/commit", {**COMMIT, "credits": 2})
    if expected["lifetime_consumed"] == 2**53:
        check_problem(committed, 409, "counter_overflow", "credits")
        return
    assert (committed.json["version"], committed.json["lifetime_consumed"]) == (
        2, expected["lifetime_consumed"] + 2)


@pytest.mark.parametrize("install_id", [
    "a/b", "%2F", "a%b", "\"", "\\", "<script>", "__proto__", "constructor", "...", "~",
    "x" * 128])
def test_an_id_in_the_file_may_be_anything_that_a_request_can_name(
        start, connect, ledger_path, install_id):
    ledger_path.write_text(json.dumps({"rows": {install_id: {"lifetime_consumed": 3}}}))
    client = connect(start())
    assert list(json.loads(snapshot_of(client))["rows"]) == [install_id]
    install = client.get(path_of(install_id)).json
    assert (install["install_id"], install["lifetime_consumed"]) == (install_id, 3)


@pytest.mark.parametrize("content, expected", [
    (b"{}", []), (b'{"rows":{}}', []), (b'{"rows":null}', []), (b'{"other":1}', []),
    (b'\n\t{ "rows" :\r\n{ "a" : { } } } \n', ["a"]),
    (b'{"format":2,"rows":{"a":{}},"saved_at":"2026-11-24"}', ["a"]),
    (b'{"rows":{"\\u0061":{"tier_\\u0073napshot":"co\\u0072e"}}}', ["a"]),
    (b'\xef\xbb\xbf{"rows":{"a":{}}}', ["a"]),
])
def test_a_file_need_not_look_like_an_export(start, connect, ledger_path, content, expected):
    ledger_path.write_bytes(content)
    assert list(all_installs(connect(start()))) == expected


# --- a broken file


def row_with(field, value):
    """A file with a good row, and one with this field."""
    return json.dumps({"rows": {"well": {"lifetime_consumed": 1}, "bad": {field: value}}}).encode()


HALF = len(REAL_TEXT) // 2
BAD_VALUES = [
    # field, value, words in the error
    *[(counter, value, told) for counter in COUNTERS for value, told in (
        (-1, "whole number"), (1.5, "whole number"), ("3", "a string"), (True, "a boolean"))],
    *[("lifetime_consumed", value, told) for value, told in (
        ([3], "an array"), ({}, "an object"), (1e300, "whole number"), (2**53 + 2, "whole number"),
        (-0.5, "whole number"), (False, "a boolean"))],
    *[("month", value, told) for value, told in (
        ("November", "November"), ("2026-13", "2026-13"), ("2026-00", "2026-00"),
        ("2026-1", "2026-1"), ("2026-11-24", "2026-11-24"), ("", "month"), (202611, "a number"),
        (["2026-11"], "an array"))],
    *[("last_active_at", value, told) for value, told in (
        ("yesterday", "yesterday"), ("2026-02-30T00:00:00.000Z", "2026-02-30"),
        ("2026-11-24T25:00:00.000Z", "T25"), ("2026-11-24", "2026-11-24"), ("", "time"),
        (1795492380000, "a number"))],
    *[("tier_snapshot", value, told) for value, told in (
        (1, "a number"), (False, "a boolean"), ([], "an array"), ({}, "an object"),
        ("x" * 65, "64 bytes"))],
    ("install_id", "other", "other"), ("install_id", 7, "a number"),
]
BAD_ROWS = {
    # fault: the file, words in the error
    "row-null": (b'{"rows":{"bad":null}}', ['"bad"', "null"]),
    "row-number": (b'{"rows":{"bad":7}}', ['"bad"', "a number"]),
    "row-array": (b'{"rows":{"bad":[]}}', ['"bad"', "an array"]),
    "row-string": (b'{"rows":{"well":{},"bad":"{}"}}', ['"bad"', "a string"]),
    "row-twice": (b'{"rows":{"bad":{},"well":{},"bad":{}}}', ['"bad"', "twice"]),
    "row-twice-in-disguise": (b'{"rows":{"bad":{},"b\\u0061d":{}}}', ['"bad"', "twice"]),
    "field-twice": (b'{"rows":{"bad":{"month":"2026-11","month":"2026-11"}}}',
                    ['"bad"', "month", "twice"]),
    "id-empty": (b'{"rows":{"":{}}}', ["empty"]),
    "id-space": (b'{"rows":{"b d":{}}}', ["b d", "printable ASCII"]),
    "id-newline": (b'{"rows":{"b\\nd":{}}}', ["printable ASCII"]),
    "id-utf-8": ('{"rows":{"b\u00e4d":{}}}'.encode(), ["printable ASCII"]),
    "id-dots": (b'{"rows":{"..":{}}}', ['".."']),
    "id-129-bytes": (b'{"rows":{"' + b"x" * 129 + b'":{}}}', ["128", "129"]),
    "last-of-many": (REAL_TEXT[:-2] + b',"bad":{"monthly_consumed":-1}}}',
                     ['"bad"', "monthly_consumed"]),
}
BAD_SHAPES = {
    "array": (b"[]", ["object", "an array"]),
    "array-of-rows": (b'[{"install_id":"a"}]', ["object", "an array"]),
    "null": (b"null", ["object", "null"]),
    "string": (b'"rows"', ["object", "a string"]),
    "number": (b"7", ["object", "a number"]),
    "rows-array": (b'{"rows":[]}', ["rows", "an array"]),
    "rows-string": (b'{"rows":"{}"}', ["rows", "a string"]),
    "rows-false": (b'{"rows":false}', ["rows", "a boolean"]),
    "rows-twice": (b'{"rows":{"a":{}},"rows":{"b":{}}}', ["rows", "twice"]),
}
NO_JSON = {
    "half": (REAL_TEXT[:HALF], ["line 1, column", f"byte {HALF}"]),
    "all-but-a-byte": (REAL_TEXT[:-1], ["line 1, column", f"byte {len(REAL_TEXT) - 1}"]),
    "empty": (b"", ["line 1, column 1"]),
    "blank": (b" \n ", ["line 2, column 2"]),
    "word": (b"credits\n", ["line 1"]),
    "cut-on-line-3": (b'{\n "rows": {\n  "a": {', ["line 3, column 9"]),
    "comma": (b'{"rows":{"a":{},}}', ["line 1, column 17"]),
    "single-quotes": (b"{'rows':{}}", ["line 1, column 2"]),
    "comment": (b'// credits\n{"rows":{}}', ["line 1, column 1"]),
    "two-values": (b'{"rows":{"a":{}}}\n{"rows":{}}', ["line 2, column 1"]),
    "nan": (b'{"rows":{"a":{"lifetime_consumed":NaN}}}', ["line 1, column 35"]),
    "leading-zero": (b'{"rows":{"a":{"lifetime_consumed":03}}}', ["line 1"]),
    "number-beyond-all": (b'{"rows":{"a":{"lifetime_consumed":1e999}}}', ["line 1"]),
    "utf-8": (b'{"rows":{"a":{"tier_snapshot":"\xff"}}}', ["line 1, column 32"]),
    "utf-8-cut": (b'{"rows":{"a":{"tier_snapshot":"\xc3"}}}', ["line 1, column 3"]),
    "surrogate": (b'{"rows":{"a":{"tier_snapshot":"\\ud800"}}}', ["line 1, column 3"]),
    "utf-16": ('{"rows":{}}'.encode("utf-16"), ["UTF-16", "save it as UTF-8"]),
    "nul-after": (GOOD + b"\0", ["line 1"]),
    "nuls": (b"\0" * 4096, ["line 1"]),  # like a file after a power cut
    "deep": (b'{"rows":' + b"[" * 100_000, ["line 1"]),
}
BROKEN = {
    **{f"{field}={str(value)[:24]}": (row_with(field, value), ['"bad"', field, told])
       for field, value, told in BAD_VALUES},
    **BAD_ROWS, **BAD_SHAPES, **NO_JSON}


@pytest.mark.parametrize("content, told", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_aborts_startup_and_changes_nothing(start, connect, data_dir, ledger_path, content, told):
    ledger_path.write_bytes(content)
    error = refuse_start(data_dir)
    for part in (str(ledger_path), *told):
        assert part in error
    assert ledger_path.read_bytes() == content
    ledger_path.unlink()
    assert json.loads(snapshot_of(connect(start()))) == {"rows": {}}


@pytest.mark.parametrize("name", ["half", "row-null", "rows-array"])
def test_a_broken_file_is_refused_at_each_start_until_it_is_mended(start, connect, data_dir, ledger_path, name):
    content, _ = BROKEN[name]
    ledger_path.write_bytes(content)
    assert refuse_start(data_dir) == refuse_start(data_dir)
    assert ledger_path.read_bytes() == content
    ledger_path.write_bytes(GOOD)
    installs = all_installs(connect(start()))
    assert [(i["install_id"], i["version"]) for i in installs.values()] == [("a", 1), ("b", 1)]


def test_the_error_of_a_broken_file_is_printable_and_short(data_dir, ledger_path):
    for content in (row_with("month", "a\x1b[31mb\n" + "x" * 100_000),
                    json.dumps({"rows": {"a\x1b[31mb\n" + "x" * 100_000: {}}}).encode()):
        ledger_path.write_bytes(content)
        error = refuse_start(data_dir)
        assert str(ledger_path) in error
        assert error.isprintable() and len(error) < 4096


def test_a_directory_in_place_of_the_file_aborts_startup(data_dir, ledger_path):
    ledger_path.mkdir()
    assert str(ledger_path) in refuse_start(data_dir)


def test_a_link_to_the_file_is_followed(start, connect, ledger_path, tmp_path):
    (tmp_path / "elsewhere.json").write_bytes(GOOD)
    ledger_path.symlink_to(tmp_path / "elsewhere.json")
    assert list(all_installs(connect(start()))) == ["a", "b"]
    assert ledger_path.is_symlink() and ledger_path.read_bytes() == GOOD


def test_a_dangling_link_aborts_startup(data_dir, ledger_path, tmp_path):
    """Starting with an empty ledger instead would grant all credits again."""
    ledger_path.symlink_to(tmp_path / "missing.json")
    assert str(ledger_path) in refuse_start(data_dir)
