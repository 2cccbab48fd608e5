"""The real program on files that are removed or read-only: no unreadable write is acknowledged, and
startup says what to do."""

import shutil
import subprocess
from contextlib import contextmanager

import pytest

from creditsd import check_problem, run
from traffic import show

COMMIT = {"backend": "gemini", "tier": "core"}


def commit(client):
    return client.post("/v1/installs/a/commit", COMMIT)


@pytest.mark.parametrize("gone", ["", "journal.db", "journal.db-wal"])
def test_nothing_is_acknowledged_once_the_data_directory_is_removed(gone, server, client, data_dir):
    assert [commit(client).status for _ in range(3)] == [200] * 3
    if gone:
        (data_dir / gone).unlink()
    else:
        shutil.rmtree(data_dir)
    for _ in range(3):
        check_problem(commit(client), 503, "storage_unavailable")
    problem = check_problem(client.get("/readyz"), 503, "storage_unavailable")
    assert "was removed" in problem["detail"] and "start again" in problem["detail"]
    assert str(data_dir / gone) in server.log()
    assert show(client)["version"] == 3
    assert server.stop() == 0


@contextmanager
def read_only(path):
    """Mounts the file read-only over itself, because root can write any other file."""
    mounted = subprocess.run(["mount", "--bind", path, path], stderr=subprocess.PIPE, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"a file that root may not write takes the right to mount: {mounted.stderr}")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)
        yield
    finally:
        subprocess.run(["umount", path], check=True)


@pytest.mark.parametrize("name", ["journal.db", "snapshots.db", "lock"])
def test_a_read_only_file_is_reported_at_startup(name, start, connect, data_dir):
    server = start()
    assert commit(connect(server)).status == 200
    assert server.stop() == 0
    with read_only(data_dir / name):
        ended = run("--data-dir", data_dir, "--listen", "127.0.0.1:0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert str(data_dir) in ended.stderr and "writable for this user" in ended.stderr
    assert show(connect(start()))["version"] == 1
