"""The API's description: served unchanged, and true of the server's answers."""

import json
import re

import jsonschema
import pytest
import yaml

from creditsd import REPO

COMMIT = {"backend": "gemini", "tier": "core"}
METHODS = ("get", "put", "post", "delete", "patch")

RESERVATIONS = "/v1/installs/{install_id}/reservations"
RESERVATION = RESERVATIONS + "/{reservation_id}"
SETTLE = RESERVATION + "/commit"
BATCH = {"operations": [{"op": "get", "install_id": "a"}, {"op": "get", "install_id": "none"},
                        {"op": "reserve", "install_id": "a", "idempotency_key": "k"},
                        {"op": "reserve", "install_id": "a", "idempotency_key": "k"}]}

CALLS = [
    # method, path, its template, body, status
    ("PUT", "/v1/installs/new", "/v1/installs/{install_id}", None, 201),
    ("PUT", "/v1/installs/a", "/v1/installs/{install_id}", None, 200),
    ("GET", "/v1/installs/a", "/v1/installs/{install_id}", None, 200),
    ("GET", "/v1/installs/max", "/v1/installs/{install_id}", None, 200),
    ("POST", "/v1/installs/a/plan", "/v1/installs/{install_id}/plan", {}, 200),
    ("POST", "/v1/installs/a/plan", "/v1/installs/{install_id}/plan",
     {"credits": 51, "tier": "core", "has_hardware": True}, 200),
    ("POST", "/v1/installs/a/plan", "/v1/installs/{install_id}/plan", {"credits": 51}, 200),
    ("POST", "/v1/installs/a/plan", "/v1/installs/{install_id}/plan", {"credits": 101}, 200),
    ("POST", "/v1/installs/a/plan", "/v1/installs/{install_id}/plan", {"tier": "max"}, 200),
    ("POST", "/v1/installs/a/commit", "/v1/installs/{install_id}/commit", COMMIT, 200),
    ("POST", "/v1/installs/a/reservations", RESERVATIONS, None, 201),
    ("POST", "/v1/batch", "/v1/batch", BATCH, 200),
    ("GET", "/v1/installs", "/v1/installs", None, 200),
    ("GET", "/v1/installs?limit=1", "/v1/installs", None, 200),
    ("GET", "/v1/installs/a/entries", "/v1/installs/{install_id}/entries", None, 200),
    ("GET", "/v1/installs/a/entries?limit=1", "/v1/installs/{install_id}/entries", None, 200),
    ("GET", "/v1/snapshot", "/v1/snapshot", None, 200),
    ("GET", "/v1/quota", "/v1/quota", None, 200),
    ("PUT", "/v1/quota", "/v1/quota", {"core": {"lifetime": 9}, "max": {"monthly": None}}, 200),
    ("GET", "/v1/stats", "/v1/stats", None, 200),
    ("GET", "/v1/installs/a/actor", "/v1/installs/{install_id}/actor", None, 200),
    ("GET", "/v1/installs/none/actor", "/v1/installs/{install_id}/actor", None, 404),
    ("POST", "/v1/import", "/v1/import", {"rows": {}}, 409),
    ("GET", "/v1/stats?x=1", "/v1/stats", None, 422),
    ("GET", "/healthz", "/healthz", None, 200),
    ("GET", "/readyz", "/readyz", None, 200),
    ("GET", "/metrics", "/metrics", None, 200),
    *[("GET", asset, asset, None, 200) for asset in (
        "/", "/dashboard.css", "/dashboard.js", "/installs.js", "/page.js", "/chart.js",
        "/favicon.svg", "/openapi.yaml")],

    ("GET", "/v1/installs/none", "/v1/installs/{install_id}", None, 404),
    ("GET", "/v1/installs/%20", "/v1/installs/{install_id}", None, 400),
    ("PUT", "/v1/installs/a", "/v1/installs/{install_id}", {"x": 1}, 422),
    ("POST", "/v1/installs/a/plan", "/v1/installs/{install_id}/plan", b"{", 400),
    ("POST", "/v1/installs/a/plan", "/v1/installs/{install_id}/plan", {"tier": "x"}, 422),
    ("POST", "/v1/installs/a/plan", "/v1/installs/{install_id}/plan", b" " * (8 * 1024**2 + 1),
     413),
    ("POST", "/v1/installs/a/commit", "/v1/installs/{install_id}/commit", b"{", 400),
    ("POST", "/v1/installs/a/commit", "/v1/installs/{install_id}/commit", {}, 422),
    ("POST", "/v1/installs/a/reservations", RESERVATIONS, {"ttl_seconds": 0}, 422),
    ("POST", "/v1/installs/a/reservations", RESERVATIONS, {"credits": 1000}, 402),
    ("POST", "/v1/installs/a/reservations/none/commit", SETTLE, {}, 404),
    ("POST", "/v1/installs/a/reservations/none/commit", SETTLE, {"credits": -1}, 422),
    ("DELETE", "/v1/installs/a/reservations/none", RESERVATION, None, 404),
    ("POST", "/v1/batch", "/v1/batch", {}, 422),
    ("POST", "/v1/batch", "/v1/batch", b"[", 400),
    ("GET", "/v1/installs?limit=0", "/v1/installs", None, 422),
    ("GET", "/v1/installs/none/entries", "/v1/installs/{install_id}/entries", None, 404),
    ("GET", "/v1/installs/a/entries?before=0", "/v1/installs/{install_id}/entries", None, 422),
    ("PUT", "/v1/quota", "/v1/quota", {}, 422),
    ("PUT", "/v1/quota", "/v1/quota", b"{", 400),
]

GENERAL_PROBLEMS = [
    ("GET", "/nothing", 404), ("DELETE", "/v1/quota", 405), ("GET", "/" + "x" * 8000, 414),
]


@pytest.fixture
def document(client):
    answer = client.get("/openapi.yaml")
    assert answer.status == 200
    return yaml.safe_load(answer.body)


def validate(document, schema, value):
    """References like `#/components/…` point into the document, so add the schema to it."""
    whole = {"components": document["components"], "allOf": [schema]}
    jsonschema.Draft202012Validator(whole).validate(value)


def resolved(document, node):
    while "$ref" in node:
        path, node = node["$ref"].removeprefix("#/").split("/"), document
        for step in path:
            node = node[step]
    return node


def references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from references(child)


def operations(document):
    return {(method.upper(), path): operation for path, item in document["paths"].items()
            for method, operation in item.items() if method in METHODS}


def test_it_is_the_file_of_this_repo(client):
    answer = client.get("/openapi.yaml")
    assert answer.headers["Content-Type"].split(";")[0] == "application/yaml"
    assert answer.body == (REPO / "http/openapi.yaml").read_bytes()


def test_it_is_openapi_3_1_and_its_references_and_schemas_hold(document):
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert document["info"]["title"] and document["info"]["version"]
    for reference in references(document):
        assert resolved(document, {"$ref": reference})
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_its_operations_have_unique_ids_and_declare_their_path_parameters(document):
    found = operations(document)
    ids = [operation["operationId"] for operation in found.values()]
    assert len(ids) == len(set(ids))
    for (_, path), operation in found.items():
        declared = [resolved(document, p) for p in document["paths"][path].get("parameters", [])
                    + operation.get("parameters", [])]
        assert set(re.findall(r"\{(\w+)\}", path)) == {
            p["name"] for p in declared if p["in"] == "path"}


def test_each_operation_is_called_here(document):
    called = {(method, template) for method, _, template, _, _ in CALLS}
    assert called == set(operations(document))


@pytest.mark.parametrize("method, path, template, body, status", CALLS,
                         ids=[f"{call[0]}-{call[1]}-{call[4]}" for call in CALLS])
def test_an_answer_is_as_described(client, document, method, path, template, body, status):
    client.post("/v1/installs/a/commit", COMMIT)
    client.post("/v1/installs/max/commit", {**COMMIT, "tier": "max"})
    answer = client.request(method, path, body)
    assert answer.status == status, answer.body
    responses = operations(document)[method, template]["responses"]
    content = resolved(document, responses[str(status)])["content"]
    [(media_type, described)] = content.items()
    assert answer.headers["Content-Type"].split(";")[0] == media_type
    content = answer.json if media_type.endswith("json") else answer.body.decode()
    validate(document, described["schema"], content)


def test_conditional_answers_of_the_quota_are_as_described(client, document):
    described = operations(document)

    def check(answer, method, status):
        assert answer.status == status, answer.body
        response = resolved(document, described[method, "/v1/quota"]["responses"][str(status)])
        assert ("ETag" in response.get("headers", {})) == ("ETag" in answer.headers)
        if "ETag" in answer.headers:
            header = resolved(document, response["headers"]["ETag"])
            validate(document, header["schema"], answer.headers["ETag"])
        if status == 412:
            validate(document, response["content"]["application/problem+json"]["schema"], answer.json)

    first = client.get("/v1/quota")
    tag = first.headers["ETag"]
    quota = b'{"core":{"lifetime":9,"geminiCapLifetime":null}}'  # as a GET shows it
    check(first, "GET", 200)
    check(client.request("GET", "/v1/quota", headers={"If-None-Match": tag}), "GET", 304)
    check(client.request("GET", "/v1/quota", headers={"If-Match": '"x"'}), "GET", 412)
    check(client.request("GET", "/v1/quota", headers={"If-Match": "x"}), "GET", 400)
    check(client.request("PUT", "/v1/quota", quota, {"If-None-Match": "*"}), "PUT", 412)
    check(client.request("PUT", "/v1/quota", quota, {"If-Match": tag}), "PUT", 200)
    check(client.request("PUT", "/v1/quota", quota, {"If-Match": tag}), "PUT", 412)
    check(client.request("PUT", "/v1/quota", quota, {"If-Match": "x"}), "PUT", 400)


@pytest.mark.parametrize("method, path, status", GENERAL_PROBLEMS,
                         ids=[status for _, _, status in GENERAL_PROBLEMS])
def test_a_problem_without_operation_is_as_described(client, document, method, path, status):
    answer = client.request(method, path)
    assert answer.status == status
    validate(document, {"$ref": "#/components/schemas/Problem"}, answer.json)


@pytest.mark.parametrize("name, body, status", [
    ("PlanRequest", {}, 200),
    ("PlanRequest", {"tier": "pro", "has_hardware": False, "credits": 1_000_000}, 200),
    ("PlanRequest", {"credits": 0}, 422),
    ("PlanRequest", {"credits": 1_000_001}, 422),
    ("PlanRequest", {"credits": "1"}, 422),
    ("PlanRequest", {"tier": None}, 422),
    ("PlanRequest", {"has_hardware": None}, 422),
    ("PlanRequest", {"backend": "gemini"}, 422),
    ("CommitRequest", COMMIT, 200),
    ("CommitRequest", {**COMMIT, "credits": 5}, 200),
    ("CommitRequest", {"tier": "core"}, 422),
    ("CommitRequest", {"backend": "gemini"}, 422),
    ("CommitRequest", {**COMMIT, "backend": "cloud"}, 422),
    ("CommitRequest", {**COMMIT, "has_hardware": True}, 422),
    ("Quota", {"core": {"lifetime": 5, "geminiCapLifetime": None}}, 200),
    ("Quota", {"core": {"monthly": None}}, 200),
    ("Quota", {}, 422),
    ("Quota", {"core": {}}, 422),
    ("Quota", {"core": {"lifetime": None}}, 422),
    ("Quota", {"core": {"lifetime": -1}}, 422),
    ("Quota", {"core": {"lifetime": 1, "monthly": 1}}, 422),
    ("Quota", {"core": {"lifetime": 1, "geminiCapMonthly": 1}}, 422),
    ("Quota", {"core": {"lifetime": 1, "weekly": 1}}, 422),
], ids=lambda value: value if isinstance(value, str) else json.dumps(value))
def test_a_request_is_accepted_as_described(client, document, name, body, status):
    schema = {"$ref": f"#/components/schemas/{name}"}
    if status == 200:
        validate(document, schema, body)
    else:
        with pytest.raises(jsonschema.ValidationError):
            validate(document, schema, body)
    method, path = {"PlanRequest": ("POST", "/v1/installs/a/plan"),
                    "CommitRequest": ("POST", "/v1/installs/a/commit"),
                    "Quota": ("PUT", "/v1/quota")}[name]
    assert client.request(method, path, body).status == status
