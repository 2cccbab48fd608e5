"""Acknowledged writes are kept, however the process ends; and a directory has one process."""

import contextlib
import json
import socket
import sqlite3
import subprocess
import time
from signal import SIGINT, SIGKILL, SIGTERM

import pytest

import creditsd
from creditsd import (FEW_LIVE, check_problem, open_socket, parse_answers, read_to_end, run,
                      wait_until)
from traffic import Traffic, all_installs, check_count, history, ids, path_of

COMMIT = {"backend": "gemini", "tier": "core"}
FEW_IN_FLIGHT = ["--max-in-flight", "8"]
FILES = ["journal.db", "snapshots.db"]


def files_of(data_dir):
    """Maps names to contents."""
    return {path.name: path.read_bytes() for path in data_dir.iterdir()}


def remove_file(data_dir, name):
    """A database, with its log."""
    for path in data_dir.glob(f"{name}*"):
        path.unlink()


def put_file(data_dir, name, content):
    remove_file(data_dir, name)
    (data_dir / name).write_bytes(content)


@pytest.fixture
def filled(start, connect):
    """A ledger with some history, whose server has been stopped; returns its history."""
    server = start()
    client = connect(server)
    for n, install_id in enumerate(ids(20)):
        assert client.put(path_of(install_id)).status == 201
        for tier in ("core", "pro", "max")[:n % 4]:
            assert client.post(f"{path_of(install_id)}/commit",
                               {"backend": "gemini", "tier": tier, "credits": n + 1}).status == 200
    before = history(client)
    assert server.stop() == 0
    return before


# --- a kill


@pytest.mark.parametrize("flags, count", [([], 30), ([], 1), (FEW_LIVE, 30), (FEW_IN_FLIGHT, 30)],
                         ids=["many-installs", "one-install", "few-live", "few-in-flight"])
def test_a_kill_under_load_loses_nothing_and_doubles_nothing(start, connect, flags, count):
    installs = {}
    for _ in range(2):
        server = start(*flags)
        traffic = Traffic(server.port, ids(count))
        traffic.wait_for(500)
        server.kill()
        traffic.end()
        for answer in traffic.refused:
            check_problem(answer, 503, "overloaded")
        assert flags == FEW_IN_FLIGHT or not traffic.refused
        server = start(*flags)
        installs = check_count(connect(server), traffic, installs)
        server.kill()


def test_a_kill_right_after_an_answer_loses_nothing(start, connect):
    for version in range(1, 11):
        server = start()
        answer = connect(server).post("/v1/installs/a/commit", COMMIT)
        server.kill()
        assert (answer.status, answer.json["version"]) == (200, version)
    assert connect(start()).get("/v1/installs/a").json == answer.json


def test_a_write_shown_by_a_read_survives_a_kill(start, connect):
    """A read that shows an unanswered commit waits for the disk like the commit."""
    server = start()
    traffic = Traffic(server.port, ["a"], writers=8, readers=16)
    wait_until(lambda: traffic.seen["a"] > 200, "a read of version 200")
    server.kill()
    traffic.end()
    assert connect(start()).get("/v1/installs/a").json["version"] >= traffic.seen["a"] > 200


def test_a_kill_right_after_the_start_does_no_harm(filled, start, connect):
    for _ in range(5):
        start().kill()
    assert history(connect(start())) == filled


# --- a signal to end


@pytest.mark.parametrize("number", [SIGTERM, SIGINT], ids=lambda n: n.name)
@pytest.mark.parametrize("flags", [[], FEW_LIVE], ids=["all-live", "few-live"])
def test_a_signal_under_load_answers_what_is_in_flight_and_exits_0(start, connect, flags, number):
    server = start(*flags)
    traffic = Traffic(server.port, ids(30))
    traffic.wait_for(500)
    server.process.send_signal(number)
    assert server.process.wait(creditsd.TIMEOUT_S) == 0
    traffic.end()
    assert traffic.refused == []
    assert "stopped" in server.log()
    installs = check_count(connect(start()), traffic)
    # Unanswered commits had no effect: the client knows of every commit that did.
    assert sum(install["version"] for install in installs.values()) == traffic.count()


def test_a_half_received_request_at_the_signal_is_not_a_bad_request(start, connect):
    """It is answered, or has no effect; a 4xx would keep the client from retrying."""
    body = json.dumps(COMMIT).encode()
    head = (b"POST /v1/installs/a/commit HTTP/1.1\r\nHost: creditsd\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
    answered = 0
    for _ in range(3):
        server = start()
        connections = [open_socket(server.port) for _ in range(64)]
        for connection in connections:  # the server then waits for the next request on each
            connection.sendall(head + body)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        for n, connection in enumerate(connections):
            connection.sendall(head)
            if n == 32:
                server.process.send_signal(SIGTERM)
        received = []
        for connection in connections:
            with contextlib.suppress(ConnectionError):
                connection.sendall(body)
        for connection in connections:
            with connection:
                received.append(read_to_end(connection))
        assert server.process.wait(creditsd.TIMEOUT_S) == 0
        assert {data.split(b"\r\n")[0] for data in received} <= {b"HTTP/1.1 200 OK", b""}
        answered += len(connections) + sum(data != b"" for data in received)
    assert connect(start()).get("/v1/installs/a").json["version"] == answered


def test_repeated_signals_under_load_still_end_it_in_order(start, connect):
    server = start()
    traffic = Traffic(server.port, ids(30))
    traffic.wait_for(200)
    for number in (SIGTERM, SIGTERM, SIGINT, SIGTERM):
        server.process.send_signal(number)
    assert server.process.wait(creditsd.TIMEOUT_S) == 0
    traffic.end()
    installs = check_count(connect(start()), traffic)
    assert sum(install["version"] for install in installs.values()) == traffic.count()


def test_an_answer_in_progress_is_sent_to_its_end(start, data_dir):
    rows = {install_id: {} for install_id in ids(9_000)}
    (data_dir / "credits.json").write_text(json.dumps({"rows": rows}))
    server = start()
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(creditsd.TIMEOUT_S)
        slow.connect(("127.0.0.1", server.port))
        slow.sendall(b"GET /v1/snapshot HTTP/1.1\r\nHost: creditsd\r\n\r\n")
        begun = slow.recv(1024)
        server.process.send_signal(SIGTERM)
        wait_until(lambda: "SIGTERM" in server.log(), "a word about the signal in the log")
        [answer] = parse_answers(begun + read_to_end(slow), ["GET"])
    assert answer.status == 200
    assert len(answer.json["rows"]) == len(rows)
    assert server.process.wait(creditsd.TIMEOUT_S) == 0


@pytest.mark.parametrize("number", [SIGTERM, SIGINT], ids=lambda n: n.name)
def test_a_signal_right_after_the_start_ends_it_in_order(start, number):
    for _ in range(5):
        server = start()
        server.process.send_signal(number)
        assert server.process.wait(creditsd.TIMEOUT_S) == 0


# --- a restart


def end_in_order(server):
    assert server.stop() == 0


@pytest.mark.parametrize("end", [end_in_order, creditsd.Server.kill], ids=["stop", "kill"])
def test_restarts_keep_rows_versions_entries_and_quota(filled, start, connect, end):
    server = start()
    quota = connect(server).put("/v1/quota", {"core": {"lifetime": 7}}).json
    before = history(connect(server))
    snapshot = connect(server).get("/v1/snapshot").body
    for _ in range(3):
        end(server)
        server = start()
        client = connect(server)
        assert history(client) == before
        assert client.get("/v1/snapshot").body == snapshot
        assert client.get("/v1/quota").json == quota


@pytest.mark.parametrize("end", [end_in_order, creditsd.Server.kill], ids=["stop", "kill"])
def test_versions_and_entries_continue_after_a_restart(start, connect, end):
    for n in range(5):
        server = start()
        client = connect(server)
        for version in (2 * n + 1, 2 * n + 2):
            answer = client.post("/v1/installs/a/commit", {**COMMIT, "credits": version})
            assert answer.json["version"] == version
        before = client.get("/v1/installs/a/entries").json["entries"]
        assert [(e["version"], e["credits"]) for e in before] == [
            (version, version) for version in range(2 * n + 2, 0, -1)]
        end(server)


def test_a_restart_does_not_create_installs_again(filled, start, connect):
    client = connect(start())
    for install_id, install in filled[0].items():
        answer = client.put(path_of(install_id))
        assert (answer.status, answer.json) == (200, install)


def test_passivated_installs_come_back_unchanged(start, connect):
    server = start(*FEW_LIVE)
    traffic = Traffic(server.port, ids(40))
    traffic.wait_for(1_000)
    traffic.end()
    assert (traffic.refused, list(traffic.in_doubt)) == ([], [])
    time.sleep(0.6)  # longer than it takes to find an idle install
    installs = check_count(connect(server), traffic)
    assert sum(install["version"] for install in installs.values()) == traffic.count()


# --- the files


def test_the_rows_are_rebuilt_from_the_journal(filled, start, connect, data_dir):
    remove_file(data_dir, "snapshots.db")
    assert history(connect(start())) == filled


def test_rows_of_an_older_copy_catch_up_with_the_journal(filled, start, connect, data_dir):
    older = (data_dir / "snapshots.db").read_bytes()
    server = start()
    for install_id in ("i0003", "i0004", "new"):
        assert connect(server).post(f"{path_of(install_id)}/commit", COMMIT).status == 200
    before = history(connect(server))
    assert server.stop() == 0
    put_file(data_dir, "snapshots.db", older)
    assert history(connect(start())) == before != filled


def with_newer_schema(data_dir, name, _older):
    with sqlite3.connect(data_dir / name) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


def with_foreign_database(data_dir, name, _older):
    remove_file(data_dir, name)
    with sqlite3.connect(data_dir / name) as database:
        database.execute("CREATE TABLE addresses (street TEXT)")
    database.close()


def with_no_database(data_dir, name, _older):
    put_file(data_dir, name, b"this is not a database, and it is long enough to show " * 100)


def without_file(data_dir, name, _older):
    remove_file(data_dir, name)


def with_older_copy(data_dir, name, older):
    put_file(data_dir, name, older[name])


@pytest.mark.parametrize("damage, name, words", [
    *[(with_newer_schema, name, ["schema version 99", "newer creditsd"]) for name in FILES],
    *[(with_foreign_database, name, ["not a file of a ledger"]) for name in FILES],
    *[(with_no_database, name, ["backup"]) for name in FILES],
    (without_file, "journal.db", ["missing", "backup"]),
    (with_older_copy, "journal.db", ["entries are lost", "backup"]),
], ids=lambda value: getattr(value, "__name__", value if isinstance(value, str) else ""))
def test_an_inconsistent_ledger_is_refused_and_left_unchanged(filled, start, connect, data_dir, damage, name, words):
    older = files_of(data_dir)
    server = start()
    assert connect(server).post("/v1/installs/i0000/commit", COMMIT).status == 200
    assert server.stop() == 0
    damage(data_dir, name, older)
    before = files_of(data_dir)
    ended = run("--data-dir", data_dir, "--listen", "127.0.0.1:0")
    assert (ended.returncode, ended.stdout) == (1, "")
    for part in (str(data_dir), name, *words):
        assert part in ended.stderr
    assert files_of(data_dir)[name] == before[name] if name in before else (
        name not in files_of(data_dir))


def test_half_of_another_ledger_is_refused(filled, start, connect, data_dir, tmp_path):
    other = tmp_path / "other"
    server = start("--data-dir", other)
    assert connect(server).put("/v1/installs/theirs").status == 201
    assert server.stop() == 0
    put_file(data_dir, "snapshots.db", (other / "snapshots.db").read_bytes())
    ended = run("--data-dir", data_dir, "--listen", "127.0.0.1:0")
    assert (ended.returncode, ended.stdout) == (1, "")
    for part in (str(data_dir), *FILES, "different ledgers"):
        assert part in ended.stderr


def test_the_directory_and_its_files_are_the_owners_alone(start, connect, data_dir):
    made = data_dir / "new"
    client = connect(start("--data-dir", made))
    assert client.put("/v1/installs/a").status == 201
    assert client.put("/v1/quota", {"core": {"lifetime": 7}}).status == 200
    for path in (made, *made.iterdir()):
        assert path.stat().st_mode & 0o077 == 0, path


# --- one owner


def test_a_second_process_under_load_names_the_owner_of_the_directory(start, connect, data_dir):
    server = start()
    traffic = Traffic(server.port, ids(30))
    traffic.wait_for(100)
    before = traffic.count()
    for _ in range(3):
        ended = run("--data-dir", data_dir, "--listen", "127.0.0.1:0")
        assert (ended.returncode, ended.stdout) == (1, "")
        assert str(server.process.pid) in ended.stderr and str(data_dir) in ended.stderr
    traffic.wait_for(before + 100)
    traffic.end()
    assert (traffic.refused, list(traffic.in_doubt)) == ([], [])
    check_count(connect(server), traffic)


def test_a_second_process_by_another_name_of_the_directory_is_refused(server, client, data_dir, tmp_path):
    (tmp_path / "link").symlink_to(data_dir)
    ended = run("--data-dir", tmp_path / "link", "--listen", "127.0.0.1:0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert str(server.process.pid) in ended.stderr
    assert client.put("/v1/installs/a").status == 201


def test_of_many_concurrent_starts_one_gets_the_directory(data_dir):
    args = [creditsd.BINARY, "--data-dir", data_dir, "--listen", "127.0.0.1:0"]
    processes = [subprocess.Popen(args, env=creditsd.environment(None), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                 for _ in range(6)]
    try:
        wait_until(lambda: [p.poll() for p in processes].count(1) == 5, "the end of all but one")
        [owner] = [p for p in processes if p.poll() is None]
        assert owner.stdout.readline().startswith(b"listening on ")
        owner.send_signal(SIGTERM)
        assert owner.wait(creditsd.TIMEOUT_S) == 0
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()


def test_the_directory_is_free_once_its_owner_has_ended(filled, start):
    for number in (SIGKILL, SIGTERM):
        server = start()
        server.process.send_signal(number)
        server.process.wait(creditsd.TIMEOUT_S)
    assert start().running()


def test_the_empty_ledger_survives_restarts_too(start, connect):
    for end in (end_in_order, creditsd.Server.kill, end_in_order):
        server = start()
        assert all_installs(connect(server)) == {}
        end(server)
