#!/usr/bin/env python3
"""A PostgreSQL server in a directory of its own, on a free port of loopback: for trying creditsd out on one,
and for tests and benchmarks.

As a program it runs a command beside one, with its URI in $CREDITS_POSTGRES, and stops it afterwards:

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
    """A port that the kernel gives to nobody else while this process lives: a socket stays bound to it without
    listening. A server that sets SO_REUSEADDR can listen there, and do so again after a restart."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    _reserved.append(reserved)
    return reserved.getsockname()[1]


def find_program(name):
    """Its path; None if it is not installed. Also looks in /usr/sbin, which many users' PATH lacks."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def as_user():
    """initdb and postgres refuse to run as root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(USER)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def sql(uri, statement):
    return subprocess.run([PROGRAMS / "psql", uri, "-qAtc", statement], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.strip()


def new_schema(uri, name):
    """The URI of a schema of its own in that database, for an empty ledger."""
    sql(uri, f"CREATE SCHEMA {name}")
    return f"{uri}?options=-csearch_path%3D{name}"


def uri_of(*hosts):
    """Of several servers, or what stands before them, of which one takes writes."""
    names = ",".join(f"127.0.0.1:{host.port}" for host in hosts)
    return f"postgresql://{USER}@{names}/postgres"


class Postgres:
    """A server that can be stopped, killed and started again on its data."""

    def __init__(self, directory, *settings):
        if PROGRAMS is None:
            raise RuntimeError("there is no PostgreSQL: install the package postgresql")
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
        """A copy of `primary` that follows it, by the name of its directory."""
        self._own(self.directory)
        self.run("pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-c", "fast", "-d",
                 f"host=127.0.0.1 port={primary.port} user={USER} "
                 f"application_name={self.directory.name}")
        return self

    def start(self):
        flags = [f"-cport={self.port}", "-clisten_addresses=127.0.0.1",
                 "-cunix_socket_directories=",  # whose names may not be long
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
        """SIGINT ends its sessions and writes what is to be written; SIGQUIT ends it as a crash does."""
        if self.process is not None and self.process.poll() is None:
            self.thaw()
            self.process.send_signal(how)
            self.process.wait(START_S)

    def kill(self):
        """With SIGKILL; its sessions notice, and end."""
        self.process.kill()
        self.process.wait(START_S)

    def restart(self, how=signal.SIGINT):
        self.stop(how)
        return self.start()

    def freeze(self):
        """It answers nothing from here on, though the kernel goes on taking what is sent to it."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self):
        self._signal_all(signal.SIGCONT)

    def set(self, name, value):
        """A setting of the whole server, in force in all its sessions from their next statement on."""
        self.sql(f"ALTER SYSTEM SET {name} = '{value}'")
        self._reload()

    def reset(self, name):
        self.sql(f"ALTER SYSTEM RESET {name}")
        self._reload()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_for_standby(self, standby):
        """From here on every commit waits until `standby` has it too."""
        self.set("synchronous_standby_names", standby.directory.name)
        while self.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") != "1":
            time.sleep(0.02)

    def unfollow(self):
        """A standby that gets no more from its primary, and lacks what that writes from here on."""
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
        """The postmaster first: it would start anew what seems to have died."""
        parent = self.process.pid
        self.process.send_signal(how)
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for child in map(int, children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, how)

    def _reload(self):
        """Returns when all sessions have been told: the postmaster tells them before it starts another."""
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
    """A started server, in a directory that goes with it."""
    with tempfile.TemporaryDirectory(prefix="credits-postgres-", dir=parent) as directory:
        os.chmod(directory, 0o755)
        server = Postgres(Path(directory) / "primary", *settings).make().start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)  # its data goes with it


@contextlib.contextmanager
def following(primary, *settings):
    """A started standby of `primary`, beside it, that is ended before it."""
    server = Postgres(primary.directory.parent / "standby", *settings).make_standby_of(primary).start()
    try:
        yield server
    finally:
        server.stop(signal.SIGQUIT)


if __name__ == "__main__":
    with running() as postgres:
        sys.exit(subprocess.run(sys.argv[1:], env=os.environ | {"CREDITS_POSTGRES": postgres.uri()}).returncode)
