"""Shared by tests of a PostgreSQL in trouble: calls whose answers are awaited later, a foreign session, a
creditsd that does not listen yet, and the activity of a server."""

import concurrent.futures
import contextlib
import signal
import subprocess
import time
from pathlib import Path

import creditsd
from cluster import postgres as servers
from creditsd import check_problem, wait_until
from traffic import path_of

PATIENCE_S = 90  # for answers after one of creditsd's own waits
COMMIT = {"backend": "gemini", "tier": "core"}


def patient(client):
    """The same, for calls that may be answered only at creditsd's deadline."""
    client.connection.timeout = PATIENCE_S
    if client.connection.sock is not None:
        client.connection.sock.settimeout(PATIENCE_S)
    return client


def commit(client, install_id="a", key=None, **fields):
    return client.request("POST", f"{path_of(install_id)}/commit", COMMIT | fields,
                          {"Idempotency-Key": key})


def schema_of(uri):
    """The schema that `cluster.new_ledger` created."""
    return uri.rpartition("3D")[2]


def check_unavailable(answer):
    return check_problem(answer, 503, "storage_unavailable")


def wait_long_until(condition, what):
    """The same, for calls that are answered only after half a minute."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {PATIENCE_S} s"
        time.sleep(0.02)


@contextlib.contextmanager
def in_background():
    """A pool whose `submit` makes a call whose answer is awaited later; waits for all calls at the end."""
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        yield pool


@contextlib.contextmanager
def session(uri, statements):
    """A foreign session in a transaction with these statements; rolled back at the end."""
    with subprocess.Popen([servers.PROGRAMS / "psql", uri, "-qAtX", "-v", "ON_ERROR_STOP=1"], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as psql:
        try:
            psql.stdin.write(f"BEGIN;\n{statements};\n\\echo done\n")
            psql.stdin.flush()
            while (line := psql.stdout.readline()) != "done\n":
                assert line, f"psql ended in: {statements}"
            yield
        finally:
            psql.stdin.close()
            psql.wait(creditsd.TIMEOUT_S)


def is_waiting(server, event):
    """Whether a session waits for this wait event of pg_stat_activity."""
    return server.sql(f"SELECT count(*) FROM pg_stat_activity WHERE wait_event = '{event}'") != "0"


def locks_waited_for(server):
    return int(server.sql("SELECT count(*) FROM pg_locks WHERE NOT granted"))


class Starting:
    """A creditsd that may take long to listen."""

    def __init__(self, directory, *args):
        self._log_path, self._out_path = directory / "starting.log", directory / "starting.out"
        flags = ["--listen", "127.0.0.1:0", "--data-dir", directory / "data", *args]
        with open(self._log_path, "wb") as log, open(self._out_path, "wb") as out:
            self.process = subprocess.Popen([creditsd.BINARY, *map(str, flags)], stdout=out, stderr=log,
                                            env=creditsd.environment(None), stdin=subprocess.DEVNULL)

    def log(self):
        return self._log_path.read_text(errors="replace")

    @property
    def port(self):
        """Waits until it listens."""
        wait_until(lambda: self._listening() or not self.running(), "the line `listening on`")
        assert self.running(), f"it ended during startup: {self.log()}"
        return int(self._listening().group(2))

    def is_listening(self):
        return self._listening() is not None

    def running(self):
        return self.process.poll() is None

    def stop(self):
        """Sends SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(creditsd.TIMEOUT_S)

    def kill(self):
        self.process.kill()
        self.process.wait(creditsd.TIMEOUT_S)

    def _listening(self):
        return creditsd.LISTENING.search(self._out_path.read_text())


def has_gone(pid):
    return not Path(f"/proc/{pid}").exists()


def end_idle_sessions(server, name):
    """Ends that application's idle sessions; returns once their processes have ended, so that nothing from them
    is still in flight."""
    pids = server.sql("SELECT pid FROM pg_stat_activity WHERE state = 'idle' AND "
                      f"application_name = '{name}'").split()
    for pid in pids:
        server.sql(f"SELECT pg_terminate_backend({pid})")
    wait_until(lambda: all(map(has_gone, pids)), "the end of sessions")
    return len(pids)
