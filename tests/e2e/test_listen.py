"""Several addresses, and Unix sockets: conflicts, the socket's file, and who may connect."""

import contextlib
import fcntl
import json
import os
import resource
import socket
import stat
import subprocess
import threading
import time

import pytest

import access
import creditsd
from creditsd import check_problem, open_socket, open_unix_socket, read_to_end, run, wait_until
from test_faults import compiled, preload
from test_tls import self_signed

COMMIT = {"backend": "gemini", "tier": "core"}
INSTALL = "/v1/installs/a"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "creditsd.sock"


def listen(*addresses):
    return "--listen", ",".join(map(str, addresses))


def mode_of(path):
    assert stat.S_ISSOCK(path.lstat().st_mode)
    return stat.S_IMODE(path.lstat().st_mode)


def refused_start(data_dir, *addresses):
    """The error with which creditsd refuses to start on the addresses."""
    ended = run("--data-dir", data_dir, *listen(*addresses))
    assert (ended.returncode, ended.stdout) == (1, "")
    return ended.stderr


def is_free(port):
    with contextlib.suppress(ConnectionRefusedError):
        open_socket(port).close()
        return False
    return True


@contextlib.contextmanager
def listening(path):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        yield other


def leave_stale(path):
    with listening(path):
        pass


# --- several addresses


def test_every_address_serves_the_same_ledger(start, connect, path):
    server = start(*listen("127.0.0.1:0", f"unix:{path}", "127.0.0.1:0"))
    clients = [connect(port=server.ports[0]), connect(path=path), connect(port=server.ports[1])]
    for n, client in enumerate(clients, 1):
        answer = client.post(INSTALL + "/commit", COMMIT)
        assert (answer.status, answer.json["version"]) == (200, n)
    for client in clients:
        assert client.get(INSTALL).json["version"] == 3


def test_each_address_is_printed_on_its_line_in_the_order_given(start, path, tmp_path):
    other = tmp_path / "other.sock"
    server = start(*listen(f"unix:{other}", "127.0.0.1:0", f"unix:{path}", "127.0.0.2:0"))
    places = [f"unix:{other}", f"http://127.0.0.1:{server.ports[0]}", f"unix:{path}",
              f"http://127.0.0.2:{server.ports[1]}"]
    assert server.out() == "".join(f"listening on {place}\n" for place in places)
    assert ", ".join(places) in server.log()


def test_a_unix_socket_alone_is_enough(start, connect, path):
    server = start(*listen(f"unix:{path}"))
    assert server.out() == f"listening on unix:{path}\n"
    assert connect(path=path).put(INSTALL).status == 201


def test_the_environment_and_the_configuration_file_accept_several_addresses(tmp_path, path):
    value = f"127.0.0.1:0,unix:{path}"
    config = tmp_path / "creditsd.conf"
    config.write_text(f"listen = {value}\nlisten-mode = 0606\n")
    for number, (args, env) in enumerate((
            ([], {"CREDITSD_LISTEN": value, "CREDITSD_LISTEN_MODE": "0606"}), (["--config", config], None))):
        server = creditsd.Server(["--data-dir", tmp_path / "data", *args], tmp_path / f"log-{number}", env=env)
        try:
            assert (len(server.ports), server.paths, mode_of(path)) == (1, [str(path)], 0o606)
            assert server.stop() == 0
        finally:
            server.kill()


def test_the_last_of_a_repeated_flag_counts(start, path, tmp_path):
    server = start(*listen("127.0.0.1:0", f"unix:{tmp_path / 'other'}"), *listen(f"unix:{path}"))
    assert (server.ports, server.paths) == ([], [str(path)])


def test_a_path_of_107_bytes_is_accepted(start, connect, tmp_path):
    path = tmp_path / ("s" * (107 - len(str(tmp_path)) - 1))
    start(*listen(f"unix:{path}"))
    assert connect(path=path).get("/readyz").status == 200


def test_connections_are_counted_over_all_addresses(start, connect, path):
    server = start("--max-connections", "2", *listen("127.0.0.1:0", f"unix:{path}", "127.0.0.1:0"))
    clients = [connect(port=server.ports[0]), connect(path=path)]
    for client in clients:
        assert client.get("/healthz").status == 200
    for opened in (open_unix_socket(path), open_socket(server.ports[1])):
        with opened:
            [answer] = creditsd.parse_answers(read_to_end(opened), ["GET"])
            check_problem(answer, 503, "overloaded")
    clients[0].close()
    wait_until(lambda: accepted(path), "room for another one")


def accepted(path):
    client = creditsd.Client(path=path)
    try:
        return client.get("/healthz").status == 200
    except OSError:
        return False
    finally:
        client.close()


# --- conflicts


@pytest.mark.parametrize("order", [1, -1], ids=["taken last", "taken first"])
def test_if_one_address_is_taken_the_others_are_released(data_dir, path, order):
    with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.1", 0)) as free:
        taken, port = other.getsockname()[1], free.getsockname()[1]
        free.close()
        told = refused_start(data_dir, *[f"unix:{path}", f"127.0.0.1:{port}", f"127.0.0.1:{taken}"][::order])
    assert f"127.0.0.1:{taken}" in told and "in use" in told
    assert not path.exists() and is_free(port)


def test_an_unknown_host_is_named(data_dir, tmp_path):
    ended = run("--data-dir", data_dir, *listen("nowhere.invalid:0"), *access.token_flags(tmp_path))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "nowhere.invalid:0: " in ended.stderr


@pytest.mark.parametrize("below", ["missing/s", "file/s"])
def test_an_invalid_directory_is_named(data_dir, tmp_path, below):
    (tmp_path / "file").touch()
    told = refused_start(data_dir, f"unix:{tmp_path / below}")
    assert f"unix:{tmp_path / below}" in told and "its directory" in told and f"{tmp_path / below}.lock" in told


def test_an_unwritable_directory_is_named(data_dir):
    told = refused_start(data_dir, "unix:/proc/self/s")  # unwritable even for root
    assert "unix:/proc/self/s" in told and "writable" in told


@pytest.mark.parametrize("make", [
    lambda path: path.write_text("mine"), lambda path: path.mkdir(), lambda path: path.symlink_to("nowhere"),
    lambda path: os.mkfifo(path)], ids=["file", "directory", "link", "pipe"])
def test_a_file_that_is_not_a_socket_stays(data_dir, path, make):
    make(path)
    before = path.lstat()
    told = refused_start(data_dir, f"unix:{path}")
    assert str(path) in told and "not a socket" in told
    assert path.lstat().st_ino == before.st_ino


def test_a_link_to_a_stale_socket_stays_and_so_does_the_socket(data_dir, path, tmp_path):
    leave_stale(path)
    (tmp_path / "link").symlink_to(path)
    assert "not a socket" in refused_start(data_dir, f"unix:{tmp_path / 'link'}")
    assert path.exists()


def test_a_socket_on_which_another_process_listens_stays(data_dir, path):
    with listening(path) as other:
        told = refused_start(data_dir, f"unix:{path}")
        assert str(path) in told and "another process listens" in told
        other.accept()[0].close()  # the connection of the refused start
        open_unix_socket(path).close()
        other.accept()[0].close()


def test_a_socket_with_a_full_queue_counts_as_in_use(data_dir, path):
    with socket.socket(socket.AF_UNIX) as other, contextlib.ExitStack() as stack:
        other.bind(str(path))
        other.listen(0)
        stack.enter_context(open_unix_socket(path))
        with pytest.raises(BlockingIOError):
            while True:
                stack.enter_context(open_unix_socket(path, timeout_s=0))
        assert "another process listens" in refused_start(data_dir, f"unix:{path}")


def test_a_socket_of_another_type_stays_while_it_is_used(data_dir, path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        assert str(path) in refused_start(data_dir, f"unix:{path}")
        assert path.exists()


def test_two_servers_do_not_share_a_socket(start, connect, path, tmp_path):
    start(*listen(f"unix:{path}"))
    told = refused_start(tmp_path / "other", f"unix:{path}")
    assert "another process listens" in told
    assert connect(path=path).get("/readyz").status == 200


def test_of_many_servers_that_start_at_once_on_a_stale_socket_one_gets_it(tmp_path, path):
    leave_stale(path)
    processes = [subprocess.Popen([creditsd.BINARY, "--data-dir", tmp_path / f"data-{n}", *listen(f"unix:{path}")],
                                  env=creditsd.environment(None), stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) for n in range(8)]
    try:
        wait_until(lambda: sum(p.poll() is None for p in processes) <= 1, "the end of all but one")
        wait_until(lambda: accepted(path), "an answer from the remaining one")
        assert sorted(p.poll() for p in processes if p.poll() is not None) == [1] * 7
    finally:
        for process in processes:
            process.kill()
            process.wait(creditsd.TIMEOUT_S)


def lock_of(path):
    return path.with_name(path.name + ".lock")


@contextlib.contextmanager
def locked(path):
    holder = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(holder)


def test_a_path_that_another_process_keeps_locked_is_named(data_dir, path):
    lock_of(path).touch()
    with locked(lock_of(path)):
        told = refused_start(data_dir, f"unix:{path}")
    assert str(lock_of(path)) in told and "locked" in told


def test_a_lock_of_the_directory_holds_up_no_start(start, connect, path):
    with locked(path.parent):
        start(*listen(f"unix:{path}"))
        assert connect(path=path).get("/readyz").status == 200


def test_the_lock_is_its_owner_s_alone_and_stays(start, path):
    server = start(*listen(f"unix:{path}"))
    assert stat.S_IMODE(lock_of(path).lstat().st_mode) == 0o600
    assert server.stop() == 0
    assert lock_of(path).exists() and not path.exists()


def test_a_lock_file_that_is_a_link_is_not_followed(data_dir, path, tmp_path):
    lock_of(path).symlink_to(tmp_path / "elsewhere")
    assert str(lock_of(path)) in refused_start(data_dir, f"unix:{path}")
    assert not (tmp_path / "elsewhere").exists()


# --- the file


@pytest.mark.parametrize("flags, expected", [([], 0o660), (["--listen-mode", "0600"], 0o600),
                                             (["--listen-mode", "666"], 0o666), (["--listen-mode", "0777"], 0o777)])
def test_the_socket_has_its_mode(start, path, flags, expected):
    start(*listen(f"unix:{path}"), *flags)
    assert mode_of(path) == expected


@pytest.fixture(scope="module")
def chmod_watch(tmp_path_factory):
    return compiled(tmp_path_factory, "chmod_watch")


def test_until_it_gets_its_mode_the_socket_is_open_to_its_owner_alone(start, path, tmp_path, chmod_watch):
    told = tmp_path / "modes"
    start(*listen(f"unix:{path}"), "--listen-mode", "0666",
          env=preload(chmod_watch) | {"CHMOD_WATCH": str(told)})
    assert told.read_text().split() == [oct(0o600)[2:]]
    assert mode_of(path) == 0o666


@pytest.fixture(scope="module")
def swapped_socket(tmp_path_factory):
    return compiled(tmp_path_factory, "swapped_socket")


def test_what_takes_the_place_of_the_fresh_socket_keeps_its_mode(data_dir, path, tmp_path, swapped_socket):
    other = tmp_path / "other"
    other.touch(0o600)
    ended = run("--data-dir", data_dir, *listen(f"unix:{path}"), env=preload(swapped_socket) | {"SWAP_TARGET": str(other)})
    assert ended.returncode == 1 and str(path) in ended.stderr
    assert stat.S_IMODE(other.stat().st_mode) == 0o600
    assert path.is_symlink()


def test_the_file_is_removed_at_the_shutdown(start, path, tmp_path):
    other = tmp_path / "other.sock"
    server = start(*listen(f"unix:{path}", "127.0.0.1:0", f"unix:{other}"))
    assert server.stop() == 0
    assert not path.exists() and not other.exists()


def test_the_file_is_removed_before_the_last_answer_is_sent(start, path):
    server = start(*listen(f"unix:{path}"))
    with open_unix_socket(path) as under_way:
        under_way.sendall(b"PUT /v1/installs/a HTTP/1.1\r\nHost: localhost\r\nContent-Le")
        ended = threading.Thread(target=server.stop)
        ended.start()
        wait_until(lambda: not path.exists(), "the removal")
        under_way.sendall(b"ngth: 0\r\n\r\n")
        assert read_to_end(under_way).startswith(b"HTTP/1.1 201 ")
        ended.join()


def test_a_start_that_fails_later_removes_the_file(data_dir, path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        refused_start(data_dir, f"unix:{path}", f"127.0.0.1:{other.getsockname()[1]}")
    assert not path.exists()


def test_a_socket_that_has_taken_its_place_is_not_removed(start, path):
    server = start(*listen("127.0.0.1:0", f"unix:{path}"))
    path.unlink()
    with listening(path):
        assert server.stop() == 0
        open_unix_socket(path).close()


def test_a_file_that_has_taken_its_place_is_not_removed(start, path):
    server = start(*listen("127.0.0.1:0", f"unix:{path}"))
    path.unlink()
    path.write_text("mine")
    assert server.stop() == 0
    assert path.read_text() == "mine"


def test_a_restart_uses_the_same_path(start, connect, path):
    for n in range(3):
        server = start(*listen(f"unix:{path}"))
        assert connect(path=path).post(INSTALL + "/commit", COMMIT).json["version"] == n + 1
        assert server.stop() == 0


def test_the_file_of_a_killed_server_is_taken_over(start, connect, path):
    for n in range(3):
        server = start(*listen(f"unix:{path}"))
        assert connect(path=path).post(INSTALL + "/commit", COMMIT).json["version"] == n + 1
        server.kill()
        assert path.exists()


def test_a_stale_socket_without_permissions_is_taken_over(start, connect, path):
    leave_stale(path)
    path.chmod(0)
    start(*listen(f"unix:{path}"))
    assert mode_of(path) == 0o660


# --- who may connect, and how


def test_a_unix_socket_needs_no_tokens(start, connect, path):
    start(*listen(f"unix:{path}"))
    assert connect(path=path).get("/v1/stats").status == 200


def test_on_a_server_with_tokens_a_unix_socket_needs_one(start, connect, path, tmp_path):
    start(*listen(f"unix:{path}"), *access.token_flags(tmp_path))
    client = connect(path=path)
    assert client.put(INSTALL).status == 401
    assert client.request("PUT", INSTALL, headers=access.bearer(access.RELAY)).status == 201


def test_one_address_beyond_loopback_among_others_is_refused(data_dir, path):
    told = refused_start(data_dir, f"unix:{path}", "127.0.0.1:0", "0.0.0.0:0")
    assert "0.0.0.0" in told and "token" in told
    assert not path.exists()


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
def test_a_forwarded_request_is_refused(start, connect, path, header):
    start(*listen(f"unix:{path}"))
    answer = connect(path=path).request("PUT", INSTALL, headers={header: "for=192.0.2.1"})
    check_problem(answer, 403, "forbidden")
    assert connect(path=path).get(INSTALL).status == 404


@pytest.mark.parametrize("host", ["localhost", "localhost:80", "creditsd", "127.0.0.1", "x"])
def test_hosts_that_local_programs_send_are_accepted(start, path, host):
    start(*listen(f"unix:{path}"))
    with open_unix_socket(path) as connection:
        connection.sendall(f"PUT {INSTALL} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert read_to_end(connection).startswith(b"HTTP/1.1 201 ")


def test_a_foreign_page_behind_a_proxy_is_refused(start, connect, path):
    start(*listen(f"unix:{path}"))
    answer = connect(path=path).request("GET", "/v1/stats", headers={"Host": "evil.example"})
    assert "evil.example" in check_problem(answer, 403, "forbidden")["detail"]


def test_with_a_certificate_a_unix_socket_is_plain_beside_https(start, connect, path, tmp_path):
    certificate, key = self_signed(tmp_path, "tls")
    server = start(*listen("127.0.0.1:0", f"unix:{path}"), "--tls-cert", certificate, "--tls-key", key)
    assert server.out() == f"listening on https://127.0.0.1:{server.port}\nlistening on unix:{path}\n"
    assert connect(path=path).put(INSTALL).status == 201
    said = subprocess.run(["curl", "-sS", "--fail", "--cacert", certificate, f"https://127.0.0.1:{server.port}{INSTALL}"],
                          check=True, capture_output=True, timeout=creditsd.TIMEOUT_S)
    assert json.loads(said.stdout)["version"] == 1


def test_curl_can_use_a_unix_socket(start, path):
    start(*listen(f"unix:{path}"))
    said = subprocess.run(["curl", "-sS", "--fail", "--unix-socket", path, "-X", "PUT", "http://localhost" + INSTALL],
                          check=True, capture_output=True, timeout=creditsd.TIMEOUT_S)
    assert json.loads(said.stdout)["version"] == 1


def test_a_connection_is_kept_open(start, connect, path):
    start(*listen(f"unix:{path}"))
    client = connect(path=path)
    assert client.put(INSTALL).status == 201
    kept = client.connection.sock
    for n in range(100):
        assert client.post(INSTALL + "/commit", COMMIT).status == 200
    assert client.connection.sock is kept


def test_a_snapshot_that_is_read_slowly_is_complete(start_with, connect, path):
    rows = [{"install_id": f"{'x' * 100}{n}"} for n in range(20_000)]
    start_with(rows, None, *listen("127.0.0.1:0", f"unix:{path}"))
    with open_unix_socket(path) as connection:
        connection.sendall(b"GET /v1/snapshot HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        time.sleep(1)
        [answer] = creditsd.parse_answers(read_to_end(connection), ["GET"])
    assert len(answer.json["rows"]) == len(rows)


# --- trouble while serving


def limit_to_open_files(server):
    """Stops the server from opening further files. Returns its previous limits."""
    had = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (3, had[1]))
    return had


def cpu_seconds(server):
    fields = open(f"/proc/{server.process.pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_without_a_free_descriptor_a_connection_waits_and_the_log_says_so(start, connect, path):
    server = start(*listen("127.0.0.1:0", f"unix:{path}"))
    kept = connect(path=path)
    assert kept.get("/healthz").status == 200
    had = limit_to_open_files(server)
    with open_unix_socket(path) as waiting, open_socket(server.port) as also_waiting:
        for connection in (waiting, also_waiting):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        wait_until(lambda: "accept_failed" in server.log(), "a log line")
        before = cpu_seconds(server)
        time.sleep(1)
        assert cpu_seconds(server) - before < 0.5
        assert kept.get("/healthz").status == 200
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, had)
        for connection in (waiting, also_waiting):
            assert read_to_end(connection).startswith(b"HTTP/1.1 200 ")


def test_without_a_free_descriptor_the_server_still_stops(start, path):
    server = start(*listen(f"unix:{path}"))
    limit_to_open_files(server)
    with open_unix_socket(path):
        wait_until(lambda: "accept_failed" in server.log(), "a log line")
        assert server.stop() == 0
    assert not path.exists()


@pytest.fixture(scope="module")
def threadless(tmp_path_factory):
    return compiled(tmp_path_factory, "threadless")


def test_a_server_that_cannot_start_its_threads_says_so_and_leaves_no_file(start, data_dir, path, threadless):
    flags = ["--loops", "3", *listen(f"unix:{path}", "127.0.0.1:0")]
    server = start(*flags)
    threads = len(os.listdir(f"/proc/{server.process.pid}/task")) - 1  # without the main thread
    assert server.stop() == 0
    for most in range(threads - 11, threads):  # the 8 workers and 3 loops start last
        ended = run("--data-dir", data_dir, *flags, env=preload(threadless) | {"THREADS_MAX": str(most)})
        assert (ended.returncode, ended.stdout) == (1, ""), (most, ended)
        assert "cannot start a thread" in ended.stderr and "TasksMax" in ended.stderr
        assert not path.exists()
