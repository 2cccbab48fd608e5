"""An actor that throws, in each of its handlers: the process ends, its last line names the actor and the
message, and the next start has every acknowledged commit."""

import contextlib
import http.client
import signal
import threading
from pathlib import Path

import pytest

import creditsd
from cluster import new_ledger, postgres as servers
from creditsd import FEW_LIVE, Client, wait_until
from traffic import Traffic, check_count, ids, path_of

COMMIT = {"backend": "hardware", "tier": "max"}
AT_THE_END = "close"
ALONE = {
    "router": ["run", "report", "forget", "tick", "retired", AT_THE_END],
    "install": ["run", "loaded", "recalled", "drained", "retire"],
    "persister": ["append", "import", "write", "probe", "drain", AT_THE_END],
    "snapshotter": ["stored", "tick", "prune", AT_THE_END],
    "loader": ["load", "recall", "tick", AT_THE_END],
    "reporter": ["list", "entries", "snapshot", "report", AT_THE_END],
}
BESIDE_ANOTHER_NODE = {
    "install": ["dropped", "resumed"],
    "persister": ["unconfirm", "resume"],
    "confirmer": ["read", "confirm", "resume", "drain", AT_THE_END],
}


def cases(table):
    return [(actor, message) for actor, messages in table.items() for message in messages]


@pytest.fixture
def faulty(start, monkeypatch):
    """Starts a server whose `actor` throws at the second `message`, or at the first during shutdown."""
    def start_faulty(actor, message, *args):
        with monkeypatch.context() as patch:
            patch.setattr(creditsd, "BINARY", str(Path(creditsd.BINARY).with_name("creditsd_with_faults")))
            first = message in (AT_THE_END, "import", "forget", "prune")
            return start(*args, env={"CREDITS_FAULT": f"{actor} {message} {1 if first else 2}"})

    return start_faulty


class Stir:
    """Sends requests that make every actor handle every message, until the server ends."""

    def __init__(self, port, other_port=None):
        self._port = port
        self._other_port = other_port
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(work,))
                         for work in [self._operate, self._ask, *[self._write_elsewhere] * bool(other_port)]]
        for thread in self._threads:
            thread.start()

    def end(self):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, work):
        client = Client(self._port)
        other = Client(self._other_port or self._port)
        with contextlib.suppress(ConnectionError, http.client.HTTPException), \
                contextlib.closing(client), contextlib.closing(other):
            while not self._over.is_set():
                work(client, other)

    @staticmethod
    def _operate(client, _other):
        for n in range(8):  # more than the live limit, so that keys are looked up
            client.request("POST", path_of(f"keyed{n}") + "/commit", COMMIT, {"Idempotency-Key": "k"})
        client.post("/v1/batch", {"operations": [{"op": "get", "install_id": "shared"},
                                                 {"op": "commit", "install_id": "shared", **COMMIT}]})
        client.get(path_of("shared"))

    @staticmethod
    def _ask(client, _other):
        for path in ("/v1/installs?limit=5", "/v1/snapshot", path_of("shared") + "/entries",
                     path_of("shared") + "/actor"):
            client.get(path)

    @staticmethod
    def _write_elsewhere(_client, other):
        other.post(path_of("shared") + "/commit", COMMIT)


def check_that_it_ends(server, actor, message, traffic, stir):
    if message == AT_THE_END:
        traffic.wait_for(50)
        server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(creditsd.TIMEOUT_S) == -signal.SIGABRT
    stir.end()
    traffic.end()
    last_line = server.log().strip().splitlines()[-1]
    assert f'the actor "{actor}" failed at "{message}"' in server.log(), last_line
    assert "as it was told to" in server.log()


@pytest.mark.parametrize("actor, message", cases(ALONE))
def test_an_actor_that_throws_ends_the_process_and_loses_nothing(faulty, start, connect, actor, message):
    prunes_soon = ["--keep-entries", "2s"] if message == "prune" else []
    server = faulty(actor, message, *FEW_LIVE, *prunes_soon)
    with contextlib.suppress(ConnectionError, http.client.HTTPException):
        Client(server.port).request("POST", "/v1/import", {"rows": {}})
    traffic = Traffic(server.port, ids(30), writers=8, readers=2)
    stir = Stir(server.port)
    check_that_it_ends(server, actor, message, traffic, stir)
    check_count(connect(start()), traffic)


@pytest.fixture(scope="module")
def database():
    with servers.running() as running:
        yield running


@pytest.mark.parametrize("actor, message", cases(BESIDE_ANOTHER_NODE))
def test_a_node_whose_actor_throws_loses_nothing(database, faulty, start, connect, actor, message):
    store = ["--store", new_ledger(database.uri())]
    other = start(*store)
    server = faulty(actor, message, *store, *FEW_LIVE)
    traffic = Traffic(server.port, ids(30), writers=8, readers=2)
    stir = Stir(server.port, other.port)
    check_that_it_ends(server, actor, message, traffic, stir)
    # The database may still be executing the node's last statement.
    wait_until(lambda: database.sql("SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
                                    " AND pid <> pg_backend_pid()") == "0", "the end of the node's statements")
    check_count(connect(other), traffic)
