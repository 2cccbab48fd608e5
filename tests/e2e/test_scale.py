"""Very many installs and connections: the cost does not grow with their number."""

import json
import resource
import subprocess
from pathlib import Path

import pytest

import creditsd
from creditsd import Client, Server

COMMIT = {"op": "commit", "backend": "gemini", "tier": "max"}
MIB = 2**20
CONNECTIONS = 5_000


def install_id(n):
    return f"install-{n:09d}"


def touch(client, first, last):
    """Debits each install once, in batches of the maximum size."""
    step = 8_000
    for start in range(first, last, step):
        answer = client.post("/v1/batch", {"operations": [
            COMMIT | {"install_id": install_id(n)} for n in range(start, min(last, start + step))]})
        assert answer.status == 200
        assert all(result["status"] == 200 for result in answer.json["results"])


def memory_bytes(server):
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def read_bytes(server):
    """The bytes that the server has read, from the disk or the page cache."""
    [line] = [line for line in Path(f"/proc/{server.process.pid}/io").read_text().splitlines()
              if line.startswith("rchar:")]
    return int(line.split()[1])


def is_sanitized():
    return "libasan" in subprocess.run(["ldd", creditsd.BINARY], capture_output=True,
                                       text=True, check=True).stdout


@pytest.mark.skipif(is_sanitized(), reason="AddressSanitizer keeps what was freed")
def test_memory_is_bounded_for_any_number_of_installs(start, connect):
    live_max = 2_000
    server = start("--max-live-installs", live_max)
    client = connect(server)
    count = 300_000  # would take 880 MiB if all were live
    touch(client, 0, count)
    assert memory_bytes(server) < 400 * MIB
    stats = client.get("/v1/stats").json
    assert stats["actors"]["live"] <= live_max + 8_000  # plus those of a batch in progress
    assert stats["store"]["installs"] == count
    for n in (0, count // 2, count - 1):
        assert client.get(f"/v1/installs/{install_id(n)}").json["version"] == 1


def test_a_start_reads_no_more_of_a_large_ledger_than_of_a_small_one(tmp_path):
    def read_at_start_and_first_request(count):
        data_dir = tmp_path / str(count)
        data_dir.mkdir()
        rows = {install_id(n): {"install_id": install_id(n)} for n in range(count)}
        (data_dir / "credits.json").write_text(json.dumps({"rows": rows}))
        args = ["--listen", "127.0.0.1:0", "--data-dir", data_dir]
        server = Server(args, tmp_path / f"{count}-import.log")
        assert server.stop() == 0
        server = Server(args, tmp_path / f"{count}.log")
        client = Client(server.port)
        try:
            assert client.get(f"/v1/installs/{install_id(count // 2)}").status == 200
            assert client.get("/v1/stats").json["store"]["installs"] == count
            return read_bytes(server), (data_dir / "snapshots.db").stat().st_size
        finally:
            client.close()
            server.kill()

    small_read, _ = read_at_start_and_first_request(10)
    large_read, large_size = read_at_start_and_first_request(100_000)
    assert large_size > 5 * MIB
    assert large_read - small_read < MIB / 4


def test_thousands_of_connections_stay_open_and_each_is_answered(start, connect):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CONNECTIONS + 1_000:
        pytest.skip(f"{hard} files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = start()
    clients = [connect(server) for _ in range(CONNECTIONS)]
    for client in clients:
        assert client.get("/healthz").status == 200
    kept = [client.connection.sock for client in clients]
    busy = connect(server)
    for n in range(1, 501):
        assert busy.post("/v1/installs/a/commit", {"backend": "gemini", "tier": "max"}).json[
            "version"] == n
    for client, connection in zip(clients, kept):
        assert client.get("/v1/installs/a").json["version"] == 500
        assert client.connection.sock is connection
