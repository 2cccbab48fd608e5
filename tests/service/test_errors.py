"""Bad input: each row is a request, and what it is told. None of them changes anything."""

import pytest

from creditsd import check_problem, path_of, raw

COMMIT = "/v1/installs/a/commit"
PLAN = "/v1/installs/a/plan"
GOOD = {"backend": "gemini", "tier": "core"}
MIB = 1024 * 1024

BODIES = [
    # method, path, body, status, code, field
    ("POST", COMMIT, {**GOOD, "credit": 1}, 422, "invalid_request", "credit"),
    ("POST", COMMIT, {**GOOD, "has_hardware": True}, 422, "invalid_request", "has_hardware"),
    ("POST", COMMIT, {"tier": "core"}, 422, "invalid_request", "backend"),
    ("POST", COMMIT, {"backend": "gemini"}, 422, "invalid_request", "tier"),
    ("POST", COMMIT, None, 422, "invalid_request", "backend"),
    ("POST", COMMIT, {**GOOD, "backend": "cloud"}, 422, "invalid_request", "backend"),
    ("POST", COMMIT, {**GOOD, "backend": None}, 422, "invalid_request", "backend"),
    ("POST", COMMIT, {**GOOD, "tier": 7}, 422, "invalid_request", "tier"),
    ("POST", COMMIT, {**GOOD, "tier": "gold"}, 422, "unknown_tier", "tier"),
    ("POST", COMMIT, {**GOOD, "tier": ""}, 422, "unknown_tier", "tier"),
    ("POST", COMMIT, {**GOOD, "tier": "Core"}, 422, "unknown_tier", "tier"),
    *[("POST", COMMIT, {**GOOD, "credits": credits}, 422, "invalid_request", "credits")
      for credits in (0, -1, 1_000_001, 10**30, 1.5, 1.0, "1", None, True, [1], {})],
    ("POST", PLAN, {"backend": "gemini"}, 422, "invalid_request", "backend"),
    ("POST", PLAN, {"tier": "gold"}, 422, "unknown_tier", "tier"),
    ("POST", PLAN, {"tier": None}, 422, "invalid_request", "tier"),
    ("POST", PLAN, {"has_hardware": 1}, 422, "invalid_request", "has_hardware"),
    ("POST", PLAN, {"has_hardware": "yes"}, 422, "invalid_request", "has_hardware"),
    ("POST", PLAN, {"credits": 0}, 422, "invalid_request", "credits"),
    ("POST", PLAN, b'{"tier":"core","tier":"pro"}', 422, "invalid_request", "tier"),
    ("POST", PLAN, [], 422, "invalid_request", None),
    ("POST", PLAN, b"null", 422, "invalid_request", None),
    ("PUT", "/v1/installs/a", {"tier": "core"}, 422, "invalid_request", "tier"),
    *[("POST", PLAN, body, 400, "invalid_json", None)
      for body in (b"{", b"}", b"{}{}", b"{} x", b"{'tier':'core'}", b'{"tier":"core",}',
                   b"tier=core", b"\xff\xfe{\x00}\x00", b'{"tier":"\xff"}', b'{"tier":"\xc3"}',
                   b'{"tier":"\xed\xa0\x80"}', b'{"tier":"\\ud800"}', b"{}\x00", b"{}\x00{}",
                   b'{"tier":"a\x01b"}', b"[" * MIB, b" ", b"NaN", b"0x10")],
    ("POST", PLAN, b"[" * MIB + b"]" * MIB, 422, "invalid_request", None),
    ("POST", PLAN, b" " * (8 * MIB + 1), 413, "payload_too_large", None),
]


@pytest.mark.parametrize("method, path, body, status, code, field", BODIES,
                         ids=range(len(BODIES)))
def test_a_bad_body_is_refused_and_changes_nothing(client, method, path, body, status, code, field):
    check_problem(client.request(method, path, body), status, code, field)
    assert client.snapshot() == {}


@pytest.mark.parametrize("segment", [
    "", ".", "..", "%2e", "%2E%2e", "a%20b", "%20", "a%00", "a%0A", "a%0d%0ab", "%7F", "%C3%A4",
    "%FF", "a" * 129, "%61" * 129, "%", "a%", "a%2", "a%zz", "%-1", "a%2G"])
@pytest.mark.parametrize("method, suffix", [
    ("PUT", ""), ("GET", ""), ("POST", "/plan"), ("POST", "/commit"), ("GET", "/entries")])
def test_an_id_that_is_none_is_refused(client, method, suffix, segment):
    answer = client.request(method, f"/v1/installs/{segment}{suffix}")
    check_problem(answer, 400, "invalid_install_id")
    assert client.snapshot() == {}


@pytest.mark.parametrize("path", [
    "/v1", "/v2/installs/a", "/v1/install/a", "/v1/installs/a/b", "/v1/installs/a/plan/x",
    "/v1/installs/a/b/plan", "/healthz/", "/V1/installs/a", "//v1/installs/a", "/v1//installs/a",
    "/..", "/v1/installs/a/../b", "/v1%2Finstalls/a", "/openapi.json", "/%00"])
def test_a_path_that_is_none_is_404(client, path):
    check_problem(client.get(path), 404, "not_found")


@pytest.mark.parametrize("method, path, allowed", [
    ("DELETE", "/v1/installs/a", {"GET", "HEAD", "PUT"}),
    ("POST", "/v1/installs/a", {"GET", "HEAD", "PUT"}),
    ("PATCH", "/v1/installs/a", {"GET", "HEAD", "PUT"}),
    ("GET", "/v1/installs/a/plan", {"POST"}),
    ("PUT", "/v1/installs/a/commit", {"POST"}),
    ("POST", "/v1/installs", {"GET", "HEAD"}),
    ("POST", "/v1/snapshot", {"GET", "HEAD"}),
    ("DELETE", "/v1/quota", {"GET", "HEAD", "PUT"}),
    ("POST", "/healthz", {"GET", "HEAD"}),
    ("OPTIONS", "/v1/quota", {"GET", "HEAD", "PUT"}),
])
def test_a_method_that_a_path_does_not_take_is_405_with_those_it_takes(
        client, method, path, allowed):
    answer = client.request(method, path)
    check_problem(answer, 405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == allowed
    assert client.snapshot() == {}


@pytest.mark.parametrize("query, field", [
    ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=-1", "limit"), ("limit=x", "limit"),
    ("limit=", "limit"), ("limit", "limit"), ("limit=1.0", "limit"), ("limit=+1", "limit"),
    ("limit=%", "limit"), ("limit=1&limit=1", "limit"), ("limit=99999999999999999999", "limit"),
    ("offset=1", "offset"), ("Limit=1", "Limit")])
@pytest.mark.parametrize("path", ["/v1/installs", "/v1/installs/a/entries"])
def test_a_bad_query_parameter_is_named(client, path, query, field):
    client.put(path_of("a"))
    check_problem(client.get(f"{path}?{query}"), 422, "invalid_request", field)


@pytest.mark.parametrize("before", ["0", "-1", "x", "", "9223372036854775808"])
def test_a_bad_version_to_page_from_is_named(client, before):
    client.put(path_of("a"))
    check_problem(client.get(f"/v1/installs/a/entries?before={before}"), 422, "invalid_request",
                  "before")


@pytest.mark.parametrize("content_type", [
    "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json",
    "multipart/form-data; boundary=x"])
def test_a_body_of_another_type_is_415(client, content_type):
    answer = client.request("POST", COMMIT, GOOD, {"Content-Type": content_type})
    check_problem(answer, 415, "unsupported_media_type")
    assert client.snapshot() == {}


@pytest.mark.parametrize("content_type", [
    "application/json; charset=utf-8", "Application/JSON", "application/json ;x=y"])
def test_a_json_type_may_have_parameters(client, content_type):
    assert client.request("POST", COMMIT, GOOD, {"Content-Type": content_type}).status == 200


def test_a_target_may_have_2048_bytes(client):
    path = "/v1/installs?prefix="
    assert client.get(path + "a" * (2048 - len(path))).status == 200
    answer = client.get(path + "a" * (2049 - len(path)))
    check_problem(answer, 414, "uri_too_long")
    check_problem(client.get("/" + "%2F" * 10_000), 414, "uri_too_long")


def test_a_body_of_8_mib_is_still_read(client):
    body = b'{"backend":"gemini","tier":"core"}'
    assert client.request("POST", COMMIT, body.ljust(8 * MIB)).status == 200


GARBAGE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"\x00" * 5000,
    b"POST /v1/installs/a/commit HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    b"POST /v1/installs/a/commit HTTP/1.1\r\nContent-Length: 10\r\n\r\n{}",
    b"POST /v1/installs/a/commit HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    b"GET /healthz HTTP/1.1\r\n" + b"A: b\r\n" * 50_000 + b"\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]


@pytest.mark.parametrize("data", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_ends_its_connection_and_nothing_else(client, server, data):
    assert b"200 OK" not in raw(server.port, data, half_close=True)
    assert client.get("/healthz").status == 200
    assert client.snapshot() == {}


def test_a_problem_names_a_hostile_value_without_echoing_it_raw(client):
    answer = client.post(PLAN, {"<script>\n\u00e4": 1})
    problem = check_problem(answer, 422, "invalid_request")
    assert "\n" not in problem["detail"]
    problem = check_problem(client.plan("a", tier="gold\u2028\n" * 10), 422, "unknown_tier")
    assert len(problem["detail"]) < 1000
