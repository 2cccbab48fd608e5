"""tools/cluster/run: a database, two nodes, and nginx in front of them."""

import os
import re
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

import creditsd
from cluster import postgres as servers
from creditsd import REPO, Client, wait_until
from traffic import Traffic, check_count, ids, path_of, show

COMMIT = {"backend": "gemini", "tier": "core"}
NODE = re.compile(r"node \d: http://127.0.0.1:(\d+), process (\d+)")


class Run:
    """Runs the program; yields it, and ends it."""

    def __init__(self, directory):
        self.port = servers.free_port()
        self._out = directory / "out"
        with open(self._out, "wb") as out:
            self._process = subprocess.Popen(
                [REPO / "tools/cluster/run", "--listen", f"127.0.0.1:{self.port}", "--directory", directory],
                env=creditsd.environment({"CREDITSD": creditsd.BINARY}), stdout=out, stderr=out)
        try:
            wait_until(self._listens_or_has_ended, "the line `listening on`")
            assert self._process.poll() is None, self._out.read_text()
        except BaseException:
            self.end()
            raise
        self.nodes = [(int(port), int(process)) for port, process in NODE.findall(self._out.read_text())]

    def _listens_or_has_ended(self):
        return "listening on http" in self._out.read_text() or self._process.poll() is not None

    def end(self):
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(creditsd.TIMEOUT_S)


@pytest.fixture
def directory():
    """A directory that the database's user can access."""
    with tempfile.TemporaryDirectory(prefix="credits-test-") as path:
        os.chmod(path, 0o711)
        yield Path(path)


@pytest.fixture
def run(directory):
    running = Run(directory)
    yield running
    running.end()


def test_each_install_has_one_node_and_all_nodes_have_some(run, connect):
    traffic = Traffic(run.port, [*ids(40), "with/slash", "with%percent"])
    traffic.wait_for(500)
    traffic.end()
    assert traffic.refused == []
    stats = [connect(Client(port)).get("/v1/stats").json for port, _ in run.nodes]
    assert [one["store"]["conflicts_total"] for one in stats] == [0, 0]
    assert min(one["actors"]["live"] for one in stats) > 5
    assert sum(one["actors"]["live"] for one in stats) == 42
    check_count(connect(run), traffic)


def test_a_batch_is_answered_by_any_node(run, connect):
    client = connect(run)
    operations = [{"op": "commit", "install_id": install_id, **COMMIT} for install_id in ids(20)]
    for count in range(1, 6):
        results = client.post("/v1/batch", {"operations": operations}).json["results"]
        assert [result["version"] for result in results] == [count] * 20
        assert show(client, "i0003")["version"] == count


def test_requests_avoid_a_killed_node(run, connect):
    client = connect(run)
    for install_id in ids(20):
        assert client.post(path_of(install_id) + "/commit", COMMIT).status == 200
    os.kill(run.nodes[0][1], signal.SIGKILL)
    for install_id in ids(20):
        assert show(client, install_id)["version"] == 1
        assert client.post(path_of(install_id) + "/commit", COMMIT).json["version"] == 2


def test_nothing_is_left_at_the_end(run, directory):
    assert run.end() == 0
    assert [path.name for path in directory.iterdir()] == ["out"]
