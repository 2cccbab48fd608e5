"""PgBouncer between creditsd and its PostgreSQL: session mode works; modes that spread a session's transactions
over several connections are refused; and an exhausted pool does not block forever."""

import contextlib
import signal
import subprocess

import pytest

import creditsctl
from cluster import new_database, new_ledger, postgres as servers, wait_until_ready
from creditsctl import check_done
from creditsd import TIMEOUT_S, run, wait_until
from traffic import Traffic, check_count, ids, show
from trouble import Starting, commit, session

BINARY = servers.find_program("pgbouncer")

pytestmark = pytest.mark.skipif(BINARY is None, reason="no pgbouncer: tools/setup --tests installs it")


@pytest.fixture(scope="module")
def server():
    with servers.running() as running:
        yield running


@pytest.fixture
def database(server):
    return new_database(server)


@pytest.fixture
def pooler(server, database):
    """Starts a pooler for that database; returns its URI."""
    with contextlib.ExitStack() as ended:
        def start_pooler(mode, **settings):
            port = servers.free_port()
            settings = {"listen_addr": "127.0.0.1", "listen_port": port, "unix_socket_dir": "", "auth_type": "any",
                        "pool_mode": mode, "default_pool_size": 20, **settings}
            config = server.directory / f"pgbouncer-{port}.ini"  # readable for the user that it runs as
            config.write_text("\n".join([
                "[databases]", f"* = host=127.0.0.1 port={server.port} user={servers.USER}", "[pgbouncer]",
                *(f"{name} = {value}" for name, value in settings.items())]) + "\n")
            log = ended.enter_context(open(config.with_suffix(".log"), "wb"))
            process = subprocess.Popen([BINARY, config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       cwd=server.directory, **servers.as_user())
            ended.callback(process.wait, TIMEOUT_S)
            # Ends at once: since PgBouncer 1.23, SIGTERM waits for clients, and SIGINT for their sessions.
            ended.callback(process.kill)
            uri = f"postgresql://{servers.USER}@127.0.0.1:{port}/{database}"
            wait_until(lambda: subprocess.run([servers.PROGRAMS / "pg_isready", "-q", "-d", uri]).returncode == 0,
                       "PgBouncer")
            return uri

        yield start_pooler


@pytest.mark.parametrize("mode, settings", [
    ("transaction", {}), ("transaction", {"default_pool_size": 1}), ("transaction", {"server_round_robin": 1}),
    ("statement", {})])
def test_a_pooler_that_does_not_leave_sessions_alone_is_refused_with_its_setting(pooler, data_dir, mode, settings):
    uri = pooler(mode, **settings)
    ended = run("--store", uri, "--data-dir", data_dir, "--listen", "127.0.0.1:0")
    assert (ended.returncode, ended.stdout) == (1, "")
    port = uri.rpartition("/")[0].rpartition(":")[2]
    assert "set pool_mode = session" in ended.stderr and port in ended.stderr, ended.stderr


def test_a_pooler_that_drops_the_search_path_is_refused(pooler, server, database, data_dir):
    uri = server.uri(database=database)
    search_path = new_ledger(uri).removeprefix(uri)
    ended = run("--store", pooler("session", ignore_startup_parameters="options") + search_path, "--data-dir", data_dir,
                "--listen", "127.0.0.1:0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "drops the URI's search_path=ledger_" in ended.stderr and "ALTER ROLE" in ended.stderr
    assert servers.sql(uri, "SELECT to_regclass('public.credits_ledger')") == ""


def test_a_pooler_in_transaction_mode_is_refused_for_an_existing_ledger(start, connect, pooler, server, database,
                                                                        data_dir):
    node = start("--store", server.uri(database=database))
    assert commit(connect(node)).status == 200
    node.stop()
    ended = run("--store", pooler("transaction"), "--data-dir", data_dir, "--listen", "127.0.0.1:0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "pool_mode" in ended.stderr


def test_a_pooler_in_session_mode_works_and_a_crash_of_the_server_loses_nothing(start, connect, pooler, server,
                                                                                database):
    server.sql(f"ALTER DATABASE {database} SET synchronous_commit = off")
    uri = pooler("session", default_pool_size=40)
    nodes = [start("--store", uri) for _ in range(2)]
    traffic = Traffic([node.port for node in nodes], ids(20))
    traffic.wait_for(200)
    server.restart(signal.SIGQUIT)
    traffic.wait_for(traffic.count() + 200)
    traffic.end()
    wait_until_ready(*nodes)
    check_count(connect(nodes[0]), traffic)
    for node in nodes:
        assert node.stop() == 0
    check_done(creditsctl.run("check", server.uri(database=database)))


def test_a_start_whose_pooler_is_exhausted_says_so_and_can_be_ended(pooler, server, tmp_path):
    uri = pooler("session", default_pool_size=1)
    with session(uri, "SELECT 1"):
        node = Starting(tmp_path, "--store", uri)
        try:
            wait_until(lambda: node.log() or not node.running(), "a word about it in the log")
            assert node.running() and not node.is_listening(), node.log()
            assert node.stop() == 0
        finally:
            node.kill()


def test_a_start_continues_when_its_pooler_has_connections_again(pooler, server, tmp_path, connect):
    uri = pooler("session", default_pool_size=10, max_db_connections=10)
    with contextlib.ExitStack() as others:
        for _ in range(10):
            others.enter_context(session(uri, "SELECT 1"))
        node = Starting(tmp_path, "--store", uri)
        try:
            wait_until(lambda: node.log() or not node.running(), "a word about it in the log")
            others.close()
            assert commit(connect(node)).status == 200
            assert show(connect(node))["version"] == 1
            assert node.stop() == 0
        finally:
            node.kill()
