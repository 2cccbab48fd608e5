"""What the server answers is what openapi.yaml says."""

import jsonschema
import pytest
import yaml

from creditsd import path_of


@pytest.fixture
def document(client):
    answer = client.get("/openapi.yaml")
    assert answer.status == 200
    return yaml.safe_load(answer.text)


def schema_of(document, path, method, answer):
    response = document["paths"][path][method]["responses"][str(answer.status)]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    return response["content"][answer.headers["Content-Type"]]["schema"]


def check(document, path, method, answer):
    schema = {**schema_of(document, path, method, answer), "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(answer.json)


INSTALL = "/v1/installs/{install_id}"
CALLS = [
    # path, method, target, body, status
    (INSTALL, "put", "/v1/installs/new", None, 201),
    (INSTALL, "put", "/v1/installs/a", None, 200),
    (INSTALL, "get", "/v1/installs/a", None, 200),
    (INSTALL, "get", "/v1/installs/nobody", None, 404),
    (INSTALL, "get", "/v1/installs/%00", None, 400),
    (INSTALL + "/plan", "post", "/v1/installs/a/plan", {"credits": 7}, 200),
    (INSTALL + "/plan", "post", "/v1/installs/a/plan", {"credits": 1000}, 200),
    (INSTALL + "/plan", "post", "/v1/installs/a/plan", {"tier": "max"}, 200),
    (INSTALL + "/plan", "post", "/v1/installs/a/plan", {"x": 7}, 422),
    (INSTALL + "/commit", "post", "/v1/installs/a/commit",
     {"backend": "gemini", "tier": "max"}, 200),
    (INSTALL + "/commit", "post", "/v1/installs/a/commit", {}, 422),
    (INSTALL + "/commit", "post", "/v1/installs/a/commit", b"{", 400),
    (INSTALL + "/entries", "get", "/v1/installs/a/entries", None, 200),
    (INSTALL + "/entries", "get", "/v1/installs/a/entries?limit=1", None, 200),
    (INSTALL + "/entries", "get", "/v1/installs/a/entries?limit=0", None, 422),
    (INSTALL + "/entries", "get", "/v1/installs/nobody/entries", None, 404),
    ("/v1/installs", "get", "/v1/installs", None, 200),
    ("/v1/installs", "get", "/v1/installs?limit=1", None, 200),
    ("/v1/installs", "get", "/v1/installs?limit=x", None, 422),
    ("/v1/snapshot", "get", "/v1/snapshot", None, 200),
    ("/v1/quota", "get", "/v1/quota", None, 200),
    ("/v1/quota", "put", "/v1/quota", {"core": {"lifetime": 1}}, 200),
    ("/v1/quota", "put", "/v1/quota", {"core": {}}, 422),
    ("/v1/quota", "put", "/v1/quota", b"x", 400),
    ("/healthz", "get", "/healthz", None, 200),
    ("/readyz", "get", "/readyz", None, 200),
]


@pytest.mark.parametrize("path, method, target, body, status", CALLS, ids=range(len(CALLS)))
def test_an_answer_fits_its_schema(client, document, path, method, target, body, status):
    client.commit("a", "hardware", "pro", credits=3)
    client.put(path_of("b"))
    answer = client.request(method.upper(), target, body)
    assert answer.status == status, answer.text
    check(document, path, method, answer)
