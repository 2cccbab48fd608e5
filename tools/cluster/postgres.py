#!/usr/bin/env python3
"""Runs a PostgreSQL server in its own directory, on a free loopback port, for trying out creditsd, for tests and for
benchmarks.

As a program it runs a command with the server's URI in $CREDITS_POSTGRES, and stops the server afterwards:

  tools/cluster/postgres.py build/release/bin/persistence_test
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
USER = "postgres"
START_S = 60


_reserved = []


def free_port():
    """Returns a port that stays reserved while this process lives: a socket stays bound to it without listening. Servers
    that set SO_REUSEADDR can listen on it, also after a restart."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    _reserved.append(reserved)
    return reserved.getsockname()[1]


def find_program(name):
    """Returns the program's path; None if it is not installed. Also searches /usr/sbin, which many users' PATH lacks."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def as_user():
    """Popen settings for another user if we are root: initdb and postgres refuse to run as root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(USER)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def sql(uri, statement):
    return subprocess.run([PROGRAMS / "psql", uri, "-qAtc", statement], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.strip()


def new_schema(uri, name):
    """Creates a schema for an empty ledger; returns its URI."""
    sql(uri, f"CREATE SCHEMA {name}")
    return f"{uri}?options=-csearch_path%3D{name}"


def uri_of(*hosts):
    """Returns a URI with several hosts: servers or proxies, one of which accepts writes."""
    names = ",".join(f"127.0.0.1:{host.port}" for host in hosts)
    return f"postgresql://{USER}@{names}/postgres"


class Postgres:
    """A server that can be stopped, killed and started again on its data."""

    def __init__(self, directory, *settings):
        if PROGRAMS is None:
            raise RuntimeError("PostgreSQL is missing: install the package postgresql")
        self.directory = Path(directory)
        self.data = self.directory / "data"
        self.log_path = self.directory / "log"
        self.port = free_port()
        self.settings = settings
        self.process = None

    def make(self):
        self._own(self.directory)
        self.run("initdb", "-D", self.data, "-A", "trust", "-U", USER, "-E", "UTF8", "--locale=C",
                 "--no-sync")
        return self

    def make_standby_of(self, primary):
        """Copies `primary` as a standby, which is named after its directory."""
        self._own(self.directory)
        self.run("pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-c", "fast", "-d",
                 f"host=127.0.0.1 port={primary.port} user={USER} "
                 f"application_name={self.directory.name}")
        return self

    def start(self):
        flags = [f"-cport={self.port}", "-clisten_addresses=127.0.0.1",
                 "-cunix_socket_directories=",  # a socket's path must be short
                 *(f"-c{setting}" for setting in self.settings)]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([PROGRAMS / "postgres", "-D", self.data, *flags],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.directory, **as_user())
        deadline = time.monotonic() + START_S
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start: {self.log_path.read_text()}")
            time.sleep(0.02)
        return self

    def stop(self, how=signal.SIGINT):
        """SIGINT ends the sessions and writes everything; SIGQUIT stops it like a crash."""
        if self.process is not None and self.process.poll() is None:
            self.thaw()
            self.process.send_signal(how)
            self.process.wait(START_S)

    def kill(self):
        """Sends SIGKILL to the postmaster; its sessions notice and end."""
        self.process.kill()
        self.process.wait(START_S)

    def restart(self, how=signal.SIGINT):
        self.stop(how)
        return self.start()

    def freeze(self):
        """From here on the server answers nothing, though the kernel still accepts data for it."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self):
        self._signal_all(signal.SIGCONT)

    def set(self, name, value):
        """Changes a setting for the whole server, in force in every session from its next statement on."""
        self.sql(f"ALTER SYSTEM SET {name} = '{value}'")
        self._reload()

    def reset(self, name):
        self.sql(f"ALTER SYSTEM RESET {name}")
        self._reload()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_for_standby(self, standby):
        """From here on every commit waits for `standby` too."""
        self.set("synchronous_standby_names", standby.directory.name)
        while self.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") != "1":
            time.sleep(0.02)

    def unfollow(self):
        """Stops following: this standby lacks everything that its primary writes from here on."""
        self.set("primary_conninfo", "")
        while self.sql("SELECT count(*) FROM pg_stat_wal_receiver") != "0":
            time.sleep(0.02)

    def promote(self):
        self.run("pg_ctl", "promote", "-D", self.data, "-w")

    def sql(self, statement):
        return sql(self.uri(), statement)

    def uri(self, user=USER, database="postgres"):
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def run(self, program, *args):
        return subprocess.run([PROGRAMS / program, *map(str, args)], check=True, text=True,
                              stdout=subprocess.PIPE, cwd=self.directory, **as_user()).stdout

    def _signal_all(self, how):
        """Signals the postmaster first, which would restart children that seem to have died."""
        parent = self.process.pid
        self.process.send_signal(how)
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for child in map(int, children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, how)

    def _reload(self):
        """Returns once all sessions are notified: the postmaster notifies them before it starts another."""
        loaded = self.sql("SELECT pg_conf_load_time()")
        self.sql("SELECT pg_reload_conf()")
        while self.sql("SELECT pg_conf_load_time()") == loaded:
            time.sleep(0.02)

    def _is_ready(self):
        return subprocess.run([PROGRAMS / "pg_isready", "-q", "-d", self.uri()]).returncode == 0

    def _own(self, directory):
        directory.mkdir(exist_ok=True)
        if as_user():
            shutil.chown(directory, USER, USER)


@contextlib.contextmanager
def running(*settings, parent=None):
    """Runs a server in a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="credits-postgres-", dir=parent) as directory:
        os.chmod(directory, 0o755)
        server = Postgres(Path(directory) / "primary", *settings).make().start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)  # its data is removed anyway


@contextlib.contextmanager
def following(primary, *settings):
    """Runs a standby of `primary`, in a directory beside it, and stops it first."""
    server = Postgres(primary.directory.parent / "standby", *settings).make_standby_of(primary).start()
    try:
        yield server
    finally:
        server.stop(signal.SIGQUIT)


if __name__ == "__main__":
    with running() as postgres:
        sys.exit(subprocess.run(sys.argv[1:], env=os.environ | {"CREDITS_POSTGRES": postgres.uri()}).returncode)
