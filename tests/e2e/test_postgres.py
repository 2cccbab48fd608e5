"""A ledger in PostgreSQL, and several creditsd over one."""

import json
import random
import signal
import threading

import pytest

import creditsd
import test_caps_through_crashes as caps
import test_linearizability as linearizability
from cluster import Cluster, new_ledger, postgres as servers
from creditsd import FEW_LIVE, check_problem, run, wait_until
from reserving import rerunnable, seeds
from traffic import Traffic, all_entries, check_count, history, ids, path_of, show

COMMIT = {"backend": "gemini", "tier": "core"}


@pytest.fixture(scope="module")
def server():
    with servers.running() as running:
        yield running


@pytest.fixture
def uri(server):
    return new_ledger(server)


def commit(client, install_id="a", **headers):
    return client.request("POST", f"{path_of(install_id)}/commit", COMMIT,
                          {name.replace("_", "-"): value for name, value in headers.items()})


# --- one node


def test_a_ledger_in_postgresql_outlives_its_server(start, connect, uri):
    node = start("--store", uri)
    client = connect(node)
    for n, install_id in enumerate(ids(10)):
        for _ in range(n):
            assert commit(client, install_id).status == 200
        client.post(f"{path_of(install_id)}/reservations", {"credits": 2})
    told = history(client)
    assert client.get("/v1/stats").json["store"]["engine"] == "postgresql"
    assert node.stop() == 0
    assert history(connect(start("--store", uri))) == told


def test_a_kill_under_load_loses_nothing_in_postgresql(start, connect, uri):
    installs = {}
    for flags in ([], FEW_LIVE):
        node = start("--store", uri, *flags)
        traffic = Traffic(node.port, ids(20))
        traffic.wait_for(300)
        node.kill()
        traffic.end()
        assert traffic.refused == []
        node = start("--store", uri, *flags)
        installs = check_count(connect(node), traffic, installs)
        node.kill()


def test_a_key_is_replayed_word_for_word_after_a_restart(start, connect, uri):
    node = start("--store", uri)
    first = commit(connect(node), Idempotency_Key="k")
    node.kill()
    again = commit(connect(start("--store", uri)), Idempotency_Key="k")
    assert (again.status, again.body) == (200, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("password", ["postgresql://u:secret@h/d", "postgresql://h/d?password=secret"])
def test_a_uri_with_a_password_is_refused_and_not_shown(password, data_dir):
    ended = run("--store", password, "--data-dir", data_dir)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "PGPASSFILE" in ended.stderr and "secret" not in ended.stderr


@pytest.mark.parametrize("store", ["postgresql://[h/d", "postgresql://h/d?nonsense=secret"])
def test_a_uri_that_is_none_is_refused(store, data_dir):
    ended = run("--store", store, "--data-dir", data_dir)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "postgresql://USER@HOST:5432/DATABASE" in ended.stderr and "secret" not in ended.stderr


def test_a_server_that_is_not_there_is_told_at_the_start(data_dir):
    port = servers.free_port()
    ended = run("--store", f"postgresql://127.0.0.1:{port}/d", "--data-dir", data_dir)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "cannot connect to PostgreSQL" in ended.stderr and str(port) in ended.stderr


def test_a_newer_schema_is_refused_and_left_alone(start, server, data_dir):
    uri = new_ledger(server)
    start("--store", uri).stop()
    schema = uri.rpartition("3D")[2]
    server.sql(f"UPDATE {schema}.credits_ledger SET schema_version = 9")
    ended = run("--store", uri, "--data-dir", data_dir, "--listen", "127.0.0.1:0")
    assert ended.returncode == 1 and "schema version 9" in ended.stderr
    assert server.sql(f"SELECT schema_version FROM {schema}.credits_ledger") == "9"


# --- several nodes


def test_what_one_node_has_answered_the_other_shows(start, connect, uri):
    first, second = [connect(start("--store", uri)) for _ in range(2)]
    assert second.get(path_of("a")).status == 404
    for version in range(1, 21):
        writer, reader = (first, second) if version % 3 else (second, first)
        assert commit(writer).json["version"] == version
        assert show(reader)["version"] == version
    assert [e["version"] for e in all_entries(first, "a")] == list(range(1, 21))
    conflicts = [client.get("/v1/stats").json["store"]["conflicts_total"] for client in (first, second)]
    assert sum(conflicts) > 0
    metrics = [client.get("/metrics").body.decode() for client in (first, second)]
    assert [f"credits_store_conflicts_total {count}\n" in text
            for count, text in zip(conflicts, metrics)] == [True, True]


def test_nodes_that_start_at_once_make_one_schema(start, connect, uri, tmp_path):
    nodes = []

    def begin(number):
        nodes.append(start("--store", uri, "--data-dir", tmp_path / f"node-{number}"))

    threads = [threading.Thread(target=begin, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(nodes) == 4
    for node in nodes:
        commit(connect(node))
    assert show(connect(nodes[0]))["version"] == 4


@pytest.mark.parametrize("count", [1, 30], ids=["one-install", "many-installs"])
def test_traffic_on_two_nodes_loses_nothing_while_nodes_and_database_are_killed(
        start, connect, server, uri, count):
    cluster = Cluster(start, server, uri)
    traffic = Traffic([node.port for node in cluster.nodes], ids(count))
    traffic.wait_for(300)
    server.stop(signal.SIGQUIT)
    server.start()
    before = traffic.count()
    traffic.wait_for(before + 100)
    cluster.nodes[0].crash()
    traffic.end()
    for answer in traffic.refused:
        check_problem(answer, 503, "storage_unavailable")
    check_count(connect(cluster), traffic)
    cluster.stop()


@pytest.mark.parametrize("seed", seeds(1))
def test_no_cap_is_passed_over_two_nodes_while_one_is_killed_and_the_database_restarted(
        seed, start, connect, server, uri, tmp_path):
    caps.wait_out_the_end_of_a_month()
    quota = tmp_path / "quota.json"
    quota.write_text(json.dumps(caps.QUOTA))
    with rerunnable(seed, __file__):
        cluster = Cluster(start, server, uri, "--quota", quota)
        books, installs = caps.spend_through_crashes(cluster, seed)
        caps.check_ledger(connect(cluster), books, installs)
        cluster.stop()


@pytest.mark.parametrize("seed", seeds(1))
def test_what_concurrent_clients_see_of_two_nodes_is_linearizable(seed, start, server, uri, tmp_path):
    quota = tmp_path / "quota.json"
    quota.write_text(json.dumps(linearizability.QUOTA))
    chance = random.Random(f"{seed}/kills")
    with rerunnable(seed, __file__):
        cluster = Cluster(start, server, uri, "--quota", quota)
        for number in range(linearizability.ROUNDS):
            one = linearizability.Round(cluster, f"round-{number}", seed)
            threads = one.start()
            if number % 2:
                wait_until(lambda one=one: len(one.history) > chance.randrange(20, 60), "operations")
                cluster.crash()
            threads.join()
            one.check()


# --- trouble


def test_a_database_that_is_gone_makes_it_unready_and_ready_again_when_it_is_back(start, connect, server,
                                                                                  uri):
    client = connect(start("--store", uri))
    assert commit(client).status == 200
    server.stop(signal.SIGQUIT)
    wait_until(lambda: client.get("/readyz").status == 503, "unreadiness")
    check_problem(client.get("/readyz"), 503, "storage_unavailable")
    check_problem(commit(client, Idempotency_Key="k"), 503, "storage_unavailable")
    check_problem(client.get(path_of("a")), 503, "storage_unavailable")
    assert client.get("/healthz").status == 200
    server.start()
    wait_until(lambda: client.get("/readyz").status == 200, "readiness")
    assert commit(client, Idempotency_Key="k").json["version"] == 2
    assert show(client)["version"] == 2
