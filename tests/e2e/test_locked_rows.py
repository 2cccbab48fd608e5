"""Another session locks one install's row: this affects that install alone."""

import time

import pytest

import creditsctl
from cluster import new_ledger, postgres as servers
from creditsctl import check_done
from creditsd import Client, wait_until
from exposition import scrape
from reserving import Threads
from traffic import Traffic, check_count, ids, path_of, show
from trouble import (COMMIT, check_unavailable, commit, in_background, is_waiting, patient, schema_of,
                     session, wait_long_until)

OTHERS = ids(10)


@pytest.fixture(scope="module")
def server():
    with servers.running() as running:
        yield running


@pytest.fixture
def uri(server):
    return new_ledger(server.uri())


@pytest.fixture
def nodes(start, connect, uri):
    """Two nodes, with a ledger in which the install `held` is about to be locked."""
    running = [start("--store", uri) for _ in range(2)]
    client = connect(running[0])
    for install_id in ["held", *OTHERS]:
        assert commit(client, install_id).status == 200
    return running


@pytest.fixture
def lock(server, uri):
    return lambda: session(server.uri(), f"SELECT FROM {schema_of(uri)}.credits_installs "
                                         "WHERE install_id = 'held' FOR UPDATE")


def nag(nodes):
    """Starts clients on each node that access the locked row again and again."""
    def go_on(number, over):
        while not over.is_set():
            check_unavailable(call_once(nodes[number % len(nodes)], key=f"nag{number}"))

    return Threads([go_on] * 4 * len(nodes))


def call_once(node, install_id="held", key=None):
    """Calls from a separate thread."""
    client = patient(Client(node.port))
    try:
        return commit(client, install_id, key)
    finally:
        client.close()


def test_while_one_row_is_locked_all_others_can_be_read_and_written_on_every_node(nodes, connect, uri, lock):
    before = {install_id: show(connect(nodes[0]), install_id) for install_id in OTHERS}
    with in_background() as background:
        with lock():
            held = [background.submit(call_once, node, key=f"k{n}") for node in nodes for n in range(4)]
            traffic = Traffic([node.port for node in nodes], OTHERS, writers=8)
            traffic.wait_for(100)
            held += [background.submit(call_once, node, key=f"again{n}") for node in nodes for n in range(4)]
            traffic.wait_for(traffic.count() + 100)
            traffic.end()
            assert traffic.refused == []
            assert [call.result().status for call in held if call.done() and call.result().status == 200] == []
        for call in held:  # some may have stopped waiting for the lock since
            assert call.result().status in (200, 503)
    check_count(connect(nodes[0]), traffic, before | {"held": show(connect(nodes[0]), "held")})
    for node in nodes:
        assert node.stop() == 0
    check_done(creditsctl.run("check", uri))


def test_a_locked_row_can_be_read_and_its_commits_are_done_once_it_is_free(nodes, connect, lock, uri):
    client = patient(connect(nodes[0]))
    with lock():
        check_unavailable(commit(client, "held", "k"))
        assert show(client, "held")["version"] == 1
        check_unavailable(call_once(nodes[1], key="k"))
    for node in nodes[::-1]:
        wait_until(lambda node=node: call_once(node, key="k").status == 200, "the lock's end")
    assert show(client, "held")["version"] == 2
    for node in nodes:
        assert node.stop() == 0
    check_done(creditsctl.run("check", uri))


def test_a_locked_row_leaves_the_node_ready_and_is_logged(nodes, connect, lock):
    client = connect(nodes[0])
    seen = []

    def look(_number, over):
        watcher = connect(nodes[0])
        while not over.is_set():
            seen.append((watcher.get("/readyz").status, scrape(watcher).value("credits_store_up"),
                         watcher.get("/v1/stats").json["store"]["trouble"]))
            time.sleep(0.05)

    with lock():
        watching = Threads([look])
        for _ in range(2):
            check_unavailable(commit(patient(client), "held"))
        watching.end()
        wait_until(lambda: "held" in nodes[0].log(), "a word about it in the log")
    assert set(seen) == {(200, 1, None)}


def send_batch(client):
    """Commits on each install including `held`; returns the answer for that, and those for the others."""
    operations = [{"op": "commit", "install_id": install_id, "idempotency_key": "batch", **COMMIT}
                  for install_id in [*OTHERS[:5], "held", *OTHERS[5:]]]
    results = client.post("/v1/batch", {"operations": operations}).json["results"]
    held = results.pop(5)
    return (held["status"], held.get("code")), [result["status"] for result in results]


REFUSED = (503, "storage_unavailable")


def test_only_the_locked_install_of_a_batch_is_refused(nodes, connect, lock):
    with lock():
        assert send_batch(patient(connect(nodes[0]))) == (REFUSED, [200] * len(OTHERS))
    assert {show(connect(nodes[0]), install_id)["version"] for install_id in OTHERS} == {2}


def test_a_batch_with_a_locked_install_does_not_block_the_others_on_another_node(nodes, connect, server, lock):
    """The batch locks their rows while it waits. Like relays, both retry calls that were delayed too long."""
    client = patient(connect(nodes[0]))
    with in_background() as background, lock():
        batch = background.submit(send_batch, client)
        wait_until(lambda: batch.done() or is_waiting(server, "transactionid") or is_waiting(server, "tuple"),
                   "a batch that waits for the lock")
        for install_id in OTHERS:
            wait_long_until(lambda install_id=install_id: call_once(nodes[1], install_id, "other").status == 200,
                            f"a commit on {install_id}")
        held, _ = batch.result()
        assert held == REFUSED
        wait_long_until(lambda: send_batch(client) == (REFUSED, [200] * len(OTHERS)), "the batch")
    assert {show(connect(nodes[0]), install_id)["version"] for install_id in OTHERS} == {3}


def test_a_locked_row_delays_no_other_operation_on_others(nodes, connect, lock):
    with lock():
        nagging = nag(nodes)
        for node in nodes:
            client = patient(connect(node))
            for install_id in OTHERS[:1]:
                held = client.post(f"{path_of(install_id)}/reservations", {"credits": 1})
                assert held.status == 201
                url = f"{path_of(install_id)}/reservations/{held.json['reservation_id']}"
                assert client.post(url + "/commit").status == 200
                assert client.request("DELETE", url).status == 409
                assert client.post(f"{path_of(install_id)}/plan").status == 200
                assert client.put(path_of(install_id)).status == 200
        nagging.end()
