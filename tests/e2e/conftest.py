import itertools
import json
import os
import time

import pytest

import cluster
import creditsd

PASSIVATION_S = 0.6  # creditsd looks for idle installs twice a second


@pytest.fixture
def data_dir(tmp_path):
    path = tmp_path / "data"
    path.mkdir()
    return path


def flags_of_store():
    """If $CREDITS_POSTGRES names a database, flags that put a ledger in a new schema there."""
    uri = os.environ.get("CREDITS_POSTGRES")
    return ["--store", cluster.new_ledger(uri)] if uri else []


@pytest.fixture
def start(data_dir, tmp_path):
    """Starts servers on `data_dir` and a free port; arguments override these flags."""
    servers = []
    numbers = itertools.count()
    store = flags_of_store()

    def start_server(*args, **settings):
        log_path = tmp_path / f"creditsd-{next(numbers)}.log"
        servers.append(creditsd.Server(
            ["--listen", "127.0.0.1:0", "--data-dir", data_dir, *store, *args], log_path, **settings))
        return servers[-1]

    yield start_server
    for server in servers:
        server.kill()


@pytest.fixture
def connect():
    """Opens clients for a server, or for another client's server, and closes them at the end."""
    clients = []

    def connect_client(server_or_client=None, **place):
        """`place`: of the port or path that is meant, where it is not the first port."""
        clients.append(creditsd.Client(**place or {"port": server_or_client.port}))
        return clients[-1]

    yield connect_client
    for client in clients:
        client.close()


@pytest.fixture
def server(start):
    return start()


@pytest.fixture
def client(server, connect):
    return connect(server)


@pytest.fixture
def start_with(data_dir, start, connect):
    """Starts a server that imports `rows` and has `quota`; returns a client."""

    def start_with_ledger(rows, quota=None, *args):
        ledger = {"rows": {row["install_id"]: row for row in rows}}
        (data_dir / "credits.json").write_text(json.dumps(ledger))
        if quota is not None:
            (data_dir / "quota.json").write_text(json.dumps(quota))
        return connect(start(*args))

    return start_with_ledger


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory):
    """A server for tables of cases that use an install each, or change nothing."""
    path = tmp_path_factory.mktemp("shared")
    running = creditsd.Server(["--listen", "127.0.0.1:0", "--data-dir", path / "data",
                               *flags_of_store()], path / "log")
    yield running
    running.kill()


@pytest.fixture
def shared_client(shared_server, connect):
    return connect(shared_server)


@pytest.fixture(params=["kill", "stop", "passivate"])
def life(request, start, connect):
    """A client, and a function that discards the state in memory and returns a client for what follows."""
    flags = creditsd.FEW_LIVE if request.param == "passivate" else []
    server = start(*flags)
    client = connect(server)

    def next_life():
        if request.param == "passivate":
            for n in range(20):
                assert client.put(f"/v1/installs/other{n}").status == 201
            time.sleep(PASSIVATION_S)
            return client
        getattr(server, request.param)()
        return connect(start(*flags))

    return client, next_life
