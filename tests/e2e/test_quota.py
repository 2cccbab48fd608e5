"""The quota: read at the start, replaced by PUT, reloaded on SIGHUP; an invalid one is never accepted."""

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import creditsd
from creditsd import check_problem, wait_until

DEFAULT = {"core": {"lifetime": 100, "geminiCapLifetime": 50},
           "pro": {"monthly": 1000, "geminiCapMonthly": 500},
           "max": {"monthly": None, "geminiCapMonthly": None}}
OTHER = {"core": {"lifetime": 7, "geminiCapLifetime": 3},
         "trial": {"monthly": 20, "geminiCapMonthly": 4}}

GOOD = {
    "core-alone": {"core": {"lifetime": 1}},
    "zero": {"core": {"lifetime": 0, "geminiCapLifetime": 0}},
    "cap-null": {"core": {"lifetime": 10, "geminiCapLifetime": None}},
    "cap-above": {"core": {"lifetime": 10, "geminiCapLifetime": 20}},
    "monthly-core": {"core": {"monthly": 5}},
    "unlimited-core": {"core": {"monthly": None}},
    "unlimited-with-cap": {"core": {"monthly": None, "geminiCapMonthly": 3}},
    "large": {"core": {"lifetime": 10**12}},
    "other-names": {"core": {"lifetime": 1}, "Team / 5": {"monthly": 2}},
    "many": {"core": {"lifetime": 1}} | {f"tier{n}": {"monthly": n} for n in range(100)},
}

MISTAKES = {
    # fault: the quota, and the tier and field that the error names
    "no-core": ({"pro": {"monthly": 1}}, "core", None),
    "nothing": ({}, "core", None),
    "core-null": ({"core": None}, "core", None),
    "core-number": ({"core": 100}, "core", None),
    "core-list": ({"core": [100]}, "core", None),
    "tier-empty": ({"core": {"lifetime": 1}, "pro": {}}, "pro", None),
    "tier-string": ({"core": {"lifetime": 1}, "pro": "1000"}, "pro", None),
    "neither": ({"core": {"geminiCapLifetime": 5}}, "core", "lifetime"),
    "lifetime-null": ({"core": {"lifetime": None}}, "core", "lifetime"),
    "lifetime-negative": ({"core": {"lifetime": -1}}, "core", "lifetime"),
    "lifetime-fraction": ({"core": {"lifetime": 1.5}}, "core", "lifetime"),
    "lifetime-float": ({"core": {"lifetime": 1.0}}, "core", "lifetime"),
    "lifetime-string": ({"core": {"lifetime": "100"}}, "core", "lifetime"),
    "lifetime-true": ({"core": {"lifetime": True}}, "core", "lifetime"),
    "lifetime-huge": ({"core": {"lifetime": 10**30}}, "core", "lifetime"),
    "lifetime-2^64": ({"core": {"lifetime": 2**64}}, "core", "lifetime"),
    "lifetime-list": ({"core": {"lifetime": [1]}}, "core", "lifetime"),
    "cap-negative": ({"core": {"lifetime": 1, "geminiCapLifetime": -1}}, "core",
                     "geminiCapLifetime"),
    "cap-string": ({"core": {"lifetime": 1, "geminiCapLifetime": ""}}, "core",
                   "geminiCapLifetime"),
    "cap-of-the-month": ({"core": {"lifetime": 1, "geminiCapMonthly": 1}}, "core",
                         "geminiCapMonthly"),
    "cap-of-the-month-null": ({"core": {"lifetime": 1, "geminiCapMonthly": None}}, "core",
                              "geminiCapMonthly"),
    "both": ({"core": {"lifetime": 1, "monthly": 1}}, "core", "monthly"),
    "both-null": ({"core": {"lifetime": 1, "monthly": None}}, "core", "monthly"),
    "monthly-negative": ({"core": {"lifetime": 1}, "pro": {"monthly": -5}}, "pro", "monthly"),
    "monthly-fraction": ({"core": {"lifetime": 1}, "pro": {"monthly": 0.5}}, "pro", "monthly"),
    "monthly-string": ({"core": {"lifetime": 1}, "pro": {"monthly": "null"}}, "pro", "monthly"),
    "monthly-false": ({"core": {"lifetime": 1}, "pro": {"monthly": False}}, "pro", "monthly"),
    "monthly-cap-negative": ({"core": {"lifetime": 1},
                              "pro": {"monthly": 1, "geminiCapMonthly": -1}}, "pro",
                             "geminiCapMonthly"),
    "monthly-cap-list": ({"core": {"lifetime": 1}, "pro": {"monthly": 1, "geminiCapMonthly": []}},
                         "pro", "geminiCapMonthly"),
    "monthly-cap-of-life": ({"core": {"lifetime": 1},
                             "pro": {"monthly": 1, "geminiCapLifetime": 1}}, "pro",
                            "geminiCapLifetime"),
    "unknown-field": ({"core": {"lifetime": 1, "weekly": 1}}, "core", "weekly"),
    "misspelt": ({"core": {"lifetime": 1, "geminicaplifetime": 1}}, "core", "geminicaplifetime"),
}
TWICE = {
    "tier-twice": (b'{"core":{"lifetime":1},"core":{"lifetime":2}}', "core"),
    "field-twice": (b'{"core":{"lifetime":1,"lifetime":2}}', "lifetime"),
}
NO_OBJECT = {"list": b"[]", "null": b"null", "string": b'"core"', "number": b"1"}
NO_JSON = {
    "word": b"core", "cut": b'{"core":{"lifetime":1}', "comma": b'{"core":{"lifetime":1},}',
    "two": b'{"core":{"lifetime":1}}{}', "utf-8": b'{"core\xff":{"lifetime":1}}', "nul": b"\0",
    "comment": b'{"core":{"lifetime":1}} // the default',
}
# Over HTTP an empty body reads as `{}`; an empty file is an error.
BAD_FILES = ({name: json.dumps(quota).encode() for name, (quota, _, _) in MISTAKES.items()}
             | {name: data for name, (data, _) in TWICE.items()} | NO_OBJECT | NO_JSON
             | {"empty": b""})


@pytest.fixture
def quota_path(data_dir):
    return data_dir / "quota.json"


def quota_of(client):
    answer = client.get("/v1/quota")
    assert answer.status == 200
    return answer.json


def without_null_caps(quota):
    """A cap that is null is the same as none."""
    return {tier: {k: v for k, v in limits.items() if v is not None or k == "monthly"}
            for tier, limits in quota.items()}


def same_quota(one, other):
    return without_null_caps(one) == without_null_caps(other)


def balance(client, tier="core"):
    return client.post("/v1/installs/a/plan", {"tier": tier}).json["balance"]


def put_at_once(clients, quotas):
    """Each client puts its quota, all with the tag that the first one reads; returns the answers."""
    tag = clients[0].get("/v1/quota").headers["ETag"]
    ready = threading.Barrier(len(clients))

    def put(client, quota):
        ready.wait(creditsd.TIMEOUT_S)
        return client.request("PUT", "/v1/quota", quota, {"If-Match": tag})

    with ThreadPoolExecutor(len(clients)) as threads:
        return list(threads.map(put, clients, quotas))


def names(text, *wanted):
    return all(name in text for name in wanted if name is not None)


# --- the quota in force


def test_the_default_quota_is_in_force_and_written_to_the_data_directory(client, quota_path):
    assert same_quota(quota_of(client), DEFAULT)
    assert same_quota(json.loads(quota_path.read_text()), DEFAULT)


def test_the_file_in_the_data_directory_is_read_and_left_alone(start, connect, quota_path):
    text = json.dumps(OTHER, indent=4)
    quota_path.write_text(text)
    client = connect(start())
    assert same_quota(quota_of(client), OTHER)
    assert balance(client, "trial") == {"remaining": 20, "capped": "monthly",
                                        "gemini_remaining": 4, "held": 0}
    assert quota_path.read_text() == text


def test_the_file_that_the_flag_names_is_read_instead(start, connect, quota_path, tmp_path):
    path = tmp_path / "elsewhere.json"
    path.write_text(json.dumps(OTHER))
    client = connect(start("--quota", path))
    assert same_quota(quota_of(client), OTHER)
    assert not quota_path.exists()
    assert client.put("/v1/quota", DEFAULT).status == 200
    assert same_quota(json.loads(path.read_text()), DEFAULT)
    assert not quota_path.exists()


# --- put


@pytest.mark.parametrize("quota", GOOD.values(), ids=GOOD)
def test_put_applies_at_once_and_writes_the_file(client, quota, quota_path):
    answer = client.put("/v1/quota", quota)
    assert answer.status == 200
    assert same_quota(answer.json, quota)
    assert same_quota(quota_of(client), quota)
    assert same_quota(json.loads(quota_path.read_text()), quota)
    for tier in quota:
        limits = quota[tier]
        assert balance(client, tier)["remaining"] == limits.get("lifetime", limits.get("monthly"))


def test_put_survives_a_kill(start, connect):
    server = start()
    assert connect(server).put("/v1/quota", OTHER).status == 200
    server.kill()
    assert same_quota(quota_of(connect(start())), OTHER)


def test_put_reaches_installs_in_memory(client):
    assert balance(client)["remaining"] == 100
    for limit in range(50):
        assert client.put("/v1/quota", {"core": {"lifetime": limit}}).status == 200
        assert balance(client)["remaining"] == limit
        assert client.get("/v1/installs/a").json["balance"]["remaining"] == limit
        assert client.get("/v1/installs").json["installs"][0]["balance"]["remaining"] == limit


def test_put_leaves_no_extra_file_behind(client, data_dir):
    before = sorted(path.name for path in data_dir.iterdir())
    for _ in range(3):
        client.put("/v1/quota", OTHER)
    client.put("/v1/quota", {})
    assert sorted(path.name for path in data_dir.iterdir()) == before


@pytest.fixture(scope="module")
def refusing(tmp_path_factory):
    """One server for all mistakes: none of them may change anything."""
    path = tmp_path_factory.mktemp("quota")
    server = creditsd.Server(["--listen", "127.0.0.1:0", "--data-dir", path / "data"], path / "log")
    server.quota_path = path / "data/quota.json"
    yield server
    server.kill()


@pytest.fixture
def unchanged(refusing, connect):
    client = connect(refusing)
    before = quota_of(client), refusing.quota_path.read_bytes()
    yield
    assert (quota_of(client), refusing.quota_path.read_bytes()) == before


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("quota, tier, field", MISTAKES.values(), ids=MISTAKES)
def test_put_of_a_mistake_is_422_and_names_tier_and_field(refusing, connect, quota, tier, field):
    answer = connect(refusing).put("/v1/quota", quota)
    problem = check_problem(answer, 422, "invalid_request", answer.json.get("field"))
    assert names(problem["field"], tier), problem
    assert names(problem["detail"], tier, field), problem


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name, field", [
    ("nothing", "core"), ("core-null", "core"), ("core-list", "core"), ("tier-empty", "pro"),
    ("lifetime-negative", "core.lifetime"), ("lifetime-null", "core.lifetime"),
    ("cap-negative", "core.geminiCapLifetime"), ("cap-of-the-month", "core.geminiCapMonthly"),
    ("monthly-false", "pro.monthly"), ("monthly-cap-negative", "pro.geminiCapMonthly"),
    ("unknown-field", "core.weekly"),
])
def test_the_field_of_a_mistake_is_its_tier_and_the_field_in_it(refusing, connect, name, field):
    answer = connect(refusing).put("/v1/quota", MISTAKES[name][0])
    check_problem(answer, 422, "invalid_request", field)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("data, name", TWICE.values(), ids=TWICE)
def test_put_of_a_name_twice_is_422_and_names_it(refusing, connect, data, name):
    answer = connect(refusing).put("/v1/quota", data)
    problem = check_problem(answer, 422, "invalid_request", answer.json.get("field"))
    assert names(problem["detail"], name), problem


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("data", NO_OBJECT.values(), ids=NO_OBJECT)
def test_put_of_json_that_is_not_an_object_is_422(refusing, connect, data):
    check_problem(connect(refusing).put("/v1/quota", data), 422, "invalid_request")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("data", NO_JSON.values(), ids=NO_JSON)
def test_put_of_a_body_that_is_not_json_is_400(refusing, connect, data):
    check_problem(connect(refusing).put("/v1/quota", data), 400, "invalid_json")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("body", [None, b""], ids=["none", "empty"])
def test_put_without_a_body_lacks_core(refusing, connect, body):
    answer = connect(refusing).put("/v1/quota", body)
    check_problem(answer, 422, "invalid_request", answer.json.get("field"))
    assert "core" in answer.json["detail"]


# --- the entity tag, and conditional replacement


def tag_of(client):
    return client.get("/v1/quota").headers["ETag"]


def put_if(client, tags, quota):
    """`tags`: the value of If-Match."""
    return client.request("PUT", "/v1/quota", quota, {"If-Match": tags})


def check_changed(answer):
    detail = check_problem(answer, 412, "precondition_failed")["detail"]
    assert names(detail, "somebody else has changed", "read")
    assert "ETag" not in answer.headers


def test_the_tag_is_strong_and_equal_for_equal_quotas(client):
    first = client.get("/v1/quota")
    assert re.fullmatch('"[!#-~]+"', first.headers["ETag"])
    assert tag_of(client) == client.request("HEAD", "/v1/quota").headers["ETag"] == first.headers["ETag"]
    put = client.put("/v1/quota", OTHER)
    assert tag_of(client) != first.headers["ETag"]
    assert put.body == client.get("/v1/quota").body
    assert client.put("/v1/quota", DEFAULT).status == 200
    assert tag_of(client) == first.headers["ETag"]


def test_a_put_is_answered_with_the_tag_only_if_it_sends_the_quota_as_a_get_shows_it(client):
    put = client.put("/v1/quota", OTHER)
    assert put.status == 200 and "ETag" not in put.headers
    assert client.put("/v1/quota", put.body).headers["ETag"] == tag_of(client)
    assert "ETag" not in client.put("/v1/quota", put.body + b"\n").headers


@pytest.mark.parametrize("list_of", ["*", "{}", "W/{}", '"x", {}'])
def test_a_put_whose_if_none_match_names_the_quota_is_412_and_changes_nothing(client, quota_path, list_of):
    before = quota_path.read_bytes()
    unless = {"If-None-Match": list_of.format(tag_of(client))}
    answer = client.request("PUT", "/v1/quota", OTHER, unless)
    assert "If-None-Match" in check_problem(answer, 412, "precondition_failed")["detail"]
    assert quota_path.read_bytes() == before and same_quota(quota_of(client), DEFAULT)
    if list_of != "*":
        quota_path.write_text(json.dumps(OTHER))  # which counts at once
        assert client.request("PUT", "/v1/quota", {"core": {"lifetime": 1}}, unless).status == 200


@pytest.mark.parametrize("tags, status", [("{}", 200), ('"x", {}', 200), ("*", 200), ('"x"', 412), ("W/{}", 412), ("x", 400)])
def test_a_get_with_if_match_shows_only_the_quota_that_it_names(client, tags, status):
    for method in ("GET", "HEAD"):
        answer = client.request(method, "/v1/quota", headers={"If-Match": tags.format(tag_of(client))})
        assert answer.status == status


def test_the_tag_outlives_the_server(start, connect):
    server = start()
    assert connect(server).put("/v1/quota", OTHER).status == 200
    tag = tag_of(connect(server))
    server.kill()
    client = connect(start())
    assert tag_of(client) == tag
    assert put_if(client, tag, DEFAULT).status == 200


def test_an_answer_with_a_strong_tag_is_not_compressed(client):
    assert client.put("/v1/quota", GOOD["many"]).status == 200
    answer = client.request("GET", "/v1/quota", headers={"Accept-Encoding": "gzip"})
    assert len(answer.body) > 1024 and "Content-Encoding" not in answer.headers
    assert answer.headers["ETag"] == tag_of(client)


@pytest.mark.parametrize("list_of", ["{}", "W/{}", '"x", {}', "*"])
def test_a_get_with_a_known_tag_is_304(client, list_of):
    tag = tag_of(client)
    known = {"If-None-Match": list_of.format(tag)}
    for method in ("GET", "HEAD"):
        answer = client.request(method, "/v1/quota", headers=known)
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", tag)
    if list_of == "*":
        return
    client.put("/v1/quota", OTHER)
    answer = client.request("GET", "/v1/quota", headers=known)
    assert answer.status == 200 and same_quota(answer.json, OTHER)


@pytest.mark.parametrize("list_of", ["{}", ' "x" , {}', '{},"x"', '"x,y",,{}', 'W/"x", {}', "*"])
def test_a_put_with_the_current_tag_replaces_the_quota(client, quota_path, list_of):
    answer = put_if(client, list_of.format(tag_of(client)), OTHER)
    assert answer.status == 200 and same_quota(answer.json, OTHER)
    assert same_quota(json.loads(quota_path.read_text()), OTHER)


def test_tags_may_come_in_several_headers(server, client):
    request = (f'PUT /v1/quota HTTP/1.1\r\nHost: x\r\nIf-Match: "x"\r\nIf-Match: {tag_of(client)}\r\n'
               'Connection: close\r\nContent-Length: 24\r\n\r\n{"core":{"lifetime": 7}}')
    [answer] = creditsd.parse_answers(creditsd.raw(server.port, request.encode()), ["PUT"])
    assert answer.status == 200
    assert balance(client)["remaining"] == 7


def test_a_put_with_an_old_tag_is_412_and_changes_nothing(client, quota_path):
    old = tag_of(client)
    assert client.put("/v1/quota", OTHER).status == 200
    before = quota_path.read_bytes()
    for tags in (old, f'{old}, "x"', '"x"'):
        check_changed(put_if(client, tags, DEFAULT))
    assert same_quota(quota_of(client), OTHER)
    assert quota_path.read_bytes() == before
    assert put_if(client, tag_of(client), DEFAULT).status == 200


def test_a_weak_tag_matches_nothing_and_is_named_as_such(client):
    answer = put_if(client, f"W/{tag_of(client)}", OTHER)
    assert "weak" in check_problem(answer, 412, "precondition_failed")["detail"]
    assert same_quota(quota_of(client), DEFAULT)


@pytest.mark.parametrize("tags", ["", " ", ",", "x", '"x', "'x'", '"a" "b"', '*, "a"', 'w/"a"', '"a", b', '"a b"'])
def test_a_malformed_if_match_is_400_and_named(client, tags):
    detail = check_problem(put_if(client, tags, OTHER), 400, "bad_request")["detail"]
    assert "If-Match" in detail and tags.strip() in detail
    assert same_quota(quota_of(client), DEFAULT)


@pytest.mark.parametrize("which", ["the one", "another", "none"])
def test_an_invalid_body_is_refused_the_same_way_whatever_if_match_says(client, which):
    tags = {"the one": tag_of(client), "another": '"x"', "none": "x"}[which]
    check_problem(put_if(client, tags, b"{"), 400, "invalid_json")
    check_problem(put_if(client, tags, {}), 422, "invalid_request", "core")
    assert same_quota(quota_of(client), DEFAULT)


def test_a_reload_on_sighup_counts_as_a_change(server, client, quota_path):
    old = tag_of(client)
    quota_path.write_text(json.dumps(OTHER, indent=4))
    server.hup()
    wait_until(lambda: same_quota(quota_of(client), OTHER), "the new quota")
    check_changed(put_if(client, old, DEFAULT))
    assert same_quota(quota_of(client), OTHER)
    assert put_if(client, tag_of(client), DEFAULT).status == 200


def test_a_file_changed_by_hand_is_not_overwritten_before_sighup(server, client, quota_path):
    old = tag_of(client)
    quota_path.write_text(json.dumps(OTHER))
    answer = put_if(client, old, {"core": {"lifetime": 1}})
    check_changed(answer)
    assert "SIGHUP" in answer.json["detail"]
    assert same_quota(quota_of(client), DEFAULT)
    assert same_quota(json.loads(quota_path.read_text()), OTHER)
    server.hup()
    wait_until(lambda: same_quota(quota_of(client), OTHER), "the new quota")
    assert put_if(client, tag_of(client), DEFAULT).status == 200


def test_another_spelling_of_the_same_quota_is_not_a_change(client, quota_path):
    quota_path.write_text(json.dumps(quota_of(client), indent=4))
    assert put_if(client, tag_of(client), OTHER).status == 200


@pytest.mark.parametrize("data", [b"{", None], ids=["broken", "missing"])
def test_a_file_that_cannot_be_read_is_not_overwritten_under_a_condition(server, client, quota_path, data):
    quota_path.write_bytes(data) if data else quota_path.unlink()
    tag = tag_of(client)
    check_problem(put_if(client, tag, OTHER), 503, "storage_unavailable")
    assert (quota_path.read_bytes() if quota_path.exists() else None) == data
    assert tag_of(client) == tag
    wait_until(lambda: names(server.log(), "quota_write_failed", str(quota_path)), "its log line")
    assert put_if(client, "*", OTHER).status == 200
    assert same_quota(json.loads(quota_path.read_text()), OTHER)


def test_one_of_many_puts_at_once_with_the_same_tag_wins(server, client, connect):
    clients = [connect(server) for _ in range(8)]
    for turn in range(20):
        answers = put_at_once(clients, [{"core": {"lifetime": turn * 100 + n}} for n in range(8)])
        [won] = [answer for answer in answers if answer.status == 200]
        assert quota_of(client) == won.json
        for answer in answers:
            if answer is not won:
                check_changed(answer)


# --- SIGHUP


def test_sighup_reloads_the_file(server, client, quota_path):
    balance(client)
    quota_path.write_text(json.dumps(OTHER))
    assert same_quota(quota_of(client), DEFAULT)
    server.hup()
    wait_until(lambda: same_quota(quota_of(client), OTHER), "the new quota")
    assert balance(client)["remaining"] == 7


@pytest.mark.parametrize("data", [BAD_FILES[n] for n in ("cut", "empty", "no-core", "both")],
                         ids=["cut", "empty", "no-core", "both"])
def test_sighup_on_a_broken_file_keeps_the_quota_and_the_server(server, client, quota_path, data):
    quota_path.write_bytes(data)
    logged = len(server.log())
    server.hup()
    wait_until(lambda: str(quota_path) in server.log()[logged:], "its log line")
    assert server.running()
    assert same_quota(quota_of(client), DEFAULT)
    assert balance(client)["remaining"] == 100
    assert quota_path.read_bytes() == data

    quota_path.write_text(json.dumps(OTHER))
    server.hup()
    wait_until(lambda: same_quota(quota_of(client), OTHER), "the new quota")


def test_sighup_on_a_mistake_logs_its_tier_and_field(server, quota_path):
    quota_path.write_text('{"core":{"lifetime":-9}}')
    server.hup()
    wait_until(lambda: names(server.log(), str(quota_path), "core", "lifetime"),
               "its log line")


def test_sighup_on_a_missing_file_keeps_the_quota_and_the_server(server, client, quota_path):
    quota_path.unlink()
    logged = len(server.log())
    server.hup()
    wait_until(lambda: str(quota_path) in server.log()[logged:], "its log line")
    assert same_quota(quota_of(client), DEFAULT)
    assert server.running()


def test_many_sighups_under_load_lose_no_request(server, client):
    for n in range(50):
        server.hup()
        assert client.post("/v1/installs/a/commit",
                           {"backend": "gemini", "tier": "core"}).json["version"] == n + 1
    assert server.running()


# --- start


def refuse_start(data_dir, *args):
    ended = creditsd.run("--listen", "127.0.0.1:0", "--data-dir", data_dir, *args)
    assert ended.returncode == 1, ended.stderr
    assert "listening on" not in ended.stdout
    return ended.stderr


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_start_with_a_broken_quota_file_fails_and_names_the_fault(data_dir, quota_path, name):
    quota_path.write_bytes(BAD_FILES[name])
    error = refuse_start(data_dir)
    tier, field = MISTAKES[name][1:] if name in MISTAKES else (None, None)
    assert names(error, str(quota_path), tier, field), error
    assert quota_path.read_bytes() == BAD_FILES[name]


def test_a_start_with_a_quota_file_that_is_not_json_names_the_position(data_dir, quota_path):
    quota_path.write_text('{"core":\n  {"lifetime":')
    assert names(refuse_start(data_dir), str(quota_path), "line 2")


def test_a_start_with_a_broken_file_named_by_the_flag_fails_and_names_the_fault(data_dir, tmp_path):
    path = tmp_path / "elsewhere.json"
    path.write_text('{"core":{"lifetime":-1}}')
    assert names(refuse_start(data_dir, "--quota", path), str(path), "core", "lifetime")


@pytest.mark.parametrize("path", ["missing.json", "missing/quota.json", "."])
def test_a_quota_file_named_by_the_flag_must_exist(data_dir, tmp_path, path):
    assert str(tmp_path / path) in refuse_start(data_dir, "--quota", tmp_path / path)
    assert not (tmp_path / "missing.json").exists()


# --- a tier that the quota no longer has


def test_rows_of_a_removed_tier_are_judged_as_core_and_keep_its_name(client):
    def judged():
        install = client.get("/v1/installs/a").json
        return install["tier_snapshot"], install["balance"]["remaining"]

    commit = {"backend": "gemini", "tier": "pro", "credits": 10}
    client.post("/v1/installs/a/commit", commit)
    assert judged() == ("pro", 990)

    client.put("/v1/quota", {"core": {"lifetime": 7, "geminiCapLifetime": 3}})
    assert judged() == ("pro", 7)
    planned = client.post("/v1/installs/a/plan")
    assert planned.json["balance"] == {"remaining": 7, "capped": "lifetime",
                                       "gemini_remaining": 3, "held": 0}
    assert client.get("/v1/installs?tier=pro").json["installs"][0]["install_id"] == "a"
    check_problem(client.post("/v1/installs/a/plan", {"tier": "pro"}), 422, "unknown_tier", "tier")
    check_problem(client.post("/v1/installs/a/commit", commit), 422, "unknown_tier", "tier")
    assert client.get("/v1/installs/a").json["version"] == 1

    client.put("/v1/quota", DEFAULT)
    assert judged() == ("pro", 990)


def test_a_row_of_a_removed_tier_is_judged_the_same_by_every_call(client):
    client.post("/v1/installs/a/commit", {"backend": "gemini", "tier": "pro", "credits": 10})
    client.put("/v1/quota", {"core": {"lifetime": 7, "geminiCapLifetime": 3}})
    install = client.get("/v1/installs/a").json
    assert client.get("/v1/installs?tier=pro").json["installs"] == [install]
    assert client.post("/v1/installs/a/plan").json["balance"] == install["balance"]


# --- refusals and the log after a tier's removal


LOST = {"core": {"lifetime": 10, "geminiCapLifetime": 2}}


@pytest.fixture
def lost(server, client):
    """`a` has the tier `pro` and a hold under it, and the quota has only `core`."""
    commit = {"backend": "hardware", "tier": "pro"}
    for install_id in ("a", "b", "c"):
        assert client.post(f"/v1/installs/{install_id}/commit", commit).status == 200
    held = client.post("/v1/installs/a/reservations", {"has_hardware": True, "credits": 600}).json
    assert (held["tier"], held["backend"]) == ("pro", "hardware")
    assert client.put("/v1/quota", LOST).status == 200
    return held


def check_names_both(answer, status, code):
    detail = check_problem(answer, status, code, "backend" if status == 409 else None)["detail"]
    assert 'tier "core"' in detail and 'tier "pro", which the quota no longer has' in detail
    assert detail.index("core") < detail.index("pro")


def test_a_refusal_names_the_tier_that_was_applied_and_the_one_that_is_gone(client, lost):
    reserve = "/v1/installs/a/reservations"
    check_names_both(client.post(reserve, {"credits": 11}), 402, "out_of_credits")
    check_names_both(client.post(reserve, {"credits": 3}), 402, "gemini_cap_exceeded_no_hardware")
    check_names_both(client.post(f"{reserve}/{lost['reservation_id']}/commit", {"backend": "gemini"}), 409,
                     "gemini_cap_exceeded")
    batch = client.post("/v1/batch", {"operations": [{"op": "reserve", "install_id": "a", "credits": 11}]})
    assert "no longer has" in batch.json["results"][0]["detail"]
    problem = check_problem(client.post(reserve, {"tier": "core", "credits": 11}), 402, "out_of_credits")
    assert problem["detail"] == 'tier "core" has fewer credits left than were asked for'


@pytest.mark.parametrize("how", ["put", "sighup"])
def test_a_change_that_removes_a_tier_logs_how_many_installs_have_it(server, client, quota_path, how):
    for install_id in ("a", "b", "c"):
        client.post(f"/v1/installs/{install_id}/commit", {"backend": "hardware", "tier": "pro"})

    def change(quota):
        if how == "put":
            assert client.put("/v1/quota", quota).status == 200
        else:
            quota_path.write_text(json.dumps(quota))
            server.hup()

    change(LOST)
    wait_until(lambda: " tier_gone: " in server.log(), "a log line")
    [line] = [line for line in server.log().splitlines() if " tier_gone: " in line]
    assert '"pro"' in line and "3 installs" in line and '"core"' in line and 'list --tier "pro"' in line
    change({"core": {"lifetime": 11}, "max": {"monthly": 1}})
    wait_until(lambda: server.log().count(" tier_gone: ") == 2, "the same again")
    change(DEFAULT)
    wait_until(lambda: same_quota(quota_of(client), DEFAULT), "the old quota")
    assert server.stop() == 0
    assert server.log().count(" tier_gone: ") == 2
