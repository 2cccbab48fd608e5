"""A ledger in PostgreSQL, and several creditsd over one ledger."""

import contextlib
import json
import random
import signal
import socket
import threading

import pytest

import creditsctl
import test_caps_through_crashes as caps
import test_linearizability as linearizability
from cluster import Cluster, new_ledger, postgres as servers, wait_until_ready
from creditsctl import check_done, check_failed
from creditsd import FEW_LIVE, check_problem, run, wait_until
from reserving import rerunnable, seeds
from test_quota import put_at_once
from traffic import Traffic, all_entries, check_count, history, ids, path_of, show
from trouble import commit



@pytest.fixture(scope="module")
def server():
    with servers.running() as running:
        yield running


@pytest.fixture
def uri(server):
    return new_ledger(server.uri())


# --- one node


def test_a_ledger_in_postgresql_survives_its_server(start, connect, uri):
    node = start("--store", uri)
    client = connect(node)
    for n, install_id in enumerate(ids(10)):
        for _ in range(n):
            assert commit(client, install_id).status == 200
        client.post(f"{path_of(install_id)}/reservations", {"credits": 2})
    before = history(client)
    assert client.get("/v1/stats").json["store"]["engine"] == "postgresql"
    assert node.stop() == 0
    assert history(connect(start("--store", uri))) == before


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
    first = commit(connect(node), key="k")
    node.kill()
    again = commit(connect(start("--store", uri)), key="k")
    assert (again.status, again.body) == (200, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("password", ["postgresql://u:secret@h/d", "postgresql://h/d?password=secret"])
def test_a_uri_with_a_password_is_refused_and_not_shown(password, data_dir):
    ended = run("--store", password, "--data-dir", data_dir)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "PGPASSFILE" in ended.stderr and "secret" not in ended.stderr


@pytest.mark.parametrize("store", ["postgresql://[h/d", "postgresql://h/d?nonsense=secret"])
def test_an_invalid_uri_is_refused(store, data_dir):
    ended = run("--store", store, "--data-dir", data_dir)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "postgresql://USER@HOST:5432/DATABASE" in ended.stderr and "secret" not in ended.stderr


def test_a_newer_schema_is_refused_and_left_unchanged(start, server, data_dir):
    uri = new_ledger(server.uri())
    start("--store", uri).stop()
    schema = uri.rpartition("3D")[2]
    server.sql(f"UPDATE {schema}.credits_ledger SET schema_version = 9")
    ended = run("--store", uri, "--data-dir", data_dir, "--listen", "127.0.0.1:0")
    assert ended.returncode == 1 and "schema version 9" in ended.stderr
    assert server.sql(f"SELECT schema_version FROM {schema}.credits_ledger") == "9"


# --- several nodes


def test_a_node_shows_writes_acknowledged_by_another(start, connect, uri):
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


def test_a_node_counts_the_installs_that_another_has_created(start, connect, uri):
    first, second = (connect(start("--store", uri, "--keep-entries", "1s")) for _ in range(2))
    for install_id in ids(5):
        assert commit(first, install_id).status == 200
    assert commit(second, "x").status == 200
    for client in first, second:
        wait_until(lambda: client.get("/v1/stats").json["store"]["installs"] == 6, "all installs")


def test_nodes_that_start_together_create_one_schema(start, connect, uri, tmp_path):
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
    cluster.wait_until_ready()
    check_count(connect(cluster), traffic)
    cluster.stop()
    check_done(creditsctl.run("check", uri))


@pytest.mark.parametrize("seed", seeds(1))
def test_no_cap_is_exceeded_on_two_nodes_while_one_is_killed_and_the_database_restarted(
        seed, start, connect, server, uri, tmp_path):
    caps.wait_out_the_end_of_a_month()
    quota = tmp_path / "quota.json"
    quota.write_text(json.dumps(caps.QUOTA))
    with rerunnable(seed, __file__):
        cluster = Cluster(start, server, uri, "--quota", quota)
        books, installs = caps.spend_through_crashes(cluster, seed)
        cluster.wait_until_ready()
        caps.check_ledger(connect(cluster), books, installs)
        cluster.stop()
        check_done(creditsctl.run("check", uri))


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


def test_a_node_is_unready_while_its_database_is_down(start, connect, server, uri):
    client = connect(start("--store", uri))
    assert commit(client).status == 200
    server.stop(signal.SIGQUIT)
    wait_until(lambda: client.get("/readyz").status == 503, "unreadiness")
    check_problem(client.get("/readyz"), 503, "storage_unavailable")
    check_problem(commit(client, key="k"), 503, "storage_unavailable")
    check_problem(client.get(path_of("a")), 503, "storage_unavailable")
    assert client.get("/healthz").status == 200
    server.start()
    wait_until(lambda: client.get("/readyz").status == 200, "readiness")
    assert commit(client, key="k").json["version"] == 2
    assert show(client)["version"] == 2


def test_a_statement_that_takes_too_long_is_given_up_without_effect(start, connect, server, uri):
    start("--store", uri).stop()  # creates the schema without the time limit
    client = connect(start("--store", uri + "%20-cstatement_timeout%3D1500"))
    assert commit(client).status == 200
    schema = uri.rpartition("3D")[2]
    locked = threading.Thread(target=server.sql, args=[
        f"SELECT FROM {schema}.credits_installs FOR UPDATE; SELECT pg_sleep(5)"])
    locked.start()
    wait_until(lambda: commit(client).status == 503, "a time-out")
    locked.join()
    version = show(client)["version"]
    assert commit(client).json["version"] == version + 1
    assert show(client)["lifetime_consumed"] == version + 1


def test_conflicting_transactions_are_retried(start, connect, server, uri):
    client = connect(start("--store", uri))
    assert commit(client).status == 200
    schema = uri.rpartition("3D")[2]
    server.sql(f"""
        CREATE SEQUENCE {schema}.tries;
        CREATE FUNCTION {schema}.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF nextval('{schema}.tries') % 3 <> 0 THEN
            RAISE 'injected failure' USING ERRCODE = 'serialization_failure';
          END IF;
          RETURN NEW;
        END $$;
        CREATE TRIGGER fail BEFORE INSERT ON {schema}.credits_entries
          FOR EACH ROW EXECUTE FUNCTION {schema}.fail()""")
    for version in range(2, 6):
        assert commit(client).json["version"] == version
    assert server.sql(f"SELECT last_value FROM {schema}.tries") == "12"
    assert client.get("/v1/stats").json["store"]["write_failures_total"] == 0


def test_after_a_kill_of_the_primary_its_standby_has_all_acknowledged_writes(start, connect, tmp_path):
    with servers.running() as primary, servers.following(primary) as standby:
        primary.wait_for_standby(standby)
        nodes = [start("--store", servers.uri_of(primary, standby)) for _ in range(2)]
        traffic = Traffic([node.port for node in nodes], ids(20))
        traffic.wait_for(300)
        primary.kill()
        standby.promote()
        before = traffic.count()
        traffic.wait_for(before + 200)
        traffic.end()
        for answer in traffic.refused:
            check_problem(answer, 503, "storage_unavailable")
        wait_until_ready(*nodes)
        check_count(connect(nodes[0]), traffic)
        for node in nodes:
            assert node.stop() == 0
        check_done(creditsctl.run("check", standby.uri()))


class Cutter:
    """A proxy between a node and its database. On command it passes the next statement on, but not its answer."""

    def __init__(self, port):
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cuts = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(("127.0.0.1", self._target))
            for source, sink, is_answer in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pass_on, args=(source, sink, is_answer), daemon=True).start()

    def _pass_on(self, source, sink, is_answer):
        try:
            while data := source.recv(65536):
                if is_answer and self.cuts.is_set():
                    break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def test_a_commit_whose_outcome_is_unknown_takes_effect_once(start, connect, server, uri):
    cutter = Cutter(server.port)
    client = connect(start("--store", uri.replace(f":{server.port}/", f":{cutter.port}/")))
    assert commit(client).status == 200
    for n in range(5):
        cutter.cuts.set()
        check_problem(commit(client, key=f"k{n}"), 503, "storage_unavailable")
        cutter.cuts.clear()
        wait_until(lambda n=n: commit(client, key=f"k{n}").status == 200, "an answer")
        assert show(client)["version"] == n + 2
        assert show(client)["lifetime_consumed"] == n + 2


# --- the quota


OTHER_QUOTA = {"core": {"lifetime": 7, "geminiCapLifetime": 3}}


def quota_of(client):
    return client.get("/v1/quota").json


def a_quota_file(tmp_path):
    path = tmp_path / "other.json"
    path.write_text(json.dumps(OTHER_QUOTA))
    return path


def test_a_put_of_the_quota_reaches_every_node_and_those_that_start_later(start, connect, uri):
    first, second = (connect(start("--store", uri)) for _ in range(2))
    assert quota_of(first) == quota_of(second) != OTHER_QUOTA
    assert first.put("/v1/quota", OTHER_QUOTA).status == 200
    assert quota_of(first) == OTHER_QUOTA
    wait_until(lambda: quota_of(second) == OTHER_QUOTA, "the quota on the other node")
    assert second.post(f"{path_of('a')}/plan").json["balance"]["remaining"] == 7
    assert quota_of(connect(start("--store", uri))) == OTHER_QUOTA


def put_if(client, tag, quota):
    return client.request("PUT", "/v1/quota", quota, {"If-Match": tag})


def test_a_put_is_judged_on_what_another_node_has_stored(start, connect, uri):
    first, second = (connect(start("--store", uri)) for _ in range(2))
    for turn in range(10):
        old = first.get("/v1/quota").headers["ETag"]
        wait_until(lambda old=old: second.get("/v1/quota").headers["ETag"] == old, "the quota on the other node")
        new = first.put("/v1/quota", {"core": {"lifetime": turn}})
        tag = first.get("/v1/quota").headers["ETag"]
        if turn % 2:
            check_problem(put_if(second, old, OTHER_QUOTA), 412, "precondition_failed")
            assert quota_of(second) == new.json == quota_of(first)
            assert second.get("/v1/quota").headers["ETag"] == tag
        else:
            third = put_if(second, tag, {"core": {"lifetime": 1000 + turn}})
            assert third.status == 200
            check_problem(put_if(first, tag, OTHER_QUOTA), 412, "precondition_failed")
            assert quota_of(first) == third.json


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_one_of_many_puts_at_once_on_two_nodes_with_the_same_tag_wins(start, connect, server, uri, isolation):
    server.sql(f"ALTER ROLE CURRENT_USER SET default_transaction_isolation = '{isolation}'")
    try:
        nodes = [start("--store", uri) for _ in range(2)]
    finally:
        server.sql("ALTER ROLE CURRENT_USER RESET default_transaction_isolation")
    clients = [connect(node) for _ in range(4) for node in nodes]
    for turn in range(20):
        quotas = [{"core": {"lifetime": turn * 100 + n}} for n in range(len(clients))]
        answers = put_at_once(clients, quotas)
        [won] = [answer for answer in answers if answer.status == 200]
        for answer in answers:
            if answer is not won:
                check_problem(answer, 412, "precondition_failed")
        stored = server.sql(f"SELECT quota FROM {uri.rpartition('3D')[2]}.credits_quota")
        assert json.loads(stored) == won.json
        for client in clients:
            wait_until(lambda client=client: quota_of(client) == won.json, "the quota on both nodes")


def test_a_broken_quota_in_the_database_is_not_overwritten_under_a_condition(start, connect, server, uri):
    client = connect(start("--store", uri))
    tag = client.get("/v1/quota").headers["ETag"]
    table = f"{uri.rpartition('3D')[2]}.credits_quota"
    for damage in (f"UPDATE {table} SET quota = '{{}}'", f"DELETE FROM {table}"):
        server.sql(damage)
        check_problem(put_if(client, tag, OTHER_QUOTA), 503, "storage_unavailable")
        assert client.put("/v1/quota", OTHER_QUOTA).status == 200
        tag = client.get("/v1/quota").headers["ETag"]
        assert put_if(client, "*", OTHER_QUOTA).status == 200


def test_only_the_first_node_s_quota_file_initialises_the_ledger(start, connect, uri, tmp_path):
    assert quota_of(connect(start("--store", uri, "--quota", a_quota_file(tmp_path)))) == OTHER_QUOTA
    late = tmp_path / "late.json"
    late.write_text(json.dumps({"core": {"lifetime": 1}}))
    node = start("--store", uri, "--quota", late)
    assert quota_of(connect(node)) == OTHER_QUOTA
    assert str(late) in node.log()
    assert json.loads(late.read_text()) == {"core": {"lifetime": 1}}


def test_an_unreadable_quota_file_aborts_startup_on_postgresql_too(data_dir, uri, tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    ended = run("--listen", "127.0.0.1:0", "--data-dir", data_dir, "--store", uri, "--quota", broken)
    assert ended.returncode == 1
    assert str(broken) in ended.stderr


def test_a_quota_that_cannot_be_written_to_the_database_is_503_and_not_in_force(start, connect, server, uri):
    node = start("--store", uri)
    client = connect(node)
    before = quota_of(client)
    server.stop(signal.SIGQUIT)
    check_problem(client.put("/v1/quota", OTHER_QUOTA), 503, "storage_unavailable")
    assert quota_of(client) == before
    wait_until(lambda: "the quota stays as it is" in node.log(), "a word about it in the log")
    server.start()
    wait_until(lambda: client.put("/v1/quota", OTHER_QUOTA).status == 200, "the database")
    assert quota_of(client) == OTHER_QUOTA


def test_a_bad_quota_in_the_database_is_logged_and_not_applied(start, connect, server, uri):
    node = start("--store", uri)
    client = connect(node)
    before = quota_of(client)
    server.sql(f"UPDATE {uri.rpartition('3D')[2]}.credits_quota SET quota = '{{}}'")
    wait_until(lambda: "the quota stays as it is" in node.log(), "a word about it in the log")
    assert quota_of(client) == before


# --- check and migrate


@pytest.fixture
def filled(start, connect, uri):
    """A ledger with entries of all kinds, without running nodes; returns its history."""
    node = start("--store", uri)
    client = connect(node)
    for n, install_id in enumerate(ids(8)):
        for k in range(n):
            assert commit(client, install_id, key=f"k{k}").status == 200
        held = [client.post(f"{path_of(install_id)}/reservations", {"credits": 1}).json
                for _ in range(3)]
        client.post(f"{path_of(install_id)}/reservations/{held[0]['reservation_id']}/commit")
        client.request("DELETE", f"{path_of(install_id)}/reservations/{held[1]['reservation_id']}")
    before = history(client)
    assert node.stop() == 0
    return before


def test_an_intact_ledger_in_postgresql_passes_the_check(filled, uri):
    entries = sum(map(len, filled[1].values()))
    assert check_done(creditsctl.run("check", uri)) == f"ok: 8 installs, {entries} entries\n"


@pytest.mark.parametrize("change, fault", [
    ("UPDATE {}.credits_installs SET lifetime_consumed = 0 WHERE install_id = 'i0003'", "the row is"),
    ("UPDATE {}.credits_installs SET hash = NULL WHERE install_id = 'i0003'", "hash"),
    ("DELETE FROM {}.credits_installs WHERE install_id = 'i0003'", "the row is missing"),
    ("UPDATE {}.credits_entries SET credits = 9 WHERE install_id = 'i0003' AND version = 2", "hash"),
    ("DELETE FROM {}.credits_entries WHERE install_id = 'i0003' AND version = 2", "i0003"),
    ("DELETE FROM {}.credits_names WHERE install_id = 'i0003' AND name = 'k1'", "not found by its"),
    ("UPDATE {}.credits_names SET version = 1 WHERE install_id = 'i0003' AND name = 'k1'", "not its newest"),
    ("INSERT INTO {}.credits_names VALUES ('x', 0, 'k', 1, 1)", "missing"),
])
def test_changes_in_the_tables_are_found(filled, server, uri, change, fault):
    server.sql(change.format(uri.rpartition("3D")[2]))
    check_failed(creditsctl.run("check", uri), 1, fault)


def test_a_ledger_migrates_to_files_and_back_to_postgresql(filled, server, uri, start, connect, tmp_path):
    directory = tmp_path / "moved"
    again = new_ledger(server.uri())
    out = check_done(creditsctl.run("migrate", uri, directory))
    assert out.startswith("copied; check of the copy: ok: 8 installs")
    ended = creditsctl.run("migrate", directory, again, "--progress")
    assert (ended.returncode, ended.stderr) == (0, "migrate: 100 %\n")
    for store in (["--data-dir", directory], ["--store", again]):
        node = start(*store)
        client = connect(node)
        assert history(client) == filled
        replayed = commit(client, "i0007", key="k3")
        assert replayed.headers["Idempotency-Replayed"] == "true"
        held = client.get(path_of("i0007") + "/actor").json["held"]
        assert held == 1
        assert node.stop() == 0
    check_done(creditsctl.run("check", again))
    check_done(creditsctl.run("check", directory))


def test_the_quota_migrates_with_its_ledger(server, uri, start, connect, tmp_path):
    node = start("--store", uri, "--quota", a_quota_file(tmp_path))
    commit(connect(node))
    node.stop()
    directory, again = tmp_path / "moved", new_ledger(server.uri())
    check_done(creditsctl.run("migrate", uri, directory))
    assert json.loads((directory / "quota.json").read_text()) == OTHER_QUOTA
    check_done(creditsctl.run("migrate", directory, again))
    assert quota_of(connect(start("--store", again))) == OTHER_QUOTA


@pytest.mark.parametrize("pruned_in_files", [True, False], ids=["from-files", "from-postgresql"])
def test_pruned_entries_stay_pruned_in_a_migration(server, uri, start, connect, tmp_path, pruned_in_files):
    directory = tmp_path / "files"
    source, target = (directory, uri) if pruned_in_files else (uri, directory)
    store = {directory: ["--data-dir", directory], uri: ["--store", uri]}
    node = start(*store[source], "--keep-entries", "1s")
    client = connect(node)
    for _ in range(3):
        commit(client, "old")
        commit(client, "both")
    wait_until(lambda: not all_entries(client, "old"), "pruning")
    commit(client, "both")
    before = history(client)
    node.stop()
    check_done(creditsctl.run("migrate", source, target))
    client = connect(start(*store[target]))
    assert history(client) == before
    assert commit(client, "old").json["version"] == 4


def test_an_impossible_migration_is_refused(filled, server, uri, start, tmp_path):
    running = start()
    empty = new_ledger(server.uri())
    directory = tmp_path / "data"
    check_failed(creditsctl.run("migrate", directory, empty), 1, str(running.process.pid))
    running.stop()
    check_failed(creditsctl.run("migrate", directory, uri), 1, "installs already")
    check_failed(creditsctl.run("migrate", uri, directory), 1, "already exists")
    for one, other in ((uri, empty), (directory, tmp_path / "other")):
        check_failed(creditsctl.run("migrate", one, other), 2, "postgresql://")
    check_failed(creditsctl.run("check", "postgresql://u:secret@h/d"), 2, "PGPASSFILE")
    check_failed(creditsctl.run("check", empty), 1, "no ledger")
