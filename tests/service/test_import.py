"""The file of the old JSON ledger comes along."""

import json
import shutil

import pytest

from creditsd import DATA, path_of, run

SAMPLE = DATA / "credits.json"
FIELDS = ["install_id", "tier_snapshot", "lifetime_consumed", "lifetime_gemini_consumed", "month",
          "monthly_consumed", "monthly_gemini_consumed", "last_active_at"]


def with_rows(data_dir, rows):
    data_dir.mkdir()
    (data_dir / "credits.json").write_text(rows if isinstance(rows, str)
                                           else json.dumps({"rows": rows}))
    return data_dir


@pytest.fixture
def sample(data_dir):
    data_dir.mkdir()
    shutil.copy(SAMPLE, data_dir)
    return json.loads(SAMPLE.read_text())["rows"]


def test_every_row_of_a_real_file_is_there(start, sample):
    client = start().client()
    assert len(sample) == 1310
    for install_id, row in sample.items():
        install = client.install(install_id).json
        month = max(row["month"], install["month"])
        expected = dict(row)
        if month != row["month"]:
            expected.update(month=month, monthly_consumed=0, monthly_gemini_consumed=0)
        assert {name: install[name] for name in FIELDS} == expected
        assert install["version"] == 1
    assert client.snapshot() == sample
    assert sum(r["lifetime_consumed"] for r in client.snapshot().values()) == 7343
    listed = client.get("/v1/installs?limit=1000&tier=core").json["installs"]
    assert len(listed) == 904
    entries = client.entries(next(iter(sample)))
    assert [e["kind"] for e in entries] == ["import"]


def test_export_import_export_is_the_same_bytes(start, sample, tmp_path):
    first = start().client().get("/v1/snapshot").text
    assert sorted(first) == sorted(SAMPLE.read_bytes())
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "credits.json").write_bytes(first)
    assert start(on=copy).client().get("/v1/snapshot").text == first


def test_the_file_is_imported_once_and_left_as_it_is(start, sample, data_dir):
    before = (data_dir / "credits.json").read_bytes()
    server = start()
    some_id = next(iter(sample))
    server.client().commit(some_id, credits=5)
    assert server.stop() == 0
    assert (data_dir / "credits.json").read_bytes() == before
    install = start().client().install(some_id).json
    assert install["version"] == 2
    assert install["lifetime_consumed"] == sample[some_id]["lifetime_consumed"] + 5


def test_a_ledger_that_has_installs_imports_nothing(start, sample, data_dir):
    (data_dir / "credits.json").rename(data_dir / "later.json")
    server = start()
    server.client().put(path_of("mine"))
    server.stop()
    (data_dir / "later.json").rename(data_dir / "credits.json")
    assert list(start().client().snapshot()) == ["mine"]


def test_odd_rows_are_judged_as_the_old_module_judged_them(start, data_dir):
    with_rows(data_dir, {
        "bare": {},
        "nulls": {"lifetime_consumed": None, "tier_snapshot": None, "month": None},
        "retired": {"tier_snapshot": "gold", "lifetime_consumed": 30},
        "extra": {"lifetime_consumed": 1.0, "note": "vip", "nested": {"a": [1]}},
        "past": {"tier_snapshot": "pro", "month": "2020-02", "monthly_consumed": 9}})
    client = start().client()
    remaining = {i["install_id"]: i["balance"]["remaining"]
                 for i in client.get("/v1/installs").json["installs"]}
    assert remaining == {"bare": 100, "nulls": 100, "retired": 70, "extra": 99, "past": 1000}
    assert client.snapshot()["past"]["monthly_consumed"] == 9
    assert client.install("retired").json["tier_snapshot"] == "gold"


@pytest.mark.parametrize("content", ["{}", '{"rows":{}}', '{"rows":null}'])
def test_a_file_without_rows_is_an_empty_ledger(start, data_dir, content):
    with_rows(data_dir, content)
    assert start().client().snapshot() == {}


BROKEN = [
    # content, what is told of it
    (SAMPLE.read_text()[:200_000], ["line 1, column ", "byte 200000"]),
    ("", ["line 1, column 1"]),
    ("credits\n", ["line 1"]),
    ("{\"rows\":{\"a\":{}}}\n{", ["line 2, column 1"]),
    ("[]", ["an array"]),
    ('{"rows":[]}', ["rows", "an array"]),
    ('{"rows":{"ok":{},"bad":{"lifetime_consumed":"3"}}}',
     ['install "bad"', "lifetime_consumed", "a string"]),
    ('{"rows":{"bad":{"monthly_consumed":-3}}}', ['install "bad"', "monthly_consumed"]),
    ('{"rows":{"bad":{"month":"November"}}}', ['install "bad"', "month", "November"]),
    ('{"rows":{"bad":{"last_active_at":0}}}', ['install "bad"', "last_active_at"]),
    ('{"rows":{"b d":{}}}', ["b d"]),
    ('{"rows":{"a":{},"a":{}}}', ['install "a"', "twice"]),
]


@pytest.mark.parametrize("content, told", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_file_stops_the_start_and_stays_as_it_is(start, data_dir, content, told):
    path = with_rows(data_dir, content) / "credits.json"
    for _ in range(2):
        ended = run("--data-dir", data_dir, "--listen", "127.0.0.1:0")
        assert ended.returncode == 1
        assert ended.stdout == ""
        for part in [str(path), *told]:
            assert part in ended.stderr
    assert path.read_text() == content
    path.write_text('{"rows":{"a":{}}}')
    assert list(start().client().snapshot()) == ["a"]


def test_broken_utf8_in_the_file_is_refused_with_its_place(data_dir):
    data_dir.mkdir()
    (data_dir / "credits.json").write_bytes(b'{"rows":{"a":{"tier_snapshot":"\xff"}}}')
    ended = run("--data-dir", data_dir)
    assert (ended.returncode, "line 1, column 32" in ended.stderr) == (1, True), ended.stderr


def test_a_directory_in_the_files_place_stops_the_start(data_dir):
    (data_dir / "credits.json").mkdir(parents=True)
    ended = run("--data-dir", data_dir)
    assert (ended.returncode, "credits.json" in ended.stderr) == (1, True)
