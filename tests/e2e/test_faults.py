"""Injected faults beneath the real binary: kills, pauses, a full, failing or read-only disk, truncated files,
and a changed clock. In the end acknowledged writes are kept, refused ones are not, and no wrong answer is
served.

CREDITS_KILL_ROUNDS=50 sets the number of kills."""

import datetime
import errno
import os
import random
import shutil
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest

import creditsctl
import creditsd
from creditsctl import check_done, check_failed
from creditsd import FEW_LIVE, check_problem, run, wait_until
from damage import with_flipped_bit
from exposition import scrape
from traffic import Traffic, all_entries, all_installs, check_count, history, ids, path_of, show

KILL_ROUNDS = int(os.environ.get("CREDITS_KILL_ROUNDS", 5))
INSTALL = "/v1/installs/a"
COMMIT = {"backend": "gemini", "tier": "core"}
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def preload(library):
    """A sanitizer's library must be preloaded first."""
    return {"LD_PRELOAD": str(library), "ASAN_OPTIONS": "verify_asan_link_order=0"}


def compiled(tmp_path_factory, name):
    """Compiles name.cpp beside this file into a library to preload."""
    library = tmp_path_factory.mktemp(name) / f"{name}.so"
    source = Path(__file__).with_name(f"{name}.cpp")
    subprocess.run(["c++", "-std=c++20", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


def commit(client, install_id="a", **fields):
    return client.post(f"{path_of(install_id)}/commit", COMMIT | fields)


# --- signals


def test_repeated_kills_under_load_lose_nothing(start, connect, data_dir):
    installs = {}
    for number in range(KILL_ROUNDS):
        flags = FEW_LIVE if number % 2 else []
        server = start(*flags)
        traffic = Traffic(server.port, ids(20))
        traffic.wait_for(300)
        server.kill()
        traffic.end()
        assert traffic.refused == []
        check_done(creditsctl.run("check", data_dir))
        server = start(*flags)
        installs = check_count(connect(server), traffic, installs)
        server.kill()


def test_requests_sent_while_it_is_paused_are_answered_when_it_continues(start, connect):
    server = start()
    traffic = Traffic(server.port, ids(20))
    for count in (200, 400, 600):
        traffic.wait_for(count)
        server.process.send_signal(SIGSTOP)
        time.sleep(0.4)
        server.process.send_signal(SIGCONT)
    traffic.wait_for(800)
    traffic.end()
    assert traffic.refused == [] and not any(traffic.in_doubt.values())
    check_count(connect(server), traffic)
    assert server.stop() == 0


# --- disks


@pytest.fixture
def small_disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", path],
                             stderr=subprocess.PIPE, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"a disk of its own takes the right to mount: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", path], check=True)


def fill(disk):
    """Fills the disk to its last byte."""
    with open(disk / "ballast", "wb", buffering=0) as ballast:
        for size in (65536, 4096, 1):
            try:
                while True:
                    ballast.write(b"x" * size)
            except OSError:
                pass


def commit_until(client, status):
    """Commits until one gets this status; returns the number before it."""
    for count in range(5_000):
        answer = commit(client)
        if answer.status == status:
            return count
        assert answer.status in (200, 503), answer.body
    raise AssertionError(f"no answer of {status} in 5,000")


def test_a_full_disk_accepts_no_commits_until_there_is_room_again(small_disk, start, connect):
    data_dir = small_disk / "data"
    server = start("--data-dir", data_dir)
    client = connect(server)
    assert commit(client).status == 200
    fill(small_disk)
    done = 1 + commit_until(client, 503)
    check_problem(commit(client), 503, "storage_unavailable")
    check_problem(client.get("/readyz"), 503, "storage_unavailable")
    assert show(client)["version"] == done
    assert [row["version"] for row in client.get("/v1/installs").json["installs"]] == [done]
    assert client.get("/v1/snapshot").json["rows"]["a"]["lifetime_consumed"] == done
    (small_disk / "ballast").unlink()
    commit_until(client, 200)
    wait_until(lambda: client.get("/readyz").status == 200, "readiness")
    assert commit(client).json["version"] == done + 2
    assert server.stop() == 0
    check_done(creditsctl.run("check", data_dir))
    assert show(connect(start("--data-dir", data_dir)))["version"] == done + 2


def test_a_full_disk_at_startup_is_reported(small_disk):
    fill(small_disk)
    ended = run("--data-dir", small_disk / "data", "--listen", "127.0.0.1:0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert str(small_disk / "data") in ended.stderr and "full" in ended.stderr


def test_a_read_only_disk_is_reported_at_startup(small_disk, start, connect):
    data_dir = small_disk / "data"
    server = start("--data-dir", data_dir)
    assert commit(connect(server)).status == 200
    server.stop()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    ended = run("--data-dir", data_dir, "--listen", "127.0.0.1:0")
    assert (ended.returncode, ended.stdout) == (1, "")
    for part in (str(data_dir), "Read-only file system", "make it writable"):
        assert part in ended.stderr


@pytest.fixture(scope="session")
def faulty_io(tmp_path_factory):
    return compiled(tmp_path_factory, "faulty_io")


@pytest.mark.parametrize("reason", [errno.EDQUOT, errno.EFBIG, errno.ENOSPC, errno.EIO])
def test_after_a_failed_write_it_recovers_by_itself(reason, faulty_io, start, connect, data_dir, tmp_path):
    switch = tmp_path / "faulty"
    server = start(env=preload(faulty_io) | {"FAULTY_IO": str(switch)})
    client = connect(server)
    assert [commit(client).status for _ in range(3)] == [200] * 3
    switch.write_text(f"write {reason}")
    check_problem(commit(client), 503, "storage_unavailable")
    problem = check_problem(client.get("/readyz"), 503, "storage_unavailable")
    assert "journal.db" in problem["detail"]
    assert reason == errno.EIO or "make room" in problem["detail"]
    assert show(client)["version"] == 3
    switch.unlink()
    commit_until(client, 200)
    wait_until(lambda: client.get("/readyz").status == 200, "readiness")
    assert commit(client).json["version"] == 5
    assert server.stop() == 0
    check_done(creditsctl.run("check", data_dir))
    assert show(connect(start()))["version"] == 5


def test_after_a_failed_sync_it_acknowledges_nothing_until_a_restart(
        faulty_io, start, connect, data_dir, tmp_path):
    switch = tmp_path / "faulty"
    server = start(env=preload(faulty_io) | {"FAULTY_IO": str(switch)})
    client = connect(server)
    assert [commit(client).status for _ in range(3)] == [200] * 3
    switch.write_text("sync")
    check_problem(commit(client), 503, "storage_unavailable")
    switch.unlink()  # the disk works again, but its content is unknown
    check_problem(commit(client), 503, "storage_unavailable")
    problem = check_problem(client.get("/readyz"), 503, "storage_unavailable")
    assert "journal.db" in problem["detail"] and "start again" in problem["detail"]
    assert show(client)["version"] == 3
    server.stop()
    check_done(creditsctl.run("check", data_dir))
    client = connect(start())
    # The failed commit may have been sent to the disk; the one after it was not.
    assert show(client)["version"] in (3, 4)
    assert commit(client).status == 200


def test_a_stalled_store_is_not_ready_until_it_continues(faulty_io, start, connect, tmp_path):
    switch = tmp_path / "faulty"
    server = start(env=preload(faulty_io) | {"FAULTY_IO": str(switch)})
    client = connect(server)
    assert commit(client).status == 200
    switch.write_text("stall")
    answers = []
    waiting = [threading.Thread(target=lambda n=n: answers.append(commit(connect(server), f"w{n}")))
               for n in range(8)]
    for thread in waiting:
        thread.start()
    assert client.get("/readyz").status == 200  # a write may be slow
    wait_until(lambda: client.get("/readyz").status == 503, "unreadiness")
    problem = check_problem(client.get("/readyz"), 503, "storage_unavailable")
    assert "waited for the store" in problem["detail"]
    assert "waited for the store" in client.get("/v1/stats").json["store"]["trouble"]
    assert client.get("/healthz").status == 200
    assert show(client)["version"] == 1  # reads are answered
    switch.unlink()
    for thread in waiting:
        thread.join()
    assert [answer.status for answer in answers] == [200] * 8
    assert client.get("/readyz").status == 200
    assert client.get("/v1/stats").json["store"]["trouble"] is None


def test_load_beyond_a_slow_disk_is_refused_and_the_rest_is_done(
        faulty_io, start, connect, tmp_path):
    """Doubles the clients twice: accepted requests are done, refused ones have no effect."""
    switch = tmp_path / "faulty"
    switch.write_text("slow")
    server = start("--max-in-flight", "16", env=preload(faulty_io) | {"FAULTY_IO": str(switch)})
    client = connect(server)
    installs = {}
    for writers in (16, 32, 64):
        traffic = Traffic(server.port, ids(50), writers=writers, readers=0)
        traffic.wait_for(300)
        assert client.get("/readyz").status == 200
        traffic.end()
        assert traffic.refused or writers <= 16
        for answer in traffic.refused:
            check_problem(answer, 503, "overloaded")
            assert answer.headers["Retry-After"] == "1"
        installs = check_count(client, traffic, installs)
        # Once the load falls, everything is accepted again.
        assert [commit(client, "after").status for _ in range(20)] == [200] * 20
        installs = all_installs(client)
    assert server.stop() == 0


# --- files


@pytest.fixture
def stopped(start, connect, data_dir):
    """A data directory with some entries, without a server."""
    server = start()
    client = connect(server)
    for n in range(100):
        assert commit(client, f"i{n % 7}").status == 200
    assert server.stop() == 0
    return data_dir


@pytest.mark.parametrize("bytes_cut", [1, 100, 2048, 4095, 4096, 10_000])
@pytest.mark.parametrize("name", ["journal.db", "snapshots.db"])
def test_a_truncated_file_is_refused(stopped, name, bytes_cut):
    path = stopped / name
    os.truncate(path, path.stat().st_size - bytes_cut)
    ended = run("--data-dir", stopped, "--listen", "127.0.0.1:0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert str(path) in ended.stderr and "backup" in ended.stderr
    check_failed(creditsctl.run("check", stopped), 1, path)


@pytest.mark.parametrize("name", ["journal.db", "snapshots.db"])
def test_no_flipped_bit_makes_it_serve_wrong_answers(stopped, name, tmp_path, connect):
    """Either startup refuses it, or a call that needs the damaged data is 500, or the bit belongs to no data.
    An install with a damaged id is not found; `check` finds that, like all other damage."""
    chance = random.Random(name)
    size = (stopped / name).stat().st_size
    expected = served(shutil.copytree(stopped, tmp_path / "whole"), tmp_path, connect)
    outcomes = Counter()
    for place in chance.sample(range(size), 40):
        bit = chance.randrange(8)
        flipped = with_flipped_bit(stopped, name, place, bit, tmp_path / "flipped")
        now = served(flipped, tmp_path, connect)
        if now is None:
            outcomes["refused"] += 1
            continue
        for path, (status, body) in now.items():
            if (status, body) == expected[path]:
                outcomes["served"] += 1
            elif status == 404:
                # Ask again, because the server may have written since.
                flipped = with_flipped_bit(stopped, name, place, bit, tmp_path / "checked")
                check_failed(creditsctl.run("check", flipped), 1)
            else:
                assert status == 500, f"byte {place}: {path}: {status} {body}"
                outcomes["500"] += 1
    assert outcomes["served"] > 0 and outcomes["refused"] + outcomes["500"] > 0


def served(data_dir, tmp_path, connect):
    """The answers about each install of `stopped`; None if the server does not start."""
    try:
        server = creditsd.Server(["--listen", "127.0.0.1:0", "--data-dir", data_dir],
                                 tmp_path / "served.log")
    except AssertionError:
        assert b"creditsd: " in (tmp_path / "served.log").read_bytes()
        return None
    client = connect(server)
    paths = [path_of(f"i{n}") + rest for n in range(7) for rest in ("", "/entries?limit=1000")]
    answers = {path: client.get(path) for path in paths}
    server.kill()
    return {path: (answer.status, answer.body) for path, answer in answers.items()}


# --- the clock


class Clock:
    """A server's clock, set by the test; monotonic clocks are unaffected."""

    def __init__(self, path):
        self.path = path
        self.set("2026-11-24 12:00:00")

    def set(self, time_text):
        new = self.path.with_suffix(".new")
        new.write_text(f"@{time_text}\n")
        new.replace(self.path)

    @property
    def environment(self):
        return preload(FAKETIME) | {"FAKETIME_TIMESTAMP_FILE": str(self.path), "TZ": "UTC",
                                    "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"}


@pytest.fixture
def clock(tmp_path):
    assert FAKETIME, "tools/setup --tests installs libfaketime"
    return Clock(tmp_path / "clock")


def test_months_never_go_back_whatever_the_clock_does(clock, start, connect, data_dir):
    server = start(env=clock.environment)
    client = connect(server)
    seen = []
    for text in ("2026-11-24 12:00:00", "2026-12-01 01:00:00", "2026-11-30 23:00:00",
                 "2020-01-01 00:00:00", "2027-02-01 01:00:00", "2026-11-24 12:00:00"):
        clock.set(text)
        answer = commit(client, tier="pro")
        assert answer.status == 200
        seen.append((answer.json["month"], answer.json["monthly_consumed"]))
    assert seen == [("2026-11", 1), ("2026-12", 1), ("2026-12", 2), ("2026-12", 3),
                    ("2027-02", 1), ("2027-02", 2)]
    assert [entry["version"] for entry in all_entries(client, "a")] == list(range(1, 7))
    expected = history(client)
    server.kill()
    check_done(creditsctl.run("check", data_dir))
    assert history(connect(start(env=clock.environment))) == expected


def test_a_metric_reports_a_clock_behind_the_ledger(clock, start, connect):
    client = connect(start(env=clock.environment))
    assert commit(client).status == 200
    assert scrape(client).value("credits_clock_behind_seconds") == 0
    clock.set("2026-11-24 11:00:00")
    assert 3_500 < scrape(client).value("credits_clock_behind_seconds") < 3_700


def test_an_expired_reservation_stays_so_when_the_clock_goes_back(clock, start, connect):
    client = connect(start(env=clock.environment))
    reserved = client.post(INSTALL + "/reservations", {"tier": "core", "credits": 5,
                                                       "ttl_seconds": 60}).json
    path = f"{INSTALL}/reservations/{reserved['reservation_id']}"
    assert show(client)["balance"]["held"] == 5
    clock.set("2026-11-24 12:02:00")
    check_problem(client.post(path + "/commit", {}), 410, "reservation_expired")
    clock.set("2026-11-24 12:00:00")
    check_problem(client.post(path + "/commit", {}), 410, "reservation_expired")
    assert show(client)["balance"]["held"] == 0


def test_clock_jumps_under_load_lose_nothing(clock, start, connect):
    server = start("--passivate-after", "100ms", env=clock.environment)
    traffic = Traffic(server.port, ids(20))
    for n in range(10):
        traffic.wait_for(100 * (n + 1))
        day = datetime.date(2026, 11, 24) + datetime.timedelta(days=40 * (n % 3) - 40 * (n % 2))
        clock.set(f"{day} 12:00:00")
    traffic.end()
    assert traffic.refused == [] and not any(traffic.in_doubt.values())
    check_count(connect(server), traffic)
