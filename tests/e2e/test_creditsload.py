"""creditsload: its requests, its report, and the differences that --verify finds."""

import json
import re
import socket
import threading
import time

import pytest

import creditsd
import creditsload
from test_tls import self_signed

EVERY_KIND = "plan=1,commit=1,reserve-settle=1,batch=1"


def test_every_kind_of_request_is_sent_and_verified(server, tmp_path):
    report, ended = creditsload.report(tmp_path, "--mix", EVERY_KIND, "--batch-operations", 5,
                                     "--installs", 50, "--verify", port=server.port)
    assert ended.returncode == 0, ended
    assert set(report["kinds"]) == {"plan", "commit", "reserve", "settle", "batch"}
    assert all(kind["operations"] > 0 for kind in report["kinds"].values())
    assert report["errors"] == {}
    assert report["verified"] == {"installs": 50, "doubtful_installs": 0, "differing_installs": 0,
                                "faults": []}


@pytest.mark.parametrize("args", [["--idempotency-keys"], ["--zipf", "1.2"], ["--rate", "300"],
                                  ["--tiers", "core=1,pro=2,max=3"], ["--idle-connections", "20"]])
def test_each_option_is_verified(server, args):
    ended = creditsload.run("--mix", EVERY_KIND, "--batch-operations", 3, "--installs", 30,
                            "--verify", *args, port=server.port)
    assert ended.returncode == 0, ended
    assert "verified: 30 installs, 0 differ" in ended.stdout


def test_installs_that_exist_before_the_load_are_verified_too(server):
    for _ in range(2):
        ended = creditsload.run("--install-prefix", "known-", "--installs", 10, "--verify",
                                port=server.port)
        assert ended.returncode == 0, ended


def test_a_commit_by_another_client_is_found(server, client, tmp_path):
    def interfere():
        creditsd.wait_until(lambda: client.get("/v1/installs/mine-0").status == 200, "a commit")
        client.post("/v1/installs/mine-0/commit", {"backend": "gemini", "tier": "max"})

    other = threading.Thread(target=interfere)
    other.start()
    report, ended = creditsload.report(tmp_path, "--install-prefix", "mine-", "--installs", 2,
                                     "--duration", "1s", "--verify", port=server.port)
    other.join()
    creditsload.check_failed(ended, 1, "differs")
    assert report["verified"]["differing_installs"] == 1
    (fault,) = report["verified"]["faults"]
    version, wanted = map(int, re.search(r'"mine-0": version is (\d+) and should be (\d+),',
                                         fault).groups())
    assert version == wanted + 1
    assert f"differs: {fault}" in ended.stdout


def test_text_json_and_page_say_the_same(server, tmp_path):
    page = tmp_path / "report.html"
    report, ended = creditsload.report(tmp_path, "--html", page, port=server.port)
    rate = round(report["all"]["operations_per_second"])
    assert re.search(rf"^all +{rate} +0 ", ended.stdout, re.MULTILINE)
    assert report["command"] == ended.stdout.splitlines()[0]
    assert report["all"]["operations"] == sum(s["operations"] for s in report["slices"])
    assert report["all"]["requests"] == sum(d["requests"] for d in report["all"]["distribution"])
    text = page.read_text()
    embedded = re.search(r'<script type="application/json" id="report">(.*?)</script>', text)
    assert json.loads(embedded[1])["all"] == report["all"]
    assert not re.search(r'(src|href)=["\']?(http|/)', text), "the page needs nothing else"


def test_it_reaches_a_server_over_its_unix_socket(start, tmp_path):
    url = f"unix:{tmp_path / 'creditsd.sock'}"
    start("--listen", url)
    ended = creditsload.run("--url", url, "--verify", "--idle-connections", 10)
    assert ended.returncode == 0, ended


def test_the_same_seed_makes_the_same_load(start, tmp_path):
    """One connection fixes the order of the answers."""
    def kinds_of(server):
        creditsload.run("--seed", 7, "--connections", 1, "--installs", 5, "--mix", EVERY_KIND,
                        "--batch-operations", 2, "--install-prefix", "same-", port=server.port)
        client = creditsd.Client(server.port)
        try:
            entries = client.get("/v1/installs/same-0/entries?limit=1000").json["entries"]
            return [entry["kind"] for entry in reversed(entries)]
        finally:
            client.close()

    one = kinds_of(start("--data-dir", tmp_path / "one"))
    two = kinds_of(start("--data-dir", tmp_path / "two"))
    common = min(len(one), len(two))
    assert common > 0 and one[:common] == two[:common]


def test_refusals_are_counted_by_their_code(server, tmp_path):
    report, ended = creditsload.report(tmp_path, "--mix", "reserve-settle", "--tiers", "core",
                                     "--installs", 1, "--duration", "2s", port=server.port)
    assert ended.returncode == 0
    # The core tier has 50 gemini credits, and there is no hardware.
    assert report["kinds"]["settle"]["operations"] == 50
    assert set(report["errors"]) == {"gemini_cap_exceeded_no_hardware"}


class SlowServer:
    """Answers each request with 200 after `delay_s`."""

    def __init__(self, delay_s):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.delay_s = delay_s
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            while got := connection.recv(65536):
                if not got.startswith(b"GET "):
                    time.sleep(self.delay_s)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    def close(self):
        self.listener.close()


@pytest.fixture
def slow_server():
    server = SlowServer(0.1)
    yield server
    server.close()


def test_an_open_loop_counts_the_wait_for_a_free_connection(slow_server, tmp_path):
    """The server answers ten requests per second and a hundred are due: the last ones wait long, which
    a closed loop would not show."""
    args = ["--mix", "plan", "--connections", 1, "--duration", "1s"]
    closed, _ = creditsload.report(tmp_path, *args, port=slow_server.port)
    opened, _ = creditsload.report(tmp_path, *args, "--rate", 100, port=slow_server.port)
    assert opened["all"]["requests"] == 100
    assert closed["all"]["requests"] < 20
    assert opened["all"]["p50_us"] > 10 * 100_000 > closed["all"]["p50_us"]


def test_requests_that_cannot_be_sent_in_time_are_reported(slow_server, tmp_path):
    report, ended = creditsload.report(tmp_path, "--mix", "plan", "--connections", 1, "--rate", 100,
                                     "--timeout", "500ms", port=slow_server.port)
    assert report["errors"]["not sent: every connection was busy"] > 0
    assert report["all"]["requests"] == 30


def test_a_killed_server_leaves_doubt_but_no_difference(start, data_dir, tmp_path):
    """The server is killed under load and restarted on its port: acknowledged writes are kept, and
    unanswered ones may be."""
    server = start()
    restarted = []

    def restart():
        time.sleep(0.5)
        server.kill()
        restarted.append(start("--listen", f"127.0.0.1:{server.port}"))

    other = threading.Thread(target=restart)
    other.start()
    report, ended = creditsload.report(tmp_path, "--duration", "2s", "--installs", 100, "--verify",
                                     "--mix", EVERY_KIND, port=server.port)
    other.join()
    assert ended.returncode == 0, ended
    assert report["verified"]["differing_installs"] == 0
    assert report["errors"], "the server was down for a while"


@pytest.mark.parametrize("args, words", [
    (["--mix", "foo=1"], ["--mix", '"foo"', "reserve-settle"]),
    (["--mix", "plan=x"], ["--mix", '"plan=x"']),
    (["--mix", "plan=1,plan=2"], ["--mix", '"plan"', "twice"]),
    (["--mix", "plan=0"], ["--mix", "0"]),
    (["--mix", "plan=-1"], ["--mix", '"plan=-1"']),
    (["--tiers", ","], ["--tiers"]),
    (["--duration", "5q"], ["--duration", "q"]),
    (["--duration", "0s"], ["--duration", "0"]),
    (["--connections", "0"], ["--connections", "0"]),
    (["--installs", "0"], ["--installs", "0"]),
    (["--rate", "-1"], ["--rate", "-1"]),
    (["--url", "nonsense"], ["--url", '"nonsense"']),
    (["--install-prefix", "a/b"], ["--install-prefix", '"a/b"']),
    (["--token-file", "/nonexistent"], ["--token-file", "/nonexistent"]),
    (["--what"], ["--what"]),
    (["more"], ["more"]),
])
def test_a_wrong_command_line_names_the_value_and_exits_with_2(args, words):
    creditsload.check_failed(creditsload.run(*args), 2, *words)


def test_a_missing_server_exits_with_3(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    creditsload.check_failed(creditsload.run(port=port), 3, f"http://127.0.0.1:{port}")


def test_an_unwritable_file_is_reported_before_the_load(server, client):
    ended = creditsload.run("--html", "/nonexistent/x.html", port=server.port)
    creditsload.check_failed(ended, 1, "/nonexistent/x.html")
    assert client.get("/v1/stats").json["store"]["installs"] == 0


def test_a_load_without_a_successful_operation_fails(server):
    ended = creditsload.run("--tiers", "gold", port=server.port)
    creditsload.check_failed(ended, 1, "no operation succeeded")
    assert "unknown_tier" in ended.stdout


def test_the_wrong_scheme_is_reported(start, tmp_path):
    cert, key = self_signed(tmp_path, "some")
    secure, plain = start("--tls-cert", cert, "--tls-key", key), start("--data-dir", tmp_path / "other")
    for url, report in ((f"http://127.0.0.1:{secure.port}", "uses TLS: use https://"),
                      (f"https://127.0.0.1:{plain.port}", "does not use TLS: use http://")):
        creditsload.check_failed(creditsload.run("--url", url), 3, url, report)
