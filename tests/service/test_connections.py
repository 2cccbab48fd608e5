"""Connections: many, slow, rude, and more than are allowed."""

import concurrent.futures
import socket
import time

from creditsd import Client, check_problem, path_of, raw

GET_HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def test_many_keep_alive_connections_are_served_at_once(server):
    clients = [server.client() for _ in range(100)]
    for client in clients:
        assert client.get("/healthz").status == 200
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        answers = pool.map(lambda c: [c.commit("a").status for _ in range(10)], clients)
        assert all(statuses == [200] * 10 for statuses in answers)
    assert clients[0].install("a").json["version"] == 1_000


def test_beyond_max_connections_is_503_at_once_until_one_closes(start):
    server = start("--max-connections", "4")
    clients = [server.client() for _ in range(4)]
    for client in clients:
        assert client.get("/healthz").status == 200
    check_problem(server.client().get("/healthz"), 503, "overloaded")
    clients.pop().close()
    status, deadline = 503, time.monotonic() + 10
    while status == 503 and time.monotonic() < deadline:
        status = server.client().get("/healthz").status
    assert status == 200


def test_a_keep_alive_connection_outlives_many_requests(client):
    for _ in range(500):
        assert client.get("/healthz").status == 200
    socket_before = client.connection.sock
    assert client.get("/healthz").status == 200
    assert client.connection.sock is socket_before


def test_pipelined_requests_are_answered_in_order(server):
    requests = b"".join(
        b"PUT /v1/installs/%d HTTP/1.1\r\nHost: x\r\n\r\n" % i for i in range(20))
    answer = raw(server.port, requests, half_close=True)
    assert answer.count(b"HTTP/1.1 201") == 20
    places = [answer.index(b'"install_id":"%d"' % i) for i in range(20)]
    assert places == sorted(places)


def test_a_request_that_trickles_in_is_answered(server):
    body = b'{"backend":"gemini","tier":"core"}'
    request = (b"POST /v1/installs/a/commit HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
               b"Content-Length: %d\r\n\r\n" % len(body)) + body
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        for i in range(0, len(request), 3):
            connection.sendall(request[i:i + 3])
            time.sleep(0.002)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_client_that_closes_its_half_is_still_answered(server):
    assert raw(server.port, GET_HEALTH, half_close=True).startswith(b"HTTP/1.1 200")


def test_connection_close_and_http_1_0_end_the_connection(server):
    close = GET_HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert b"Connection: close" in raw(server.port, close)
    assert raw(server.port, b"GET /healthz HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.")


def test_expect_continue_is_told_to_go_on(server):
    body = b'{"backend":"gemini","tier":"core"}'
    head = (b"POST /v1/installs/a/commit HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head)
        assert connection.recv(1024).startswith(b"HTTP/1.1 100 Continue")
        connection.sendall(body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_client_that_leaves_in_mid_answer_harms_nobody(server):
    client = server.client()
    for i in range(300):
        client.put(path_of(f"install-{i}"))
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(b"GET /v1/snapshot HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.get("/healthz").status == 200
    assert len(client.snapshot()) == 300


def test_connections_to_localhost_by_both_names(start):
    server = start("--listen", "localhost:0")
    assert Client(server.port).get("/healthz").status == 200
    assert "localhost" in server.url
