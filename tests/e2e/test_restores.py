"""Startup and `creditsctl check` on a data directory with copied files: a backup beside the files of the
ledger that it is to replace, a journal without its log. Only with files."""

import itertools
import shutil

import pytest

import creditsctl
from creditsctl import check_done, check_failed
from creditsd import run
from traffic import show

COMMIT = {"backend": "gemini", "tier": "core"}
KEPT = ["journal.db-wal", "journal.db-shm", "snapshots.db", "snapshots.db-wal", "snapshots.db-shm"]


def commits(client, count):
    for _ in range(count):
        assert client.post("/v1/installs/a/commit", COMMIT).status == 200


@pytest.fixture
def lost(start, connect, data_dir, tmp_path):
    """A directory whose creditsd was killed at version 30, and its backup from version 10."""
    server = start()
    client = connect(server)
    commits(client, 10)
    backup = tmp_path / "backup.db"
    check_done(creditsctl.run("backup", data_dir, backup))
    commits(client, 20)
    server.kill()
    return data_dir, backup


def check_refused(data_dir, *words):
    """Checks that startup and check refuse it, and change nothing."""
    def content():  # to SQLite, an empty log is the same as none
        return {path.name: path.read_bytes() for path in data_dir.iterdir()
                if path.suffix in (".db", ".db-wal") and path.stat().st_size > 0}

    before = content()
    check_failed(creditsctl.run("check", data_dir), 1, *words)
    assert content() == before
    ended = run("--data-dir", data_dir, "--listen", "127.0.0.1:0")
    assert (ended.returncode, ended.stdout) == (1, ""), ended
    for word in words:
        assert str(word) in ended.stderr
    assert content() == before


@pytest.mark.parametrize("gone", [[], ["journal.db-shm"], ["snapshots.db", "snapshots.db-wal", "snapshots.db-shm"]],
                         ids=["all", "without the log's index", "without snapshots"])
def test_a_backup_beside_the_log_of_another_file_is_refused(lost, gone):
    data_dir, backup = lost
    for name in gone:
        (data_dir / name).unlink()
    shutil.copy(backup, data_dir / "journal.db")
    check_refused(data_dir, data_dir / "journal.db-wal", "remove")


@pytest.mark.parametrize("kept", itertools.combinations(KEPT[2:], 1))
def test_a_backup_beside_snapshots_is_refused(lost, kept):
    data_dir, backup = lost
    for name in set(KEPT) - set(kept) - {"snapshots.db"}:
        (data_dir / name).unlink()
    shutil.copy(backup, data_dir / "journal.db")
    check_refused(data_dir, data_dir / "snapshots.db", "remove")


@pytest.mark.parametrize("killed", [False, True])
def test_a_restore_needs_no_further_step_and_can_be_killed(lost, start, connect, killed):
    data_dir, backup = lost
    for name in KEPT:
        (data_dir / name).unlink()
    shutil.copy(backup, data_dir / "journal.db")
    check_done(creditsctl.run("check", data_dir))
    for version in 10, 11, 12:
        server = start()
        client = connect(server)
        assert show(client)["version"] == version
        commits(client, 1)
        if killed:
            server.kill()
        else:
            assert server.stop() == 0
        assert "log_missing" not in server.log()
        check_done(creditsctl.run("check", data_dir))


def test_a_backup_of_a_restored_ledger_is_valid(lost, start, connect, tmp_path):
    _, backup = lost
    restored, again = tmp_path / "restored", tmp_path / "again"
    restored.mkdir()
    again.mkdir()
    shutil.copy(backup, restored / "journal.db")
    # Before any start, and while creditsd runs.
    check_done(creditsctl.run("backup", restored, again / "journal.db"))
    assert [path.name for path in again.iterdir()] == ["journal.db"]
    server = start("--data-dir", restored)
    commits(connect(server), 1)
    check_done(creditsctl.run("backup", restored, again / "journal.db", "--force"))
    assert show(connect(start("--data-dir", again)))["version"] == 11


def test_a_missing_log_is_reported_as_far_as_it_is_known(start, connect, data_dir, tmp_path):
    server = start()
    commits(connect(server), 5)
    server.kill()
    server = start()  # folds the log into the file
    commits(connect(server), 5)
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(data_dir / "journal.db", alone)
    assert "journal.db-wal" in check_done(creditsctl.run("check", alone))
    copied = start("--data-dir", alone)
    assert "warning log_missing: " in copied.log() and str(alone / "journal.db-wal") in copied.log()
    assert copied.stop() == 0
    assert "journal.db-wal" not in check_done(creditsctl.run("check", alone))
    copied = start("--data-dir", alone)
    assert "log_missing" not in copied.log()


def test_a_new_journal_without_its_log_is_refused(start, connect, data_dir, tmp_path):
    server = start()
    commits(connect(server), 5)
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(data_dir / "journal.db", alone)
    check_refused(alone, alone / "journal.db-wal")
    shutil.copy(data_dir / "journal.db-wal", alone)
    assert show(connect(start("--data-dir", alone)))["version"] == 5


def test_a_stopped_ledger_misses_no_log(start, connect, data_dir, tmp_path):
    server = start()
    commits(connect(server), 5)
    assert server.stop() == 0
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(data_dir / "journal.db", alone)
    assert "journal.db-wal" not in check_done(creditsctl.run("check", alone))
    copied = start("--data-dir", alone)
    assert "log_missing" not in copied.log()
    assert show(connect(copied))["version"] == 5


def test_a_copy_of_a_stopped_directory_can_replace_a_killed_one(start, connect, data_dir, tmp_path):
    server = start()
    commits(connect(server), 5)
    assert server.stop() == 0
    shutil.copytree(data_dir, tmp_path / "copy")
    server = start()
    commits(connect(server), 5)
    server.kill()
    shutil.copytree(tmp_path / "copy", data_dir, dirs_exist_ok=True)
    assert show(connect(start()))["version"] == 5
    check_done(creditsctl.run("check", data_dir))
