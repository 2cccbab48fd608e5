"""How connections are kept open, served side by side, refused and closed."""

import json
import re
import resource
import socket
import threading
import time
from pathlib import Path
from resource import RLIMIT_NOFILE
from signal import SIGCONT, SIGSTOP

import pytest

import creditsd
from creditsd import check_problem, open_socket, parse_answers, raw, read_to_end, wait_until
from test_scale import is_sanitized

COMMIT = {"backend": "gemini", "tier": "core"}
STOP_S = 10  # docker stop kills after this time
SEND_TIMEOUT_S = 10  # as in http/server/session.hpp


def request(method, path, *headers, body=None, version="1.1"):
    """The bytes of a request; `body` is sent as JSON."""
    data = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/{version}", "Host: creditsd", *headers]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
    return "\r\n".join([*lines, "", ""]).encode() + data


def ask(server, *sent, **settings):
    """Sends requests, the last of which ends the connection; returns the answers."""
    methods = [data.split()[0].decode() for data in sent]
    return parse_answers(raw(server.port, b"".join(sent), **settings), methods)


def in_parallel(tasks):
    """Runs each task in its own thread; raises the first exception of a task."""
    failures = []

    def guarded(task):
        try:
            task()
        except Exception as failure:  # noqa: BLE001
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=[task]) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


# --- keep-alive


def test_a_connection_serves_many_requests(client):
    client.put("/v1/installs/a")
    first = client.connection.sock
    for _ in range(500):
        assert client.get("/v1/installs/a").status == 200
    assert client.connection.sock is first


@pytest.mark.parametrize("method, path, body, status", [
    ("GET", "/v1/installs/none", None, 404), ("GET", "/nothing", None, 404),
    ("GET", "/v1/installs/%20", None, 400), ("DELETE", "/v1/quota", None, 405),
    ("POST", "/v1/installs/a/plan", b"{", 400), ("POST", "/v1/installs/a/plan", {"x": 1}, 422),
    ("PUT", "/v1/quota", {}, 422), ("GET", "/v1/installs?limit=0", None, 422),
])
def test_a_refusal_leaves_the_connection_open(client, method, path, body, status):
    assert client.request(method, path, body).status == status
    kept = client.connection.sock
    assert kept is not None
    assert client.get("/healthz").status == 200
    assert client.connection.sock is kept


LAST = request("GET", "/healthz", "Connection: close")
KEPT_S = 60  # as in http/server/session.hpp


def heads_of(received):
    """The status and headers of each answer in `received`."""
    heads = [part.partition(b"\r\n\r\n")[0].decode().split("\r\n") for part in received.split(b"HTTP/1.1 ")[1:]]
    return [(int(head[0].split()[0]), dict(line.split(": ", 1) for line in head[1:])) for head in heads]


def announced_s(headers):
    return int(headers["Keep-Alive"].partition(",")[0].removeprefix("timeout="))


@pytest.mark.parametrize("sent", [
    request("GET", "/healthz"), request("GET", "/v1/stats"), request("GET", "/v1/snapshot"), request("GET", "/nothing"),
    request("PUT", "/v1/installs/a", body={}), request("POST", "/v1/installs/a/plan", body=[]),
    request("GET", "/v1/stats", "Connection: Keep-Alive", version="1.0"),
    request("GET", "/healthz", "Connection: keep-alive, x", version="1.0"), request("GET", "/healthz", body={}),
    b"BREW /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
], ids=["loop", "worker", "stream", "refusal", "body", "bad-body", "http-1.0", "other-http-1.0", "body-of-a-get", "method"])
def test_a_connection_is_kept_open_for_longer_than_announced(server, sent):
    first, last = heads_of(raw(server.port, sent + LAST))
    assert announced_s(first[1]) <= KEPT_S - 5
    assert first[1]["Connection"] == "keep-alive"
    assert last[1]["Connection"] == "close" and "Keep-Alive" not in last[1]


@pytest.mark.parametrize("sent", [
    LAST, request("GET", "/v1/stats", "Connection: Close, x"), request("GET", "/v1/snapshot", "Connection: close"),
    request("GET", "/healthz", version="1.0"), request("GET", "/v1/snapshot", version="1.0"),
    request("GET", "/v1/snapshot", "Connection: Keep-Alive", version="1.0"),
    b"hello\r\n\r\n", request("GET", "/" + "x" * 9000),
    request("POST", "/v1/batch", "Content-Length: 99999999"),
    request("POST", "/v1/batch", "Content-Type: text/plain", "Content-Length: 2") + b"{}",
    request("POST", "/v1/batch", "Transfer-Encoding: gzip, chunked"),
], ids=["loop", "worker", "stream", "http-1.0", "stream-http-1.0", "kept-stream-http-1.0", "no-http", "target",
        "announced", "type", "encoding"])
def test_an_answer_that_ends_its_connection_says_so_and_has_no_keep_alive(server, sent):
    [(_, headers)] = heads_of(raw(server.port, sent + LAST))
    assert headers["Connection"] == "close"
    assert "Keep-Alive" not in headers


def test_many_connections_at_once_are_all_answered(server, connect):
    clients = [connect(server) for _ in range(64)]
    for client in clients:
        assert client.get("/healthz").status == 200
    rounds = 10

    def work(n):
        for _ in range(rounds):
            assert clients[n].post(f"/v1/installs/i{n % 8}/commit", COMMIT).status == 200

    in_parallel([lambda n=n: work(n) for n in range(64)])
    installs = clients[0].get("/v1/installs").json["installs"]
    assert [i["lifetime_consumed"] for i in installs] == [8 * rounds] * 8
    assert [i["version"] for i in installs] == [8 * rounds] * 8
    for client in clients:
        assert client.get("/healthz").status == 200


def test_many_connections_that_debit_one_install_get_distinct_versions(server, connect):
    versions = []

    def work(client):
        for _ in range(10):
            versions.append(client.post("/v1/installs/a/commit", COMMIT).json["version"])

    clients = [connect(server) for _ in range(100)]
    in_parallel([lambda c=c: work(c) for c in clients])
    assert sorted(versions) == list(range(1, 1001))
    install = clients[0].get("/v1/installs/a").json
    assert install["version"] == install["lifetime_consumed"] == 1000


def test_many_connections_that_create_one_install_create_it_once(server, connect):
    statuses = []
    clients = [connect(server) for _ in range(32)]
    in_parallel([lambda c=c: statuses.append(c.put("/v1/installs/a").status) for c in clients])
    assert sorted(statuses) == [200] * 31 + [201]
    assert clients[0].get("/v1/installs/a").json["version"] == 1


def test_idle_connections_hold_up_no_one(server, client):
    idle = [open_socket(server.port) for _ in range(100)]
    try:
        assert client.put("/v1/installs/a").status == 201
    finally:
        for connection in idle:
            connection.close()


def test_few_live_installs_serve_many(start, connect):
    client = connect(start("--max-live-installs", "2", "--passivate-after", "1ms"))
    for n in range(60):
        assert client.post(f"/v1/installs/i{n % 20}/commit", COMMIT).status == 200
    for n in range(20):
        assert client.get(f"/v1/installs/i{n}").json["lifetime_consumed"] == 3


# --- limits


def refused(port):
    """Whether a new connection is refused with `overloaded`; otherwise it is answered and closed."""
    [answer] = parse_answers(raw(port, request("GET", "/healthz", "Connection: close")), ["GET"])
    if answer.status == 200:
        return False
    check_problem(answer, 503, "overloaded")
    assert int(answer.headers["Retry-After"]) >= 1
    return True


def test_beyond_max_connections_it_is_503_until_one_closes(start, connect):
    server = start("--max-connections", "4")
    clients = [connect(server) for _ in range(4)]
    for client in clients:
        assert client.get("/healthz").status == 200
    for _ in range(3):
        assert refused(server.port)
    for client in clients:
        assert client.get("/healthz").status == 200

    clients[0].close()
    wait_until(lambda: not refused(server.port), "an answer after a connection has closed")
    for client in clients[1:]:
        assert client.get("/healthz").status == 200


def test_beyond_max_connections_a_mutation_is_refused_without_effect(start, connect):
    server = start("--max-connections", "1")
    client = connect(server)
    assert client.get("/healthz").status == 200
    [answer] = ask(server, request("PUT", "/v1/installs/a", "Connection: close"))
    check_problem(answer, 503, "overloaded")
    assert client.get("/v1/installs/a").status == 404


def test_a_burst_beyond_max_connections_does_not_harm_the_server(start, connect):
    server = start("--max-connections", "4")
    in_parallel([lambda: refused(server.port)] * 100)
    wait_until(lambda: not refused(server.port), "an answer after the burst")
    assert connect(server).put("/v1/installs/a").status == 201


def test_with_few_file_descriptors_the_maximum_of_connections_is_lowered(start, connect):
    server = start("--max-connections", "1000", "--loops", "3", limits={RLIMIT_NOFILE: 300})
    assert "--max-connections" in server.log()
    assert "300" in server.log()
    clients = [connect(server) for _ in range(300 - 256 - 8)]  # 8: two of each loop, an address, one more
    for client in clients:
        assert client.get("/healthz").status == 200
    for _ in range(3):
        assert refused(server.port)
    assert clients[-1].post("/v1/installs/a/commit", COMMIT).status == 200


def test_with_too_few_file_descriptors_the_start_fails_and_says_how_many_it_needs(data_dir):
    ended = creditsd.run("--listen", "127.0.0.1:0", "--data-dir", data_dir, "--loops", "3",
                         limits={RLIMIT_NOFILE: 256 + 8})
    assert ended.returncode == 1
    assert "LimitNOFILE" in ended.stderr
    assert "265" in ended.stderr


def test_beyond_max_in_flight_a_request_is_503_without_effect(start, connect):
    server = start("--max-in-flight", "1")
    clients = [connect(server) for _ in range(16)]
    done = []

    def work(client):
        for _ in range(50):
            answer = client.post("/v1/installs/a/commit", COMMIT)
            if answer.status == 200:
                done.append(answer.json["version"])
            else:
                check_problem(answer, 503, "overloaded")
                assert int(answer.headers["Retry-After"]) >= 1

    in_parallel([lambda c=c: work(c) for c in clients])
    assert sorted(done) == list(range(1, len(done) + 1))
    install = clients[0].get("/v1/installs/a").json
    assert install["version"] == install["lifetime_consumed"] == len(done) > 0


def virtual_bytes_of(process):
    [kib] = re.findall(r"VmSize:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    return int(kib) * 1024


@pytest.mark.skipif(is_sanitized(), reason="AddressSanitizer ends the process instead of bad_alloc")
@pytest.mark.parametrize("framing", ["Content-Length: 1000000000", "Transfer-Encoding: chunked"])
def test_a_body_that_exceeds_the_memory_ends_its_connection_alone(server, client, framing):
    assert client.get("/readyz").status == 200
    most = virtual_bytes_of(server.process) + 200 * 1024**2
    resource.prlimit(server.process.pid, resource.RLIMIT_AS, (most, most))
    part = b"x" * 1024**2
    if "chunked" in framing:
        part = b"%x\r\n%s\r\n" % (len(part), part)
    with open_socket(server.port) as connection:
        connection.sendall(request("POST", "/v1/import", framing))
        try:
            for _ in range(900):
                connection.sendall(part)
        except OSError:
            pass  # the server has answered and closed
        [answer] = parse_answers(read_to_end(connection), ["POST"])
    check_problem(answer, 503, "overloaded")
    assert answer.headers["Connection"] == "close" and answer.headers["Retry-After"]
    assert client.put("/v1/installs/a").status == 201
    wait_until(lambda: "out_of_memory: " in server.log(), "its log line")


# --- how requests arrive


def test_pipelined_requests_are_answered_in_order(server):
    answers = ask(server,
                  request("PUT", "/v1/installs/a"),
                  request("POST", "/v1/installs/a/commit", body=COMMIT),
                  request("HEAD", "/v1/installs/a"),
                  request("GET", "/nothing"),
                  request("POST", "/v1/installs/a/plan", body={"credits": 0}),
                  request("GET", "/v1/installs/a", "Connection: close"))
    assert [a.status for a in answers] == [201, 200, 200, 404, 422, 200]
    assert [a.json["version"] for a in answers if a.status in (200, 201) and a.body] == [1, 2, 2]


def test_a_hundred_pipelined_commits_are_all_done(server):
    one = request("POST", "/v1/installs/a/commit", body=COMMIT)
    last = request("GET", "/v1/installs/a", "Connection: close")
    answers = ask(server, *[one] * 100, last)
    assert [a.json["version"] for a in answers] == [*range(1, 101), 100]


def test_a_request_that_arrives_byte_by_byte_is_answered(server):
    with open_socket(server.port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = request("POST", "/v1/installs/a/commit", "Connection: close", body=COMMIT)
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(0.001)  # so that each byte is sent by itself
        [answer] = parse_answers(read_to_end(connection), ["POST"])
    assert (answer.status, answer.json["version"]) == (200, 1)


def test_slow_requests_hold_up_no_one(server, client):
    slow = [open_socket(server.port) for _ in range(32)]
    try:
        for connection in slow:
            connection.sendall(b"POST /v1/installs/a/commit HTTP/1.1\r\nContent-Length: 100\r\n")
        assert client.put("/v1/installs/a").status == 201
    finally:
        for connection in slow:
            connection.close()
    assert client.get("/v1/installs/a").json["version"] == 1


def test_a_client_that_does_not_read_holds_up_no_one(server, client):
    with open_socket(server.port) as deaf:
        deaf.sendall(request("GET", "/openapi.yaml") * 200)
        assert client.put("/v1/installs/a").status == 201


def test_a_chunked_body_is_read(server):
    body = json.dumps(COMMIT).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:5], body[5:]))
    [answer] = ask(server, request("POST", "/v1/installs/a/commit", "Connection: close",
                                   "Content-Type: application/json",
                                   "Transfer-Encoding: chunked") + chunks + b"0\r\n\r\n")
    assert (answer.status, answer.json["version"]) == (200, 1)


def test_a_client_that_expects_100_continue_gets_it(server):
    body = json.dumps(COMMIT).encode()
    with open_socket(server.port) as connection:
        connection.sendall(request("POST", "/v1/installs/a/commit", "Connection: close",
                                   "Content-Type: application/json", "Expect: 100-continue",
                                   f"Content-Length: {len(body)}"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        [answer] = parse_answers(read_to_end(connection), ["POST"])
    assert answer.status == 200


def test_a_half_closed_connection_is_answered(server):
    answers = ask(server, request("POST", "/v1/installs/a/commit", body=COMMIT),
                  request("GET", "/v1/installs/a"), half_close=True)
    assert [a.json["version"] for a in answers] == [1, 1]


@pytest.mark.parametrize("header", ["X: y", "Connection: keep-alive", "Expect: 100-continue"])
def test_a_request_that_arrives_together_with_the_client_s_end_is_answered(server, header):
    with open_socket(server.port) as connection:
        connection.sendall(request("GET", "/healthz"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        server.process.send_signal(SIGSTOP)
        connection.sendall(request("POST", "/v1/installs/a/commit", header, body=COMMIT))
        connection.shutdown(socket.SHUT_WR)
        server.process.send_signal(SIGCONT)
        assert b"HTTP/1.1 200 OK" in read_to_end(connection)


def test_a_client_that_leaves_before_its_answer_harms_no_one(server, client):
    for _ in range(50):
        with open_socket(server.port) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(request("GET", "/v1/snapshot") + request("GET", "/openapi.yaml"))
    assert server.running()
    assert client.get("/healthz").status == 200


def ledger_of(count):
    return [{"install_id": f"{'x' * 100}{n}"} for n in range(count)]


def ask_for_snapshot(port):
    """A connection that asks for a snapshot and has a small receive buffer."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(creditsd.TIMEOUT_S)
    connection.connect(("127.0.0.1", port))
    connection.sendall(request("GET", "/v1/snapshot", "Connection: close"))
    return connection


def test_a_snapshot_that_is_read_slowly_and_steadily_is_complete(start_with):
    rows = ledger_of(20_000)
    client = start_with(rows)
    with ask_for_snapshot(client.port) as connection:
        received = b""
        end = time.monotonic() + 1.5 * SEND_TIMEOUT_S
        while time.monotonic() < end:  # at 80 KB/s
            received += connection.recv(8000)
            time.sleep(0.1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        received += read_to_end(connection)
    [answer] = parse_answers(received, ["GET"])
    assert len(answer.json["rows"]) == len(rows)


def broken_off(server, why):
    wait_until(lambda: f"snapshot broken off: {why}" in server.log(), "its log line")


def test_a_snapshot_that_is_not_read_is_cut_off_and_logged(start, connect, data_dir):
    (data_dir / "credits.json").write_text(json.dumps({"rows": {row["install_id"]: {} for row in ledger_of(40_000)}}))
    server = start()
    with ask_for_snapshot(server.port) as stalled:
        begun = stalled.recv(100)
        with ask_for_snapshot(server.port) as gone:
            gone.recv(100)
        broken_off(server, "the client has gone")
        broken_off(server, "the client took nothing for too long")
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        received = begun + read_to_end(stalled)
    assert received.startswith(b"HTTP/1.1 200") and not received.endswith(b"0\r\n\r\n")
    assert connect(server).get("/healthz").status == 200


def test_a_client_that_leaves_in_mid_snapshot_harms_no_one(start_with):
    count = 3000
    client = start_with([{"install_id": f"i{n}"} for n in range(count)])
    for n in range(20):
        with open_socket(client.port) as connection:
            connection.sendall(request("GET", "/v1/snapshot"))
            connection.recv(1 + n * 1000)
    assert client.put("/v1/installs/a").status == 201
    assert len(client.get("/v1/snapshot").json["rows"]) == count + 1


# --- how connections end


def test_connection_close_is_honoured_and_echoed(server):
    [answer] = ask(server, request("GET", "/healthz", "Connection: close"))
    assert answer.status == 200
    assert answer.headers["Connection"].lower() == "close"


@pytest.mark.parametrize("value", ["Close", "CLOSE", "keep-alive, close"])
def test_connection_close_may_be_spelt_differently(server, value):
    [answer] = ask(server, request("GET", "/healthz", f"Connection: {value}"), timeout_s=5)
    assert answer.status == 200


def test_http_1_0_is_answered_and_closed(server):
    answers = ask(server, request("PUT", "/v1/installs/a", version="1.0"))
    assert [(a.status, a.json["version"]) for a in answers] == [(201, 1)]


def test_http_1_0_gets_the_snapshot_without_chunks(server, client):
    client.put("/v1/installs/a")
    [answer] = ask(server, request("GET", "/v1/snapshot", version="1.0"))
    assert answer.headers["Transfer-Encoding"] is None
    assert list(answer.json["rows"]) == ["a"]


# --- the shutdown of the server


def test_idle_connections_do_not_delay_the_shutdown(server, connect):
    for client in [connect(server) for _ in range(32)]:
        assert client.get("/healthz").status == 200
    with open_socket(server.port):
        assert server.stop(STOP_S) == 0


@pytest.mark.parametrize("data", [
    b"POST /v1/installs/a/commit HTTP/1.1\r\nContent-Le",
    b"POST /v1/installs/a/commit HTTP/1.1\r\nContent-Length: 100\r\n\r\n{",
], ids=["in-the-head", "in-the-body"])
def test_a_request_that_stops_halfway_does_not_delay_the_shutdown(server, client, data):
    with open_socket(server.port) as half_sent:
        half_sent.sendall(data)
        assert client.get("/healthz").status == 200
        assert server.stop(STOP_S) == 0


def test_writes_acknowledged_before_the_shutdown_are_kept(server, start, connect):
    answered = {}

    def work(n):
        client = connect(server)
        try:
            while True:
                answer = client.post(f"/v1/installs/i{n}/commit", COMMIT)
                if answer.status != 200:
                    return
                answered[n] = answer.json["version"]
        except OSError:
            pass  # the server has gone

    workers = [threading.Thread(target=work, args=[n]) for n in range(16)]
    for worker in workers:
        worker.start()
    wait_until(lambda: len(answered) == 16, "a first answer for each client")
    assert server.stop() == 0
    for worker in workers:
        worker.join()

    client = connect(start())
    for n, version in answered.items():
        assert client.get(f"/v1/installs/i{n}").json["version"] == version
