"""Runs the real creditsd and talks to it over real sockets."""

import http.client
import io
import json
import os
import re
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
BINARY = str(Path(os.environ.get("CREDITSD", REPO / "build/release/bin/creditsd")).resolve())
FEW_LIVE = ["--max-live-installs", "4", "--passivate-after", "10ms"]  # installs come and go
TIMEOUT_S = 30  # sanitizer builds on a busy machine are slow

LISTENING = re.compile(r"^listening on (?:https?://(.+):(\d+)|unix:(.+))$", re.MULTILINE)


def environment(extra):
    """Our environment without creditsd's settings from the caller's shell."""
    mine = {k: v for k, v in os.environ.items() if not k.startswith("CREDITSD")}
    return mine | (extra or {})


def with_limits(limits):
    """Returns a function that a child runs before it becomes creditsd: it sets these resource limits."""
    def limit():
        for what, most in limits.items():
            resource.setrlimit(what, (most, most))

    return limit if limits else None


def run(*args, env=None, cwd=None, limits=None):
    """Runs creditsd to its end, for tests that expect it not to start."""
    return subprocess.run([BINARY, *map(str, args)], env=environment(env), cwd=cwd, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S,
                          preexec_fn=with_limits(limits))


def wait_until(condition, what):
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {TIMEOUT_S} s"
        time.sleep(0.005)


class Server:
    """A running creditsd; `args` are all its arguments."""

    def __init__(self, args, log_path, env=None, cwd=None, limits=None):
        self.log_path = Path(log_path)
        self.out_path = self.log_path.with_suffix(".out")
        with open(self.log_path, "wb") as log, open(self.out_path, "wb") as out:
            self.process = subprocess.Popen([BINARY, *map(str, args)], env=environment(env),
                                            cwd=cwd, stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=log, preexec_fn=with_limits(limits))
        try:
            wait_until(self._listening_or_dead, "the line `listening on`")
            assert self.running(), f"it ended during startup: {self.log()}"
        except BaseException:
            self.kill()
            raise
        found = LISTENING.findall(self.out())
        self.paths = [path for _, _, path in found if path]  # of Unix sockets
        self.ports = [int(port) for _, port, _ in found if port]
        self.host, self.port = found[0][0], self.ports[0] if self.ports else None

    def _listening_or_dead(self):
        return LISTENING.search(self.out()) or not self.running()

    def out(self):
        return self.out_path.read_text()

    def log(self):
        return self.log_path.read_text(errors="replace")  # it may quote damaged bytes

    def running(self):
        return self.process.poll() is None

    def hup(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self, timeout_s=TIMEOUT_S):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def kill(self):
        self.process.kill()
        self.process.wait(TIMEOUT_S)


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class UnixConnection(http.client.HTTPConnection):
    """Over the Unix socket at that path."""

    def __init__(self, path):
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = str(path)

    def connect(self):
        self.sock = open_unix_socket(self._path)


class Client:
    """One keep-alive connection, reopened after the server announces that it closes it."""

    def __init__(self, port=None, path=None):
        self.port = port
        self.connection = (UnixConnection(path) if path else
                           http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S))

    def request(self, method, path, body=None, headers=None):
        """Sends `body`: bytes unchanged, an iterator's bytes in chunks, anything else as JSON."""
        if body is not None and not isinstance(body, (bytes, Iterator)):
            body = json.dumps(body).encode()
        sent = {} if body is None else {"Content-Type": "application/json"}
        sent |= headers or {}
        try:
            self.connection.request(method, path, body,
                                    {k: v for k, v in sent.items() if v is not None})
        except (BrokenPipeError, ConnectionResetError):
            # The server may answer and close before it has read everything. Without a connection, fail.
            if self.connection.sock is None:
                raise
        response = self.connection.getresponse()
        return Answer(response.status, response.headers, response.read())

    def get(self, path):
        return self.request("GET", path)

    def put(self, path, body=None):
        return self.request("PUT", path, body)

    def post(self, path, body=None):
        return self.request("POST", path, body)

    def close(self):
        self.connection.close()


def open_socket(port, timeout_s=TIMEOUT_S):
    return socket.create_connection(("127.0.0.1", port), timeout_s)


def open_unix_socket(path, timeout_s=TIMEOUT_S):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout_s)
    connection.connect(str(path))
    return connection


def read_to_end(connection):
    """Returns everything received until the server closes or resets the connection."""
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def raw(port, data, half_close=False, timeout_s=TIMEOUT_S):
    """Sends bytes unchanged; returns everything received until the server closes."""
    with open_socket(port, timeout_s) as connection:
        try:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server may refuse and close before it has read everything
        return read_to_end(connection)


class _Replay:
    """The socket that http.client needs, over bytes already received."""

    def __init__(self, data):
        self.stream = io.BytesIO(data)
        self.stream.close = lambda: None  # http.client closes it after each answer

    def makefile(self, _mode):
        return self.stream


def parse_answers(data, methods):
    """Parses the successive answers in `data` to requests with these methods."""
    source = _Replay(data)
    answers = []
    for method in methods:
        response = http.client.HTTPResponse(source, method=method)
        response.begin()
        answers.append(Answer(response.status, response.headers, response.read()))
    assert not source.stream.read(), "more answers than requests"
    return answers


def check_problem(answer, status, code, field=None):
    """Checks that `answer` is this RFC 9457 problem."""
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json
    for name in ("type", "title", "detail", "code"):
        assert isinstance(problem[name], str) and problem[name], problem
    assert problem["status"] == status
    assert problem["code"] == code, problem
    assert problem.get("field") == field, problem
    return problem
