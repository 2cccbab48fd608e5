"""A node's connections to PostgreSQL: servers that hang, are fenced or come back without what they had, sessions
that end, and poolers in between."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from cluster import new_ledger, postgres as servers
from creditsd import check_problem, run, wait_until
from traffic import path_of, show

COMMIT = {"backend": "gemini", "tier": "core"}


def commit(client, key=None, install_id="a"):
    headers = {"Idempotency-Key": key} if key else {}
    return client.request("POST", f"{path_of(install_id)}/commit", COMMIT, headers)


def until_done(client, key):
    """Sends a commit until it is answered 200, as a relay does."""
    answers = []

    def is_done():
        answers.append(commit(client, key))
        if answers[-1].status != 200:
            check_problem(answers[-1], 503, "storage_unavailable")
            time.sleep(0.05)
        return answers[-1].status == 200

    wait_until(is_done, "a commit")
    return answers[-1]


def processes_of(server):
    """Its own and those of its sessions."""
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


@contextlib.contextmanager
def two_servers(*settings):
    """A primary and a standby that follows it, and the URI of both."""
    with servers.running(*settings) as primary:
        standby = servers.Postgres(primary.directory.parent / "standby")
        standby.make_standby_of(primary).start()
        try:
            yield primary, standby, (f"postgresql://{servers.USER}@127.0.0.1:{primary.port},"
                                     f"127.0.0.1:{standby.port}/postgres")
        finally:
            standby.stop()


def wait_for_copy(primary, standby):
    """Until the standby shows all that the primary has."""
    end = primary.sql("SELECT pg_current_wal_lsn()")
    wait_until(lambda: standby.sql(f"SELECT pg_last_wal_replay_lsn() >= '{end}'") == "t", "the copy")


# --- sessions


def test_sessions_that_were_ended_while_they_were_idle_cost_no_answer(start, connect):
    with servers.running() as server:
        client = connect(start("--store", new_ledger(server.uri())))
        for version in range(1, 31):
            server.sql("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                       " WHERE application_name = 'creditsd' AND state = 'idle'")
            answer = commit(client)
            assert (answer.status, answer.json["version"]) == (200, version)
            assert client.get("/readyz").status == 200


# --- another server


def test_a_primary_that_hangs_is_given_up_for_the_one_that_is_promoted(start, connect):
    with two_servers() as (primary, standby, uri):
        client = connect(start("--store", uri))
        assert commit(client).json["version"] == 1
        wait_for_copy(primary, standby)
        frozen = processes_of(primary)
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            standby.promote()
            assert until_done(client, "k").json["version"] == 2
            assert standby.sql("SELECT count(*) FROM credits_entries") == "2"
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)


def test_a_primary_that_was_fenced_is_given_up_for_the_one_that_is_promoted(start, connect):
    with two_servers() as (primary, standby, uri):
        client = connect(start("--store", uri))
        assert commit(client).json["version"] == 1
        wait_for_copy(primary, standby)
        primary.sql("ALTER SYSTEM SET default_transaction_read_only = on")
        primary.sql("SELECT pg_reload_conf()")
        wait_until(lambda: primary.sql("SHOW default_transaction_read_only") == "on", "the fence")
        standby.promote()
        answer = commit(client)
        assert (answer.status, answer.json["version"]) == (200, 2)
        assert standby.sql("SELECT count(*) FROM credits_entries") == "2"


def test_what_a_primary_has_and_its_standby_has_not_is_not_answered(start, connect):
    with two_servers() as (primary, standby, _):
        primary.wait_for_standby(standby)
        node = start("--store", primary.uri())
        client = connect(node)
        assert commit(client).json["version"] == 1
        standby.stop()
        waiting = threading.Thread(target=commit, args=[connect(node), "k"])
        waiting.start()
        wait_until(lambda: primary.sql("SELECT count(*) FROM pg_stat_activity"
                                       " WHERE wait_event = 'SyncRep'") != "0", "the wait")
        primary.kill()
        waiting.join()
        primary.start()
        assert primary.sql("SELECT count(*) FROM credits_entries") == "2"
        for _ in range(3):
            check_problem(commit(client, "k"), 503, "storage_unavailable")
        standby.start()
        assert until_done(client, "k").json["version"] == 2
        assert show(client)["version"] == 2


# --- poolers


@contextlib.contextmanager
def pooler_before(server, mode, *settings):
    """The port of a PgBouncer before `server`."""
    port = servers.free_port()
    path = server.directory / "pgbouncer.ini"
    path.write_text("\n".join([
        "[databases]", f"* = host=127.0.0.1 port={server.port} user={servers.USER}",
        "[pgbouncer]", "listen_addr = 127.0.0.1", f"listen_port = {port}", "unix_socket_dir =",
        "auth_type = any", f"pool_mode = {mode}", *settings, ""]))
    with open(server.directory / "pgbouncer.log", "wb") as log:
        process = subprocess.Popen(["pgbouncer", path], stdout=log, stderr=log, **servers.as_user())
        try:
            wait_until(lambda: subprocess.run([servers.PROGRAMS / "pg_isready", "-q", "-h", "127.0.0.1",
                                               "-p", str(port)]).returncode == 0, "a pooler")
            yield port
        finally:
            process.terminate()
            process.wait()


needs_pooler = pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="there is no pgbouncer")


@pytest.fixture(scope="module")
def server():
    with servers.running() as running:
        yield running


@pytest.fixture
def pooled(server):
    """A ledger's place on that server that is named by the user's settings, as poolers take no options."""
    schema = new_ledger(server.uri()).rpartition("3D")[2]
    server.sql(f"ALTER ROLE {servers.USER} SET search_path = {schema}")
    yield server
    server.sql(f"ALTER ROLE {servers.USER} RESET search_path")


@needs_pooler
@pytest.mark.parametrize("mode, settings", [
    ("transaction", []), ("transaction", ["default_pool_size = 1"]),
    ("transaction", ["server_round_robin = 1"]), ("statement", [])])
def test_a_pooler_that_gives_no_sessions_is_refused(pooled, data_dir, mode, settings):
    with pooler_before(pooled, mode, *settings) as port:
        ended = run("--store", f"postgresql://{servers.USER}@127.0.0.1:{port}/postgres", "--data-dir", data_dir,
                    "--listen", "127.0.0.1:0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "set pool_mode = session" in ended.stderr and str(port) in ended.stderr


@needs_pooler
def test_a_pooler_that_gives_sessions_serves(pooled, start, connect):
    with pooler_before(pooled, "session") as port:
        node = start("--store", f"postgresql://{servers.USER}@127.0.0.1:{port}/postgres")
        client = connect(node)
        for version in range(1, 6):
            assert commit(client).json["version"] == version
        assert node.stop() == 0


@needs_pooler
def test_a_pooler_that_drops_the_search_path_is_refused(server, data_dir):
    uri = new_ledger(server.uri())
    with pooler_before(server, "session", "ignore_startup_parameters = options") as port:
        ended = run("--store", uri.replace(f":{server.port}", f":{port}"), "--data-dir", data_dir,
                    "--listen", "127.0.0.1:0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "drops the URI's search_path=ledger_" in ended.stderr and "ALTER ROLE" in ended.stderr
    assert server.sql("SELECT to_regclass('public.credits_ledger')") == ""
