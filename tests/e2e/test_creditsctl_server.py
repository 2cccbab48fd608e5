"""creditsctl and a server: every command in tables and in JSON, and its errors when the server refuses,
is down, disconnects midway, or is some other program."""

import contextlib
import http.server
import json
import os
import pty
import select
import signal
import socket
import ssl
import subprocess
import threading

import pytest

import access
import creditsctl
import creditsd
from creditsctl import check_done, check_failed
from creditsd import wait_until
from traffic import all_entries, all_installs, path_of

COMMIT = {"backend": "gemini", "tier": "core"}
ADMIN, RELAY = "admin-token-of-some-length", "relay-token-of-some-length"
QUOTA = {"core": {"lifetime": 7, "geminiCapLifetime": 5}, "max": {"monthly": None}}


@pytest.fixture
def ctl(server):
    return lambda *args, **settings: creditsctl.run(*args, server=server, **settings)


@pytest.fixture
def ledger(client):
    """`a` has a commit and a reservation; `a/b` and `a2` have a commit each, with tier `pro`."""
    client.post(f"{path_of('a')}/commit", COMMIT)
    client.request("POST", f"{path_of('a')}/reservations", {"credits": 5, "ttl_seconds": 3600},
                   {"Idempotency-Key": "some-key"})
    for install_id in ["a/b", "a2"]:
        client.post(f"{path_of(install_id)}/commit", COMMIT | {"tier": "pro", "credits": 3})
    return client


def lines(text):
    return [line.split() for line in text.splitlines()]


def table(text):
    """The rows of one table, each a dict by column."""
    head, *rows = text.splitlines()
    return [dict(zip(head.split(), row.split(), strict=False)) for row in rows]


def test_stats_show_the_server_s_figures(ctl, ledger):
    answer = json.loads(check_done(ctl("stats", "--json")))
    assert answer["store"]["installs"] == 3
    shown = check_done(ctl("stats"))
    assert ["store.installs", "3"] in lines(shown)
    assert ["commit", "3", "0"] in [line[:3] for line in lines(shown)]
    assert ["a", "2"] in lines(shown)


def test_show_has_row_balance_reservations_and_actor(ctl, ledger):
    answer = json.loads(check_done(ctl("show", "a", "--json")))
    assert answer["install"] == ledger.get(path_of("a")).json
    assert answer["actor"]["held"] == 5
    shown = lines(check_done(ctl("show", "a")))
    held = answer["actor"]["reservations"][0]
    for line in [["remaining", "94"], ["held", "5"], ["version", "2"], ["live", "true"],
                 [held["reservation_id"], "core", "gemini", "5", "lifetime", held["month"],
                  held["expires_at"]]]:
        assert line in shown


@pytest.mark.parametrize("install_id", ["a", "a/b", "a2"])
def test_show_wakes_no_actor(server, connect, start, install_id):
    client = connect(server)
    for each in ["a", "a/b", "a2"]:
        client.post(f"{path_of(each)}/commit", COMMIT)
    server.stop()
    cold = start()
    shown = check_done(creditsctl.run("show", install_id, server=cold))
    assert ["install_id", install_id] in lines(shown)
    assert ["live", "false"] in lines(shown) and ["spawned_at", "-"] in lines(shown)
    stats = json.loads(check_done(creditsctl.run("stats", "--json", server=cold)))
    assert stats["actors"]["live"] == 0


@pytest.mark.parametrize("install_id", ["b", "a3", "a/", "A", "%61", "a&limit=2", "a b", "ä", ".."])
@pytest.mark.parametrize("command", ["show", "history"])
def test_an_unknown_install_is_named(ctl, ledger, command, install_id):
    shown = install_id.replace("ä", "%C3%A4")
    check_failed(ctl(command, install_id), 1, shown if command == "show" else "(")


def test_history_pages_through_all_entries(ctl, client):
    for start in range(0, 2500, 500):
        client.post("/v1/batch", {"operations": [
            {"op": "commit", "install_id": "a", **COMMIT, "credits": 1 + (start + n) % 9}
            for n in range(500)]})
    entries = all_entries(client, "a")[::-1]
    assert len(entries) == 2500
    assert json.loads(check_done(ctl("history", "a", "--all", "--json"))) == {
        "entries": entries, "next_before": None}
    assert json.loads(check_done(ctl("history", "a", "--limit", 1500, "--json"))) == {
        "entries": entries[:1500], "next_before": entries[1499]["version"]}
    ended = ctl("history", "a", "--limit", 3)
    assert ended.returncode == 0 and "there are more" in ended.stderr
    assert [row["VERSION"] for row in table(ended.stdout)] == ["2500", "2499", "2498"]
    assert len(table(check_done(ctl("history", "a", "--limit", 2500)))) == 2500


def test_list_pages_and_filters(ctl, client):
    client.post("/v1/batch", {"operations": [
        {"op": "commit", "install_id": f"install-{n:04}", "backend": "hardware",
         "tier": "max" if n % 2 else "core"} for n in range(2100)]})
    installs = list(all_installs(client).values())
    assert json.loads(check_done(ctl("list", "--all", "--json"))) == {
        "installs": installs, "next_after": None}
    some = json.loads(check_done(ctl("list", "--limit", 1001, "--json")))
    assert some == {"installs": installs[:1001], "next_after": "install-1000"}
    assert len(table(ctl("list").stdout)) == 100
    rows = table(check_done(ctl("list", "--prefix", "install-000", "--tier", "max")))
    assert [row["INSTALL"] for row in rows] == [f"install-{n:04}" for n in range(1, 10, 2)]
    assert {row["REMAINING"] for row in rows} == {"unlimited"}
    for filters in (["--prefix", "b&tier=core"], ["--tier", "gold"]):
        ended = ctl("list", *filters)
        assert (ended.returncode, table(ended.stdout)) == (0, [])
        assert ended.stderr == "creditsctl: no install has this --prefix and --tier\n"


def test_a_reader_that_closes_the_pipe_ends_a_list(server, client):
    client.post("/v1/batch", {"operations": [
        {"op": "create", "install_id": f"install-{n:04}"} for n in range(5000)]})
    url = f"http://127.0.0.1:{server.port}"
    ended = subprocess.run(f"'{creditsctl.BINARY}' --url {url} list --all | head -1", shell=True,
                           text=True, capture_output=True, timeout=creditsd.TIMEOUT_S)
    assert ended.stdout.startswith("INSTALL") and ended.stderr == ""


def test_export_and_import_carry_a_ledger_over(server, ledger, start, tmp_path, ctl):
    file = tmp_path / "credits.json"
    file.write_text("old")
    assert str(file) in check_done(ctl("export", file))
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text()) == ledger.get("/v1/snapshot").json
    assert check_done(ctl("export", "-")) == file.read_text()
    assert json.loads(check_done(ctl("export", file, "--json")))["bytes"] == file.stat().st_size

    other = start("--data-dir", tmp_path / "other")
    ended = creditsctl.run("import", file, "--progress", server=other)
    assert (ended.returncode, ended.stdout) == (0, f"imported 3 installs from {file}\n")
    assert ended.stderr.endswith("import: 100 %\n")
    assert check_done(creditsctl.run("export", "-", server=other)) == file.read_text()
    check_failed(creditsctl.run("import", file, server=other), 1, "ledger_not_empty")


def test_a_large_ledger_is_imported_and_exported(ctl, tmp_path):
    file = tmp_path / "credits.json"
    rows = {f"install-{n:06}": {"tier_snapshot": "core", "lifetime_consumed": n,
                                "month": "2026-11"} for n in range(30_000)}
    file.write_text(json.dumps({"rows": rows}, indent=100))  # more than the server drains
    assert file.stat().st_size > 10_000_000
    assert json.loads(check_done(ctl("import", file, "--json"))) == {"imported": 30_000}
    check_failed(ctl("import", file), 1, "ledger_not_empty")
    out = tmp_path / "out.json"
    check_done(ctl("export", out))
    exported = json.loads(out.read_text())["rows"]
    assert {key: row["lifetime_consumed"] for key, row in exported.items()} == {
        key: row["lifetime_consumed"] for key, row in rows.items()}


BROKEN = {
    "invalid JSON": ("{\n  \"rows\":\n", "line 3"),
    "cut short": ('{"rows":{"a":{"lifetime_consumed":1}', "line 1"),
    "a foreign file": ('{"users":[]}', "rows"),
    "a negative counter": ('{"rows":{"a":{"lifetime_consumed":-1}}}', "lifetime_consumed"),
    "an invalid id": ('{"rows":{"a b":{}}}', "a b"),
    "empty": ("", "("),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_or_foreign_file_is_refused_and_nothing_imported(ctl, tmp_path, case):
    text, word = BROKEN[case]
    file = tmp_path / "credits.json"
    file.write_text(text)
    check_failed(ctl("import", file), 1, word)
    ended = ctl("list")
    assert (ended.returncode, table(ended.stdout)) == (0, [])
    assert ended.stderr == "creditsctl: the ledger has no installs\n"
    assert json.loads(check_done(ctl("list", "--json"))) == {"installs": [], "next_after": None}


def test_files_that_cannot_be_used_are_named(ctl, tmp_path):
    for args in [("import", tmp_path / "none"), ("import", tmp_path),
                 ("export", tmp_path / "none" / "file"), ("quota", "set", tmp_path / "none"),
                 ("quota", "set", tmp_path), ("quota", "get", tmp_path / "none" / "file")]:
        check_failed(ctl(*args), 1, args[-1])


def test_the_quota_is_shown_and_replaced(ctl, tmp_path):
    shown = table(check_done(ctl("quota", "get")))
    assert shown[0] == {"TIER": "core", "COUNTER": "lifetime", "CREDITS": "100", "GEMINI": "50"}
    file = tmp_path / "quota.json"
    check_done(ctl("quota", "get", file))
    before = json.loads(file.read_text())
    assert json.loads(check_done(ctl("quota", "get", "--json"))) == before
    assert json.loads(check_done(ctl("quota", "get", "-"))) == before

    shown = table(check_done(ctl("quota", "set", "-", stdin=json.dumps(QUOTA))))
    assert [row["CREDITS"] for row in shown] == ["7", "unlimited"]
    check_done(ctl("quota", "set", file, "--json"))
    assert json.loads(check_done(ctl("quota", "get", "--json"))) == before
    check_failed(ctl("quota", "set", "-", stdin='{"core":{"lifetime":-1}}'), 1, "core", "lifetime")
    check_failed(ctl("quota", "set", "-", stdin="nonsense"), 1, "invalid_json")
    assert json.loads(check_done(ctl("quota", "get", "--json"))) == before


def test_top_prints_plain_frames_with_rates(ctl, ledger):
    over = threading.Event()

    def commit():
        own = creditsd.Client(ledger.port)
        while not over.is_set():
            own.post(f"{path_of('a2')}/commit", COMMIT)
        own.close()

    traffic = threading.Thread(target=commit)
    traffic.start()
    try:
        shown = check_done(ctl("top", "--count", 2, "--interval", "300ms"))
        answer = check_done(ctl("top", "--count", 2, "--interval", "300ms", "--json"))
    finally:
        over.set()
        traffic.join()
    assert "\x1b" not in shown
    assert shown.count("HOTTEST INSTALL") == 2
    hottest = shown.splitlines()[-3:]
    assert hottest[0].split()[0] == "a2"  # by rate, though it began after `a`
    assert float(hottest[0].split()[1]) > 0
    frames = [json.loads(line) for line in answer.splitlines()]
    assert len(frames) == 2
    for frame in frames:
        assert frame["requests_per_second"]["commit"] > 0
        assert frame["rows_per_second"] > 0
        assert frame["hottest"][0]["install_id"] == "a2"
        assert frame["hottest"][0]["messages_per_second"] > 0
        assert frame["stats"]["store"]["installs"] == 3


@contextlib.contextmanager
def on_a_terminal(server, *args):
    """Runs the command on its own terminal; yields the process and a function that returns its output."""
    terminal, its_end = pty.openpty()
    process = subprocess.Popen(
        [creditsctl.BINARY, "--url", f"http://127.0.0.1:{server.port}", *map(str, args)],
        env=creditsctl.environment(), stdin=its_end, stdout=its_end, stderr=its_end,
        start_new_session=True)
    os.close(its_end)
    drawn = bytearray()

    def read():
        while select.select([terminal], [], [], 0)[0]:
            try:
                chunk = os.read(terminal, 65536)
            except OSError:
                break  # its end is closed
            drawn.extend(chunk)
        return drawn.decode()

    try:
        yield process, read
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def test_top_redraws_a_terminal_in_place_and_ends_by_an_interrupt(server, ledger):
    with on_a_terminal(server, "top", "--interval", "50ms") as (process, read):
        wait_until(lambda: read().count("\x1b[H") >= 3, "three frames")
        process.send_signal(signal.SIGINT)
        assert process.wait(creditsd.TIMEOUT_S) == 0
        drawn = read()
    assert drawn.count("\x1b[2J") == 1
    assert drawn.endswith("\x1b[J")  # the shell's prompt begins below the frame
    assert "?25l" not in drawn and "?1049h" not in drawn
    assert drawn.count("\n") < 24 * drawn.count("\x1b[H")


def test_a_bar_is_drawn_on_a_terminal_and_wiped(server, tmp_path):
    file = tmp_path / "credits.json"
    file.write_text('{"rows":{"a":{}}}')
    with on_a_terminal(server, "import", file) as (process, read):
        assert process.wait(creditsd.TIMEOUT_S) == 0
        drawn = read()
    assert "import [" + "#" * 40 + "] 100 %" in drawn
    assert "\r\x1b[Kimported 1 installs" in drawn


def test_a_server_that_is_down_ends_with_3(server, tmp_path):
    server.stop()
    file = tmp_path / "credits.json"
    file.write_text('{"rows":{}}')
    for args in [["stats"], ["top"], ["show", "a"], ["history", "a"], ["list"], ["export", file],
                 ["import", file], ["quota", "get"], ["quota", "set", file]]:
        check_failed(creditsctl.run(*args, server=server), 3, f"127.0.0.1:{server.port}")
    assert file.read_text() == '{"rows":{}}'
    assert list(tmp_path.glob("credits.json*")) == [file]


def test_a_server_is_reached_over_its_unix_socket(start, tmp_path):
    path = tmp_path / "creditsd.sock"
    start("--listen", f"unix:{path}", *access.token_flags(tmp_path))
    url = ["--url", f"unix:{path}", "--token-file", tmp_path / "admin.tokens"]
    (tmp_path / "rows.json").write_text('{"rows":{"a":{"lifetime_consumed":7}}}')
    check_done(creditsctl.run("import", tmp_path / "rows.json", *url))
    check_done(creditsctl.run("export", tmp_path / "out.json", *url))
    assert json.loads((tmp_path / "out.json").read_text())["rows"]["a"]["lifetime_consumed"] == 7
    check_done(creditsctl.run("stats", env={"CREDITSCTL_URL": url[1], "CREDITSCTL_TOKEN_FILE": str(url[3])}))


@pytest.mark.parametrize("path", ["missing", "stale"])
def test_a_unix_socket_on_which_nobody_listens_is_named(tmp_path, path):
    with socket.socket(socket.AF_UNIX) as ended:
        ended.bind(str(tmp_path / "stale"))
    url = f"unix:{tmp_path / path}"
    check_failed(creditsctl.run("stats", "--url", url), 3, url, "cannot be reached")


@pytest.mark.parametrize("url", ["unix:", "unix:creditsd.sock", "unix:/" + "s" * 107])
def test_a_unix_socket_without_an_absolute_path_that_fits_is_an_error_of_usage(url):
    check_failed(creditsctl.run("stats", "--url", url), 2, "--url", url)


def test_the_url_and_the_token_may_come_from_the_environment(server, tmp_path):
    url = {"CREDITSCTL_URL": f"http://127.0.0.1:{server.port}/"}
    check_done(creditsctl.run("stats", env=url))
    check_failed(creditsctl.run("stats", env={"CREDITSCTL_URL": "nonsense"}), 2, "nonsense")
    check_failed(creditsctl.run("stats", env=url | {"CREDITSCTL_TOKEN_FILE": "/nonsense"}), 2,
                 "/nonsense")
    check_failed(creditsctl.run("stats", "--url", "http://127.0.0.1:1", env=url), 3, ":1")


@pytest.fixture
def token_files(tmp_path):
    files = {}
    for name, token in [("admin", ADMIN), ("relay", RELAY), ("wrong", "some-other-token-of-length")]:
        files[name] = tmp_path / f"{name}.token"
        files[name].write_text(token + "\n")
        files[name].chmod(0o600)
    return files


@pytest.fixture
def guarded(start, token_files):
    return start("--admin-token-file", token_files["admin"],
                 "--relay-token-file", token_files["relay"])


COMMANDS_OF_ADMINS = ["stats", "top", "show a", "history a", "list", "export FILE", "import FILE",
                      "quota get", "quota set FILE"]


@pytest.mark.parametrize("command", COMMANDS_OF_ADMINS)
def test_every_command_needs_an_administrators_token(guarded, token_files, tmp_path, command):
    file = tmp_path / "file.json"
    # An import is too large for the server to read to its end before it refuses.
    file.write_text('{"rows":{}}' + " " * 20_000_000 if "import" in command else '{"rows":{}}')
    args = command.replace("FILE", str(file)).split()
    check_failed(creditsctl.run(*args, server=guarded), 1, "unauthorized", "--token-file")
    check_failed(creditsctl.run(*args, "--token-file", token_files["wrong"], server=guarded), 1,
                 "unauthorized")
    check_failed(creditsctl.run(*args, "--token-file", token_files["relay"], server=guarded), 1,
                 "forbidden")


def test_a_token_file_works_and_may_not_be_open_to_others(guarded, token_files):
    token_file = token_files["admin"]
    check_done(creditsctl.run("stats", "--token-file", token_file, server=guarded))
    check_done(creditsctl.run("stats", env={"CREDITSCTL_TOKEN_FILE": str(token_file)},
                              server=guarded))
    for mode, is_fine in [(0o400, True), (0o640, True), (0o604, False), (0o660, False),
                          (0o602, False), (0o601, False)]:
        token_file.chmod(mode)
        ended = creditsctl.run("stats", "--token-file", token_file, server=guarded)
        if is_fine:
            check_done(ended)
        else:
            check_failed(ended, 2, token_file, "chmod 600")
    token_file.chmod(0o600)
    token_file.write_text("\n")
    check_failed(creditsctl.run("stats", "--token-file", token_file, server=guarded), 2, "no token")


class Foreign(http.server.BaseHTTPRequestHandler):
    """Another server, which answers as the test wants."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.answer(self)


@contextlib.contextmanager
def foreign(answer, context=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Foreign)
    server.answer = answer
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answering(status, body, headers=()):
    def answer(request):
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)
    return answer


def problem(status, code):
    return json.dumps({"type": "urn:x", "title": "T", "status": status, "code": code,
                       "detail": f"the detail of {code} \x1b[31m"}).encode()


ANSWERS = {
    "503 of creditsd": (503, problem(503, "storage_unavailable"), 3, "storage_unavailable"),
    "503 of a proxy": (503, b"<html>", 3, "503"),
    "502 of a proxy": (502, b"", 3, "502"),
    "500": (500, problem(500, "internal"), 1, "the detail of internal ?[31m (internal)"),
    "404 of another program": (404, b"not here", 1, "404"),
    "a page": (200, b"<html>", 1, "JSON"),
    "other JSON": (200, b"[1]", 1, "JSON"),
    "nothing": (200, b"", 1, "JSON"),
    "JSON with other fields": (200, b"{}", 1, '"'),
}


@pytest.mark.parametrize("command, body", [
    ("export", b"<html>"), ("export", b'{"rows":{"a":{'), ("export", b""),
    ("quota get", b"<html>"), ("quota get", b"")])
def test_an_invalid_answer_does_not_replace_a_file(tmp_path, command, body):
    file = tmp_path / "kept"
    file.write_text("old")
    with foreign(answering(200, body)) as port:
        check_failed(creditsctl.run(*command.split(), file, "--url", f"http://127.0.0.1:{port}"),
                     1, "creditsd")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_only_a_regular_file_is_replaced(server, tmp_path):
    pipe, link, target = (tmp_path / name for name in ("pipe", "link", "target"))
    os.mkfifo(pipe)
    target.write_text("old")
    link.symlink_to(target)
    for file in (pipe, link):
        check_failed(creditsctl.run("export", file, server=server), 1, file, "not a regular file")
    assert pipe.is_fifo() and link.is_symlink() and target.read_text() == "old"


@pytest.mark.parametrize("status", [200, 500])
def test_an_excessively_nested_answer_does_not_crash_it(status):
    with foreign(answering(status, b'{"installs":' + b"[" * 5_000_000)) as port:
        for command in ("stats", "list --json"):
            ended = creditsctl.run(*command.split(), "--url", f"http://127.0.0.1:{port}")
            check_failed(ended, 1)


def test_brackets_in_an_id_do_not_count_as_nesting(server, client):
    client.put("/v1/installs/" + "%5B" * 128)
    assert "[" * 128 in creditsctl.run("list", server=server).stdout


def test_a_failure_to_write_output_is_reported(server):
    with open("/dev/full", "w") as full:
        ended = subprocess.run([creditsctl.BINARY, "stats", "--url",
                                f"http://127.0.0.1:{server.port}"], stdout=full,
                               stderr=subprocess.PIPE, text=True, timeout=creditsd.TIMEOUT_S)
    assert ended.returncode == 1 and "standard output" in ended.stderr


def test_a_check_accepts_a_commit_that_ends_an_expired_reservation(server, client, data_dir):
    client.post("/v1/installs/a/reservations", {"tier": "max", "ttl_seconds": 1})
    [entry] = client.get("/v1/installs/a/entries").json["entries"]
    key = {"Idempotency-Key": entry["reservation_id"]}
    commit = {"backend": "gemini", "tier": "max"}
    creditsd.wait_until(lambda: not client.get("/v1/installs/a/actor").json["held"], "its end")
    client.post("/v1/installs/a/commit", commit)
    assert client.request("POST", "/v1/installs/a/commit", commit, key).status == 200
    server.stop()
    assert creditsctl.run("check", data_dir).returncode == 0


@pytest.mark.parametrize("case", ANSWERS)
@pytest.mark.parametrize("command", ["stats", "top --count 1", "list", "show a", "history a"])
def test_an_answer_from_another_program_is_reported(case, command):
    status, body, exit_status, word = ANSWERS[case]
    with foreign(answering(status, body)) as port:
        ended = creditsctl.run(*command.split(), "--url", f"http://127.0.0.1:{port}")
    check_failed(ended, exit_status, word)


def cut(request):
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    request.wfile.write(b'10\r\n{"rows":{"a":{}}\r\n')
    request.wfile.flush()
    request.close_connection = True


@pytest.mark.parametrize("answer, status", [
    (cut, 3), (answering(503, problem(503, "overloaded")), 3),
    (answering(401, problem(401, "unauthorized")), 1)])
def test_an_export_that_is_cut_short_leaves_the_file_unchanged(tmp_path, answer, status):
    file = tmp_path / "credits.json"
    file.write_text("old")
    with foreign(answer) as port:
        url = f"http://127.0.0.1:{port}"
        check_failed(creditsctl.run("export", file, "--url", url), status)
        assert creditsctl.run("export", "-", "--url", url).returncode == status
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_an_interrupted_export_leaves_nothing_behind(tmp_path):
    is_there, over = threading.Event(), threading.Event()

    def hang(request):
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        is_there.set()
        over.wait(creditsd.TIMEOUT_S)
        request.close_connection = True

    with foreign(hang) as port:
        process = subprocess.Popen([creditsctl.BINARY, "--url", f"http://127.0.0.1:{port}",
                                    "export", tmp_path / "file"])
        assert is_there.wait(creditsd.TIMEOUT_S)
        process.terminate()
        assert process.wait(creditsd.TIMEOUT_S) == -signal.SIGTERM
        over.set()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    path = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-keyout", path / "key", "-out", path / "cert", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return path / "cert", path / "key"


def tls(certificate, version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    if version is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
    return context


def test_https_is_verified(certificate, tmp_path):
    quota = answering(200, json.dumps(QUOTA).encode())
    with foreign(quota, tls(certificate)) as port:
        url = ["--url", f"https://127.0.0.1:{port}"]
        check_done(creditsctl.run("quota", "get", *url, "--ca-file", certificate[0]))
        check_failed(creditsctl.run("quota", "get", *url), 3, "certificate", "--ca-file")
        check_failed(creditsctl.run("quota", "get", "--url", f"https://localhost:{port}",
                                    "--ca-file", certificate[0]), 3, "certificate")
        no_certificate = tmp_path / "none.pem"
        no_certificate.write_text("nonsense")
        check_failed(creditsctl.run("quota", "get", *url, "--ca-file", no_certificate), 2,
                     no_certificate)
        ended = creditsctl.run("quota", "get", "--url", f"http://127.0.0.1:{port}")
        check_failed(ended, 3)


SOME_COMMANDS = [["stats"], ["list"], ["export", "FILE"], ["import", "FILE"], ["quota", "set", "FILE"]]


@pytest.mark.parametrize("command", SOME_COMMANDS, ids=" ".join)
def test_the_wrong_scheme_is_reported(start, certificate, tmp_path, command):
    file = tmp_path / "some.json"
    file.write_text('{"rows":{}}')
    args = [str(file) if arg == "FILE" else arg for arg in command]
    secure = start("--tls-cert", certificate[0], "--tls-key", certificate[1])
    url = f"http://127.0.0.1:{secure.port}"
    check_failed(creditsctl.run(*args, "--url", url), 3, url, "uses TLS", "https://")
    secure.stop()
    url = f"https://127.0.0.1:{start().port}"
    check_failed(creditsctl.run(*args, "--url", url), 3, url, "does not use TLS", "http://")


def test_a_proxy_that_answers_plain_http_on_its_tls_port_is_recognised(certificate):
    """nginx answers 400 in the clear to anything but TLS."""
    context = tls(certificate)

    def serve(listening):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection:
                    if connection.recv(1, socket.MSG_PEEK) == b"\x16":
                        connection = context.wrap_socket(connection, server_side=True)
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=serve, args=[listening], daemon=True)
        serving.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        for command in (["stats"], ["export", "-"]):
            check_failed(creditsctl.run(*command, "--url", url), 3, "uses TLS", "https://")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_older_than_1_2_is_refused(certificate):
    quota = answering(200, json.dumps(QUOTA).encode())
    with foreign(quota, tls(certificate, ssl.TLSVersion.TLSv1_1)) as port:
        check_failed(creditsctl.run("quota", "get", "--url", f"https://127.0.0.1:{port}",
                                    "--ca-file", certificate[0]), 3, "TLS")
