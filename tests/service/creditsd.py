"""The real binary, and a client that speaks to it."""

import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
BINARY = os.environ.get("CREDITSD", str(ROOT / "build" / "release" / "bin" / "creditsd"))
PATIENCE_SECONDS = 60  # a sanitizer's build on a busy machine is slow


def environment(extra=None):
    """The tests' own environment, without settings for creditsd that someone may have."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CREDITSD", "PYTEST"))}
    return {**clean, **(extra or {})}


def run(*arguments, env=None):
    """Runs the binary to its end, which must come by itself."""
    return subprocess.run([BINARY, *map(str, arguments)], env=environment(env), text=True,
                          capture_output=True, timeout=PATIENCE_SECONDS)


class Server:
    def __init__(self, data_dir, log_path, *arguments, env=None):
        self.log_path = log_path
        listen = [] if "--listen" in arguments else ["--listen", "127.0.0.1:0"]
        with open(log_path, "wb") as log:
            self.process = subprocess.Popen(
                [BINARY, "--data-dir", str(data_dir), *listen, *map(str, arguments)],
                env=environment(env), stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("listening on http://"):
            self.process.wait(PATIENCE_SECONDS)
            raise RuntimeError(f"no server: {line!r}, {self.log()}")
        self.url = line.removeprefix("listening on ").strip()
        self.port = urllib.parse.urlsplit(self.url).port

    def log(self):
        return self.log_path.read_text()

    def client(self):
        return Client(self.port)

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Ends it in good order; returns its exit status."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.wait()

    def wait(self):
        status = self.process.wait(PATIENCE_SECONDS)
        self.process.stdout.close()
        return status

    def wait_for_log(self, text):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.log():
            assert time.monotonic() < deadline, f"{text!r} is not in the log: {self.log()}"
            time.sleep(0.01)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read()

    @property
    def json(self):
        return json.loads(self.text)


class Client:
    """One keep-alive connection."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)

    def request(self, method, path, body=None, headers=None):
        """`body`: bytes as they are, anything else as JSON."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        self.connection.request(method, path, body, headers)
        return Answer(self.connection.getresponse())

    def get(self, path):
        return self.request("GET", path)

    def put(self, path, body=None):
        return self.request("PUT", path, body)

    def post(self, path, body=None):
        return self.request("POST", path, body)

    def install(self, install_id):
        return self.get(path_of(install_id))

    def plan(self, install_id, **fields):
        return self.post(path_of(install_id) + "/plan", fields)

    def commit(self, install_id, backend="gemini", tier="core", **fields):
        return self.post(path_of(install_id) + "/commit",
                         {"backend": backend, "tier": tier, **fields})

    def entries(self, install_id):
        """All of them, newest first, page by page."""
        found, query = [], ""
        while True:
            page = self.get(f"{path_of(install_id)}/entries?limit=1000{query}").json
            found += page["entries"]
            if page["next_before"] is None:
                return found
            query = f"&before={page['next_before']}"

    def snapshot(self):
        return self.get("/v1/snapshot").json["rows"]

    def close(self):
        self.connection.close()


def path_of(install_id):
    return "/v1/installs/" + urllib.parse.quote(install_id, safe="")


def raw(port, data, half_close=False):
    """Sends bytes; returns all that comes back until the server ends the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(data)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass
        return received


def check_problem(answer, status, code, field=None):
    assert answer.status == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json
    assert {"type", "title", "status", "detail", "code"} <= problem.keys()
    assert problem["status"] == status
    assert problem["code"] == code, problem
    if field is not None:
        assert problem["field"] == field, problem
        assert field in problem["detail"], problem
    if status == 503:
        assert int(answer.headers["Retry-After"]) > 0
    return problem
