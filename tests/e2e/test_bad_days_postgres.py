"""creditsd on a PostgreSQL that is down, rejects writes, ends sessions, has odd settings, or is large.
`test_failover.py` has a standby, `test_locked_rows.py` locks, `test_poolers.py` PgBouncer."""

import itertools
import re
import signal
import time
from collections import Counter

import pytest

import creditsctl
from cluster import new_database, new_ledger, postgres as servers
from creditsctl import check_done
from creditsd import check_problem, run, wait_until
from exposition import scrape
from reserving import Threads
from traffic import all_installs, ids, path_of, show
from trouble import (COMMIT, Starting, check_unavailable, commit, end_idle_sessions, in_background, is_waiting,
                     locks_waited_for, patient, schema_of, session)

_roles = itertools.count(1)


@pytest.fixture(scope="module")
def server():
    with servers.running("max_connections=200") as running:
        yield running


@pytest.fixture
def uri(server):
    return new_ledger(server.uri())


@pytest.fixture
def database(server):
    return new_database(server)


@pytest.fixture
def away(uri, server):
    """Stops the server; it is restarted after the test in any case."""
    yield lambda: server.stop(signal.SIGQUIT)
    if server.process.poll() is not None:
        server.start()


@pytest.fixture
def starting(tmp_path):
    """Begins a creditsd that may have to wait before it listens."""
    begun = []

    def begin(*args):
        begun.append(Starting(tmp_path, *args))
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()


def named(uri, name):
    return f"{uri}{'&' if '?' in uri else '?'}application_name={name}"


def is_ready(client):
    return client.get("/readyz").status == 200


# --- a database that is down


@pytest.mark.parametrize("rows", [{}, {"x": {"install_id": "x"}}], ids=["no-rows", "a-row"])
def test_an_import_while_the_database_is_down_is_refused_and_does_no_harm(start, connect, server, uri, away, rows):
    node = start("--store", uri)
    client = connect(node)
    away()
    check_unavailable(client.post("/v1/import", {"rows": rows}))
    check_unavailable(client.post("/v1/import", {"rows": rows}))
    server.start()
    wait_until(lambda: is_ready(client), "readiness")
    wait_until(lambda: commit(client, "a", "k").status == 200, "a commit")
    assert client.post("/v1/installs/b/plan").status == 200
    assert node.stop() == 0


def test_startup_waits_for_a_database_and_logs_it_once(starting, connect, server, uri, away):
    away()
    node = starting("--store", uri)
    wait_until(lambda: "waiting_for_store" in node.log() or not node.running(), "a word about it in the log")
    time.sleep(2.5)  # for repeated lines, if any
    assert node.running() and not node.is_listening(), node.log()
    [told] = [line for line in node.log().splitlines() if "waiting_for_store" in line]
    assert str(server.port) in told
    server.start()
    assert commit(connect(node)).status == 200
    assert node.stop() == 0


def test_a_start_that_waits_for_the_database_ends_on_a_signal(starting, uri, away):
    away()
    node = starting("--store", uri)
    wait_until(lambda: node.log() or not node.running(), "a word about it in the log")
    assert node.running(), node.log()
    assert node.stop() == 0
    assert not node.is_listening()


def test_while_the_database_is_down_the_log_has_a_few_lines_a_second(start, connect, server, uri, away):
    node = start("--store", uri)
    assert commit(connect(node)).status == 200
    away()

    def ask(number, over):
        client = connect(node)
        for n in itertools.count():
            if over.is_set():
                break
            assert client.get(path_of(f"cold-{number}-{n}")).status in (404, 503)
            assert commit(client, f"a{number}").status == 503

    told = node.log().count("\n")
    asking = Threads([ask] * 16)
    time.sleep(3)
    asking.end()
    seconds = Counter(line[:19] for line in node.log().splitlines()[told:])
    assert max(seconds.values()) <= 10, seconds


# --- a server that rejects writes


def test_a_server_that_rejects_writes_is_unready_until_it_accepts_them(start, connect, server, uri):
    node = start("--store", uri)
    client = connect(node)
    assert commit(client).status == 200
    server.set("default_transaction_read_only", "on")
    try:
        check_unavailable(commit(client))
        for _ in range(50):  # longer than two checks of the store
            time.sleep(0.05)
            check_problem(client.get("/readyz"), 503, "storage_unavailable")
            assert scrape(client).value("credits_store_up") == 0
            assert client.get("/v1/stats").json["store"]["trouble"]
        check_unavailable(commit(client, key="k"))
        check_problem(client.get("/readyz"), 503, "storage_unavailable")
        assert "read-only" in node.log()
    finally:
        server.reset("default_transaction_read_only")
    wait_until(lambda: is_ready(client), "readiness")
    assert commit(client, key="k").json["version"] == 2
    assert scrape(client).value("credits_store_up") == 1


def test_a_server_that_rejects_writes_is_detected_without_writes(start, connect, server, uri):
    client = connect(start("--store", uri))
    assert is_ready(client)
    server.set("default_transaction_read_only", "on")
    try:
        wait_until(lambda: not is_ready(client), "unreadiness")
        assert scrape(client).value("credits_store_up") == 0
    finally:
        server.reset("default_transaction_read_only")
    wait_until(lambda: is_ready(client), "readiness")


# --- connections ended by the server


def test_connections_ended_while_idle_cost_no_answer(start, connect, server, uri):
    client = connect(start("--store", named(uri, "idle")))
    assert commit(client).status == 200
    ended = 0
    for version in range(2, 22):
        ended += end_idle_sessions(server, "idle")
        assert commit(client).json.get("version") == version
        ended += end_idle_sessions(server, "idle")
        assert client.get(path_of("a")).json.get("version") == version
        assert client.get(path_of(f"cold{version}")).status == 404
        assert is_ready(client)
    assert ended >= 40
    assert client.get("/v1/stats").json["store"]["write_failures_total"] == 0


def test_connections_ended_while_idle_cost_readers_and_batches_nothing(start, connect, server, uri):
    client = connect(start("--store", named(uri, "batches")))
    operations = [{"op": "commit", "install_id": install_id, **COMMIT} for install_id in ids(5)]
    operations += [{"op": "get", "install_id": install_id} for install_id in ids(10)[5:]]
    for install_id in ids(10):
        assert commit(client, install_id).status == 200
    for _ in range(10):
        end_idle_sessions(server, "batches")
        results = client.post("/v1/batch", {"operations": operations}).json["results"]
        assert {result["status"] for result in results} == {200}
        end_idle_sessions(server, "batches")
        assert client.get("/v1/installs").status == client.get("/v1/snapshot").status == 200
        assert client.get(path_of("i0001") + "/entries").status == 200


# --- a failed read beside a durable write


def test_a_durable_commit_is_answered_though_a_concurrent_read_fails(start, connect, server, uri):
    """Both wait for a slow write. The session that then did the commit can do nothing else."""
    client = connect(start("--store", named(uri, "maimed")))
    for install_id in ("slow", *ids(20)):
        assert commit(client, install_id).status == 200
    schema = schema_of(uri)
    server.sql(f"""
        CREATE FUNCTION {schema}.maim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF NEW.install_id = 'slow' THEN PERFORM pg_sleep(1); END IF;
          IF NEW.install_id = 'a' THEN PERFORM set_config('search_path', 'nowhere', false); END IF;
          RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER maim AFTER INSERT ON {schema}.credits_entries DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW EXECUTE FUNCTION {schema}.maim()""")
    operations = [{"op": "get", "install_id": install_id} for install_id in ids(20)]
    operations.append({"op": "commit", "install_id": "a", **COMMIT})
    with in_background() as background:
        slow = background.submit(commit, connect(client), "slow")
        wait_until(lambda: is_waiting(server, "PgSleep"), "a slow write")
        results = client.post("/v1/batch", {"operations": operations}).json["results"]
        assert slow.result().status == 200
    assert (results[-1]["status"], results[-1].get("version")) == (200, 1)
    assert {result["status"] for result in results} <= {200, 503}
    server.sql(f"DROP TRIGGER maim ON {schema}.credits_entries")
    end_idle_sessions(server, "maimed")
    wait_until(lambda: commit(client, "a", "k").status == 200, "a session that can")
    assert show(client, "a")["version"] == 2


# --- an import is all or nothing


ROW = {"tier_snapshot": "core", "lifetime_consumed": 3, "lifetime_gemini_consumed": 2, "month": "2026-11",
       "monthly_consumed": 0, "monthly_gemini_consumed": 0, "last_active_at": "2026-11-24T03:53:00.000Z"}


def check_import(clients, server, uri, count, answer, install_id):
    """Checks that the import is complete, or that there is only another node's commit on `install_id`."""
    installs = int(server.sql(f"SELECT count(*) FROM {schema_of(uri)}.credits_installs"))
    install = show(clients[0], install_id)
    if answer.status == 200:
        assert installs == count
        assert (install["version"], install["lifetime_consumed"]) == (2, 4)
    else:
        assert answer.status in (409, 503), answer.body
        assert installs == 1
        assert (install["version"], install["lifetime_consumed"]) == (1, 1)
    check_problem(clients[1].post("/v1/import", {"rows": {"x": {"install_id": "x", **ROW}}}), 409,
                  "ledger_not_empty")
    check_done(creditsctl.run("check", uri))


def test_an_import_is_all_or_nothing_while_another_node_commits(start, connect, server, uri):
    first, second = [connect(start("--store", uri)) for _ in range(2)]
    rows = {f"i{n:05}": {"install_id": f"i{n:05}", **ROW} for n in range(20_000)}
    with in_background() as background:
        importing = background.submit(first.post, "/v1/import", {"rows": rows})
        wait_until(lambda: commit(second, "i19999", "k").status == 200, "a commit")
        answer = importing.result()
    check_import([first, second], server, uri, len(rows), answer, "i19999")


def test_an_import_that_is_blocked_midway_is_all_or_nothing(start, connect, server, uri):
    """Blocked by a row that another session may be about to insert."""
    first, second = [connect(start("--store", uri)) for _ in range(2)]
    rows = {f"i{n:05}": {"install_id": f"i{n:05}", **ROW} for n in range(10_000)}
    row = "'i07000', 'core', 0, 0, 202611, 0, 0, 0, 1, NULL, NULL, 0"
    with in_background() as background:
        with session(server.uri(), f"INSERT INTO {schema_of(uri)}.credits_installs SELECT {row}"):
            importing = background.submit(patient(first).post, "/v1/import", {"rows": rows})
            wait_until(lambda: importing.done() or locks_waited_for(server) > 0, "a wait")
            other = background.submit(commit, patient(connect(second)), "i09999", "k")
            wait_until(lambda: other.done() or importing.done() or locks_waited_for(server) > 1, "a commit")
        answer = importing.result()
        other.result()
    wait_until(lambda: commit(second, "i09999", "k").status == 200, "a commit")
    check_import([first, second], server, uri, len(rows), answer, "i09999")


# --- settings of the server and of roles


def test_its_sessions_compile_no_plans(start, connect, server, uri):
    server.set("session_preload_libraries", "auto_explain")
    for name, value in {"log_min_duration": "0", "log_settings": "on", "log_nested_statements": "on"}.items():
        server.set(f"auto_explain.{name}", value)
    server.set("log_line_prefix", "%p %a|")
    told = len(server.log())
    try:
        node = start("--store", named(uri, "compiled"))
        client = connect(node)
        assert commit(client, key="k").status == commit(client, "b").status == 200
        assert client.get(path_of("cold")).status == 404
        client.get("/v1/installs"), client.get(path_of("a") + "/entries"), client.get("/v1/snapshot")
        assert node.stop() == 0
    finally:
        for name in ("session_preload_libraries", "log_line_prefix", "auto_explain.log_min_duration"):
            server.reset(name)
    events = [event for event in re.split(r"^(?=\d+ \S*\|)", server.log()[told:], flags=re.MULTILINE)
              if re.match(r"\d+ compiled\|.*plan:", event)]
    # A connection may run some queries before its settings apply.
    plans = [event for event in events if "credits_" in event and "CREATE" not in event]
    assert len(plans) > 5
    assert [plan for plan in plans if "jit = 'off'" not in plan] == []


@pytest.fixture
def role(server):
    """A role that owns nothing and is not a superuser."""
    name = f"role_{next(_roles)}"
    server.sql(f"CREATE ROLE {name} LOGIN")
    return name


def as_role(role, uri):
    return uri.replace(f"//{servers.USER}@", f"//{role}@")


def test_a_batch_too_large_for_the_roles_statement_timeout_is_done_in_parts(start, connect, server, role, uri):
    """Some rows take two milliseconds to write: a thousand of them exceed the statement's timeout, but all together
    are far below creditsd's own deadline."""
    node = start("--store", uri)
    assert commit(connect(node), "first").status == 200
    node.stop()
    schema = schema_of(uri)
    server.sql(f"""
        CREATE FUNCTION {schema}.take_time() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF NEW.install_id ~ '[258]$' THEN PERFORM pg_sleep(0.002); END IF;
          RETURN NEW;
        END $$;
        CREATE TRIGGER take_time BEFORE INSERT ON {schema}.credits_entries
          FOR EACH ROW EXECUTE FUNCTION {schema}.take_time();
        GRANT USAGE, CREATE ON SCHEMA {schema} TO {role};
        GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role};
        ALTER ROLE {role} SET statement_timeout = 500""")
    node = start("--store", as_role(role, uri))
    assert "statement_timeout" in node.log()
    operations = [{"op": "commit", "install_id": f"i{n:05}", **COMMIT} for n in range(2_000)]
    client = patient(connect(node))
    told = len(server.log())
    results = client.post("/v1/batch", {"operations": operations}).json["results"]
    assert Counter(result["status"] for result in results) == {200: 2_000}
    assert "statement timeout" in server.log()[told:]
    assert node.stop() == 0
    start("--store", as_role(role, uri))


def test_a_ledger_whose_installs_take_too_long_to_count_still_starts(start, connect, server, role, uri):
    """A row security policy makes each row of a scan as costly as thousands, but does not matter for single
    look-ups."""
    node = start("--store", uri)
    assert commit(connect(node), "first").status == 200
    node.stop()
    schema, rows = schema_of(uri), 40_000
    server.sql(f"""
        INSERT INTO {schema}.credits_installs SELECT 'i' || n, tier_snapshot, lifetime_consumed,
          lifetime_gemini_consumed, month, monthly_consumed, monthly_gemini_consumed, last_active_at_ms, version,
          holds, hash, replaced_version FROM {schema}.credits_installs, generate_series(1, {rows - 1}) AS n;
        ANALYZE {schema}.credits_installs;
        CREATE FUNCTION {schema}.is_seen() RETURNS boolean LANGUAGE plpgsql STABLE COST 100000 AS $$ BEGIN
          PERFORM pg_sleep(0.001);
          RETURN true;
        END $$;
        ALTER TABLE {schema}.credits_installs ENABLE ROW LEVEL SECURITY;
        CREATE POLICY slow ON {schema}.credits_installs USING ({schema}.is_seen()) WITH CHECK (true);
        GRANT USAGE, CREATE ON SCHEMA {schema} TO {role};
        GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}""")
    node = start("--store", as_role(role, uri), "--keep-entries", "1s")
    client = connect(node)
    assert commit(client, "first").json["version"] == 2
    wait_until(lambda: 0.9 * rows < client.get("/v1/stats").json["store"]["installs"] < 1.1 * rows, "an estimate")
    wait_until(lambda: client.get(path_of("first") + "/entries").json["entries"] == [], "pruning")
    assert "pruning_failed" not in node.log() and "statement timeout" not in node.log(), node.log()


# --- where the ledger is


def test_the_ledger_is_in_the_first_schema_of_the_search_path_and_logged(start, connect, server, database):
    public = server.uri(database=database)
    node = start("--store", public)
    assert commit(connect(node), "public").status == 200
    node.stop()
    servers.sql(public, "CREATE SCHEMA tenant2")
    tenant = public + "?options=-csearch_path%3Dtenant2,public"
    node = start("--store", tenant)
    client = connect(node)
    assert client.get(path_of("public")).status == 404
    assert commit(client, "tenant").status == 200
    assert "tenant2" in node.log()
    assert list(all_installs(client)) == ["tenant"]
    assert servers.sql(public, "SELECT install_id FROM tenant2.credits_installs") == "tenant"
    assert servers.sql(public, "SELECT install_id FROM public.credits_installs") == "public"
    assert node.stop() == 0
    check_done(creditsctl.run("check", tenant))


def test_a_node_stops_writing_when_the_schema_is_upgraded(start, connect, server, uri):
    node = start("--store", uri)
    client = connect(node)
    schema = schema_of(uri)
    assert commit(client).status == 200
    server.sql(f"UPDATE {schema}.credits_ledger SET schema_version = 9")
    wait_until(lambda: commit(client).status == 503, "an end of writes")
    version = server.sql(f"SELECT version FROM {schema}.credits_installs")
    for install_id in ("a", "b", "c", "d"):
        check_unavailable(commit(client, install_id))
        check_problem(client.get("/readyz"), 503, "storage_unavailable")
    assert server.sql(f"SELECT version FROM {schema}.credits_installs") == version
    wait_until(lambda: "schema version 9" in node.log(), "a word about it in the log")


def test_a_node_without_traffic_detects_that_the_schema_is_upgraded(start, connect, server, uri):
    node = start("--store", uri)
    client = connect(node)
    server.sql(f"UPDATE {schema_of(uri)}.credits_ledger SET schema_version = 9")
    wait_until(lambda: not is_ready(client), "unreadiness")
    assert "schema version 9" in client.get("/readyz").json["detail"]


def test_a_user_who_may_not_create_tables_gets_the_needed_grant(server, data_dir, database, role):
    servers.sql(server.uri(database=database), "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    ended = run("--store", server.uri(role, database), "--data-dir", data_dir, "--listen", "127.0.0.1:0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "permission denied for schema public" in ended.stderr
    assert re.search(f'GRANT .*CREATE.* ON SCHEMA "?public"? TO "?{role}', ended.stderr)
