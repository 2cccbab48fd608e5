"""A full disk: the reports in stats, metrics, readiness and the log. A file size limit, below the
journal's size and above the log's, stands in for the disk."""

import json
import resource

import pytest

import creditsd
from creditsd import check_problem
from exposition import scrape
from traffic import show

INSTALL = "/v1/installs/a"
COMMIT = {"backend": "gemini", "tier": "core"}
FILE_BYTES_MAX = 8 * 1024


@pytest.fixture
def ailing(start, connect, tmp_path, monkeypatch):
    """A server with one install, whose writes all fail from now on, and a client."""
    program = tmp_path / "creditsd"
    program.write_text(f"#!/bin/sh\ntrap '' XFSZ\nexec '{creditsd.BINARY}' \"$@\"\n")
    program.chmod(0o755)
    monkeypatch.setattr(creditsd, "BINARY", str(program))
    server = start("--log-format", "json")
    client = connect(server)
    assert client.put(INSTALL).status == 201
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE,
                     (FILE_BYTES_MAX, resource.RLIM_INFINITY))
    return server, client


def commit_in_vain(client, count=1):
    for _ in range(count):
        check_problem(client.post(INSTALL + "/commit", COMMIT), 503, "storage_unavailable")


def test_stats_say_why_the_store_rejects_writes(ailing):
    _, client = ailing
    before = client.get("/v1/stats").json
    commit_in_vain(client, 3)
    stats = client.get("/v1/stats").json
    assert "journal.db" in stats["store"]["trouble"]
    assert stats["store"]["write_failures_total"] >= 1
    assert stats["store"]["conflicts_total"] == 0
    assert stats["requests"]["commit"]["count"] == stats["requests"]["commit"]["errors"] == 3
    for name in ("batches", "rows", "queue_depth", "oldest_pending_ms"):
        assert stats["persister"][name] == before["persister"][name], name


def test_metrics_say_that_the_store_rejects_writes(ailing):
    _, client = ailing
    assert scrape(client).value("credits_store_up") == 1
    commit_in_vain(client, 3)
    metrics = scrape(client)
    assert metrics.value("credits_store_up") == 0
    assert metrics.value("credits_write_failures_total") >= 1
    assert metrics.value("credits_problems_total", code="storage_unavailable") == 3
    assert metrics.value("credits_requests_total", operation="commit", status="5xx") == 3
    for name in ("credits_commits_total", "credits_debited_credits_total"):
        assert metrics.total(name) == 0
    assert metrics.total("credits_entries_total") == metrics.value("credits_batch_rows_sum") == 1
    assert metrics.value("credits_pending_mutations") == 0


def test_readiness_and_stats_report_the_same_reason(ailing):
    _, client = ailing
    assert client.get("/readyz").status == 200
    commit_in_vain(client)
    problem = check_problem(client.get("/readyz"), 503, "storage_unavailable")
    assert client.get("/v1/stats").json["store"]["trouble"] in problem["detail"]
    assert client.get("/healthz").status == 200


def test_reads_continue_and_the_actor_has_nothing_pending(ailing):
    _, client = ailing
    commit_in_vain(client, 3)
    for _ in range(2):
        actor = client.get(INSTALL + "/actor").json
        assert (actor["version"], actor["held"], actor["pending_writes"]) == (1, 0, 0)
        assert show(client)["version"] == 1


def test_the_log_says_why_and_does_not_flood(ailing):
    server, client = ailing
    commit_in_vain(client, 300)
    server.stop()
    lines = [json.loads(line) for line in server.log().splitlines()]
    reported = [line for line in lines if "journal.db" in line["message"]]
    assert reported and all(line["level"] in ("warning", "error") for line in reported)
    assert len(lines) <= 20


def test_all_is_well_after_a_restart_on_a_sound_disk(ailing, start, connect):
    server, client = ailing
    commit_in_vain(client)
    server.stop()
    client = connect(start())
    stats = client.get("/v1/stats").json
    assert (stats["store"]["trouble"], stats["store"]["write_failures_total"]) == (None, 0)
    assert scrape(client).value("credits_store_up") == 1
    assert client.get("/readyz").status == 200
    assert client.post(INSTALL + "/commit", COMMIT).status == 200


def test_a_request_judged_again_after_a_failed_write_counts_once(ailing):
    _, client = ailing
    operations = [{"op": "commit", "install_id": "a", **COMMIT},
                  *[{"op": "get", "install_id": "a"}] * 5]
    client.post("/v1/batch", {"operations": operations})
    assert client.get(INSTALL).status == 200
    actor = client.get(INSTALL + "/actor").json
    assert (actor["mailbox_depth"], actor["messages_handled"]) == (0, 8)
    assert client.get("/v1/stats").json["actors"]["mailbox_max"] <= 6
