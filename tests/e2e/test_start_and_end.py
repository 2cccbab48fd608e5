"""How the programs start and end when something is missing, stalls, or does not end by itself."""

import contextlib
import itertools
import json
import os
import re
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

import creditsctl
import creditsd
import creditsload
from cluster import new_ledger, postgres as servers
from creditsd import TIMEOUT_S, wait_until
from test_faults import compiled, faulty_io, preload  # noqa: F401

INSTALL = "/v1/installs/a"
COMMIT = {"backend": "gemini", "tier": "core"}
SOME_OF_THE_THREE = [closed for count in (1, 2, 3) for closed in itertools.combinations(range(3), count)]


@pytest.fixture
def launch(data_dir):
    """Starts creditsd on a free port with Popen settings; kills each process at the end."""
    running = []

    def start(*args, env=None, **settings):
        port = servers.free_port()
        process = subprocess.Popen(
            [creditsd.BINARY, "--listen", f"127.0.0.1:{port}", "--data-dir", data_dir, *map(str, args)],
            env=creditsd.environment(env), **{"stdin": subprocess.DEVNULL} | settings)
        process.port = port
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait(TIMEOUT_S)


def answers(process, path="/readyz"):
    """Whether the process answers 200."""
    client = creditsd.Client(process.port)
    try:
        return client.get(path).status == 200
    except OSError:
        assert process.poll() is None, "it has ended"
        return False
    finally:
        client.close()


def end(process):
    process.terminate()
    return process.wait(TIMEOUT_S)


def limit_files(process, size):
    """From now on, a write beyond this file size fails and raises SIGXFSZ."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


# --- closed descriptors


def without(closed):
    """Returns a function that a child runs before it becomes the program: it closes these descriptors."""
    return lambda: [os.close(descriptor) for descriptor in closed]


@pytest.mark.parametrize("closed", SOME_OF_THE_THREE, ids=str)
def test_no_file_of_the_ledger_takes_a_closed_standard_descriptor(launch, data_dir, closed):
    process = launch(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=without(closed))
    wait_until(lambda: answers(process), "readiness")
    for descriptor in closed:
        assert os.readlink(f"/proc/{process.pid}/fd/{descriptor}") == "/dev/null"
    process.send_signal(signal.SIGHUP)  # this writes to the log
    assert end(process) == 0
    assert (data_dir / "lock").read_text().strip() == f"the process with pid {process.pid}"


@pytest.mark.parametrize("closed", SOME_OF_THE_THREE, ids=str)
def test_no_output_file_takes_a_closed_standard_descriptor(server, client, tmp_path, closed):
    client.put(INSTALL)
    creditsctl.check_done(creditsctl.run("export", tmp_path / "usual", server=server))
    url = ["--url", f"http://127.0.0.1:{server.port}"]
    for program, *args in ((creditsctl.BINARY, *url, "export", tmp_path / "rows.json"),
                           (*creditsload.command("--duration", "1s", port=server.port),
                            "--json", tmp_path / "report.json", "--html", tmp_path / "report.html")):
        subprocess.run([program, *args], check=True, timeout=TIMEOUT_S, preexec_fn=without(closed))
    assert (tmp_path / "rows.json").read_bytes() == (tmp_path / "usual").read_bytes()
    assert json.loads((tmp_path / "report.json").read_text())
    assert (tmp_path / "report.html").read_text().startswith("<!")


# --- an unread log


@pytest.fixture
def full_pipe():
    """Both ends of a pipe that is full until somebody reads it."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    yield reading, writing
    os.close(reading)
    os.close(writing)


def read_from(pipe, until):
    """Reads up to a line that contains `until`; skips the filling of the pipe."""
    text = b""
    os.set_blocking(pipe, False)

    def has_come():
        nonlocal text
        with contextlib.suppress(BlockingIOError):
            text += os.read(pipe, 65536)
        return until.encode() in text and text.endswith(b"\n")

    wait_until(has_come, f"the line with {until}")
    return text.decode().lstrip("x")


def quota_of(process):
    client = creditsd.Client(process.port)
    try:
        return client.get("/v1/quota").json["core"]["lifetime"]
    finally:
        client.close()


def set_quota(data_dir, lifetime):
    (data_dir / "quota.json").write_text(json.dumps({"core": {"lifetime": lifetime}}))


def test_signals_are_handled_while_nobody_reads_the_log(launch, data_dir, full_pipe):
    process = launch(stdout=full_pipe[1], stderr=full_pipe[1])
    wait_until(lambda: answers(process), "readiness")
    set_quota(data_dir, 7)
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: quota_of(process) == 7, "the new quota")
    assert end(process) == 0


def test_calls_are_answered_while_nobody_reads_warnings_about_the_disk(launch, connect, data_dir, full_pipe):
    process = launch(stdout=full_pipe[1], stderr=full_pipe[1])
    wait_until(lambda: answers(process), "readiness")
    client = connect(process)
    assert client.post(INSTALL + "/commit", COMMIT).status == 200
    limit_files(process, 8 * 1024)
    for _ in range(3):
        creditsd.check_problem(client.post(INSTALL + "/commit", COMMIT), 503, "storage_unavailable")
    assert client.get(INSTALL).json["version"] == 1
    creditsd.check_problem(client.get("/readyz"), 503, "storage_unavailable")
    assert end(process) == 0


def test_lines_not_read_in_time_are_counted_where_they_are_missing(launch, data_dir, full_pipe):
    process = launch(stdout=subprocess.DEVNULL, stderr=full_pipe[1])
    wait_until(lambda: answers(process), "readiness")
    for number in range(1100):
        set_quota(data_dir, number + 1)
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: quota_of(process) == number + 1, "the new quota")
    text = read_from(full_pipe[0], "log_lines_dropped")
    process.send_signal(signal.SIGHUP)
    text += read_from(full_pipe[0], "reloaded")
    process.terminate()
    text += read_from(full_pipe[0], "stopped")
    [dropped] = re.findall(r" warning log_lines_dropped: (\d+) lines", text)
    assert 0 < int(dropped) < 1100
    assert int(dropped) + len(re.findall(" reloaded: ", text)) >= 1100
    assert process.wait(TIMEOUT_S) == 0
    moments = re.findall(r"^\S+Z", text, re.MULTILINE)
    assert moments == sorted(moments)


def test_a_full_non_blocking_pipe_gets_every_line_or_their_number(launch, data_dir, full_pipe):
    os.set_blocking(full_pipe[1], False)
    process = launch(stdout=subprocess.DEVNULL, stderr=full_pipe[1])
    wait_until(lambda: answers(process), "readiness")
    for number in range(5):
        set_quota(data_dir, number + 1)
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: quota_of(process) == number + 1, "the new quota")
    process.terminate()
    text = read_from(full_pipe[0], " stopped: ")
    assert " started: " in text and len(re.findall(" reloaded: ", text)) >= 5
    assert "log_lines_dropped" not in text
    assert process.wait(TIMEOUT_S) == 0


@pytest.mark.parametrize("format", ["text", "json"])
def test_lines_that_cannot_be_written_are_counted(launch, connect, format):
    with open("/dev/full", "wb") as full:
        process = launch("--log-format", format, stdout=subprocess.DEVNULL, stderr=full)
    wait_until(lambda: answers(process), "readiness")
    client = connect(process)

    def dropped():
        text = client.get("/metrics").body.decode()
        return float(re.search(r"^credits_log_lines_dropped_total (\S+)$", text, re.MULTILINE)[1])

    wait_until(lambda: dropped() >= 1, "the count of the first line")
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: dropped() >= 2, "the count of the next one")
    assert end(process) == 0


@pytest.fixture(scope="module")
def threadless(tmp_path_factory):
    return compiled(tmp_path_factory, "threadless")


@pytest.mark.parametrize("threads", range(2))
@pytest.mark.parametrize("format", ["text", "json"])
def test_a_start_without_threads_says_why(data_dir, threadless, format, threads):
    env = preload(threadless) | {"THREADS_MAX": str(threads)}
    ended = creditsd.run("--listen", "127.0.0.1:0", "--data-dir", data_dir, "--log-format", format, env=env)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "cannot start a thread: Resource temporarily unavailable" in ended.stderr and "TasksMax" in ended.stderr


def test_a_failed_start_ends_though_nobody_reads_why(launch, data_dir, full_pipe):
    (data_dir / "quota.json").write_text("{")
    assert launch(stdout=full_pipe[1], stderr=full_pipe[1]).wait(TIMEOUT_S) == 1


# --- a limited file size


def test_a_file_size_limit_fails_a_write_but_does_not_end_the_process(server, client):
    assert client.put(INSTALL).status == 201
    limit_files(server.process, 8 * 1024)
    creditsd.check_problem(client.post(INSTALL + "/commit", COMMIT), 503, "storage_unavailable")
    assert client.get(INSTALL).json["version"] == 1
    assert server.stop() == 0


# --- an unhandled exception


@pytest.fixture(scope="module")
def throwing(tmp_path_factory):
    return compiled(tmp_path_factory, "throwing")


def test_an_unhandled_exception_is_named_and_aborts(start, connect, throwing, tmp_path):
    switch = tmp_path / "throw"
    server = start(env=preload(throwing) | {"THROWING": str(switch)}, limits={resource.RLIMIT_CORE: 0})
    assert connect(server).post(INSTALL + "/commit", COMMIT).status == 200
    switch.write_text("an odd thing\n")
    assert server.process.wait(TIMEOUT_S) == -signal.SIGABRT
    [line] = [line for line in server.log().splitlines() if " aborted: " in line]
    assert " error " in line and "std::runtime_error: an odd thing" in line
    assert connect(start()).get(INSTALL).json["version"] == 1


def test_an_unhandled_exception_ends_it_though_nobody_reads_why(launch, throwing, tmp_path, full_pipe):
    switch = tmp_path / "throw"
    process = launch(stderr=full_pipe[1], stdout=full_pipe[1], env=preload(throwing) | {"THROWING": str(switch)},
                     preexec_fn=creditsd.with_limits({resource.RLIMIT_CORE: 0}))
    wait_until(lambda: answers(process), "readiness")
    switch.write_text("an odd thing\n")
    assert process.wait(TIMEOUT_S) == -signal.SIGABRT


# --- a signal as soon as the server is ready


def test_a_signal_after_it_listens_is_not_one_during_startup(launch):
    for _ in range(20):
        process = launch(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout.readline().startswith(b"listening on ")
        process.terminate()
        log = process.communicate(timeout=TIMEOUT_S)[1].decode()
        assert process.returncode == 0
        assert " stopping: " in log and "during startup" not in log


# --- a file that does not respond


@pytest.fixture(scope="module")
def hanging_file(tmp_path_factory):
    return compiled(tmp_path_factory, "hanging_file")


def test_a_quota_file_that_does_not_respond_delays_only_the_reload(start, connect, data_dir, hanging_file):
    path = data_dir / "quota.json"
    hangs = data_dir / "quota.json.hangs"
    server = start(env=preload(hanging_file) | {"HANGING_FILE": str(path)})
    client = connect(server)
    hangs.touch()
    set_quota(data_dir, 7)
    server.hup()
    wait_until(lambda: " reload_slow: " in server.log(), "a word in the log")
    server.hup()
    assert client.post(INSTALL + "/commit", COMMIT).status == 200
    assert client.get("/readyz").status == 200
    assert client.get("/v1/quota").json["core"]["lifetime"] == 100
    creditsd.check_problem(client.put("/v1/quota", {"core": {"lifetime": 8}}), 503, "storage_unavailable")
    assert server.log().count(" reload_slow: ") == 1
    hangs.unlink()
    wait_until(lambda: server.log().count(" reloaded: ") == 2, "both reloads")
    assert client.get("/v1/quota").json["core"]["lifetime"] == 7
    assert server.stop() == 0


# --- a shutdown that hangs


@pytest.fixture
def stalled(start, connect, faulty_io, tmp_path):
    """A server with an acknowledged commit, and one in flight on a disk that hangs from now on."""
    switch = tmp_path / "faulty"
    server = start(env=preload(faulty_io) | {"FAULTY_IO": str(switch)})
    assert connect(server).post(INSTALL + "/commit", COMMIT).status == 200
    switch.write_text("stall")
    with creditsd.open_socket(server.port) as connection:
        connection.sendall(b"POST /v1/installs/a/commit HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n"
                           b"Content-Type: application/json\r\n\r\n"
                           b'{"backend":"gemini","tier": "core"}')
        client = connect(server)
        wait_until(lambda: client.get("/v1/stats").json["persister"]["oldest_pending_ms"] > 0, "the wait")
        yield server
    switch.unlink()


def check_kept(start, connect):
    assert connect(start()).get(INSTALL).json["version"] in (1, 2)


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_a_second_signal_ends_at_once_and_names_the_unfinished_step(stalled, start, connect, first, second):
    stalled.process.send_signal(first)
    wait_until(lambda: " stopping: " in stalled.log(), "the end's beginning")
    stalled.process.send_signal(second)  # may come too soon to count
    time.sleep(1.1)
    stalled.process.send_signal(second)
    assert stalled.process.wait(TIMEOUT_S) == 1
    assert f"error stopped_at_once: {second.name} during shutdown" in stalled.log()
    assert "answering the requests in flight" in stalled.log()
    check_kept(start, connect)


def test_a_hanging_shutdown_is_cut_short(stalled, start, connect):
    assert stalled.stop(timeout_s=120) == 1
    assert "error stopped_unfinished: " in stalled.log() and "info stopped: " not in stalled.log()
    check_kept(start, connect)


# --- a store that is not up yet


@pytest.fixture(scope="module")
def database():
    with servers.running() as running:
        yield running


@pytest.fixture
def absent(database):
    """A stopped PostgreSQL with a ledger of its own."""
    database.uri_of_ledger = new_ledger(database.uri())
    database.stop()
    yield database
    database.stop()
    database.start()


def launch_logged(launch, tmp_path, *args, **settings):
    process = launch("--log-format", "json", *args, stdout=open(tmp_path / "out", "wb"),
                     stderr=open(tmp_path / "log", "wb"), **settings)
    process.events = lambda: [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    process.named = lambda name: [event["message"] for event in process.events() if event["event"] == name]
    return process


def test_startup_waits_for_a_database_that_comes_up_later(launch, connect, tmp_path, absent):
    process = launch_logged(launch, tmp_path, "--store", absent.uri_of_ledger)
    wait_until(lambda: process.named("waiting_for_store"), "the wait")
    process.send_signal(signal.SIGHUP)
    time.sleep(2)  # for some retries
    [line] = process.named("waiting_for_store")
    assert "cannot connect to PostgreSQL" in line and str(absent.port) in line
    assert (tmp_path / "out").read_text() == "" and not listens(process)
    absent.start()
    wait_until(lambda: answers(process), "readiness")
    wait_until(lambda: (tmp_path / "out").read_text() == f"listening on http://127.0.0.1:{process.port}\n", "a word")
    wait_until(lambda: process.named("reloaded"), "the reload")
    assert connect(process).post(INSTALL + "/commit", COMMIT).status == 200
    assert end(process) == 0


def listens(process):
    try:
        creditsd.open_socket(process.port).close()
    except OSError:
        return False
    return True


@pytest.fixture
def silent():
    """The port of a server that accepts connections but never sends anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
@pytest.mark.parametrize("is_silent", [False, True])
def test_a_signal_ends_the_wait_for_a_database(launch, tmp_path, silent, is_silent, number):
    port = silent if is_silent else servers.free_port()
    process = launch_logged(launch, tmp_path, "--store", f"postgresql://127.0.0.1:{port}/d")
    if not is_silent:
        wait_until(lambda: process.named("waiting_for_store"), "the wait")
    wait_until(lambda: hears_signals(process), "signals to be heard")
    process.send_signal(number)
    assert process.wait(TIMEOUT_S) == 0
    assert [event["event"] for event in process.events()][-1] == "stopped"
    assert (tmp_path / "out").read_text() == ""


def hears_signals(process):
    """Whether the process already blocks the signals."""
    blocked = re.search(r"SigBlk:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text())[1]
    return int(blocked, 16) >> signal.SIGTERM - 1 & 1


def test_startup_waits_for_a_database_without_a_spare_connection(launch, tmp_path, database):
    uri = new_ledger(database.uri()).replace("postgres@", "app@")
    database.sql("CREATE ROLE app LOGIN CONNECTION LIMIT 0")
    database.sql(f"GRANT ALL ON SCHEMA {uri.rpartition('3D')[2]} TO app")
    process = launch_logged(launch, tmp_path, "--store", uri)
    wait_until(lambda: process.named("waiting_for_store"), "the wait")
    assert "too many connections" in process.named("waiting_for_store")[0]
    database.sql("ALTER ROLE app CONNECTION LIMIT -1")
    wait_until(lambda: answers(process), "readiness")
    assert end(process) == 0


@pytest.mark.parametrize("user, name, reason", [
    ("nobody", "postgres", 'role "nobody" does not exist'), ("postgres", "none", 'database "none" does not exist')])
def test_permanent_errors_are_reported_at_once(database, data_dir, user, name, reason):
    ended = creditsd.run("--listen", "127.0.0.1:0", "--data-dir", data_dir, "--store",
                         f"postgresql://{user}@127.0.0.1:{database.port}/{name}")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert reason in ended.stderr and "waiting" not in ended.stderr


# --- the same failure of every call while the store is down


def test_a_failure_of_every_call_is_logged_once_a_second_with_a_count(launch, connect, tmp_path, absent):
    absent.start()
    process = launch_logged(launch, tmp_path, "--store", absent.uri_of_ledger)
    wait_until(lambda: answers(process), "readiness")
    absent.stop()
    client = connect(process)
    begun = time.monotonic()
    for number in range(400):
        assert client.get(f"/v1/installs/i{number}").status == 503
    seconds = time.monotonic() - begun
    assert end(process) == 0
    lines = process.named("load_failed")
    assert 1 <= len(lines) <= seconds + 3
    reported = sum(1 + int(more) for line in lines for more in re.findall(r"and (\d+) more", line) or [0])
    assert reported >= 400
