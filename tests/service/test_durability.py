"""What was answered is there, whatever happens to the process."""

import collections
import http.client
import json
import shutil
import signal
import threading
import time

import pytest

from creditsd import DATA, Client, path_of, run

CONNECTIONS = 32


class Traffic:
    """Commits from many connections at once, and what was answered to each."""

    def __init__(self, port, ids):
        self.answered = collections.defaultdict(list)  # id: versions
        self.attempted = collections.Counter()
        self.refused = 0
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.send, args=(port, ids, i))
                        for i in range(CONNECTIONS)]
        for thread in self.threads:
            thread.start()

    def send(self, port, ids, number):
        client = Client(port)
        try:
            while not self.over.is_set():
                install_id = ids[number % len(ids)]
                number += 7
                with self.lock:
                    self.attempted[install_id] += 1
                answer = client.commit(install_id, "hardware")
                with self.lock:
                    if answer.status == 200:
                        self.answered[install_id].append(answer.json["version"])
                    else:
                        self.refused += 1
        except (OSError, http.client.HTTPException):
            pass  # the server is gone: whether this one was done is not known
        finally:
            client.close()

    def wait_for(self, count):
        while sum(map(len, self.answered.values())) < count:
            assert any(thread.is_alive() for thread in self.threads)
            time.sleep(0.005)

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def check_nothing_lost(client, traffic, before):
    """Every answered commit is an entry; entries, version and counter agree; none counts twice."""
    for install_id, attempted in traffic.attempted.items():
        consumed_before, version_before = before.get(install_id, (0, 0))
        install = client.install(install_id).json
        if "version" not in install:
            assert not traffic.answered[install_id]
            continue
        entries = client.entries(install_id)
        assert [e["version"] for e in entries] == list(range(install["version"], 0, -1))
        versions = traffic.answered[install_id]
        assert len(set(versions)) == len(versions)
        kinds = {e["version"]: e["kind"] for e in entries}
        assert all(kinds[version] == "commit" for version in versions)
        done = install["version"] - version_before
        assert len(versions) <= done <= attempted
        assert install["lifetime_consumed"] == consumed_before + done


def test_sigkill_in_mid_traffic_loses_and_doubles_nothing(start, data_dir):
    data_dir.mkdir()
    shutil.copy(DATA / "credits.json", data_dir)
    rows = json.loads((data_dir / "credits.json").read_text())["rows"]
    ids = list(rows)[:60] + [f"new-{i}" for i in range(20)]
    before = {install_id: (row["lifetime_consumed"], 1) for install_id, row in rows.items()}
    for _ in range(3):
        server = start()
        traffic = Traffic(server.port, ids)
        traffic.wait_for(2_000)
        server.kill()
        traffic.end()
        server = start()
        client = server.client()
        check_nothing_lost(client, traffic, before)
        for install_id in ids:
            install = client.install(install_id).json
            if "version" in install:
                before[install_id] = (install["lifetime_consumed"], install["version"])
        server.kill()
    untouched = start().client().snapshot()
    for install_id in list(rows)[60:]:
        assert untouched[install_id] == rows[install_id]


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_ends_in_order_and_loses_nothing(start, stop_signal):
    server = start()
    traffic = Traffic(server.port, [f"install-{i}" for i in range(50)])
    traffic.wait_for(1_000)
    server.signal(stop_signal)
    assert server.wait() == 0
    traffic.end()
    assert "stopped" in server.log()
    check_nothing_lost(start().client(), traffic, {})


def test_sigterm_right_after_the_start_ends_it(start, data_dir):
    for _ in range(10):
        assert start().stop() == 0


def test_retired_installs_come_back_as_they_were(start):
    server = start("--max-live-installs", "4", "--passivate-after", "10ms")
    traffic = Traffic(server.port, [f"install-{i}" for i in range(40)])
    traffic.wait_for(3_000)
    traffic.end()
    assert traffic.refused == 0
    client = server.client()
    time.sleep(0.6)  # longer than the routers take to look for idle installs
    check_nothing_lost(client, traffic, {})


def test_a_second_server_on_the_directory_is_told_who_has_it(start, data_dir):
    server = start()
    ended = run("--data-dir", data_dir, "--listen", "127.0.0.1:0")
    assert ended.returncode == 1
    assert str(server.process.pid) in ended.stderr and str(data_dir) in ended.stderr
    assert server.client().put(path_of("a")).status == 201


def test_a_ledger_of_a_newer_schema_is_refused(start, data_dir):
    import sqlite3
    start().stop()
    with sqlite3.connect(data_dir / "journal.db") as journal:
        journal.execute("PRAGMA user_version = 99")
    ended = run("--data-dir", data_dir)
    assert ended.returncode == 1
    for part in ("journal.db", "schema version 99", "newer creditsd"):
        assert part in ended.stderr


def test_the_directory_and_its_files_are_the_owners_alone(start, data_dir):
    start().client().put(path_of("a"))
    assert data_dir.stat().st_mode & 0o077 == 0
    for path in data_dir.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
