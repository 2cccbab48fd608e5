"""Bad requests: each gets its error and changes nothing."""

import json
import socket

import pytest

from creditsd import Server, check_problem, open_socket, parse_answers, raw, read_to_end

INSTALL = "/v1/installs/a"
PLAN = INSTALL + "/plan"
COMMIT = INSTALL + "/commit"
NEW = "/v1/installs/new"
QUOTA = "/v1/quota"
GOOD_COMMIT = {"backend": "gemini", "tier": "core"}
BODY_BYTES_MAX = 8 * 1024 * 1024
TARGET_BYTES_MAX = 8000
INVALID = (422, "invalid_request")
UNKNOWN_TIER = (422, "unknown_tier")
NO_JSON = (400, "invalid_json")
BAD_ID = (400, "invalid_install_id")
NOT_FOUND = (404, "not_found")
TOO_LONG = (414, "uri_too_long")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for all tests: the next request would meet anything that a bad one leaves behind."""
    path = tmp_path_factory.mktemp("errors")
    running = Server(["--listen", "127.0.0.1:0", "--data-dir", path / "data"], path / "log")
    yield running
    running.kill()


@pytest.fixture
def unchanged(server, connect):
    """Everything that a bad request could change: rows, versions, entries, the quota."""
    client = connect(server)
    client.put(INSTALL)

    def state():
        return [client.get(path).body for path in ("/v1/snapshot", "/v1/installs", QUOTA,
                                                   INSTALL + "/entries")]

    before = state()
    yield
    assert state() == before


def commit_with(**fields):
    return {k: v for k, v in (GOOD_COMMIT | fields).items() if v is not ...}


WRONG_CREDITS = [0, -1, 1_000_001, 2**31, 2**32 + 1, 2**63, 2**64 + 1, 10**40, -2**63 - 1, 1.5,
                 1.0, "1", "", None, True, [], [1], {}]
WRONG_STRINGS = [None, 1, 1.5, True, [], ["core"], {}]

BODIES = [
    # method, path, body, (status, code), field
    *[("POST", path, fields, INVALID, "credits")
      for credits in WRONG_CREDITS
      for path, fields in ((PLAN, {"credits": credits}), (COMMIT, commit_with(credits=credits)))],
    ("POST", PLAN, b'{"credits":1e0}', INVALID, "credits"),
    ("POST", PLAN, b'{"credits":1e400}', INVALID, None),
    ("POST", PLAN, b'{"credits":-0}', INVALID, "credits"),
    *[("POST", PLAN, {"tier": tier}, INVALID, "tier") for tier in WRONG_STRINGS],
    *[("POST", COMMIT, commit_with(tier=tier), INVALID, "tier") for tier in WRONG_STRINGS],
    *[("POST", COMMIT, commit_with(backend=backend), INVALID, "backend")
      for backend in [*WRONG_STRINGS, "", "Gemini", "gemini ", "none", "gemini\0"]],
    *[("POST", PLAN, {"has_hardware": value}, INVALID, "has_hardware")
      for value in (None, 0, 1, "true", "", [], {})],
    *[("POST", PLAN, {"tier": tier}, UNKNOWN_TIER, "tier")
      for tier in ("", "gold", "Core", "core ", "core\0", "\u00e4", "x" * 10_000)],
    *[("POST", COMMIT, commit_with(tier=tier), UNKNOWN_TIER, "tier")
      for tier in ("", "gold", "Core", "core ", "core\0", "\u00e4", "x" * 10_000)],

    ("POST", COMMIT, commit_with(backend=...), INVALID, "backend"),
    ("POST", COMMIT, commit_with(tier=...), INVALID, "tier"),
    ("PUT", INSTALL, {"tier": "core"}, INVALID, "tier"),
    ("PUT", NEW, {"tier": "core"}, INVALID, "tier"),
    ("POST", PLAN, {"backend": "gemini"}, INVALID, "backend"),
    ("POST", PLAN, {"ttl_seconds": 60}, INVALID, "ttl_seconds"),
    ("POST", PLAN, {"Tier": "core"}, INVALID, "Tier"),
    ("POST", PLAN, {"": 1}, INVALID, ""),
    ("POST", PLAN, {"tier ": "core"}, INVALID, "tier "),
    ("POST", PLAN, {"f\u00fcr": 1}, INVALID, "f\u00fcr"),
    ("POST", COMMIT, commit_with(has_hardware=True), INVALID, "has_hardware"),
    ("POST", COMMIT, commit_with(install_id="b"), INVALID, "install_id"),
    ("POST", COMMIT, commit_with(reservation_id="r"), INVALID, "reservation_id"),
    ("POST", COMMIT, commit_with(version=1), INVALID, "version"),

    ("POST", PLAN, b'{"tier":"core","tier":"core"}', INVALID, "tier"),
    ("POST", PLAN, b'{"credits":1,"\\u0063redits":2}', INVALID, "credits"),
    ("POST", COMMIT, b'{"backend":"gemini","tier":"core","backend":"hardware"}', INVALID,
     "backend"),
    ("POST", COMMIT, b'{"backend":"gemini","tier":"core","x":1,"x":2}', INVALID, "x"),

    *[("POST", path, body, INVALID, None)
      for path in (PLAN, COMMIT)
      for body in (b"[]", b"[{}]", b"null", b"true", b"1", b'""', b'"core"')],
    ("PUT", INSTALL, b"[]", INVALID, None),
    ("POST", PLAN, b"[" * 2**20 + b"]" * 2**20, INVALID, None),

    *[("POST", PLAN, body, NO_JSON, None) for body in (
        b"{", b"}", b"[", b"{]", b'{"tier"}', b'{"tier":}', b'{"tier":"core"', b'{"tier":"core}',
        b'{"tier":"core",}', b"{'tier':'core'}", b'{tier:"core"}', b'{"credits":01}',
        b'{"credits":+1}', b'{"credits":.5}', b'{"credits":1.}', b'{"credits":0x1}',
        b'{"credits":NaN}', b'{"credits":Infinity}', b'{"has_hardware":True}', b"{}{}", b"{} x",
        b"{},", b" ", b"NaN", b"0x10", b"nul", b"tier=core", b"<tier>core</tier>", b"/* */{}",
        b"{}//", b"\xef\xbb\xbf", b"\x00", b"{}\x00", b"{}\x00{}", b"\x00{}", b'{\x00}',
        b'{"tier":"co\x00re"}',
        b'{"tier":"a\nb"}', b'{"tier":"a\x1fb"}', b'{"tier":"\\x41"}', b'{"tier":"\\u00"}',
        b'{"tier":"\\ud800"}', b'{"tier":"\\udc00\\ud800"}', b'\x1f\x8b\x08\x00')],
    *[("POST", PLAN, b'{"tier":"' + broken + b'"}', NO_JSON, None) for broken in (
        b"\xff", b"\xc3", b"\xc3(", b"\x80", b"\xc0\x80", b"\xe2\x82", b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80", b"\xf0\x80\x80\xaf")],
    ("POST", PLAN, '{"tier":"core"}'.encode("utf-16"), NO_JSON, None),
    ("POST", COMMIT, b"{", NO_JSON, None),
    ("PUT", INSTALL, b"{", NO_JSON, None),
    ("PUT", NEW, b"nonsense", NO_JSON, None),
    ("POST", NEW + "/plan", b"nonsense", NO_JSON, None),
    ("POST", NEW + "/plan", {"tier": "gold"}, UNKNOWN_TIER, "tier"),
    ("POST", NEW + "/commit", commit_with(tier="gold"), UNKNOWN_TIER, "tier"),
]


def shown(value):
    return value if isinstance(value, str) else repr(value)[:40]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("method, path, body, expected, field", BODIES, ids=shown)
def test_a_bad_body_is_refused(client, method, path, body, expected, field):
    check_problem(client.request(method, path, body), *expected, field)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("body", [None, b"", {}], ids=["none", "empty", "object"])
def test_the_error_of_a_commit_without_fields_names_a_missing_one(client, body):
    problem = client.post(COMMIT, body).json
    assert (problem["status"], problem["code"]) == INVALID
    assert problem["field"] in ("backend", "tier")


@pytest.mark.usefixtures("unchanged")
def test_a_field_is_not_cut_at_a_nul(client):
    answer = client.post(PLAN, {"tier\0": "core"})
    check_problem(answer, *INVALID, answer.json["field"])
    assert answer.json["field"] != "tier"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("body, named", [
    ({"credits": 1_000_001}, "credits"), ({"has_hardware": 1}, "has_hardware"),
    ({"backend": "cloud"}, "backend"), ({"ttl_seconds": 60}, "ttl_seconds"),
    ({"credits": None}, "credits"), (b'{"credits":1,"credits":1}', "credits"),
    ({"tier": 5}, "tier"), ({"tier": "gold"}, "gold"), ({"colour": 1}, "colour"),
], ids=shown)
def test_the_detail_names_the_fault(client, body, named):
    assert named in client.post(PLAN, body).json["detail"]


@pytest.mark.usefixtures("unchanged")
def test_the_detail_stays_short_and_printable_whatever_the_value(client):
    for body in ({"tier": "x" * 1_000_000}, {"y" * 1_000_000: 1}, {"tier": "a\nb\x1b[31m\u2028"},
                 {"a\nb\x1b[31m": 1}):
        answer = client.post(PLAN, body)
        assert answer.status == 422
        assert len(answer.body) < 4096
        assert answer.json["detail"].isprintable()


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("depth", [10, 1_000, 100_000, 4_000_000])
def test_deep_nesting_is_refused(client, depth):
    answer = client.post(PLAN, b'{"credits":' + b"[" * depth + b"]" * depth + b"}")
    assert (answer.status, answer.json["code"]) in (INVALID, NO_JSON)
    answer = client.post(PLAN, b"[" * depth)
    assert (answer.status, answer.json["code"]) in (INVALID, NO_JSON)
    assert client.get("/healthz").status == 200


# --- ids and paths

BAD_IDS = {
    "empty": "", "dot": ".", "dots": "..", "encoded-dot": "%2e", "encoded-dots": "%2E%2e",
    "half-encoded-dots": ".%2E", "space": "a%20b", "only-space": "%20", "nul": "a%00",
    "newline": "a%0A", "return": "%0Da", "tab": "a%09", "escape": "%1b", "delete": "a%7F",
    "utf-8": "%C3%A4", "latin-1": "%E4", "129-bytes": "a" * 129, "129-encoded": "%61" * 129,
    "1000-bytes": "a" * 1000, "percent": "%", "percent-at-end": "a%", "one-digit": "a%2",
    "no-digits": "a%zz", "half-digits": "a%2g", "minus": "%-1", "encoded-slash-at-129":
    "%2F" * 129,
}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("install_id", BAD_IDS.values(), ids=BAD_IDS)
@pytest.mark.parametrize("method, suffix, body", [
    ("PUT", "", None), ("GET", "", None), ("POST", "/plan", {}),
    ("POST", "/commit", GOOD_COMMIT), ("GET", "/entries", None),
], ids=["put", "get", "plan", "commit", "entries"])
def test_a_bad_id_is_refused(client, method, suffix, body, install_id):
    answer = client.request(method, f"/v1/installs/{install_id}{suffix}", body)
    check_problem(answer, *BAD_ID, "install_id")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("byte", [b"\x80", b"\xc3\xa4", b"\x7f", b"\x01"])
def test_an_id_with_a_raw_non_ascii_byte_is_refused(server, byte):
    [answer] = parse_answers(raw(server.port, b"PUT /v1/installs/a" + byte + b" HTTP/1.1\r\n"
                                 b"Host: x\r\nConnection: close\r\n\r\n"), ["PUT"])
    assert answer.status == 400


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("method, path", [
    ("GET", "/v1"), ("GET", "/v1/"), ("GET", "/v2/installs/a"), ("GET", "/V1/installs/a"),
    ("GET", "/v1/Installs/a"), ("GET", "/v1/install/a"), ("PUT", "/v1/installs/a/b"),
    ("PUT", "/v1/installs/a/"), ("GET", "/v1/installs/a/b/entries"),
    ("POST", "/v1/installs/a/plan/"), ("POST", "/v1/installs/a/plan/b"),
    ("POST", "/v1/installs/a/Plan"), ("POST", "/v1/installs/a/b/commit"),
    ("GET", "//v1/installs/a"), ("GET", "/v1//installs/a"), ("GET", "/v1/installs/a//entries"),
    ("GET", "/v1/installs/a/../b"), ("GET", "/v1/quota/core"), ("GET", "/v1/snapshots"),
    ("GET", "/v1%2Fquota"), ("GET", "/healthz/"), ("GET", "/health"), ("GET", "/openapi.json"),
    ("GET", "/.."), ("GET", "/..%2F..%2Fetc%2Fpasswd"), ("GET", "/%00"), ("DELETE", "/nothing"),
    ("POST", "/nothing"),
])
def test_an_unknown_path_is_404(client, method, path):
    check_problem(client.request(method, path), *NOT_FOUND)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("path, allowed", [
    (INSTALL, "GET HEAD PUT"), (NEW, "GET HEAD PUT"), (PLAN, "POST"), (COMMIT, "POST"),
    (NEW + "/plan", "POST"), ("/v1/installs", "GET HEAD"), (INSTALL + "/entries", "GET HEAD"),
    ("/v1/snapshot", "GET HEAD"), (QUOTA, "GET HEAD PUT"), ("/healthz", "GET HEAD"),
    ("/readyz", "GET HEAD"), ("/openapi.yaml", "GET HEAD"),
])
def test_a_method_that_a_path_lacks_is_405_with_its_methods(client, path, allowed):
    allowed = set(allowed.split())
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - allowed:
        answer = client.request(method, path)
        check_problem(answer, 405, "method_not_allowed")
        assert set(answer.headers["Allow"].split(", ")) == allowed
    if "GET" not in allowed:
        head = client.request("HEAD", path)
        assert (head.status, head.body) == (405, b"")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("method", [b"BREW", b"TRACE", b"CONNECT", b"get", b"PRI", b"PROPFIND"])
def test_an_unknown_method_is_refused(server, method):
    [answer] = parse_answers(raw(server.port, method + b" /v1/installs/a HTTP/1.1\r\nHost: x\r\n"
                                 b"Connection: close\r\n\r\n"), [method.decode()])
    assert answer.status in (400, 405, 501)
    assert answer.json["status"] == answer.status
    assert answer.headers["Content-Type"] == "application/problem+json"


# --- queries


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("path, query, field", [
    *[(path, query, field) for path in ("/v1/installs", INSTALL + "/entries") for query, field in (
        ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=-1", "limit"), ("limit=", "limit"),
        ("limit", "limit"), ("limit=ten", "limit"), ("limit=1.0", "limit"), ("limit=1e2", "limit"),
        ("limit=%2B1", "limit"), ("limit=+1", "limit"), ("limit=%", "limit"),
        ("limit=%201", "limit"), ("limit=0x10", "limit"),
        ("limit=1%00", "limit"), ("limit=4294967297", "limit"),
        ("limit=18446744073709551617", "limit"), ("limit=1&limit=1", "limit"),
        ("limit=1&limit=2", "limit"), ("Limit=1", "Limit"), ("offset=1", "offset"),
        ("limit=5&offset=1", "offset"), ("x", "x"))],
    ("/v1/installs", "before=1", "before"),
    ("/v1/installs", "after=a&after=b", "after"),
    ("/v1/installs", "tier=core&tier=pro", "tier"),
    ("/v1/installs", "prefix=a&prefix=b", "prefix"),
    *[(INSTALL + "/entries", query, field) for query, field in (
        ("before=0", "before"), ("before=-1", "before"), ("before=", "before"),
        ("before=x", "before"), ("before=1.5", "before"), ("before=1&before=2", "before"),
        ("before=9223372036854775808", "before"),
        ("before=18446744073709551617", "before"), ("after=1", "after"), ("tier=core", "tier"),
        ("prefix=a", "prefix"))],
    (INSTALL, "limit=1", "limit"),
    ("/v1/snapshot", "limit=1", "limit"),
    (QUOTA, "tier=core", "tier"),
])
def test_a_bad_query_is_refused(client, path, query, field):
    check_problem(client.get(f"{path}?{query}"), *INVALID, field)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("path, query, field", [
    ("/v1/installs", "limit=0", "limit"), ("/v1/installs", "offset=1", "offset"),
    ("/v1/installs", "limit=1&limit=1", "limit"), (INSTALL + "/entries", "before=x", "before"),
])
def test_the_detail_names_the_fault_in_a_query(client, path, query, field):
    assert field in client.get(f"{path}?{query}").json["detail"]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("method, path, body", [
    ("PUT", NEW, None), ("POST", PLAN, {}), ("POST", COMMIT, GOOD_COMMIT),
    ("PUT", QUOTA, {"core": {"lifetime": 1}}),
])
def test_a_call_without_parameters_refuses_a_query(client, method, path, body):
    check_problem(client.request(method, path + "?tier=core", body), *INVALID, "tier")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", ["after", "prefix", "tier"])
@pytest.mark.parametrize("value", ["%", "a%2", "%zz"])
def test_a_broken_escape_in_a_query_is_refused(client, name, value):
    answer = client.get(f"/v1/installs?{name}={value}")
    assert answer.status in (400, 422)
    check_problem(answer, answer.status, answer.json["code"], name)


@pytest.mark.usefixtures("unchanged")
def test_an_empty_query_is_ignored(client):
    assert client.get("/v1/installs?").status == 200


# --- sizes


@pytest.mark.usefixtures("unchanged")
def test_a_target_has_at_most_8000_bytes(client):
    path = "/v1/installs?prefix="
    assert client.get(path + "a" * (TARGET_BYTES_MAX - len(path))).status == 200
    for target in (path + "a" * (TARGET_BYTES_MAX + 1 - len(path)), "/" + "x" * TARGET_BYTES_MAX,
                   "/v1/installs/" + "%61" * 3000, "/v1/installs?after=" + "%41" * 3000):
        check_problem(client.get(target), *TOO_LONG)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("bytes_sent", [10_000, 100_000, 1_000_000])
def test_a_very_long_target_is_refused_and_does_no_harm(client, server, bytes_sent):
    received = raw(server.port, b"GET /" + b"x" * bytes_sent + b" HTTP/1.1\r\nHost: x\r\n"
                   b"Connection: close\r\n\r\n")
    assert received == b"" or int(received.split()[1]) in (400, 414)
    assert client.get("/healthz").status == 200


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("method, path", [("POST", PLAN), ("POST", COMMIT), ("PUT", NEW),
                                          ("PUT", QUOTA)])
@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
def test_a_body_over_8_mib_is_413(connect, server, method, path, chunked):
    client = connect(server)
    body = b"{}" + b" " * (BODY_BYTES_MAX - 1)
    answer = client.request(method, path, chunks(body) if chunked else body,
                            {"Content-Type": "application/json"})
    check_problem(answer, 413, "payload_too_large")
    assert client.get("/healthz").status == 200


def chunks(body):
    for start in range(0, len(body), 100_000):
        yield body[start:start + 100_000]


@pytest.mark.usefixtures("unchanged")
def test_a_body_over_8_mib_is_413_before_it_is_sent(server):
    with open_socket(server.port) as connection:
        connection.sendall(f"POST {PLAN} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json"
                           f"\r\nContent-Length: {BODY_BYTES_MAX + 1}\r\n\r\n{{}}".encode())
        connection.shutdown(socket.SHUT_WR)
        [answer] = parse_answers(read_to_end(connection), ["POST"])
    check_problem(answer, 413, "payload_too_large")


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
def test_a_body_of_8_mib_is_accepted(client, chunked):
    body = json.dumps({}).encode().ljust(BODY_BYTES_MAX)
    answer = client.request("POST", PLAN, chunks(body) if chunked else body,
                            {"Content-Type": "application/json"})
    assert answer.status == 200


# --- content types


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("content_type", [
    "text/plain", "text/json", "application/x-www-form-urlencoded", "application/xml",
    "application/jsonp", "application/problem+json", "application/*", "json", "application",
    "multipart/form-data; boundary=x", "text/plain; application/json",
])
@pytest.mark.parametrize("method, path, body", [
    ("POST", PLAN, {}), ("POST", COMMIT, GOOD_COMMIT), ("PUT", NEW, {}),
    ("PUT", QUOTA, {"core": {"lifetime": 1}}),
], ids=["plan", "commit", "put", "quota"])
def test_a_body_of_another_type_is_415(client, method, path, body, content_type):
    answer = client.request(method, path, body, {"Content-Type": content_type})
    check_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", [
    None, "application/json", "Application/JSON", "application/json;charset=utf-8",
    "application/json; charset=UTF-8", "application/json ; x=y",
])
def test_a_json_body_is_accepted_with_parameters_and_without_a_type(client, content_type):
    answer = client.request("POST", COMMIT, GOOD_COMMIT, {"Content-Type": content_type})
    assert answer.status == 200


# --- invalid HTTP

HEAD_OF_COMMIT = b"POST /v1/installs/a/commit HTTP/1.1\r\nHost: x\r\n"
BODY_OF_COMMIT = json.dumps(GOOD_COMMIT).encode()
GARBAGE = {
    "nothing": b"",
    "line-feeds": b"\n" * 1000,
    "nuls": b"\0" * 5000,
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 500,
    "http-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no-target": b"PUT\r\n\r\n",
    "no-version": b"PUT /v1/installs/b\r\n\r\n",
    "version-9": b"PUT /v1/installs/b HTTP/9.9\r\n\r\n",
    "no-slash": b"PUT v1/installs/b HTTP/1.1\r\nHost: x\r\n\r\n",
    "endless-line": b"P" * 1_000_000,
    "endless-header": b"PUT /v1/installs/b HTTP/1.1\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n",
    "countless-headers": b"PUT /v1/installs/b HTTP/1.1\r\n" + b"A: b\r\n" * 100_000 + b"\r\n",
    "cut-in-the-line": b"PUT /v1/inst",
    "cut-in-the-headers": b"PUT /v1/installs/b HTTP/1.1\r\nHost: x\r\n",
    "cut-in-the-body": HEAD_OF_COMMIT + b"Content-Length: 100\r\n\r\n" + BODY_OF_COMMIT,
    "cut-in-a-chunk": HEAD_OF_COMMIT + b"Transfer-Encoding: chunked\r\n\r\n100\r\n"
    + BODY_OF_COMMIT,
    "no-last-chunk": HEAD_OF_COMMIT + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n"
    % (len(BODY_OF_COMMIT), BODY_OF_COMMIT),
    "chunk-of-no-size": HEAD_OF_COMMIT + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"
    + BODY_OF_COMMIT + b"\r\n0\r\n\r\n",
    "chunk-of-huge-size": HEAD_OF_COMMIT + b"Transfer-Encoding: chunked\r\n\r\n"
    b"ffffffffffffffff\r\n" + BODY_OF_COMMIT + b"\r\n0\r\n\r\n",
    "length-negative": HEAD_OF_COMMIT + b"Content-Length: -1\r\n\r\n" + BODY_OF_COMMIT,
    "length-no-number": HEAD_OF_COMMIT + b"Content-Length: x\r\n\r\n" + BODY_OF_COMMIT,
    "length-huge": HEAD_OF_COMMIT + b"Content-Length: 99999999999999999999\r\n\r\n"
    + BODY_OF_COMMIT,
    "encoding-unknown": HEAD_OF_COMMIT + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n"
    b"\x1f\x8b\x08\x00",
}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_garbage_closes_its_connection_and_has_no_effect(client, server, data):
    received = raw(server.port, data, half_close=True)
    assert received == b"" or 400 <= int(received.split()[1]) < 600
    assert server.running()
    assert client.get("/healthz").status == 200


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("headers", [
    b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % len(BODY_OF_COMMIT),
    b"Content-Length: %d\r\nContent-Length: 2\r\n" % len(BODY_OF_COMMIT),
    b"Transfer-Encoding: gzip, chunked\r\n",
], ids=["length-and-chunked", "two-lengths", "encoding-unknown"])
def test_a_request_of_ambiguous_length_is_refused(client, server, headers):
    received = raw(server.port, HEAD_OF_COMMIT + headers + b"\r\n" + BODY_OF_COMMIT,
                   half_close=True)
    assert received == b"" or 400 <= int(received.split()[1]) < 600
    assert client.get("/healthz").status == 200


HIDDEN = b"PUT /v1/installs/hidden HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("method, path, content_type", [
    ("GET", "/healthz", "application/json"),
    ("GET", INSTALL, "application/json"),
    ("HEAD", INSTALL, "application/json"),
    ("DELETE", INSTALL, "application/json"),
    ("OPTIONS", INSTALL, "application/json"),
    ("GET", "/nothing", "application/json"),
    ("POST", "/nothing", "application/json"),
    ("POST", INSTALL, "application/json"),
    ("POST", PLAN, "application/json"),
    ("POST", PLAN, "text/plain"),
    ("PUT", INSTALL, "text/plain"),
    ("POST", "/" + "x" * TARGET_BYTES_MAX, "application/json"),
    ("POST", "/v1/installs/%20/plan", "application/json"),
    ("BREW", INSTALL, "application/json"),
])
@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
def test_a_body_is_never_read_as_a_request(server, method, path, content_type, chunked):
    if chunked:
        length, body = "Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (
            len(HIDDEN), HIDDEN)
    else:
        length, body = f"Content-Length: {len(HIDDEN)}", HIDDEN
    raw(server.port, f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n"
        f"{length}\r\n\r\n".encode() + body, half_close=True)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("head", [
    b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n",
    b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 10_000,
    b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n",
    b"GARBAGE\r\n",
    b"GET /healthz HTTP/9.9\r\n",
    b"GET\r\n",
], ids=["long-header", "many-headers", "long-target", "no-http", "version", "no-target"])
def test_bytes_after_an_unreadable_line_are_not_read_as_a_request(server, head):
    raw(server.port, head + HIDDEN, half_close=True)


@pytest.mark.parametrize("data", [
    b"GARBAGE\r\n\r\n", b"GET /healthz HTTP/1.x\r\n\r\n", HEAD_OF_COMMIT
    + b"Content-Length: x\r\n\r\n", HEAD_OF_COMMIT + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
], ids=["no-http", "version", "length", "chunk"])
def test_the_server_closes_after_unreadable_bytes(server, data):
    [answer] = parse_answers(raw(server.port, data), ["GET"])
    check_problem(answer, 400, "bad_request")
    assert answer.headers["Connection"] == "close"
