"""Several nodes over one PostgreSQL, and clients that send to any of them."""

import itertools
import random
import signal
import sys

from creditsd import REPO, Client, wait_until
from reserving import Service

sys.path.insert(0, str(REPO / "tools/cluster"))
import postgres  # noqa: E402

_schemas = itertools.count(1)
_databases = itertools.count(1)


def new_ledger(server_uri):
    """Creates an empty ledger on that server; returns its URI."""
    return postgres.new_schema(server_uri, f"ledger_{next(_schemas)}")


def new_database(server):
    """Creates an empty database on that server; returns its name. Needed for poolers, which drop `options`."""
    name = f"database_{next(_databases)}"
    server.sql(f"CREATE DATABASE {name}")
    return name


def wait_until_ready(*nodes):
    """Waits until every node is ready: each may reconnect to its database at a different time."""
    for node in nodes:
        client = Client(node.port)
        wait_until(lambda client=client: client.get("/readyz").status == 200, "readiness of every node")
        client.close()


class Cluster:
    """Nodes that are killed and restarted, like their database; each request goes to another node."""

    def __init__(self, start, server, uri, *args, nodes=2):
        self._server = server
        self._chance = random.Random(1)
        self._crashes = 0
        self.nodes = [Service(start, "--store", uri, *args) for _ in range(nodes)]

    @property
    def port(self):
        return self._chance.choice(self.nodes).port

    def crash(self):
        """Kills a node and the database in turns."""
        self._crashes += 1
        if self._crashes % 2:
            self._chance.choice(self.nodes).crash()
        else:
            self._server.stop(signal.SIGQUIT)
            self._server.start()

    def stop(self):
        for node in self.nodes:
            node.stop()

    def wait_until_up(self):
        for node in self.nodes:
            node.wait_until_up()

    def wait_until_ready(self):
        wait_until_ready(*self.nodes)
