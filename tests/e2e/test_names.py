"""Names that are invalid, or that a store cannot keep: refused at once, with either store, and without effect on other
requests."""

import json
import threading
from urllib.parse import unquote_to_bytes

import pytest

import creditsctl
import creditsd
from cluster import new_ledger, postgres as servers
from creditsctl import check_failed
from creditsd import check_problem
from traffic import path_of

COMMIT = {"backend": "gemini", "tier": "core"}
INSTALL = path_of("a")
RESERVATIONS = INSTALL + "/reservations/"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store(request):
    """A function that returns the flags of a new empty ledger at each call."""
    if request.param == "sqlite":
        yield lambda: ["--store", "sqlite"]
        return
    with servers.running() as running:
        yield lambda: ["--store", new_ledger(running.uri())]


@pytest.fixture(scope="module")
def server(store, tmp_path_factory):
    path = tmp_path_factory.mktemp("names")
    running = creditsd.Server(["--listen", "127.0.0.1:0", "--data-dir", path / "data", *store()], path / "log")
    yield running
    running.kill()


@pytest.fixture
def untroubled(server, client):
    assert client.put(INSTALL).status in (200, 201)
    logged = len(server.log())
    yield
    assert client.get("/readyz").status == 200
    assert "failed" not in server.log()[logged:]


# Bytes that PostgreSQL's text cannot hold: invalid UTF-8, and NUL.
UNKEEPABLE = ["%00", "a%00b", "%ff", "%FFa", "%c0%80", "%ed%a0%80", "%f4%90%80%80", "%c3"]


@pytest.mark.usefixtures("untroubled")
@pytest.mark.parametrize("value", UNKEEPABLE)
@pytest.mark.parametrize("name", ["prefix", "after", "tier"])
def test_a_query_that_no_store_can_keep_is_422_and_named(client, name, value):
    problem = check_problem(client.get(f"/v1/installs?{name}={value}"), 422, "invalid_request", name)
    shown = "".join(chr(byte) if chr(byte).isprintable() and byte < 127 else f"%{byte:02X}"
                    for byte in unquote_to_bytes(value))
    assert f'"{shown}"' in problem["detail"]


@pytest.mark.usefixtures("untroubled")
@pytest.mark.parametrize("query", ["prefix=a%20", "prefix=%C3%A4", "after=%7f", "after=a%0a", "tier=" + "x" * 65])
def test_a_query_that_no_name_can_match_is_422(client, query):
    check_problem(client.get(f"/v1/installs?{query}"), 422, "invalid_request", query.partition("=")[0])


@pytest.mark.usefixtures("untroubled")
@pytest.mark.parametrize("query", ["prefix=", "after=", "prefix=..", "after=.", "tier=", "tier=none", "tier=%0a%7f",
                                   "tier=gr%C3%B6%C3%9Fer", "prefix=" + "x" * 200, "after=" + "%7E" * 200])
def test_a_query_without_matches_is_not_an_error(client, query):
    assert client.get(f"/v1/installs?{query}").status == 200


GOOD_ID = "0123456789abcdef" * 2
NO_RESERVATIONS = [*UNKEEPABLE, "none", "%zz", "%", ".", "..", GOOD_ID.upper(), GOOD_ID[1:], GOOD_ID + "0", "%20",
                   GOOD_ID[1:] + "g", "x" * 500]


@pytest.mark.usefixtures("untroubled")
@pytest.mark.parametrize("rid", [GOOD_ID, *NO_RESERVATIONS])
@pytest.mark.parametrize("method, suffix", [("DELETE", ""), ("POST", "/commit")])
def test_an_invalid_reservation_id_is_404(client, method, suffix, rid):
    answer = client.request(method, RESERVATIONS + rid + suffix)
    check_problem(answer, 404, "unknown_reservation")
    assert answer.json["detail"].isprintable()


@pytest.mark.usefixtures("untroubled")
@pytest.mark.parametrize("rid", ["", "\0", "\u00e4", "none", GOOD_ID + "\0", GOOD_ID])
@pytest.mark.parametrize("op", ["settle", "release"])
def test_an_invalid_reservation_id_is_404_in_its_place_of_a_batch(client, op, rid):
    get = {"op": "get", "install_id": "a"}
    results = client.post("/v1/batch", {"operations": [
        get, {"op": op, "install_id": "a", "reservation_id": rid}, get]}).json["results"]
    assert [result["status"] for result in results] == [200, 404, 200]
    assert results[1]["code"] == "unknown_reservation"


@pytest.mark.usefixtures("untroubled")
@pytest.mark.parametrize("key", [b"\xff", b"k\xc3\xa4", b"k k", b"k%00"])
def test_a_key_that_no_store_can_keep_is_400(client, key):
    answer = client.request("POST", INSTALL + "/commit", COMMIT, {"Idempotency-Key": key})
    problem = check_problem(answer, 400, "invalid_idempotency_key", "idempotency_key")
    assert '"k' in problem["detail"] or "%FF" in problem["detail"]


def test_odd_reservation_ids_do_not_fail_good_requests_on_their_install(client, server, connect):
    """Names beyond those that an actor keeps are looked up in the store, many in one call."""
    crowded = path_of("crowded")
    commits = [{"op": "commit", "install_id": "crowded", **COMMIT, "tier": "max", "idempotency_key": f"k{n}"}
               for n in range(1500)]
    answered = client.post("/v1/batch", {"operations": commits})
    assert {result["status"] for result in answered.json["results"]} == {200}
    statuses = {"commit": [], "release": []}

    def send(kind, number):
        mine = connect(server)
        for n in range(50):
            if kind == "commit":
                answer = mine.request("POST", crowded + "/commit", COMMIT | {"tier": "max"},
                                      {"Idempotency-Key": f"{number}-{n}"})
            else:
                answer = mine.request("DELETE", f"{crowded}/reservations/%FF{number}-{n}")
            statuses[kind].append(answer.status)

    threads = [threading.Thread(target=send, args=[kind, number])
               for number in range(4) for kind in ("commit", "release")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == {"commit": [200] * 200, "release": [404] * 200}


@pytest.mark.parametrize("tier", ["\0", "co\0re"])
def test_an_imported_tier_that_some_store_cannot_keep_is_named(tmp_path, store, tier):
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "credits.json").write_text(json.dumps({"rows": {"good": {}, "bad": {"tier_snapshot": tier}}}))
    ended = creditsd.run("--listen", "127.0.0.1:0", "--data-dir", data_dir, *store())
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "credits.json" in ended.stderr and 'install "bad", field tier_snapshot' in ended.stderr
    assert tier.replace("\0", "%00") in ended.stderr


def test_a_call_to_import_such_a_tier_is_422_and_imports_nothing(tmp_path, store, connect):
    running = creditsd.Server(["--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data", *store()],
                              tmp_path / "log")
    try:
        client = connect(running)
        answer = client.post("/v1/import", {"rows": {"good": {}, "bad": {"tier_snapshot": "a\0"}}})
        problem = check_problem(answer, 422, "invalid_request")
        assert "tier_snapshot" in problem["detail"] and "a%00" in problem["detail"]
        assert client.get("/v1/installs").json["installs"] == []
        assert client.get("/readyz").status == 200
        tier = "gr\u00f6\u00dfer \n"
        assert client.post("/v1/import", {"rows": {"old": {"tier_snapshot": tier}}}).json == {"imported": 1}
        assert client.get("/v1/installs?tier=gr%C3%B6%C3%9Fer%20%0A").json["installs"][0]["tier_snapshot"] == tier
    finally:
        running.kill()


@pytest.mark.usefixtures("untroubled")
def test_a_quota_with_a_tier_that_a_store_cannot_keep_is_refused(client):
    for tier, shown in (("a\0", "a%00"), ("a\n", "a%0A"), ("x" * 65, "x" * 65), ("", '""')):
        answer = client.put("/v1/quota", {"core": {"lifetime": 1}, tier: {"lifetime": 1}})
        problem = check_problem(answer, 422, "invalid_request", answer.json.get("field"))
        assert shown in problem["detail"]


@pytest.mark.usefixtures("untroubled")
@pytest.mark.parametrize("args", [["list", "--tier", "\udcff"], ["list", "--prefix", "\udcff"], ["show", "a\udcff"]])
def test_creditsctl_shows_the_fault(server, args):
    check_failed(creditsctl.run(*args, server=server), 1, "%FF")
