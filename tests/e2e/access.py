"""Tokens, token files, and requests with only the test's own headers."""

import http.client
import json

from creditsd import Answer, open_socket

RELAY, ADMIN = "relay-7Qm.token_of~a+test/1==", "admin-Zk3.token_of~a+test/2=="
COMMIT = {"backend": "gemini", "tier": "max"}  # a tier without a cap


def token_file(path, *tokens, mode=0o600):
    """Creates the file with its mode, and moves it into place when complete."""
    new = path.with_suffix(".new")
    new.write_bytes("".join(token + "\n" for token in tokens).encode())
    new.chmod(mode)
    new.rename(path)
    return path


def token_flags(folder):
    """Writes a relay's and an admin's token to files there; returns their flags."""
    return ["--relay-token-file", token_file(folder / "relay.tokens", RELAY),
            "--admin-token-file", token_file(folder / "admin.tokens", ADMIN)]


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def ask(port, method, path, *headers, body=None, sent_body=None):
    """Sends one request with only these headers, as (name, value), and those of its body.

    `sent_body`: the part of the body to send, if not all of it."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    if body is not None:
        names = [name.lower() for name, _ in headers]
        lines += ["Content-Type: application/json"] if "content-type" not in names else []
        lines += [f"Content-Length: {len(data)}"] if "content-length" not in names else []
    with open_socket(port) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1")
                           + (data if sent_body is None else sent_body))
        response = http.client.HTTPResponse(connection, method=method)
        response.begin()
        return Answer(response.status, response.headers, response.read())
