"""Who may call what: by token, or, without tokens, programs on this machine."""

import base64
import json
import re

import pytest

import creditsd
from access import ADMIN, COMMIT, RELAY, ask, bearer, token_file, token_flags
from creditsd import check_problem, wait_until

INSTALL = "/v1/installs/a"
QUOTA = {"core": {"lifetime": 100}, "max": {"monthly": None}}
BATCH = {"operations": [{"op": "get", "install_id": "a"}]}
LARGE = 8 * 1024 * 1024

# method, path, body, status for a permitted caller
RELAY_CALLS = [
    ("PUT", INSTALL, None, 200), ("GET", INSTALL, None, 200), ("HEAD", INSTALL, None, 200),
    ("POST", INSTALL + "/plan", {}, 200), ("POST", INSTALL + "/commit", COMMIT, 200),
    ("POST", INSTALL + "/reservations", {"tier": "max"}, 201),
    ("POST", INSTALL + "/reservations/none/commit", {}, 404),
    ("DELETE", INSTALL + "/reservations/none", None, 404), ("POST", "/v1/batch", BATCH, 200),
]
OPERATORS_CALLS = [
    ("GET", "/v1/installs", None, 200), ("HEAD", "/v1/installs", None, 200),
    ("GET", "/v1/installs?limit=1", None, 200), ("GET", INSTALL + "/entries", None, 200),
    ("GET", INSTALL + "/actor", None, 200), ("GET", "/v1/stats", None, 200),
    ("HEAD", "/v1/stats", None, 200), ("GET", "/v1/snapshot", None, 200),
    ("HEAD", "/v1/snapshot", None, 200), ("POST", "/v1/import", {"rows": {"b": {}}}, 409),
    ("GET", "/v1/quota", None, 200), ("PUT", "/v1/quota", QUOTA, 200),
    ("GET", "/metrics", None, 200), ("HEAD", "/metrics", None, 200),
]
OPEN_PATHS = ["/healthz", "/readyz", "/openapi.yaml", "/", "/dashboard.css", "/dashboard.js",
              "/chart.js", "/favicon.svg"]


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


UNKNOWN = {
    # Authorization values that are not our tokens
    "empty": "", "scheme-alone": "Bearer", "scheme-and-space": "Bearer ", "no-scheme": ADMIN,
    "wrong": "Bearer wrong", "cut": f"Bearer {ADMIN[:-1]}", "longer": f"Bearer {ADMIN}=",
    "first-byte": f"Bearer {ADMIN[0]}", "other-case": f"Bearer {ADMIN.swapcase()}",
    "both-joined": f"Bearer {RELAY}{ADMIN}", "two-words": f"Bearer {ADMIN} {ADMIN}",
    "two-listed": f"Bearer {ADMIN}, Bearer {ADMIN}", "comma": f"Bearer,{ADMIN}",
    "colon": f"Bearer: {ADMIN}", "glued": f"Bearer{ADMIN}", "quoted": f'Bearer "{ADMIN}"',
    "parameter": f"Bearer token={ADMIN}", "long": "Bearer " + "x" * 8000,
    "basic-user": basic(ADMIN, ""), "basic-password": basic("admin", ADMIN),
    "basic-token": f"Basic {ADMIN}", "token-scheme": f"Token {ADMIN}",
    "digest": f'Digest username="{ADMIN}"', "null": "Bearer null", "umlaut": "Bearer \xe4",
    "star": "Bearer *", "dotdot": "Bearer ../admin.tokens",
}


def shown(call):
    return f"{call[0]}-{call[1]}"


def check_unauthorized(answer, method="GET"):
    assert answer.status == 401, answer.body
    assert answer.headers["WWW-Authenticate"].split()[0].rstrip(",") == "Bearer"
    if method != "HEAD":
        check_problem(answer, 401, "unauthorized")


def check_refused(answer, method, status):
    if status == 401:
        check_unauthorized(answer, method)
    elif method == "HEAD":
        assert (answer.status, answer.body) == (403, b"")
    else:
        check_problem(answer, 403, "forbidden")


def status_of(client, token, path="/v1/installs"):
    return client.request("GET", path, headers=bearer(token)).status


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server with a relay's and an admin's token; refused calls must not change it."""
    folder = tmp_path_factory.mktemp("access")
    server = creditsd.Server(["--listen", "127.0.0.1:0", "--data-dir", folder / "data",
                              *token_flags(folder)], folder / "log")
    client = creditsd.Client(server.port)
    assert client.request("PUT", INSTALL, headers=bearer(RELAY)).status == 201
    assert client.request("PUT", "/v1/quota", QUOTA, bearer(ADMIN)).status == 200
    client.close()
    yield server
    server.kill()


def state_of(client, headers=None):
    return [client.request("GET", path, headers=headers).body
            for path in ("/v1/snapshot", "/v1/installs", "/v1/quota", INSTALL + "/entries")]


@pytest.fixture
def unchanged(guarded, connect):
    client = connect(guarded)
    before = state_of(client, bearer(ADMIN))
    yield
    assert state_of(client, bearer(ADMIN)) == before


# --- tokens and the calls they permit


@pytest.mark.parametrize("token", [RELAY, ADMIN], ids=["relay", "admin"])
@pytest.mark.parametrize("call", RELAY_CALLS, ids=shown)
def test_a_relays_call_accepts_any_token(guarded, connect, call, token):
    method, path, body, status = call
    answer = connect(guarded).request(method, path, body, bearer(token))
    assert answer.status == status, answer.body
    assert answer.headers["WWW-Authenticate"] is None


@pytest.mark.parametrize("call", OPERATORS_CALLS, ids=shown)
def test_an_operators_call_accepts_an_admins_token(guarded, connect, call):
    method, path, body, status = call
    answer = connect(guarded).request(method, path, body, bearer(ADMIN))
    assert answer.status == status, answer.body


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("call", OPERATORS_CALLS, ids=shown)
def test_an_operators_call_is_403_with_a_relays_token(guarded, connect, call):
    method, path, body, _ = call
    check_refused(connect(guarded).request(method, path, body, bearer(RELAY)), method, 403)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("call", RELAY_CALLS + OPERATORS_CALLS, ids=shown)
def test_a_call_without_a_token_is_401(guarded, connect, call):
    method, path, body, _ = call
    check_unauthorized(connect(guarded).request(method, path, body), method)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("authorization", UNKNOWN.values(), ids=UNKNOWN)
def test_a_call_with_an_unknown_token_is_401(guarded, connect, authorization):
    client = connect(guarded)
    for method, path, body, _ in RELAY_CALLS + OPERATORS_CALLS:
        check_unauthorized(client.request(method, path, body, {"Authorization": authorization}),
                           method)


@pytest.mark.parametrize("path", OPEN_PATHS)
@pytest.mark.parametrize("headers", [{}, bearer("wrong"), bearer(RELAY), bearer(ADMIN)],
                         ids=["none", "wrong", "relay", "admin"])
def test_an_open_path_accepts_anything(guarded, connect, path, headers):
    client = connect(guarded)
    for method in ("GET", "HEAD"):
        assert client.request(method, path, headers=headers).status == 200


def test_all_parts_of_the_page_are_open(guarded, connect):
    client = connect(guarded)
    page = client.get("/").body.decode()
    parts = re.findall(r'(?:src|href)="(/?[\w.-]+)"', page)
    assert len(parts) >= 3
    for part in parts:
        assert client.get("/" + part.lstrip("/")).status == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_ignores_case(guarded, connect, scheme):
    headers = {"Authorization": f"{scheme} {ADMIN}"}
    assert connect(guarded).request("GET", "/v1/quota", headers=headers).status == 200


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("tokens", [("wrong", ADMIN), (ADMIN, "wrong"), (RELAY, ADMIN),
                                    (ADMIN, RELAY)],
                         ids=["wrong-admin", "admin-wrong", "relay-admin", "admin-relay"])
def test_two_authorization_headers_are_refused(guarded, tokens):
    answer = ask(guarded.port, "POST", INSTALL + "/commit", ("Host", "x"),
                 *(("Authorization", f"Bearer {token}") for token in tokens), body=COMMIT)
    assert answer.status in (400, 401)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", ["access_token", "token", "authorization"])
def test_a_token_in_the_query_permits_nothing_and_is_not_repeated(guarded, connect, name):
    client = connect(guarded)
    for method, path, body in (("GET", "/v1/stats", None), ("GET", "/v1/installs", None),
                               ("POST", INSTALL + "/commit", COMMIT)):
        answer = client.request(method, f"{path}?{name}={ADMIN}", body)
        check_unauthorized(answer)
        assert ADMIN not in answer.body.decode()
    answer = client.request("GET", f"/v1/stats?{name}={ADMIN}", headers=bearer(ADMIN))
    check_problem(answer, 422, "invalid_request", name)
    assert ADMIN not in answer.body.decode()


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("path", [
    "/v1/%71uota", "//v1/quota", "/v1//quota", "/v1/quota/", "/V1/quota", "/v1/QUOTA",
    "/v1/quota%00", "/v1/quota%20", "/healthz/../v1/quota", "/healthz/%2e%2e/v1/quota",
    "/%2e/v1/quota", "/v1/installs/../quota", "/v1/quota;/healthz", "/v1/quota?/healthz",
    "/v1/quota?", "/v1/quota#/healthz", "/healthz%2f..%2fv1%2fquota", "/%2Fv1/quota",
    "http://127.0.0.1/v1/quota", "/v1%2fquota", "/v1\\quota",
])
def test_no_spelling_of_a_path_avoids_its_token(guarded, path):
    for headers in ([], [("Authorization", f"Bearer {RELAY}")]):
        answer = ask(guarded.port, "GET", path, ("Host", "127.0.0.1"), *headers)
        assert answer.status in (400, 401, 403, 404), answer.body
        assert b"lifetime" not in answer.body


def test_with_tokens_host_and_origin_do_not_matter(guarded):
    for name, value in (("Host", "credits.example"), ("Host", "192.0.2.7:8787"),
                        ("Origin", "https://dashboard.example"), ("Origin", "null"),
                        ("Sec-Fetch-Site", "cross-site")):
        headers = {"Host": "creditsd"} | {name: value} | bearer(ADMIN)
        assert ask(guarded.port, "GET", "/v1/quota", *headers.items()).status == 200
        assert ask(guarded.port, "POST", INSTALL + "/commit", *headers.items(),
                   body=COMMIT).status == 200


# --- access is checked before anything else


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("method, path, body", [
    ("GET", "/v1/installs/%20", None), ("GET", "/v1/installs/none", None),
    ("GET", "/v1/installs?limit=0", None), ("POST", INSTALL + "/commit", b"{"),
    ("POST", INSTALL + "/commit", {"credits": 0}), ("PUT", "/v1/quota", {}),
    ("POST", "/v1/batch", {"operations": []}), ("POST", INSTALL + "/plan", b" " * (LARGE + 1)),
], ids=str)
def test_other_faults_are_not_reported_without_a_token(guarded, connect, method, path, body):
    check_unauthorized(connect(guarded).request(method, path, body if method != "GET" else None))


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("expect", [[], [("Expect", "100-continue")]], ids=["plain", "expect"])
@pytest.mark.parametrize("method, path, token, status", [
    ("POST", INSTALL + "/commit", None, 401), ("POST", INSTALL + "/commit", "wrong", 401),
    ("POST", "/v1/batch", "wrong", 401), ("PUT", "/v1/quota", RELAY, 403),
    ("POST", "/v1/import", None, 401), ("POST", "/v1/import", RELAY, 403),
])
def test_a_refused_call_is_answered_before_its_body_arrives(guarded, method, path, token, status, expect):
    authorization = [("Authorization", f"Bearer {token}")] if token else []
    answer = ask(guarded.port, method, path, ("Host", "x"), ("Content-Length", LARGE),
                 *authorization, *expect, body=b"", sent_body=b"{")
    check_refused(answer, method, status)


@pytest.mark.usefixtures("unchanged")
def test_sending_a_refused_body_anyway_does_no_harm(guarded, connect):
    for body in (b" " * LARGE, iter([b" " * 100_000] * 20)):
        check_unauthorized(connect(guarded).request("POST", INSTALL + "/commit", body,
                                                    bearer("wrong")))
    assert status_of(connect(guarded), ADMIN) == 200


@pytest.mark.usefixtures("unchanged")
def test_the_body_of_a_refused_call_is_not_taken_for_the_next_request(guarded):
    smuggled = (f"POST {INSTALL}/commit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n"
                f"Content-Length: 34\r\n\r\n{{\"backend\":\"gemini\",\"tier\":\"max\"}}").encode()
    head = f"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: {len(smuggled)}\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    received = creditsd.raw(guarded.port, head.encode() + smuggled + last)
    assert received.startswith(b"HTTP/1.1 401 ")
    assert received.count(b"HTTP/1.1 ") <= 2


# --- token files


def test_every_token_of_a_file_is_valid(start, connect, tmp_path):
    tokens = [f"token-{n}" for n in range(500)]
    client = connect(start("--relay-token-file", token_file(tmp_path / "r", *tokens),
                           "--admin-token-file", token_file(tmp_path / "a", ADMIN, "second")))
    for token in tokens[::50] + tokens[-1:]:
        assert status_of(client, token, INSTALL) == 404
        assert status_of(client, token) == 403
    assert [status_of(client, token) for token in (ADMIN, "second", "token-500")] == [200, 200, 401]


@pytest.mark.parametrize("content", [
    b"one\ntwo\n", b"one\ntwo", b"one\r\ntwo\r\n", b"one\r\ntwo", b"\n\none\n\n\ntwo\n\n",
    b"\r\none\r\n\r\ntwo\r\n", b"\n\r\none\ntwo\r\n",
], ids=repr)
def test_a_token_file_may_have_blank_lines_and_any_line_ends(start, connect, tmp_path, content):
    path = tmp_path / "tokens"
    path.write_bytes(content)
    path.chmod(0o600)
    client = connect(start("--admin-token-file", path))
    assert [status_of(client, token) for token in ("one", "two", "three", "")] == [
        200, 200, 401, 401]


def test_every_character_of_a_token_counts(start, connect, tmp_path):
    token = "ABCxyz019-._~+/=="
    client = connect(start("--admin-token-file", token_file(tmp_path / "tokens", token)))
    assert status_of(client, token) == 200
    for other in (token[:-1], token.replace("+", " "), token.replace("+", "%2B"), token + "=",
                  token.lower()):
        assert status_of(client, other) in (400, 401)


def test_with_only_the_admins_file_its_tokens_are_the_only_ones(start, connect, tmp_path):
    client = connect(start("--admin-token-file", token_file(tmp_path / "tokens", ADMIN)))
    for method, path, body, _ in RELAY_CALLS + OPERATORS_CALLS:
        check_unauthorized(client.request(method, path, body), method)
        assert client.request(method, path, body, bearer(ADMIN)).status not in (401, 403)


def test_with_only_the_relays_file_nobody_is_an_operator(start, connect, tmp_path):
    client = connect(start("--relay-token-file", token_file(tmp_path / "tokens", RELAY)))
    assert client.request("PUT", INSTALL, headers=bearer(RELAY)).status == 201
    for method, path, body, _ in OPERATORS_CALLS:
        check_unauthorized(client.request(method, path, body), method)
        check_refused(client.request(method, path, body, bearer(RELAY)), method, 403)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_token_file_only_for_its_owner_is_read(start, connect, tmp_path, mode):
    path = token_file(tmp_path / "tokens", ADMIN, mode=mode)
    (tmp_path / "link").symlink_to(path)
    for named in (path, tmp_path / "link"):
        server = start("--admin-token-file", named)
        assert status_of(connect(server), ADMIN) == 200
        server.stop()


@pytest.mark.parametrize("where", ["environment", "config"])
def test_token_files_can_be_set_like_everything_else(start, connect, tmp_path, where):
    path = token_file(tmp_path / "tokens", ADMIN)
    config = tmp_path / "creditsd.conf"
    config.write_text(f"admin-token-file = {path}\n")
    server = (start(env={"CREDITSD_ADMIN_TOKEN_FILE": str(path)}) if where == "environment"
              else start("--config", config))
    client = connect(server)
    assert [status_of(client, ADMIN), status_of(client, "wrong")] == [200, 401]


FLAGS = ["--relay-token-file", "--admin-token-file"]


def refuse_start(data_dir, *args):
    ended = creditsd.run("--listen", "127.0.0.1:0", "--data-dir", data_dir, *args)
    assert (ended.returncode, ended.stdout) == (1, ""), ended.stderr
    return ended.stderr


def make_missing(path):
    path.unlink(missing_ok=True)


def make_directory(path):
    path.unlink(missing_ok=True)
    path.mkdir()


def make_content(content):
    def make(path):
        token_file(path)
        path.write_bytes(content)
    return make


BROKEN = {
    # fault of a token file: how to make it
    "missing": make_missing, "directory": make_directory, "empty": make_content(b""),
    "blank": make_content(b"\n\r\n\n"),
    "bad-token": make_content(b"new-token\nnot a token\n"),
    "readable-by-all": lambda path: token_file(path, "new-token", mode=0o644),
    "readable-by-others": lambda path: token_file(path, "new-token", mode=0o604),
}


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("make", BROKEN.values(), ids=BROKEN)
def test_a_broken_token_file_aborts_startup_and_is_named(data_dir, tmp_path, flag, make):
    path = tmp_path / "some.tokens"
    make(path)
    other = FLAGS[1 - FLAGS.index(flag)]
    error = refuse_start(data_dir, flag, path, other, token_file(tmp_path / "other", "well"))
    assert str(path) in error
    assert "new-token" not in error and "not a token" not in error


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666])
def test_a_token_file_that_others_can_read_is_refused_with_advice(data_dir, tmp_path, mode):
    path = token_file(tmp_path / "tokens", ADMIN, mode=mode)
    error = refuse_start(data_dir, "--admin-token-file", path)
    assert str(path) in error and re.search(r"chmod|600", error), error
    assert ADMIN not in error


@pytest.mark.parametrize("bad", [
    "two words", "umlaut-\u00e4", 'quo"ted', "com,ma", "# a comment", "per%cent", "=first",
    "in=the=middle", "semi;colon", "nul\0", "tab\tbed", "\ufeffmark", "back\\slash", "=",
], ids=repr)
def test_an_invalid_token_is_named_by_its_line_and_not_shown(data_dir, tmp_path, bad):
    path = token_file(tmp_path / "tokens", "well-formed", "", bad, "another")
    error = refuse_start(data_dir, "--admin-token-file", path)
    place = error.split(str(path), 1)[1]
    assert re.search(r"\b3\b", place), error
    assert len(bad) == 1 or bad not in error
    assert "well-formed" not in error and "another" not in error


@pytest.mark.parametrize("flag", FLAGS)
def test_an_empty_token_file_name_does_not_disable_tokens(data_dir, flag):
    ended = creditsd.run("--listen", "127.0.0.1:0", "--data-dir", data_dir, f"{flag}=")
    assert ended.returncode in (1, 2)
    assert ended.stdout == ""


@pytest.mark.parametrize("flag", FLAGS)
def test_beyond_loopback_it_listens_with_tokens(start, connect, tmp_path, flag):
    server = start("--listen", "0.0.0.0:0", flag, token_file(tmp_path / "tokens", "secret"))
    client = connect(server)
    assert server.host == "0.0.0.0"
    assert [status_of(client, token, INSTALL) for token in ("secret", "wrong")] == [404, 401]


# --- SIGHUP


@pytest.fixture
def rotating(start, tmp_path):
    """A separate server with tokens, whose files change."""
    return start(*token_flags(tmp_path))


def hup_and_wait_for(server, told):
    """Sends SIGHUP and waits for its line in the log."""
    logged = len(server.log())
    server.hup()
    wait_until(lambda: told in server.log()[logged:], f"{told} in the log")


def test_sighup_accepts_the_new_tokens_and_refuses_the_old(rotating, connect, tmp_path):
    client, other = connect(rotating), connect(rotating)
    assert [status_of(client, RELAY, INSTALL), status_of(client, ADMIN)] == [404, 200]
    kept = client.connection.sock
    token_file(tmp_path / "relay.tokens", "relay-2")
    token_file(tmp_path / "admin.tokens", "admin-2")
    assert [status_of(client, ADMIN), status_of(other, "admin-2")] == [200, 401]
    rotating.hup()
    wait_until(lambda: status_of(other, "admin-2") == 200, "the new token")
    assert [status_of(client, "relay-2", INSTALL), status_of(client, "admin-2")] == [404, 200]
    assert client.connection.sock is kept
    for token, path in ((RELAY, INSTALL), (ADMIN, INSTALL), (ADMIN, "/v1/installs")):
        assert status_of(client, token, path) == 401


def test_tokens_can_overlap_in_a_rotation(rotating, connect, tmp_path):
    client = connect(rotating)
    token_file(tmp_path / "admin.tokens", ADMIN, "admin-2")
    rotating.hup()
    wait_until(lambda: status_of(client, "admin-2") == 200, "the new token")
    assert status_of(client, ADMIN) == 200
    token_file(tmp_path / "admin.tokens", "admin-2")
    rotating.hup()
    wait_until(lambda: status_of(client, ADMIN) == 401, "the end of the old token")
    assert status_of(client, "admin-2") == 200


def test_a_token_that_moves_to_the_relays_file_is_no_longer_an_admins(rotating, connect, tmp_path):
    client = connect(rotating)
    assert status_of(client, ADMIN) == 200
    token_file(tmp_path / "relay.tokens", ADMIN)
    token_file(tmp_path / "admin.tokens", "admin-2")
    rotating.hup()
    wait_until(lambda: status_of(client, "admin-2") == 200, "the new token")
    assert [status_of(client, ADMIN), status_of(client, ADMIN, INSTALL)] == [403, 404]


@pytest.mark.parametrize("name", ["relay.tokens", "admin.tokens"])
@pytest.mark.parametrize("make", BROKEN.values(), ids=BROKEN)
def test_sighup_on_a_broken_token_file_keeps_the_tokens_and_logs_it(rotating, connect, tmp_path, name, make):
    path = tmp_path / name
    make(path)
    client = connect(rotating)
    hup_and_wait_for(rotating, str(path))
    assert [status_of(client, RELAY, INSTALL), status_of(client, RELAY)] == [404, 403]
    assert [status_of(client, ADMIN), status_of(client, "new-token", INSTALL)] == [200, 401]
    assert "new-token" not in rotating.log() and "not a token" not in rotating.log()

    if path.is_dir():
        path.rmdir()
    token_file(path, "mended")
    rotating.hup()
    wait_until(lambda: status_of(client, "mended", INSTALL) == 404, "the mended tokens")


def test_many_sighups_under_load_refuse_no_one(rotating, connect):
    client = connect(rotating)
    for n in range(50):
        rotating.hup()
        answer = client.request("POST", INSTALL + "/commit", COMMIT, bearer(RELAY))
        assert (answer.status, answer.json["version"]) == (200, n + 1)
    assert rotating.running()


# --- tokens stay secret


def test_tokens_are_never_revealed(start, connect, tmp_path):
    """Not in the log at its most verbose level, in an answer, or in the process list."""
    server = start("--log-level", "debug", "--slow-request", "1ms", *token_flags(tmp_path))
    secrets = [RELAY, ADMIN, "guess-9fK2", "rotated-4hT7", base64.b64encode(
        f"admin:{ADMIN}".encode()).decode()]
    client = connect(server)
    answers = []
    for authorization in (f"Bearer {RELAY}", f"Bearer {ADMIN}", "Bearer guess-9fK2", ADMIN,
                          f"Bearer {ADMIN} {ADMIN}", f"Basic {secrets[-1]}", f"{ADMIN} Bearer",
                          f"Bearer {ADMIN}\xe4", "guess-9fK2", f"Bearer  {ADMIN}",
                          f"Basic {ADMIN}"):
        for method, path, body, _ in RELAY_CALLS + OPERATORS_CALLS:
            answers.append(client.request(method, path, body, {"Authorization": authorization}))
        for path in ("/nothing", "/v1/installs?limit=0", f"/v1/quota?access_token={ADMIN}"):
            answers.append(client.request("GET", path, headers={"Authorization": authorization}))
    answers.append(ask(server.port, "GET", "/v1/quota", ("Host", "x"),
                       ("Authorization", f"Bearer {RELAY}"), ("Authorization", f"Bearer {ADMIN}")))
    for broken in (f"GET /v1/quota HTTP/1.1\r\nAuthorization: Bearer {ADMIN}\r\nbroken\r\n\r\n",
                   f"GET /v1/quota HTTP/9.1\r\nAuthorization: Bearer {ADMIN}\r\n\r\n",
                   f"GET /v1/quota\r\nAuthorization: Bearer {ADMIN}\r\n\r\n",
                   f"Authorization: Bearer {ADMIN}\r\n\r\n",
                   f"GET /v1/quota HTTP/1.1\r\nAuthorization: Bearer {ADMIN}" + "x" * 9000):
        answers.append(creditsd.raw(server.port, broken.encode(), half_close=True))
    token_file(tmp_path / "admin.tokens", "rotated-4hT7")
    server.hup()
    wait_until(lambda: status_of(client, "rotated-4hT7") == 200, "the new token")
    (tmp_path / "admin.tokens").write_text("rotated-4hT7\nguess-9fK2 \x01\n")
    hup_and_wait_for(server, "admin.tokens")
    arguments = open(f"/proc/{server.process.pid}/cmdline").read()
    assert server.stop() == 0

    told = [server.log(), server.out(), arguments]
    told += [answer.decode("latin-1") if isinstance(answer, bytes) else
             f"{answer.headers}{answer.body.decode()}" for answer in answers]
    assert [(secret, text) for secret in secrets for text in told if secret in text] == []


# --- without tokens: only programs on this machine


@pytest.fixture
def own(shared_server, connect):
    """The server without tokens; checks that refused calls change nothing."""
    client = connect(shared_server)
    client.put(INSTALL)
    before = state_of(client)
    yield shared_server
    assert state_of(client) == before


READ, DEBIT = ("GET", "/v1/quota", None), ("POST", INSTALL + "/commit", COMMIT)
IMPORT = ("POST", "/v1/import", {"rows": {"b": {}}})


def ask_own(server, call, **headers):
    """`{port}` in a header stands for the server's port; a header that is None is omitted."""
    method, path, body = call
    sent = {"Host": "127.0.0.1:{port}"} | {k.replace("_", "-"): v for k, v in headers.items()}
    return ask(server.port, method, path, *((k, v.replace("{port}", str(server.port)))
                                            for k, v in sent.items() if v is not None), body=body)


@pytest.mark.parametrize("host", [
    "127.0.0.1", "127.0.0.1:{port}", "localhost", "localhost:{port}", "LOCALHOST", "LocalHost:9",
    "[::1]", "[::1]:{port}", "127.0.0.2", "127.0.0.2:{port}", "127.0.0.1:9000"])
def test_without_tokens_a_loopback_host_is_served(shared_server, host):
    assert ask_own(shared_server, READ, Host=host).status == 200
    assert ask_own(shared_server, DEBIT, Host=host).status == 200


@pytest.mark.parametrize("host", [
    "evil.example", "evil.example:{port}", "127.0.0.1.evil.example",
    "127.0.0.1.evil.example:{port}",
    "localhost.evil.example", "evil.localhost.example", "127.evil.example", "127.0.0.1evil",
    "10.0.0.1", "192.0.2.1:{port}", "0.0.0.0", "[::]", "[::2]",
    "128.0.0.1"])
def test_without_tokens_another_host_is_403(own, host):
    for call in (READ, DEBIT, IMPORT):
        for encoding in (None, "gzip"):
            answer = ask_own(own, call, Host=host, Accept_Encoding=encoding)
            check_problem(answer, 403, "forbidden")


@pytest.mark.parametrize("host", [
    "[::1].evil.example", "[::1", "127.0.0.1 evil", "evil@127.0.0.1", "127.0.0.1:x", "127.0.0.1:{port}/",
    "127.0.0.1:{port}:{port}", ":{port}", "[", "localhost:{port}.evil.example",
    "localhost:{port}@evil.example", "127.0.0.1%00.evil.example"])
def test_without_tokens_an_invalid_host_is_refused(own, host):
    for call in (READ, DEBIT):
        for encoding in (None, "gzip"):
            answer = ask_own(own, call, Host=host, Accept_Encoding=encoding)
            assert answer.status in (400, 403)


@pytest.mark.parametrize("host", ["creditsd", "x", "notlocalhost", "node-7"])
@pytest.mark.parametrize("encoding", ["gzip, deflate", "gzip, deflate, br, zstd", "identity",
                                      "identity;q=1, *;q=0"])
def test_without_tokens_a_bare_name_is_403_for_a_browser(own, host, encoding):
    """A browser always sends Accept-Encoding, and no page can remove it."""
    for call in (READ, DEBIT, IMPORT):
        answer = ask_own(own, call, Host=host, Accept_Encoding=encoding)
        check_problem(answer, 403, "forbidden")


@pytest.mark.parametrize("host", ["creditsd", "x", "notlocalhost", "node-7"])
def test_without_tokens_a_bare_name_is_served_to_other_programs(shared_server, host):
    for call in (READ, DEBIT):
        assert ask_own(shared_server, call, Host=host).status == 200


@pytest.mark.parametrize("host", ["", None])
def test_a_request_without_a_host_is_invalid(shared_server, host):
    for call in (READ, DEBIT):
        check_problem(ask_own(shared_server, call, Host=host), 400, "bad_request")


@pytest.mark.parametrize("hosts", [("evil.example", "127.0.0.1"), ("127.0.0.1", "evil.example"),
                                   ("127.0.0.1", "127.0.0.1")])
def test_without_tokens_two_hosts_are_refused(own, hosts):
    answer = ask(own.port, *DEBIT[:2], *(("Host", host) for host in hosts), body=COMMIT)
    assert answer.status in (400, 403)


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}"])
def test_without_tokens_the_servers_own_origin_is_served(shared_server, host):
    for site in ("same-origin", "none", None):
        for call in (READ, DEBIT):
            assert ask_own(shared_server, call, Host=host, Origin=f"http://{host}",
                           Sec_Fetch_Site=site).status == 200


@pytest.mark.parametrize("origin", [
    "null", "http://127.0.0.1", "http://127.0.0.1:1", "http://localhost:1",
    "https://127.0.0.1:{port}",
    "http://evil.example", "http://evil.example:{port}", "http://127.0.0.1:{port}.evil.example",
    "http://127.0.0.1:{port}0", "http://127.0.0.1:{port}@evil.example", "127.0.0.1:{port}",
    "file://", "chrome-extension://abc", "http://evil.example http://127.0.0.1:{port}"])
def test_without_tokens_another_origin_is_403(own, origin):
    for call in (READ, DEBIT, IMPORT):
        check_problem(ask_own(own, call, Origin=origin), 403, "forbidden")


@pytest.mark.parametrize("site, status", [("cross-site", 403), ("same-site", 403), ("none", 200),
                                          ("same-origin", 200)])
def test_without_tokens_a_browser_names_the_calling_site(shared_server, site, status):
    for call in (READ, DEBIT):
        assert ask_own(shared_server, call, Sec_Fetch_Site=site).status == status


def test_without_tokens_the_page_may_be_linked_to(shared_server):
    assert ask_own(shared_server, ("GET", "/", None), Sec_Fetch_Site="cross-site").status == 200


@pytest.mark.parametrize("content_type", [
    "text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x"])
def test_without_tokens_the_types_of_forms_are_refused(own, content_type):
    for call in (DEBIT, IMPORT, ("PUT", "/v1/quota", QUOTA), ("POST", "/v1/batch", BATCH)):
        check_problem(ask_own(own, call, Content_Type=content_type), 415, "unsupported_media_type")


def test_without_tokens_json_may_have_a_charset(shared_server):
    answer = ask_own(shared_server, DEBIT, Content_Type="application/json; charset=utf-8")
    assert answer.status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:{port}", None])
@pytest.mark.parametrize("method", ["OPTIONS", "GET"])
def test_other_sites_pages_never_get_access(shared_server, method, origin):
    answer = ask_own(shared_server, (method, "/v1/quota", None), Origin=origin,
                     Access_Control_Request_Method="PUT" if method == "OPTIONS" else None)
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
