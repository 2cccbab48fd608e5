import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from creditsd import Server  # noqa: E402


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def start(tmp_path, data_dir):
    """Starts servers, on `data_dir` unless another one is given, that end with the test."""
    servers = []

    def start_one(*arguments, on=data_dir, env=None):
        log_path = tmp_path / f"creditsd-{len(servers)}.log"
        servers.append(Server(on, log_path, *arguments, env=env))
        return servers[-1]

    yield start_one
    for server in servers:
        if server.process.poll() is None:
            server.kill()


@pytest.fixture
def server(start):
    return start()


@pytest.fixture
def client(server):
    return server.client()
