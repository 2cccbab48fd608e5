"""Calls that reserve, settle and release, and clients that keep retrying through a crash."""

import contextlib
import http.client
import os
import threading
import time
from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote

import creditsd
from traffic import path_of

PATIENCE_S = 2 * creditsd.TIMEOUT_S
NO_ANSWER = (OSError, http.client.HTTPException)


def seeds(default=2):
    """The seeds to run: CREDITS_SEED=n selects that one, CREDITS_CAP_SEEDS=N the first N."""
    if "CREDITS_SEED" in os.environ:
        return [int(os.environ["CREDITS_SEED"])]
    return list(range(1, int(os.environ.get("CREDITS_CAP_SEEDS", default)) + 1))


@contextlib.contextmanager
def rerunnable(seed, test_file):
    """Adds the seed to a failure, and how to run it again."""
    try:
        yield
    except Exception as failure:
        path = os.path.relpath(test_file, creditsd.REPO)
        raise AssertionError(f"{failure}\nseed {seed}; again: CREDITS_SEED={seed} "
                             f"python3 -m pytest {path}") from failure


def parse_time(text):
    """Seconds since the epoch."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Call(NamedTuple):
    """`fields`: the body, as sorted pairs, so that calls can be compared and hashed."""

    kind: str  # get, commit, reserve, settle or release
    fields: tuple = ()
    key: str | None = None
    reservation: str | None = None


def call(kind, key=None, reservation=None, **fields):
    return Call(kind, tuple(sorted(fields.items())), key, reservation)


def request_of(install_id, asked):
    """Returns the arguments for Client.request."""
    path = path_of(install_id)
    if asked.kind == "get":
        return "GET", path
    of_reservation = f"{path}/reservations/{quote(asked.reservation or '', safe='')}"
    if asked.kind == "release":
        return "DELETE", of_reservation
    url = {"commit": f"{path}/commit", "reserve": f"{path}/reservations",
           "settle": f"{of_reservation}/commit"}[asked.kind]
    headers = {} if asked.key is None else {"Idempotency-Key": asked.key}
    return "POST", url, dict(asked.fields), headers


class Service:
    """A server that is killed and restarted on the same data directory and port."""

    def __init__(self, start, *args):
        self._start = start
        self._args = args
        self._up = threading.Event()
        self._lost = False
        self._server = start(*args)
        self.port = self._server.port
        self._up.set()

    def crash(self):
        # While it is down, clients must not connect: on loopback, an attempt to connect to a free port
        # can occupy that port.
        self._up.clear()
        try:
            self._server.kill()
            self._server = self._start(*self._args, "--listen", f"127.0.0.1:{self.port}")
        except BaseException:
            self._lost = True
            raise
        finally:
            self._up.set()

    def stop(self):
        status = self._server.stop()
        assert status == 0, f"SIGTERM: exit status {status}: {self._server.log()}"

    def wait_until_up(self):
        assert self._up.wait(PATIENCE_S), f"the server was down for {PATIENCE_S} s"
        assert not self._lost, "the server did not restart"


class Threads:
    """Runs each `work(number, over)` until the event `over`, which is also set if one raises."""

    def __init__(self, works):
        self.over = threading.Event()
        self.failures = []
        self._threads = [threading.Thread(target=self._run, args=(work, number))
                         for number, work in enumerate(works)]
        for thread in self._threads:
            thread.start()

    def _run(self, work, number):
        try:
            work(number, self.over)
        except Exception as failure:  # noqa: BLE001
            self.failures.append(failure)
            self.over.set()

    def end(self):
        self.over.set()
        self.join()

    def join(self):
        """Raises the exception of the first that failed."""
        for thread in self._threads:
            thread.join()
        if self.failures:
            raise self.failures[0]


class PatientClient:
    """Repeats each request unchanged until it gets an answer other than 503."""

    def __init__(self, service, chance):
        self._service = service
        self._chance = chance
        self._clients = {}  # by port

    def ask(self, install_id, asked):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            answer = self.ask_once(install_id, asked)
            if answer is not None and answer.status != 503:
                return answer
            assert time.monotonic() < deadline, f"no answer in {PATIENCE_S} s to {asked}"
            time.sleep(self._chance.uniform(0.005, 0.03))

    def ask_once(self, install_id, asked):
        """Returns None without an answer: the call may have taken effect."""
        self._service.wait_until_up()
        port = self._service.port
        client = self._clients.setdefault(port, creditsd.Client(port))
        try:
            answer = client.request(*request_of(install_id, asked))
        except NO_ANSWER:
            client.close()
            return None
        assert answer.status != 503 or "Retry-After" in answer.headers, answer.body
        return answer

    def close(self):
        for client in self._clients.values():
            client.close()
