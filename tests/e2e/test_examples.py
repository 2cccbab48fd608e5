"""Runs the documentation's examples, and compares their output with the page.

After a change of their output, CREDITSD=… python3 tests/e2e/test_examples.py writes it into the pages.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import creditsd
from creditsd import REPO

PAGES = ["http/API.md", "README.md"]
ADDRESS = "127.0.0.1:8787"
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
ID = re.compile(r"\b[0-9a-f]{32}\b")
# Differs from run to run.
MOVING = [
    (ID, "ID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "TIME"),
    (re.compile(r'"month":"\d{4}-\d\d"'), '"month":"MONTH"'),
    (re.compile(r'"messages_handled":\d+'), '"messages_handled":N'),
]


def still(text):
    for pattern, name in MOVING:
        text = pattern.sub(name, text)
    return text


def examples_of(block):
    """Pairs of a command and its output."""
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    for part in parts:
        lines = part.splitlines(keepends=True)
        end = next((i for i, line in enumerate(lines[1:], 1) if not line.startswith("> ")), len(lines))
        yield "".join(line.removeprefix("> ") for line in lines[:end]), "".join(lines[end:])


class Shell:
    """Runs examples one after the other in one bash, on a separate server."""

    def __init__(self, port):
        self._address = f"127.0.0.1:{port}"
        self._ids = {}  # the page's ids -> the server's ids
        self._bash = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                      cwd=REPO)

    def here(self, command):
        """Replaces the page's ids by the server's; an id that the page does not print means the last one."""
        last = list(self._ids.values())[-1:]
        return ID.sub(lambda found: self._ids.get(found.group(), *last), command)

    def run(self, command, printed):
        command = self.here(command)
        self._bash.stdin.write(command.replace(ADDRESS, self._address) + "\necho; echo END-OF-EXAMPLE\n")
        self._bash.stdin.flush()
        lines = []
        for line in self._bash.stdout:
            if line == "END-OF-EXAMPLE\n":
                break
            lines.append(line)
        out = "".join(lines).rstrip("\n").replace(self._address, ADDRESS).replace("\r", "")
        given = ID.findall(out)
        self._ids.update(zip(ID.findall(printed) or given, given))
        return out + "\n" if out else ""

    def end(self):
        self._bash.stdin.close()
        self._bash.wait(creditsd.TIMEOUT_S)


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_output_matches_the_page(page, start):
    shell = Shell(start().port)
    count = 0
    for block in BLOCK.findall((REPO / page).read_text()):
        for command, printed in examples_of(block):
            assert still(shell.run(command, printed)) == still(printed), command
            count += 1
    shell.end()
    assert count > 0


def rewrite(page):
    with tempfile.TemporaryDirectory() as path:
        directory = Path(path)
        server = creditsd.Server(["--listen", "127.0.0.1:0", "--data-dir", directory / "data"], directory / "log")
        shell = Shell(server.port)

        def rerun(block):
            parts = []
            for command, printed in examples_of(block.group(1)):
                shown = shell.here(command).rstrip("\n").replace("\n", "\n> ")
                parts.append(f"$ {shown}\n{shell.run(command, printed)}")
            return "```console\n" + "".join(parts) + "```"

        written = BLOCK.sub(rerun, (REPO / page).read_text())
        shell.end()
        server.kill()
    (REPO / page).write_text(written)


if __name__ == "__main__":
    for named in sys.argv[1:] or PAGES:
        rewrite(named)
