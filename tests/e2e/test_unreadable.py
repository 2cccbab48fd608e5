"""Reads of a ledger whose database is down: refused, without a claim that they may have been done."""

import signal

import pytest

from cluster import new_ledger, postgres as servers
from creditsd import check_problem, wait_until

COMMIT = {"backend": "gemini", "tier": "core"}
READS = ["/v1/installs/cold", "/v1/installs/warm/entries", "/v1/installs/warm/actor", "/v1/installs",
         "/v1/snapshot"]
TITLE = "The store cannot be read now"


@pytest.fixture(scope="module")
def server():
    with servers.running() as running:
        yield running


def test_a_failed_read_does_not_claim_that_it_may_have_been_done(start, connect, server):
    client = connect(start("--store", new_ledger(server.uri())))
    assert client.put("/v1/installs/warm").status == 201
    server.stop(signal.SIGQUIT)
    wait_until(lambda: client.get("/readyz").status == 503, "unreadiness")
    for path in READS:
        problem = check_problem(client.get(path), 503, "storage_unavailable")
        assert problem["title"] == TITLE and "done" not in str(problem)
        head = client.request("HEAD", path)
        assert (head.status, head.body) == (503, b"")
    operations = [{"op": "get", "install_id": "cold"}, {"op": "commit", "install_id": "other", **COMMIT}]
    results = client.post("/v1/batch", {"operations": operations}).json["results"]
    assert results[0]["title"] == TITLE
    assert "may have taken effect" in results[1]["title"]
    assert client.get("/v1/quota").status == client.get("/v1/stats").status == 200
    server.start()
    wait_until(lambda: client.get("/readyz").status == 200, "readiness")
    assert all(client.get(path).status in (200, 404) for path in READS)
