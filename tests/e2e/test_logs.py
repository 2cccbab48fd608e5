"""The log: one line per event that operators should know, as text or as JSON, and never a flood."""

import json
import re
import sqlite3
import threading
import time

import pytest

import creditsd
from access import COMMIT, token_file, token_flags
from creditsd import wait_until
from traffic import path_of

INSTALL = "/v1/installs/a"
JSON = ["--log-format", "json"]
LEVELS = {"debug", "info", "warning", "error"}
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
TEXT_LINE = re.compile(TIME + r" (debug|info|warning|error) \S.*")
A_SECOND = 5  # at most this many lines of one kind
QUOTA = {"core": {"lifetime": 7}}
ODD = ['quo"ted', "back\\slash\\", "<script>&amp;", "{\"a\":1}", "'", "per%dcent%s", "a\\nb", "{}"]


def lines_of(server):
    text = server.log()
    assert text == "" or text.endswith("\n")
    return text.split("\n")[:-1]


def events_of(lines):
    """Parses the lines of a JSON log, and checks that each is an object with the common fields."""
    events = []
    for line in lines:
        event = json.loads(line)
        assert isinstance(event, dict), line
        assert re.fullmatch(TIME, event["time"]), line
        assert event["level"] in LEVELS, line
        assert re.fullmatch(r"\w+", event["event"]), line
        assert isinstance(event["message"], str) and event["message"], line
        assert "\n" not in event["message"]
        events.append(event)
    return events


def events(server):
    return events_of(lines_of(server))


def words(event):
    return json.dumps(event, ensure_ascii=False).lower()


def with_words(server, *wanted):
    """The events that contain all these words."""
    return [event for event in events(server) if all(word.lower() in words(event)
                                                     for word in wanted)]


def named(server, name):
    return [event for event in events(server) if event["event"] == name]


def wait_for(server, *wanted, times=1):
    wait_until(lambda: server.log().endswith("\n") and len(with_words(server, *wanted)) >= times,
               f"{wanted} in the log")
    return with_words(server, *wanted)[-1]


def hup(server, *wanted):
    before = len(with_words(server, *wanted))
    server.hup()
    return wait_for(server, *wanted, times=before + 1)


def in_parallel(count, work):
    workers = [threading.Thread(target=work, args=[n]) for n in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


@pytest.fixture
def server_in_json(start):
    return start(*JSON)


# --- events that are logged


@pytest.mark.parametrize("level", ["debug", "info"])
def test_a_json_log_is_one_object_per_line(start, connect, data_dir, tmp_path, level):
    (data_dir / "credits.json").write_text('{"rows":{"a":{"lifetime_consumed":3},"b":{}}}')
    flags = token_flags(tmp_path)
    server = start(*JSON, "--log-level", level, *flags)
    client = connect(server)
    client.get("/v1/installs/a")
    client.get("/nothing")
    imported = wait_for(server, "import", "credits.json")
    assert imported["level"] == "info" and re.search(r"\b2\b", words(imported))
    wait_for(server, str(data_dir), "creditsd")

    (data_dir / "quota.json").write_text(json.dumps(QUOTA))
    token_file(flags[1], "relay-2")
    assert hup(server, "quota")["level"] == "info"
    assert wait_for(server, "token")["level"] == "info"
    (data_dir / "quota.json").write_text("{")
    assert hup(server, str(data_dir / "quota.json"), "line 1")["level"] in ("warning", "error")
    token_file(flags[3], "not a token")
    assert hup(server, str(flags[3]))["level"] in ("warning", "error")

    assert server.stop() == 0
    assert with_words(server, "SIGTERM") and with_words(server, "stopped")
    kinds = {event["event"] for event in events(server)}
    assert len(kinds) >= 5, "names distinguish the events"
    moments = [event["time"] for event in events(server)]
    assert moments == sorted(moments)


def test_text_is_the_default_and_has_one_line_per_event(start, connect, data_dir):
    server = start()
    connect(server).get("/v1/installs/a")
    quota = (data_dir / "quota.json").read_text()
    (data_dir / "quota.json").write_text('{"core":{"lifetime":1},"a\\nb\\u001b[31m":{}}')
    server.hup()
    wait_until(lambda: "quota.json" in server.log().split("serves", 1)[1], "a word about it")
    assert server.stop() == 0
    (data_dir / "quota.json").write_text(quota)
    named = start("--log-format", "text")
    named.stop()
    for line in lines_of(server) + lines_of(named):
        assert TEXT_LINE.fullmatch(line) and line.isprintable(), line


@pytest.mark.parametrize("how", ["environment", "config"])
def test_the_format_can_be_set_like_everything_else(start, tmp_path, how):
    config = tmp_path / "creditsd.conf"
    config.write_text("log-format = json\nslow-request = 2s\n")
    env = {"CREDITSD_LOG_FORMAT": "json", "CREDITSD_SLOW_REQUEST": "2s"}
    server = start(env=env) if how == "environment" else start("--config", config)
    server.stop()
    assert events(server)


def test_a_failed_start_says_why_in_json_too(data_dir):
    (data_dir / "credits.json").write_text('{"rows":{"quo\\"ted":{"lifetime_consumed":-1}}}')
    ended = creditsd.run("--listen", "127.0.0.1:0", "--data-dir", data_dir, *JSON)
    assert (ended.returncode, ended.stdout) == (1, "")
    [*_, last] = events_of(ended.stderr.split("\n")[:-1])
    assert last["level"] == "error"
    assert "credits.json" in last["message"] and "lifetime_consumed" in last["message"]


@pytest.mark.parametrize("flag, value", [
    *[("--log-format", value) for value in ("xml", "JSON", "jsonl", "text,json", "1")],
    *[("--slow-request", value) for value in ("soon", "10", "1y", "-1s", "1.5s", "s")],
])
def test_a_bad_value_exits_with_2_and_is_named_with_its_flag(data_dir, flag, value):
    ended = creditsd.run("--listen", "127.0.0.1:0", "--data-dir", data_dir, f"{flag}={value}")
    assert (ended.returncode, ended.stdout, list(data_dir.iterdir())) == (2, "", [])
    assert flag in ended.stderr and value in ended.stderr


# --- requests that are not logged


def test_requests_are_not_logged_at_info(start, connect):
    server = start(*JSON, "--slow-request", "1h")
    client = connect(server)
    before = len(lines_of(server))
    for _ in range(200):
        client.post(INSTALL + "/commit", COMMIT)
        client.post(INSTALL + "/commit", b"{")
        client.get("/v1/installs/none")
        client.get("/nothing")
        client.get("/metrics")
    for _ in range(20):
        creditsd.raw(server.port, b"nonsense\r\n\r\n", half_close=True)
    assert len(lines_of(server)) == before


def test_fast_requests_are_not_logged_as_slow(start, connect):
    server = start(*JSON, "--slow-request", "1h")
    client = connect(server)
    batch(client, 2000)
    client.get("/v1/snapshot")
    server.stop()
    assert named(server, "slow_requests") == []


# --- slow requests


def batch(client, count, install_id="a"):
    answer = client.post("/v1/batch", {"operations": [
        {"op": "commit", "install_id": f"{install_id}{n}", **COMMIT} for n in range(count)]})
    assert answer.status == 200


def counted(server, name):
    """The events with this name, and the sum of the numbers that they begin with."""
    found = named(server, name)
    return found, sum(int(re.match(r"\d+", event["message"])[0]) for event in found)


def test_a_slow_request_is_logged_with_its_name_and_duration(start, connect):
    server = start(*JSON, "--slow-request", "1ms")
    batch(connect(server), 3000)
    server.stop()
    [event] = named(server, "slow_requests")
    assert event["level"] in ("info", "warning")
    assert re.search(r"\b[1-9]\d* ms\b.*POST /v1/batch$", event["message"])


def test_many_slow_requests_are_a_few_lines_a_second_and_a_count(start, connect):
    server = start(*JSON, "--slow-request", "1ms")
    clients = [connect(server) for _ in range(4)]
    begun = time.monotonic()

    def work(n):
        for _ in range(25):
            batch(clients[n], 400, f"i{n}-")

    in_parallel(4, work)
    server.stop()
    seconds = time.monotonic() - begun
    lines, slow = counted(server, "slow_requests")
    assert 1 <= len(lines) <= A_SECOND * (seconds + 1)
    assert 50 <= slow <= 100  # some batches may take less than a millisecond


# --- shed load


def test_shed_load_is_a_few_lines_a_second(start, connect):
    server = start(*JSON, "--max-in-flight", "1")
    clients = [connect(server) for _ in range(8)]
    begun = time.monotonic()
    statuses = []

    def work(n):
        for _ in range(200):
            statuses.append(clients[n].post(INSTALL + "/commit", COMMIT).status)

    in_parallel(8, work)
    server.stop()
    seconds = time.monotonic() - begun
    lines, shed = counted(server, "shed_load")
    assert 1 <= len(lines) <= A_SECOND * (seconds + 1)
    assert shed == statuses.count(503) > 100


def refuse_connection(server):
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert b" 503 " in creditsd.raw(server.port, request)


def test_requests_shed_since_the_last_line_are_logged_at_the_end(start, connect):
    server = start(*JSON, "--max-connections", "1")
    connect(server).get("/healthz")
    refuse_connection(server)
    wait_until(lambda: named(server, "shed_load"), "the first line")
    refuse_connection(server)
    server.stop()
    lines, shed = counted(server, "shed_load")
    assert (len(lines), shed) == (2, 2)


def test_excess_connections_are_a_few_lines_a_second(start, connect):
    server = start(*JSON, "--max-connections", "1")
    connect(server).get("/healthz")
    begun = time.monotonic()
    for _ in range(100):
        refuse_connection(server)
    server.stop()
    seconds = time.monotonic() - begun
    lines, shed = counted(server, "shed_load")
    assert 1 <= len(lines) <= A_SECOND * (seconds + 1)
    assert shed == 100


# --- many installs


def test_the_log_names_each_of_many_damaged_installs(start, connect, data_dir):
    ids = [f"install-{n:02}" for n in range(50)]
    server = start(*JSON)
    client = connect(server)
    for install_id in ids:
        client.post(path_of(install_id) + "/commit", COMMIT)
    assert server.stop() == 0
    with sqlite3.connect(data_dir / "snapshots.db") as database:
        database.execute("UPDATE rows SET lifetime_consumed = lifetime_consumed + 1")
    server = start(*JSON)
    client = connect(server)
    for _ in range(3):
        for install_id in ids:
            creditsd.check_problem(client.get(path_of(install_id)), 500, "storage_damaged")
    assert server.stop() == 0
    lines = [event["message"] for event in named(server, "load_failed")]
    for install_id in ids:
        of_install = [line for line in lines if install_id in line]
        assert of_install, install_id
        reported = sum(1 + int(more) for line in of_install for more in re.findall(r"and (\d+) more", line) or [0])
        assert reported == 3


# --- odd text


@pytest.mark.parametrize("level", ["debug", "info"])
def test_a_line_stays_one_object_whatever_clients_send(start, connect, level):
    server = start(*JSON, "--log-level", level, "--slow-request", "1ms")
    client = connect(server)
    for install_id in ODD:
        client.post(path_of(install_id) + "/commit", COMMIT)
        batch(client, 1000, install_id)
        client.post(path_of(install_id) + "/plan", {"tier": install_id + "\n"})
    for broken in (b"GET /\xff\xfe\"\\ HTTP/1.1\r\n\r\n", b"\x00\x1b[31m\"\r\n\r\n",
                   b"GET /%22%0a%5c HTTP/1.1\r\nHost: \"\r\n\r\n"):
        creditsd.raw(server.port, broken, half_close=True)
    assert server.stop() == 0
    assert events(server)


@pytest.mark.parametrize("tier", [*ODD, "new\nline", "\u2028", "\x1b[31m", "gr\u00f6\u00dfer"],
                         ids=repr)
def test_a_line_stays_one_object_whatever_a_file_contains(server_in_json, data_dir, tier):
    (data_dir / "quota.json").write_text(json.dumps({"core": {"lifetime": 1}, tier: {}}))
    event = hup(server_in_json, "quota.json")
    assert event["level"] in ("warning", "error")
    assert event["message"].isprintable()
