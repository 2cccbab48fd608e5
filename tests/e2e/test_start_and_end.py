"""How the programs start and end where something is missing, stands still, or does not end by itself."""

import itertools
import json
import os
import signal
import subprocess

import pytest

import creditsctl
import creditsd
import creditsload
from cluster import postgres as servers
from creditsd import TIMEOUT_S, wait_until

INSTALL = "/v1/installs/a"
COMMIT = {"backend": "gemini", "tier": "core"}
SOME_OF_THE_THREE = [closed for count in (1, 2, 3) for closed in itertools.combinations(range(3), count)]


@pytest.fixture
def launch(data_dir):
    """Starts creditsd with settings of Popen, on a port that it tells nobody; each is killed at the end."""
    running = []

    def start(*args, env=None, **settings):
        port = servers.free_port()
        process = subprocess.Popen(
            [creditsd.BINARY, "--listen", f"127.0.0.1:{port}", "--data-dir", data_dir, *map(str, args)],
            env=creditsd.environment(env), **{"stdin": subprocess.DEVNULL} | settings)
        process.port = port
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait(TIMEOUT_S)


def answers(process, path="/readyz"):
    """Whether it answers 200."""
    client = creditsd.Client(process.port)
    try:
        return client.get(path).status == 200
    except OSError:
        assert process.poll() is None, "it has ended"
        return False
    finally:
        client.close()


def end(process):
    process.terminate()
    return process.wait(TIMEOUT_S)


# --- descriptors that are closed


def without(closed):
    """What a child does before it becomes the program, to have none of these descriptors."""
    return lambda: [os.close(descriptor) for descriptor in closed]


@pytest.mark.parametrize("closed", SOME_OF_THE_THREE, ids=str)
def test_closed_standard_descriptors_are_nowhere_and_no_file_of_the_ledger(launch, data_dir, closed):
    process = launch(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=without(closed))
    wait_until(lambda: answers(process), "readiness")
    for descriptor in closed:
        assert os.readlink(f"/proc/{process.pid}/fd/{descriptor}") == "/dev/null"
    process.send_signal(signal.SIGHUP)  # which is told to the log
    assert end(process) == 0
    assert (data_dir / "lock").read_text().strip() == f"the process with pid {process.pid}"


@pytest.mark.parametrize("closed", SOME_OF_THE_THREE, ids=str)
def test_closed_standard_descriptors_are_in_no_file_that_a_program_writes(server, client, tmp_path, closed):
    client.put(INSTALL)
    creditsctl.check_done(creditsctl.run("export", tmp_path / "usual", server=server))
    url = ["--url", f"http://127.0.0.1:{server.port}"]
    for program, *args in ((creditsctl.BINARY, *url, "export", tmp_path / "rows.json"),
                           (*creditsload.command("--duration", "100ms", port=server.port),
                            "--json", tmp_path / "report.json", "--html", tmp_path / "report.html")):
        subprocess.run([program, *args], check=True, timeout=TIMEOUT_S, preexec_fn=without(closed))
    assert (tmp_path / "rows.json").read_bytes() == (tmp_path / "usual").read_bytes()
    assert json.loads((tmp_path / "report.json").read_text())
    assert (tmp_path / "report.html").read_text().startswith("<!")
