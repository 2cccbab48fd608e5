"""Tokens, the files that they are in, and requests whose headers are all the test's own."""

import http.client
import json

from creditsd import Answer, open_socket

RELAY, ADMIN = "relay-7Qm.token_of~a+test/1==", "admin-Zk3.token_of~a+test/2=="
COMMIT = {"backend": "gemini", "tier": "max"}  # has no cap


def token_file(path, *tokens, mode=0o600):
    """Made with its mode, and put into its place whole."""
    new = path.with_suffix(".new")
    new.write_bytes("".join(token + "\n" for token in tokens).encode())
    new.chmod(mode)
    new.rename(path)
    return path


def token_flags(folder):
    """The flags of a relay's and an admin's token, in files there."""
    return ["--relay-token-file", token_file(folder / "relay.tokens", RELAY),
            "--admin-token-file", token_file(folder / "admin.tokens", ADMIN)]


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def ask(port, method, path, *headers, body=None, sent_body=None):
    """One request with these headers, as (name, value), and no others but those of its body.

    `sent_body`: the bytes of the body that are sent, if it is not all of it."""
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
