"""Runs the real creditsctl."""

import os
import subprocess
from pathlib import Path

import creditsd

BINARY = Path(os.environ.get("CREDITSCTL",
                             Path(creditsd.BINARY).with_name("creditsctl"))).resolve()


def environment():
    """Our environment without creditsctl's settings from the caller's shell."""
    return {k: v for k, v in os.environ.items() if not k.startswith("CREDITSCTL_")}


def run(*args, server=None, env=None, stdin=None):
    """Runs creditsctl to its end, against `server` if given."""
    url = [] if server is None else ["--url", f"http://127.0.0.1:{server.port}"]
    return subprocess.run([BINARY, *url, *map(str, args)], env=environment() | (env or {}),
                          text=True, capture_output=True, input=stdin,
                          timeout=creditsd.TIMEOUT_S)


def check_done(ended):
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def check_failed(ended, status, *words):
    """Checks the exit status, and that the one-line error contains `words`."""
    assert ended.returncode == status, ended
    assert ended.stderr.startswith("creditsctl: ") and ended.stderr.count("\n") == 1, ended.stderr
    for word in words:
        assert str(word) in ended.stderr
    return ended.stderr
