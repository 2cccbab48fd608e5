"""A fenced, frozen or dead primary, replaced by its standby: the nodes turn to the server that accepts writes,
and no acknowledged write is denied, shown in an old state, or overwritten."""

import re
import signal

import pytest

import creditsctl
from cluster import postgres as servers, wait_until_ready
from creditsctl import check_done
from creditsd import wait_until
from traffic import Traffic, all_entries, check_count, ids, path_of, show
from trouble import PATIENCE_S, check_unavailable, commit, in_background, is_waiting, patient, wait_long_until

WENT_BACK = re.compile(r"\b(went|gone|goes) back\b")


@pytest.fixture
def pair():
    with servers.running() as primary, servers.following(primary) as standby:
        yield primary, standby


def fence(primary):
    """Makes the server read-only; its sessions and connections stay."""
    primary.set("default_transaction_read_only", "on")


def wait_for_row(server, install_id, version):
    statement = f"SELECT version FROM credits_installs WHERE install_id = '{install_id}'"
    wait_until(lambda: server.sql(statement) == str(version), f"version {version} on the standby")


def insist(client, *args, **fields):
    """Repeats the commit until the answer is not 503; returns it."""
    answers = []

    def ask():
        answers.append(commit(patient(client), *args, **fields))
        return answers[-1].status != 503

    wait_long_until(ask, "an answer")
    return answers[-1]


# --- a primary that rejects writes or does not answer, though no connection breaks


def test_a_fenced_primary_s_rows_are_not_shown_once_another_node_has_written_newer_ones(start, connect, pair):
    primary, standby = pair
    uri = servers.uri_of(*pair)
    client = connect(start("--store", uri))
    assert commit(client).json["version"] == 1
    wait_for_row(standby, "a", 1)
    fence(primary)
    standby.promote()
    other = connect(start("--store", uri))
    assert [insist(other).json["version"] for _ in range(2)] == [2, 3]

    def reads():
        answer = client.get(path_of("a"))
        if answer.status == 503:
            return False
        assert answer.json["version"] == 3, "the old primary's row"
        return True

    wait_long_until(reads, "a read from the new primary")
    assert client.get("/v1/installs").json["installs"][0]["version"] == 3
    assert len(all_entries(client, "a")) == 3
    assert insist(client).json["version"] == 4
    wait_until(lambda: client.get("/readyz").status == 200, "readiness")


def test_a_write_refused_by_a_fenced_primary_is_done_by_the_promoted_one_in_the_same_call(start, connect, pair):
    primary, standby = pair
    client = patient(connect(start("--store", servers.uri_of(*pair))))
    assert commit(client).json["version"] == 1
    wait_for_row(standby, "a", 1)
    fence(primary)
    standby.promote()
    answer = commit(client)
    assert (answer.status, answer.json["version"]) == (200, 2)
    assert len(all_entries(client, "a")) == 2


@pytest.mark.parametrize("ail", [fence, servers.Postgres.freeze], ids=["fenced", "frozen"])
def test_nodes_leave_an_ailing_primary_for_the_promoted_one(start, connect, pair, ail):
    primary, standby = pair
    nodes = [start("--store", servers.uri_of(*pair)) for _ in range(2)]
    clients = [connect(node) for node in nodes]
    for client in clients:
        assert commit(client).status == 200
    wait_for_row(standby, "a", 2)
    logs = [node.log() for node in nodes]
    ail(primary)
    standby.promote()
    with in_background() as background:
        calls = [background.submit(insist, client, "a", f"k{n}") for n, client in enumerate(clients)]
        assert sorted(call.result().json["version"] for call in calls) == [3, 4]
    wait_until_ready(*nodes)
    assert [show(client)["version"] for client in clients] == [4, 4]
    for node, log in zip(nodes, logs):
        assert ail is fence or node.log() != log, "not logged"
        assert node.stop() == 0
    check_done(creditsctl.run("check", standby.uri()))


def test_nodes_do_not_wait_forever_for_a_frozen_database(start, connect):
    with servers.running() as server:
        node = start("--store", server.uri())
        client = patient(connect(node))
        assert commit(client).status == 200
        server.freeze()
        check_unavailable(commit(client, "a", "k"))
        check_unavailable(client.get(path_of("a")))
        wait_until(lambda: client.get("/readyz").status == 503, "unreadiness")
        server.thaw()
        assert insist(client, "a", "k").json["version"] == 2
        wait_until(lambda: client.get("/readyz").status == 200, "readiness")
        server.freeze()
        with in_background() as background:
            waiting = background.submit(commit, client)
            wait_until(lambda: client_in_flight(connect, node), "a commit in flight")
            node.stop(timeout_s=60)
            assert waiting.exception() or waiting.result().status == 503


def client_in_flight(connect, node):
    return connect(node).get("/v1/stats").json["http"]["in_flight"] > 1


def count_connections(server, name):
    return len(re.findall(f"connection authorized: .*application_name={name}", server.log()))


def test_remaining_hosts_are_tried_often(start, connect, pair):
    """So that a promotion is noticed soon. The measure of "often" is a client that queries the same server every half
    second, at this machine's speed."""
    primary, standby = pair
    standby.set("log_connections", "on")
    client = connect(start("--store", servers.uri_of(*pair) + "?application_name=trying"))
    assert commit(client).status == 200
    wait_for_row(standby, "a", 1)
    primary.stop(signal.SIGQUIT)
    tries = count_connections(standby, "trying")
    for _ in range(40):
        standby.sql("SELECT pg_sleep(0.5)")
    assert count_connections(standby, "trying") >= tries + 10
    standby.promote()
    assert insist(client).json["version"] == 2


# --- a synchronous standby


class Retry:
    """Repeats a commit, and reads of its install, until one is answered 200 or 404; records the answers."""

    def __init__(self, background, connect, node, key):
        self.statuses = []
        self.shown = []
        self._calls = [background.submit(self._commit, patient(connect(node)), key),
                       background.submit(self._read, patient(connect(node)))]

    def _commit(self, client, key):
        while 200 not in self.statuses:
            self.statuses.append(commit(client, "a", key).status)

    def _read(self, client):
        while 2 not in self.shown:
            answer = client.get(path_of("a"))
            self.shown.append(answer.json["version"] if answer.status == 200 else None)

    def end(self):
        for call in self._calls:
            call.result(PATIENCE_S)

    def check_nothing_is_acknowledged(self, server):
        """Checks that neither the commit nor its row is acknowledged, though there was time for it."""
        wait_long_until(lambda: is_waiting(server, "SyncRep") or len(self.statuses) > 2 or 200 in self.statuses,
                        "a wait for the standby")
        for _ in range(20):  # successive statements on the server
            server.sql("SELECT pg_sleep(0.05)")
        assert 200 not in self.statuses
        assert 2 not in self.shown


@pytest.fixture
def synchronous(pair):
    primary, standby = pair
    primary.wait_for_standby(standby)
    return pair


def test_a_commit_whose_wait_for_the_standby_was_cancelled_is_not_acknowledged(start, connect, synchronous):
    primary, standby = synchronous
    node = start("--store", servers.uri_of(*synchronous))
    assert commit(connect(node)).status == 200
    standby.freeze()
    with in_background() as background:
        first = background.submit(commit, patient(connect(node)), "a", "k")
        wait_until(lambda: is_waiting(primary, "SyncRep"), "a wait for the standby")
        primary.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        check_unavailable(first.result())
        retry = Retry(background, connect, node, "k")
        try:
            retry.check_nothing_is_acknowledged(primary)
        finally:
            standby.thaw()
            retry.end()
    wait_for_row(standby, "a", 2)


def test_a_restarted_primary_without_its_standby_reveals_nothing_that_the_standby_lacks(start, connect, synchronous):
    primary, standby = synchronous
    node = start("--store", servers.uri_of(*synchronous))
    assert commit(connect(node)).status == 200
    standby.stop()
    with in_background() as background:
        first = background.submit(commit, patient(connect(node)), "a", "k")
        wait_until(lambda: is_waiting(primary, "SyncRep"), "a wait for the standby")
        primary.stop(signal.SIGQUIT)
        check_unavailable(first.result())
        primary.start()
        retry = Retry(background, connect, node, "k")
        try:
            retry.check_nothing_is_acknowledged(primary)
        finally:
            standby.start()
            retry.end()
    wait_for_row(standby, "a", 2)


# --- an asynchronous standby that lacks commits


def fence_and_cut_the_writer(primary):
    """Waits until the node writes to the new primary; its reads may still go to the old one."""
    fence(primary)
    primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'moved' AND query ILIKE '%INSERT%'")


WAYS_TO_AIL = [servers.Postgres.kill, servers.Postgres.freeze, fence, fence_and_cut_the_writer]


@pytest.mark.parametrize("ail", WAYS_TO_AIL, ids=["killed", "frozen", "fenced", "fenced-and-cut"])
def test_writes_after_a_failover_that_lost_commits_are_not_overwritten(start, connect, pair, ail):
    """The versions are the same on both servers, of an install that the node knows and of one that it does
    not."""
    primary, standby = pair
    node = start("--store", servers.uri_of(*pair) + "?application_name=moved")
    other = start("--store", servers.uri_of(*pair))
    client, strange = connect(node), connect(other)
    assert commit(client, "live").status == commit(strange, "cold").status == 200
    for install_id in ("live", "cold"):
        wait_for_row(standby, install_id, 1)
    standby.unfollow()
    for n in range(2):
        assert commit(client, "live", credits=5).json["version"] == n + 2
        assert commit(strange, "cold", credits=5).json["version"] == n + 2
    other.kill()
    ail(primary)
    standby.promote()
    other = connect(start("--store", servers.uri_of(standby)))
    for install_id in ("live", "cold"):
        assert [commit(other, install_id).json["version"] for _ in range(2)] == [2, 3]
    if ail == fence_and_cut_the_writer:
        assert insist(client, "another", "first").status == 200
    for install_id in ("cold", "live"):
        install = insist(client, install_id, "k", credits=2).json
        assert (install["version"], install["lifetime_consumed"]) == (4, 5)
        assert [entry["credits"] for entry in all_entries(other, install_id)] == [1, 1, 1, 2]
        assert show(other, install_id)["lifetime_consumed"] == 5
    check_done(creditsctl.run("check", standby.uri()))
    wait_until(lambda: WENT_BACK.search(node.log()), "a word about it in the log")


def test_a_node_does_not_show_commits_that_a_failover_lost(start, connect, pair):
    primary, standby = pair
    node = start("--store", servers.uri_of(*pair))
    client = connect(node)
    assert commit(client).status == 200
    wait_for_row(standby, "a", 1)
    standby.unfollow()
    held = client.post(path_of("a") + "/reservations", {"credits": 5}).json["reservation_id"]
    assert commit(client, "gone").status == 200
    fence(primary)
    standby.promote()
    wait_long_until(lambda: commit(client, "another", "k").status == 200, "the new primary")
    assert client.get(path_of("gone")).status == 404
    assert (show(client)["version"], show(client)["balance"]["held"]) == (1, 0)
    assert client.post(f"{path_of('a')}/reservations/{held}/commit").status == 404
    assert insist(client).json["version"] == 2
    check_done(creditsctl.run("check", standby.uri()))
    wait_until(lambda: WENT_BACK.search(node.log()), "a word about it in the log")


def test_traffic_through_a_fence_and_a_promotion_counts_once(start, connect, pair):
    primary, standby = pair
    primary.wait_for_standby(standby)
    nodes = [start("--store", servers.uri_of(*pair)) for _ in range(2)]
    traffic = Traffic([node.port for node in nodes], ids(20))
    traffic.wait_for(200)
    fence(primary)
    standby.promote()
    before = traffic.count()
    traffic.wait_for(before + 200)
    traffic.end()
    for answer in traffic.refused:
        check_unavailable(answer)
    wait_until_ready(*nodes)
    check_count(connect(nodes[0]), traffic)
    for node in nodes:
        assert node.stop() == 0
    check_done(creditsctl.run("check", standby.uri()))
