"""HTTP/1.1 to the letter (RFC 9110, RFC 9112), plain and over TLS: how each request is answered, and that after an
error no following bytes are taken for a request. `http/framer_test.cpp` has more cases. Together they cover those of
the public suites Http11Probe and h1spec."""

import gzip
import os
import re
import resource
import socket
import ssl
import threading

import pytest

import creditsd
import test_tls
from creditsd import open_socket, parse_answers, read_to_end
from test_tls import context_of

COMMIT = b'{"backend":"gemini","tier":"core"}'
LENGTH = b"Content-Length: %d\r\n" % len(COMMIT)
NEXT = b"PUT /v1/installs/next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def get(*headers, target=b"/healthz", version=b"HTTP/1.1", host=b"Host: x\r\n"):
    return b"GET " + target + b" " + version + b"\r\n" + host + b"".join(headers) + b"\r\n"


def post(*headers, body=COMMIT):
    return b"POST /v1/installs/a/commit HTTP/1.1\r\nHost: x\r\n" + b"".join(headers) + b"\r\n" + body


def chunks(text):
    return post(CHUNKED, body=text)


WEBSOCKET = b"Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
WHOLE = b"%x\r\n%s\r\n" % (len(COMMIT), COMMIT)

# Requests after which the connection stays open, with the status of their answers.
GOOD = {
    "2.2 an empty line first": (b"\r\n" + get(), 200),
    "2.3 a future minor version": (get(version=b"HTTP/1.7"), 200),
    "3.2.2 an absolute target": (get(target=b"http://localhost/healthz"), 200),
    "3.2.2 a scheme in capitals": (get(target=b"HTTP://localhost/healthz"), 200),
    "3.2.4 OPTIONS for the server": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    "9110 9.3.7 OPTIONS for a path": (b"OPTIONS /v1/quota HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    "9110 9.1 an unknown method": (b"BREW /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "9110 9.1 a method in lower case": (b"get /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "9110 9.3.8 TRACE": (b"TRACE /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\r\n", 405),
    "9110 9.3.8 TRACE with a body": (b"TRACE /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405),
    "9110 9.1 for another path": (b"DELETE /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "5.1 blanks around a value": (get(b"X: \t y \t\r\n"), 200),
    "6.2 a length": (post(LENGTH), 200),
    "6.3 neither a length nor chunks": (post(body=b""), 422),
    "6 a body of HEAD is dropped": (b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 200),
    "6 a body of OPTIONS is dropped": (b"OPTIONS /v1/quota HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 200),
    "6 half a request as the body of GET": (get(b"Content-Length: 16\r\n") + b"GET / HTTP/1.1\r\n" + b"\r\n", 200),
    "6 a body of GET is dropped": (get(b"Content-Length: 3\r\n") + b"abc", 200),
    "7.1 chunks": (chunks(WHOLE + b"0\r\n\r\n"), 200),
    "7.1 Chunked": (post(b"Transfer-Encoding: Chunked\r\n", body=WHOLE + b"0\r\n\r\n"), 200),
    "7.1.1 extensions": (chunks(WHOLE.replace(b"\r\n", b';a;b="c;\\"d"\r\n', 1) + b"0;e=f\r\n\r\n"), 200),
    "7.1.2 trailers": (chunks(WHOLE + b"0\r\nX: y\r\nContent-Length: 7\r\n\r\n"), 200),
    "9110 10.1.1 an expectation that can be met": (post(LENGTH, b"Expect: 100-Continue\r\n"), 200),
    "9110 6.5.1 fields that trailers may not have": (
        chunks(WHOLE + b"0\r\nHost: y\r\nAuthorization: Bearer x\r\nContent-Type: text/html\r\n"
               b"Transfer-Encoding: chunked\r\n\r\n"), 200),
    "9110 5.1 an underscore is no hyphen": (post(LENGTH, b"Transfer_Encoding: chunked\r\nContent_Length: 9\r\n"), 200),
    "9110 7.8 an upgrade that is ignored": (get(b"Connection: Upgrade\r\n", WEBSOCKET, b"Sec-WebSocket-Version: 13\r\n"),
                                             200),
    "9110 7.8 without Connection": (get(WEBSOCKET, b"Sec-WebSocket-Version: 13\r\n"), 200),
    "9110 7.8 to another version": (get(b"Connection: Upgrade\r\n", WEBSOCKET, b"Sec-WebSocket-Version: 99\r\n"), 200),
    "9110 7.8 to an unknown protocol": (get(b"Connection: Upgrade\r\nUpgrade: made-up/1.0\r\n"), 200),
    "9110 7.8 of a POST": (post(LENGTH, b"Connection: Upgrade\r\n", WEBSOCKET), 200),
    "9110 12.5.1 an unknown type": (get(b"Accept: application/x-nonsense\r\n"), 200),
    "9110 14.2 ranges": (get(b"Range: bytes=" + b",".join([b"0-"] * 1_000) + b"\r\n"), 200),
    "9110 14.2 an invalid range": (get(b"Range: bytes=a-b\r\n"), 200),
    "9110 14.2 a range of POST": (post(LENGTH, b"Range: bytes=0-3\r\n"), 200),
    "6265 5.4 cookies": (get(b"Cookie: a=1; b=hello world; c=x=y; d=\r\n", b"Cookie: ===;;;\r\n", b"Cookie:\r\n"), 200),
    "6265 6.1 a thousand": (get(b"Cookie: " + b"; ".join(b"k%d=v%d" % (n, n) for n in range(1_000)) + b"\r\n"), 200),
    "3986 2.1 an escaped NUL": (get(target=b"/path%00.html"), 404),
    "3986 2.1 an escaped line end": (get(target=b"/path%0d%0aX-Injected:%20true"), 404),
    "9110 10.1.1 an expectation without a body": (get(b"Expect: 100-continue\r\n"), 200),
    "9110 10.1.1 the same of a GET": (get(b"Content-Length: 3\r\n", b"Expect: 100-Continue\r\n") + b"abc", 200),
    "9110 8.6 no body": (post(b"Content-Length: 0\r\n", body=b""), 422),
}

# Requests that end the connection, with the status of their answers.
BAD = {
    "2.2 a bare LF": (b"GET /healthz HTTP/1.1\nHost: x\n\n", 400),
    "2.2 a bare CR": (get(b"X: y\rz\r\n"), 400),
    "2.3 HTTP/2": (get(version=b"HTTP/2.0"), 505),
    "2.3 http/1.1": (get(version=b"http/1.1"), 400),
    "3 an extra blank": (b"GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "3 no version": (b"GET /healthz\r\nHost: x\r\n\r\n", 400),
    "3.2 a backslash": (get(target=b"/path\\file"), 400),
    "3 a blank in the target": (get(target=b"/a b"), 400),
    "3.2 no Host": (get(host=b""), 400),
    "3.2 an empty one": (get(host=b"Host:\r\n"), 400),
    "3.2 two": (get(b"Host: x\r\n"), 400),
    "3.2 an invalid one": (get(host=b"Host: a b\r\n"), 400),
    "3.2.1 a fragment": (get(target=b"/healthz#x"), 400),
    "3.2.3 CONNECT": (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "3.2.4 * for GET": (get(target=b"*"), 400),
    "3 a long target": (get(target=b"/" + b"x" * 8_000), 414),
    "3 a very long one": (get(target=b"/" + b"x" * 100_000), 414),
    "5.1 a blank before the colon": (get(b"X : y\r\n"), 400),
    "5.2 a folded line": (get(b"X: y\r\n z\r\n"), 400),
    "9110 5.1 an invalid name": (get(b"X(: y\r\n"), 400),
    "9110 5.5 NUL": (get(b"X: y\0\r\n"), 400),
    "6585 5 a large cookie": (get(b"Cookie: big=" + b"A" * 65_536 + b"\r\n"), 431),
    "6585 5 many headers": (get(b"X: y\r\n" * 10_000), 431),
    "9110 9.1 a method longer than any": (b"A" * 100_000 + b" / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "6585 5 large headers": (get(b"X: " + b"y" * 70_000 + b"\r\n"), 431),
    "6.1 chunks and a length": (post(CHUNKED, LENGTH, body=WHOLE + b"0\r\n\r\n"), 400),
    "6.1 chunks in HTTP/1.0": (b"POST /v1/installs/a/commit HTTP/1.0\r\n" + CHUNKED + b"\r\n" + WHOLE + b"0\r\n\r\n",
                               400),
    "6.1 chunks and an invalid length": (post(CHUNKED, b"Content-Length: +3\r\n", body=WHOLE + b"0\r\n\r\n"), 400),
    "6.1 chunks in other cases and a length": (post(b"TransFer-Encoding: CHUNKED\r\n", LENGTH), 400),
    "6.1 chunks behind a comma and a length": (post(b"Transfer-Encoding: , chunked\r\n", LENGTH), 400),
    "6.1 chunks before a blank and a length": (post(b"Transfer-Encoding: chunked \r\n", LENGTH), 400),
    "6.1 chunks in a folded line and a length": (post(b"Transfer-Encoding:\r\n chunked\r\n", LENGTH), 400),
    "6.1 twice, and a length": (post(CHUNKED, b"Transfer-Encoding: identity\r\n", LENGTH), 400),
    "6.1 another coding and a length": (post(b"Transfer-Encoding: xchunked\r\n", LENGTH), 400),
    "6.1 folded, of OPTIONS": (b"OPTIONS / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n", 400),
    "6.1 another coding": (post(b"Transfer-Encoding: gzip, chunked\r\n"), 501),
    "6.1 another coding last": (post(b"Transfer-Encoding: chunked, gzip\r\n"), 400),
    "6.1 twice": (post(CHUNKED, CHUNKED), 400),
    "6.1 empty": (post(b"Transfer-Encoding:\r\n"), 400),
    "6.2 two lengths": (post(LENGTH, LENGTH), 400),
    "6.2 two that differ": (post(b"Content-Length: 3\r\nContent-Length: 4\r\n"), 400),
    "6.2 a list of them": (post(b"Content-Length: 3, 3\r\n"), 400),
    "6.2 a signed one": (post(b"Content-Length: +3\r\n"), 400),
    "6.2 an empty one of GET": (get(b"Content-Length:\r\n"), 400),
    "6.2 one that is not a number": (get(b"Content-Length: x\r\n"), 400),
    "7.1 a blank after the size": (chunks(b"3 \r\nabc\r\n0\r\n\r\n"), 400),
    "7.1 a sign before zero": (chunks(b"+0\r\n\r\nX"), 400),
    "7.1 no end of the data": (chunks(b"3\r\nabc0\r\n\r\n"), 400),
    "7.1 an invalid size": (chunks(b"x\r\n"), 400),
    "7.1 a size with a prefix": (chunks(b"0x3\r\nabc\r\n0\r\n\r\n"), 400),
    "7.1 a chunk that is too long": (chunks(b"3\r\nabcd\r\n0\r\n\r\n"), 400),
    "7.1 a bare LF": (chunks(b"3\nabc\r\n0\r\n\r\n"), 400),
    "7.1.1 an invalid extension": (chunks(b"3;\r\nabc\r\n0\r\n\r\n"), 400),
    "7.1.1 a very long extension": (chunks(b"3;" + b"a" * 65_536 + b"\r\nabc\r\n0\r\n\r\n"), 400),
    "7.1.2 a bare LF": (chunks(WHOLE + b"0\r\n\n"), 400),
    "7.1.2 an invalid trailer": (chunks(WHOLE + b"0\r\nX\r\n\r\n"), 400),
    "9110 10.1.1 an expectation that cannot be met": (post(LENGTH, b"Expect: coffee\r\n"), 417),
    "9110 15.5.14 a body above the limit": (post(b"Content-Length: 99999999\r\n"), 413),
    "9110 8.3 two types": (post(LENGTH, b"Content-Type: application/json\r\nContent-Type: text/html\r\n"), 400),
    "9110 15.5.16 another type": (post(LENGTH, b"Content-Type: application/x-nonsense\r\n"), 415),
    "9110 15.5.16 an encoded body": (post(LENGTH, b"Content-Encoding: br\r\n"), 415),
    "9110 8.4 a body without the encoding it claims": (post(LENGTH, b"Content-Encoding: gzip\r\n"), 400),
}


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    return test_tls.self_signed(tmp_path_factory.mktemp("certs"), "server")


@pytest.fixture(scope="module", params=["plain", "tls"])
def server(request, tmp_path_factory, certs):
    folder = tmp_path_factory.mktemp("conformance")
    flags = test_tls.tls_flags(*certs) if request.param == "tls" else []
    running = creditsd.Server(["--listen", "127.0.0.1:0", "--data-dir", folder / "data", *flags], folder / "log")
    running.is_tls = request.param == "tls"
    yield running
    running.kill()


def connect(server):
    connection = open_socket(server.port)
    return context_of().wrap_socket(connection) if server.is_tls else connection


def talk(server, data):
    with connect(server) as connection:
        try:
            connection.sendall(data)
        except (OSError, ssl.SSLError):
            pass  # the server may have refused and closed before reading everything
        return re.sub(rb"HTTP/1.1 100 Continue\r\n\r\n", b"", read_to_end(connection))


def methods_of(data):
    return [data.lstrip().split(b" ", 1)[0].decode()]


@pytest.mark.parametrize("data, status", GOOD.values(), ids=GOOD)
def test_a_valid_request_is_answered_and_the_connection_stays_open(server, data, status):
    first, second = parse_answers(talk(server, data + NEXT), methods_of(data) + ["PUT"])
    assert (first.status, second.status in (200, 201)) == (status, True), first.body
    assert first.headers["Connection"] == "keep-alive" and first.headers["Keep-Alive"]
    assert second.headers["Connection"] == "close" and "Keep-Alive" not in second.headers


@pytest.mark.parametrize("data, status", BAD.values(), ids=BAD)
def test_an_invalid_request_is_refused_and_nothing_after_it_is_read(server, data, status):
    [answer] = parse_answers(talk(server, data + NEXT), methods_of(data))
    assert answer.status == status, answer.body
    assert answer.headers["Connection"] == "close" and "Keep-Alive" not in answer.headers
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["status"] == status


def test_every_answer_has_a_date_and_no_answer_of_the_api_may_be_cached(server):
    for target in (b"/healthz", b"/v1/quota", b"/v1/stats", b"/v1/installs", b"/nothing", b"/v1/snapshot"):
        [answer] = parse_answers(talk(server, get(b"Connection: close\r\n", target=target)), ["GET"])
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer.headers["Date"])
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Type"] in ("application/json", "application/problem+json")


def test_a_refusal_of_a_head_request_has_no_body(server):
    [answer] = parse_answers(talk(server, b"HEAD /healthz HTTP/1.1\r\n\r\n"), ["HEAD"])
    assert (answer.status, answer.headers["Connection"]) == (400, "close")


def test_a_truncated_request_is_answered_with_400(server):
    with connect(server) as connection:
        connection.sendall(post(LENGTH, body=COMMIT[:5]))
        if server.is_tls:
            return  # a client that has closed TLS can receive no answer
        connection.shutdown(socket.SHUT_WR)
        [answer] = parse_answers(read_to_end(connection), ["POST"])
    creditsd.check_problem(answer, 400, "bad_request")


def test_a_client_that_sends_requests_for_ever_holds_up_nobody(server):
    """Neither other connections of its loop nor their deadlines."""
    asking = connect(server)
    asking.settimeout(0.2)
    many = get() * 20_000
    stop = threading.Event()

    def send():
        while not stop.is_set():
            try:
                asking.sendall(many)
            except (OSError, ssl.SSLError):
                pass

    def take():
        while not stop.is_set():
            try:
                asking.recv(1_000_000)
            except (OSError, ssl.SSLError):
                pass

    threads = [threading.Thread(target=work) for work in ((take,) if server.is_tls else (send, take))]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):  # some of these are on the same loop
            [answer] = parse_answers(talk(server, get(b"Connection: close\r\n")), ["GET"])
            assert answer.status == 200
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        asking.close()


def test_http_1_0_gets_no_chunks_and_its_connection_ends_unless_it_asks(server):
    for headers, ends in ((b"", "close"), (b"Connection: keep-alive\r\n", "keep-alive"),
                          (b"Connection: Upgrade\r\n" + WEBSOCKET, "close")):
        data = talk(server, get(headers, version=b"HTTP/1.0", host=b"") + NEXT)
        answers = parse_answers(data, ["GET"] + ["PUT"] * (ends == "keep-alive"))
        assert answers[0].headers["Connection"] == ends
    [snapshot] = parse_answers(talk(server, get(target=b"/v1/snapshot", version=b"HTTP/1.0")), ["GET"])
    assert "Transfer-Encoding" not in snapshot.headers and snapshot.json["rows"] is not None


def test_a_client_that_waits_for_100_continue_gets_it(server):
    with connect(server) as connection:
        connection.sendall(post(LENGTH, b"Expect: 100-continue\r\nConnection: close\r\n", body=b""))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(COMMIT)
        [answer] = parse_answers(read_to_end(connection), ["POST"])
    assert answer.status == 200


@pytest.mark.parametrize("target", [b"/page.js", b"/openapi.yaml"])
def test_the_page_is_not_sent_to_a_client_that_has_it(server, target):
    [page] = parse_answers(talk(server, get(b"Connection: close\r\n", target=target)), ["GET"])
    known = b"If-None-Match: \"x\", %s\r\n" % page.headers["ETag"].encode()
    [answer] = parse_answers(talk(server, get(known, b"Connection: close\r\n", target=target)), ["GET"])
    assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", page.headers["ETag"])
    assert "Content-Length" not in answer.headers


@pytest.mark.parametrize("target", [b"/page.js", b"/openapi.yaml"])
def test_the_page_is_sent_compressed_to_who_takes_it_so(server, target):
    def ask(*headers, method=b"GET"):
        request = get(*headers, b"Connection: close\r\n", target=target).replace(b"GET", method, 1)
        [answer] = parse_answers(talk(server, request), [method.decode()])
        return answer

    takes_gzip = b"Accept-Encoding: br, gzip\r\n"
    plain, packed = ask(), ask(takes_gzip)
    assert "Content-Encoding" not in plain.headers and packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) and gzip.decompress(packed.body) == plain.body
    assert packed.headers["ETag"] == plain.headers["ETag"] and packed.headers["ETag"].startswith("W/")
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in ask(b"Accept-Encoding: gzip;q=0\r\n").headers
    head = ask(takes_gzip, method=b"HEAD")
    assert head.body == b""
    for name in ("Content-Length", "Content-Encoding", "Content-Type", "ETag", "Vary"):
        assert head.headers[name] == packed.headers[name]
    known = ask(takes_gzip, b"If-None-Match: %s\r\n" % packed.headers["ETag"].encode())
    assert known.status == 304 and "Content-Encoding" not in known.headers
    assert known.headers["Vary"] == "Accept-Encoding"


# RFC 9110, sections 8.8.3 and 13.1: a request's conditions on ETAG, the page's tag, and the status of the answer.
CONDITIONS = {
    "the tag": ("If-None-Match: ETAG", 304),
    "the tag as a strong one": ("If-None-Match: STRONG", 304),
    "another tag": ('If-None-Match: "x"', 200),
    "any tag": ("If-None-Match: *", 304),
    "no quotes": ("If-None-Match: BARE", 200),
    "a date beside the tag": ("If-None-Match: ETAG\r\nIf-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT", 304),
    "a date beside another tag": ('If-None-Match: "x"\r\nIf-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT', 200),
    "a future date": ("If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT", 200),
    "no date": ("If-Modified-Since: not-a-date", 200),
}


@pytest.mark.parametrize("condition, status", CONDITIONS.values(), ids=CONDITIONS)
def test_the_page_is_sent_unless_the_tag_is_known(server, condition, status):
    [page] = parse_answers(talk(server, get(b"Connection: close\r\n", target=b"/page.js")), ["GET"])
    strong = page.headers["ETag"].removeprefix("W/")
    asked = condition.replace("ETAG", page.headers["ETag"]).replace("STRONG", strong).replace("BARE", strong.strip('"'))
    [answer] = parse_answers(talk(server, get(f"{asked}\r\nConnection: close\r\n".encode(), target=b"/page.js")), ["GET"])
    assert answer.status == status


def test_options_lists_the_methods_of_a_path(server):
    [answer] = parse_answers(talk(server, b"OPTIONS /v1/quota HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
                             ["OPTIONS"])
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "PUT", "OPTIONS"}


@pytest.mark.parametrize("header", ["Forwarded: for=1.2.3.4", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https",
                                    "X-Real-IP: 1.2.3.4", "Via: 1.1 proxy"])
def test_without_tokens_a_forwarded_request_is_refused(server, header):
    forwarded = f"{header}\r\nConnection: close\r\n".encode()
    [answer] = parse_answers(talk(server, get(forwarded, target=b"/v1/quota")), ["GET"])
    creditsd.check_problem(answer, 403, "forbidden")
    assert "proxy" in answer.json["detail"]


def threads_of(server):
    return len(os.listdir(f"/proc/{server.process.pid}/task"))


THREADS_MAX = 40  # loops, workers, actors and writers together, for any number of connections
CONNECTIONS = 2_000


@pytest.fixture
def many_files():
    """Allows for CONNECTIONS connections, each of which takes a file in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, CONNECTIONS + 500)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_connections_take_no_threads_idle_or_busy_or_half_open(server, many_files):
    before = threads_of(server)
    assert before <= THREADS_MAX
    first, rest = get()[:-5], get()[-5:]
    connections = [connect(server) for _ in range(CONNECTIONS)]
    try:
        assert threads_of(server) == before
        for connection in connections:
            connection.sendall(first)
        assert threads_of(server) == before
        for connection in connections:
            connection.sendall(rest)
        for connection in connections:
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        assert threads_of(server) == before
    finally:
        for connection in connections:
            connection.close()


def test_handshakes_that_never_end_take_no_threads(server, many_files):
    before = threads_of(server)
    connections = [open_socket(server.port) for _ in range(CONNECTIONS)]
    try:
        for connection in connections:
            connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[:6])
        [answer] = parse_answers(talk(server, get(b"Connection: close\r\n")), ["GET"])
        assert answer.status == 200
        assert threads_of(server) == before
    finally:
        for connection in connections:
            connection.close()
