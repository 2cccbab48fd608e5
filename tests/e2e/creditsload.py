"""Runs the real creditsload."""

import json
import os
import subprocess
from pathlib import Path

import creditsd

BINARY = Path(os.environ.get("CREDITSLOAD",
                             Path(creditsd.BINARY).with_name("creditsload"))).resolve()


def command(*args, port=None):
    url = [] if port is None else ["--url", f"http://127.0.0.1:{port}"]
    return [BINARY, *url, *map(str, args)]


def run(*args, port=None):
    """Runs creditsload to its end; `args` override the flags below."""
    return subprocess.run(command("--duration", "300ms", "--warm-up", "0s", "--connections", 4,
                                  *args, port=port),
                          text=True, capture_output=True, timeout=creditsd.TIMEOUT_S)


def report(tmp_path, *args, port):
    """Runs creditsload; returns its JSON report and the ended process."""
    path = tmp_path / "report.json"
    ended = run("--json", path, *args, port=port)
    return json.loads(path.read_text()), ended


def check_failed(ended, status, *words):
    assert ended.returncode == status, ended
    line = ended.stderr.splitlines()[-1]
    assert line.startswith("creditsload: "), ended.stderr
    for word in words:
        assert str(word) in line
