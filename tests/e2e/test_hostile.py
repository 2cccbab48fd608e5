"""Hostile inputs: bytes known to crash, exhaust or mislead programs built on these versions of cpp-httplib
and RapidJSON, and clients that only consume. The server survives, keeps its limits, and serves others."""

import gzip
import json
import random
import socket
from pathlib import Path

import pytest

from creditsd import check_problem, open_socket, parse_answers, raw, read_to_end, wait_until
from traffic import path_of, show

COMMIT = {"backend": "gemini", "tier": "core"}
BODY = json.dumps(COMMIT).encode()
DEBIT = b"POST /v1/installs/a/commit HTTP/1.1\r\nHost: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
CHUNKED = DEBIT + JSON + b"Transfer-Encoding: chunked\r\n\r\n"
MIB = 1024 * 1024
DROPPED = 100_000
RESET_AT_CLOSE = b"\1\0\0\0\0\0\0\0"  # SO_LINGER: on, for 0 s


@pytest.fixture
def unharmed(server, client):
    """Checks afterwards that the server runs and its ledger is unchanged."""
    yield
    assert server.running()
    assert client.get("/healthz").status == 200
    assert client.get(path_of("a")).status == 404


def send_without_end(port, head, part):
    """Sends `part` repeatedly until the server closes the connection; returns the answer and the number of
    bytes sent."""
    sent = 0
    with open_socket(port) as connection:
        try:
            connection.sendall(head)
            while sent < 200 * MIB:
                connection.sendall(part)
                sent += len(part)
        except OSError:
            pass
        return read_to_end(connection), sent


# --- the HTTP library


@pytest.mark.parametrize("head, part", [
    (b"", b"G" * 4096),
    (b"GET /healthz HTTP/1.1\r\nX: ", b"y" * 4096),
    (b"GET /healthz HTTP/1.1\r\n", b"X: y\r\n" * 512),
    (b"GET /healthz HTTP/1.1\r\n", b"\n" * 4096),
], ids=["request-line", "header", "headers", "empty-lines"])
def test_an_endless_head_is_cut_off(server, unharmed, head, part):
    """CVE-2025-52887, CVE-2025-53628: the library accepts headers of any number and length."""
    answer, sent = send_without_end(server.port, head, part)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 ", b"HTTP/1.1 501 "))
    assert sent < 32 * MIB  # the server drains this much after a refusal, and sockets buffer some


@pytest.mark.parametrize("chunk", [b"1\r\n \r\n" * 4096, b"10000\r\n" + b" " * 0x10000 + b"\r\n"],
                         ids=["small-chunks", "large-chunks"])
def test_an_endless_body_is_cut_off(server, unharmed, chunk):
    """CVE-2025-46728: the library accepts a chunked body of any length."""
    answer, sent = send_without_end(server.port, CHUNKED, chunk)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 400 "))
    assert sent < 128 * MIB


@pytest.mark.parametrize("size", [b"-1", b"-2", b"-10", b"+5", b"0x5", b" 5", b"", b"5;" + b"x" * 20_000,
                                  b"7fffffffffffffff", b"fffffffffffffffe", b"1" + b"0" * 400])
def test_a_false_chunk_size_does_not_exhaust_memory(server, client, size):
    """CVE-2026-45352: the library reads -2 as nearly 2^64."""
    before = memory_bytes(server)
    raw(server.port, CHUNKED + size + b"\r\n" + BODY + b"\r\n0\r\n\r\n", half_close=True)
    assert server.running()
    assert memory_bytes(server) < before + 64 * MIB
    assert client.get("/healthz").status == 200


def memory_bytes(server):
    """The server's peak memory."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    [peak] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peak) * 1024


@pytest.mark.parametrize("path", ["/v1/installs/a/commit", "/v1/batch", "/v1/quota"])
def test_a_body_that_unpacks_to_more_than_the_limit_is_413(server, client, unharmed, path):
    """CVE-2026-28435, CVE-2026-22776: the library limits the compressed size, not the unpacked one."""
    before = memory_bytes(server)
    method = "PUT" if path == "/v1/quota" else "POST"
    bomb = gzip.compress(b" " * (256 * MIB))
    answer = client.request(method, path, bomb, {"Content-Encoding": "gzip"})
    check_problem(answer, 413, "payload_too_large")
    assert memory_bytes(server) < before + 96 * MIB


def test_a_form_is_not_read(server, unharmed):
    """CVE-2026-29076: the library parses file names with a regular expression that recurses for each
    character."""
    part = b'--x\r\nContent-Disposition: form-data; name="a"; filename*=UTF-8\'\'' + b"%41" * 100_000
    for content_type in (b"multipart/form-data; boundary=x", b"multipart/form-data; boundary=",
                         b"application/x-www-form-urlencoded"):
        received = raw(server.port, DEBIT + b"Content-Type: " + content_type
                       + b"\r\nContent-Length: %d\r\n\r\n" % len(part) + part, half_close=True)
        assert received.startswith(b"HTTP/1.1 415 ")


@pytest.mark.parametrize("name", ["Idempotency-Key", "Authorization", "X-Forwarded-For", "Origin",
                                  "Accept", "Cookie", "REMOTE_ADDR", "Connection"])
def test_no_request_header_reaches_the_answer(server, name):
    """CVE-2026-45372, CVE-2025-0825: the library decodes %0D%0A from a client and writes it into the answer.
    CVE-2025-66570: it accepts REMOTE_ADDR from a client."""
    value = "x%0d%0aInjected:%20yes%0d%0a%0d%0aHTTP/1.1%20200%20OK"
    received = raw(server.port, DEBIT + JSON + f"{name}: {value}\r\nContent-Length: {len(BODY)}\r\n\r\n"
                   .encode() + BODY, half_close=True)
    [answer] = parse_answers(received, ["POST"])
    assert "Injected" not in answer.headers and "EXCEPTION_WHAT" not in answer.headers
    assert answer.status in (200, 400, 401, 403)


@pytest.mark.parametrize("first", [b"GET /chart.js", b"GET /", b"GET /openapi.yaml", b"HEAD /healthz"])
def test_the_body_of_a_get_is_not_taken_for_a_request(server, unharmed, first):
    """CVE-2026-34441: the library leaves it unread."""
    hidden = DEBIT + JSON + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    raw(server.port, first + b" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(hidden)
        + hidden, half_close=True)


# --- the JSON library


ODD_NUMBERS = {
    "small": "1e-2147483649", "large": "1e2147483648", "fraction": "0.1e-2147483648",
    "exponent": "1e-99999999999999999999", "power": "128.74836467836484838364836483643636483648e-336",
    "long-fraction": "0." + "0" * 100_000 + "1", "long": "1" + "0" * 100_000,
    "long-fraction-exponent": "0." + "0" * 400 + "1e400", "int32": "2147483648", "uint32": "4294967296",
    "uint64": "18446744073709551616", "int64": "-9223372036854775809",
}


@pytest.mark.parametrize("number", ODD_NUMBERS.values(), ids=ODD_NUMBERS)
@pytest.mark.parametrize("method, path, body", [
    ("POST", "/v1/installs/a/commit", '{"backend":"gemini","tier":"core","credits":%s}'),
    ("POST", "/v1/batch", '{"operations":[{"op":"reserve","install_id":"a","credits":%s}]}'),
    ("PUT", "/v1/quota", '{"core":{"lifetime":%s,"geminiCapLifetime":-1}}'),
    ("POST", "/v1/import", '{"rows":{"a":{"install_id":"a","month":"none","lifetime_consumed":%s}}}'),
], ids=["commit", "batch", "quota", "import"])
def test_odd_numbers_are_refused(server, client, unharmed, method, path, body, number):
    """CVE-2024-38517, CVE-2024-39684: exponents and fractions that overflow an int in RapidJSON."""
    answer = client.request(method, path, (body % number).encode())
    if path == "/v1/batch" and answer.status == 200:
        assert [result["status"] for result in answer.json["results"]] == [422]
    else:
        assert answer.status in (400, 422)


# --- clients that only consume


def test_garbage_after_a_good_request_is_answered_once_and_cut_off(server, client):
    chance = random.Random(1)
    good = DEBIT + JSON + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    for count in range(1, 51):
        received = raw(server.port, good + chance.randbytes(chance.randrange(1, 2_000)) + b"\r\n\r\n",
                       half_close=True)
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")
        assert received.count(b"HTTP/1.1 200 ") == 1
        assert show(client)["version"] == count


def test_random_bytes_are_not_a_request(server, unharmed):
    chance = random.Random(2)
    words = [b"POST ", b"GET ", b"/v1/installs/a/commit", b" HTTP/1.1", b"\r\n", b"\r\n\r\n", b": ", b"Host",
             b"Content-Length", b"Transfer-Encoding", b"chunked", b"0", b"ffff", b"-1", b"\0", b"\n", b"{}"]
    for _ in range(1_000):
        data = b"".join(chance.choice(words) if chance.random() < 0.8
                        else chance.randbytes(chance.randrange(20))
                        for _ in range(chance.randrange(1, 40)))
        received = raw(server.port, data, half_close=True)
        assert received == b"" or 200 <= int(received.split()[1]) < 600


def test_a_thousand_slow_requests_delay_no_one(server, client):
    slow = [open_socket(server.port) for _ in range(1_000)]
    try:
        for n, connection in enumerate(slow):
            connection.sendall((DEBIT + JSON + b"Content-Length: 50\r\n\r\n{")[:40 + n % 60])
        for version in range(1, 101):
            assert client.post(path_of("a") + "/commit", COMMIT).json["version"] == version
    finally:
        for connection in slow:
            connection.close()
    wait_until(lambda: client.get("/v1/stats").json["http"]["connections"] == 1, "the end of the slow")
    assert show(client)["version"] == 100


def test_dropped_connections_leave_nothing_behind(server, client):
    descriptors = Path(f"/proc/{server.process.pid}/fd")
    assert client.put(path_of("a")).status == 201
    open_before = len(list(descriptors.iterdir()))
    beginnings = [b"", b"G", b"GET /healthz HTTP/1.1\r\n", DEBIT + JSON + b"Content-Length: 50\r\n\r\n{"]
    for n in range(DROPPED):
        with open_socket(server.port) as connection:
            if beginning := beginnings[n % len(beginnings)]:
                connection.sendall(beginning)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    wait_until(lambda: client.get("/v1/stats").json["http"]["connections"] == 1, "the end of the dropped")
    assert len(list(descriptors.iterdir())) <= open_before
    assert show(client)["version"] == 1
    assert server.stop() == 0
