"""creditsd under systemd: notifications of readiness and shutdown, requests for more time, the journal."""

import contextlib
import os
import socket

import pytest

import creditsd
from cluster import postgres as servers
from creditsd import run, wait_until
from test_faults import preload
from test_start_and_end import answers, end, hanging_file, launch  # noqa: F401

JOURNAL = "/run/systemd/journal/socket"


@pytest.fixture
def manager(tmp_path):
    """The socket of a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(creditsd.TIMEOUT_S)
        yield listening


def test_it_notifies_when_ready_and_when_stopping(start, connect, manager):
    server = start(env={"NOTIFY_SOCKET": manager.getsockname()})
    assert manager.recv(4096).decode().splitlines() == [
        "READY=1", f"STATUS=serves http://127.0.0.1:{server.port}"]
    assert connect(server).get("/readyz").status == 200
    assert server.stop() == 0
    assert manager.recv(4096).decode().splitlines()[0] == "STOPPING=1"


@pytest.mark.skipif(os.path.exists(JOURNAL), reason="this system has a journal")
def test_a_missing_journal_is_reported_at_startup(data_dir):
    ended = run("--listen", "127.0.0.1:0", "--data-dir", data_dir, "--log-format", "journal")
    assert ended.returncode == 1
    assert JOURNAL in ended.stderr and "text" in ended.stderr
    assert not os.path.exists(data_dir / "journal.db")


def test_it_asks_for_more_time_while_it_waits_for_its_store(launch, manager):
    launch("--store", f"postgresql://127.0.0.1:{servers.free_port()}/d", env={"NOTIFY_SOCKET": manager.getsockname()})
    for _ in range(3):
        extension, status = manager.recv(4096).decode().splitlines()
        assert extension.startswith("EXTEND_TIMEOUT_USEC=")
        assert status.startswith("STATUS=waiting for the store: cannot connect to PostgreSQL")


def test_it_asks_for_more_time_while_it_imports(launch, manager, hanging_file, data_dir):  # noqa: F811
    file, hangs = data_dir / "credits.json", data_dir / "credits.json.hangs"
    file.write_text('{"rows":{"a":{}}}')
    hangs.touch()
    process = launch(env=preload(hanging_file) | {"HANGING_FILE": str(file), "NOTIFY_SOCKET": manager.getsockname()})
    for _ in range(3):
        extension, status = manager.recv(4096).decode().splitlines()
        assert extension.startswith("EXTEND_TIMEOUT_USEC=")
        assert status.startswith(f"STATUS=importing {file}")
    hangs.unlink()
    while (said := manager.recv(4096).decode().splitlines()[0]) != "READY=1":
        assert said.startswith("EXTEND_TIMEOUT_USEC=")
    assert end(process) == 0


def test_a_manager_that_does_not_listen_delays_nothing(launch, tmp_path, manager):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filling:
        filling.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                filling.sendto(b"x", manager.getsockname())
    process = launch(env={"NOTIFY_SOCKET": manager.getsockname()})
    wait_until(lambda: answers(process), "readiness")
    assert end(process) == 0
