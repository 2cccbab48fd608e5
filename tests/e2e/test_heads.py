"""Reading a request's head: heads that a proxy might read differently are refused, the library's own
features are disabled, and no large body is accepted from a caller without access."""

import json
from resource import RLIMIT_STACK

import pytest

from access import token_flags
from creditsd import check_problem, open_socket, parse_answers, raw, read_to_end
from traffic import path_of, show

COMMIT = json.dumps({"backend": "gemini", "tier": "core"}).encode()
DEBIT = b"POST /v1/installs/a/commit HTTP/1.1\r\n"
JSON = b"Content-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(COMMIT)


@pytest.mark.parametrize("head", [
    DEBIT + b"Host: x\r\n" + JSON + b"Content-Length : %d\r\n" % len(COMMIT),
    DEBIT + b"Host: x\r\n" + JSON + b"Content-Length\t: %d\r\n" % len(COMMIT),
    DEBIT + b"Host: x\r\n" + JSON + b"Content-Length: %d\n" % len(COMMIT),
    DEBIT + b"Host: x\r\n" + JSON + LENGTH + b"X: y\nIdempotency-Key: k\r\n",
    DEBIT + b"Host: x\r\nX: y\r\n Host: evil.example\r\n" + JSON + LENGTH,
    DEBIT + b"Host: x\r\nX: y\r\n\tz\r\n" + JSON + LENGTH,
    DEBIT + b"Host: localhost\0.evil.example\r\n" + JSON + LENGTH,
    DEBIT + b"Host: x\r\n" + JSON + b"Transfer-Encoding: xchunked\r\n",
    DEBIT + b"Host: x\r\n" + JSON + b"Transfer-Encoding: chunked, gzip\r\n",
], ids=["space-colon", "tab-colon", "bare-lf", "lf-in-value", "fold", "fold-tab", "nul", "coding",
        "codings"])
def test_an_ambiguous_head_is_400_and_has_no_effect(server, client, head):
    [answer] = parse_answers(raw(server.port, head + b"\r\n" + COMMIT), ["POST"])
    check_problem(answer, 400, "bad_request")
    assert client.get(path_of("a")).status == 404


@pytest.mark.parametrize("path", ["/chart.js", "/v1/installs/a", "/v1/snapshot", "/metrics"])
@pytest.mark.parametrize("ranges", ["bytes=0-5", "bytes=0-,0-,1-", "bytes=-1", "bytes=5-1",
                                    "nonsense"])
def test_ranges_are_ignored(client, path, ranges):
    client.put(path_of("a"))
    answer = client.request("GET", path, headers={"Range": ranges})
    assert answer.status == 200
    assert "multipart" not in answer.headers["Content-Type"]
    assert len(answer.body) > 100


@pytest.mark.parametrize("name", [b"Range", b"rANGE"])
@pytest.mark.parametrize("ranges", [b"0-" + b"0" * 8000, b",".join([b"0-"] * 2600)],
                         ids=["long", "many"])
def test_long_ranges_do_not_exhaust_the_stack(start, name, ranges):
    """The library parses them with std::regex, which recurses for each character."""
    server = start(limits={RLIMIT_STACK: 1024 * 1024})
    data = raw(server.port, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + name + b": bytes="
               + ranges + b"\r\n\r\n")
    assert data.startswith(b"HTTP/1.1 200 OK")
    assert server.running()


def test_many_ranges_of_an_asset_make_no_large_answer(server):
    ranges = b",".join([b"0-"] * 2000)
    data = raw(server.port, b"GET /chart.js HTTP/1.1\r\nHost: x\r\nConnection: close\r\nRange: bytes=" + ranges
               + b"\r\n\r\n")
    assert len(data) < 1_000_000


def test_the_absolute_form_is_accepted(server, client):
    answers = parse_answers(raw(server.port, (
        b"POST http://localhost/v1/installs/a/commit HTTP/1.1\r\nHost: localhost\r\n" + JSON + LENGTH
        + b"\r\n" + COMMIT + b"GET http://localhost HTTP/1.1\r\nHost: localhost\r\n"
        b"Connection: close\r\n\r\n")), ["POST", "GET"])
    assert [answer.status for answer in answers] == [200, 200]
    assert b"<html" in answers[1].body
    assert show(client)["version"] == 1


def test_a_caller_without_access_gets_no_100_continue(start, tmp_path):
    server = start(*token_flags(tmp_path))
    with open_socket(server.port) as connection:
        connection.sendall(DEBIT + b"Host: x\r\nExpect: 100-continue\r\n" + JSON + LENGTH + b"\r\n")
        [answer] = parse_answers(read_to_end(connection), ["POST"])
    check_problem(answer, 401, "unauthorized")


def test_an_import_into_a_ledger_with_installs_is_refused_before_it_is_sent(server, client):
    client.put(path_of("a"))
    with open_socket(server.port) as connection:
        connection.sendall(b"POST /v1/import HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n"
                           + JSON + b"\r\n")
        [answer] = parse_answers(read_to_end(connection), ["POST"])
    check_problem(answer, 409, "ledger_not_empty")


def test_an_import_is_visible_at_once_even_after_an_earlier_look_up(client, connect):
    assert client.get(path_of("a")).status == 404
    rows = {"a": {"install_id": "a", "tier_snapshot": "pro", "monthly_consumed": 7,
                  "month": "2020-01"}}
    assert client.post("/v1/import", {"rows": rows}).json == {"imported": 1}
    assert show(client)["tier_snapshot"] == "pro"
    assert client.get("/v1/installs/a/entries").json["entries"][0]["kind"] == "import"
    check_problem(client.post("/v1/import", {"rows": rows}), 409, "ledger_not_empty")


@pytest.mark.parametrize("body, status, code", [
    (b"{", 400, "invalid_json"), (b"", 400, "invalid_json"), (b"[]", 422, "invalid_request"),
    (b"{}", 422, "invalid_request"), (b'{"rows":null}', 422, "invalid_request"),
    (b'{"rows":{"a":{"lifetime_consumed":-1}}}', 422, "invalid_request"),
    (b'{"core":{"lifetime":1}}', 422, "invalid_request"),
])
def test_a_broken_or_foreign_file_imports_nothing(client, body, status, code):
    answer = client.request("POST", "/v1/import", body)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert client.get("/v1/installs").json["installs"] == []


def test_an_import_larger_than_other_bodies_is_accepted(client):
    rows = {f"install-{n:06}-" + "x" * 90: {"lifetime_consumed": n % 50} for n in range(70_000)}
    body = json.dumps({"rows": rows}).encode()
    assert len(body) > 8 * 1024**2
    assert client.request("POST", "/v1/import", body).json == {"imported": 70_000}
    assert client.get("/v1/stats").json["store"]["installs"] == 70_000


def test_refusals_of_the_head_are_counted(server, client):
    raw(server.port, b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert 'credits_problems_total{code="uri_too_long"} 1' in client.get("/metrics").body.decode()
