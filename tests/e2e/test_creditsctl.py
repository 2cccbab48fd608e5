"""creditsctl: what it says of a ledger that is whole, of one that is not, and of none; and that
pruning leaves a ledger whole."""

import sqlite3
import subprocess
from pathlib import Path

import creditsd
from creditsd import wait_until
from traffic import all_entries, path_of

CREDITSCTL = Path(creditsd.BINARY).with_name("creditsctl")
COMMIT = {"backend": "gemini", "tier": "core"}


def creditsctl(*args):
    return subprocess.run([CREDITSCTL, *map(str, args)], text=True, capture_output=True,
                          timeout=creditsd.TIMEOUT_S)


def test_a_whole_ledger_passes_while_it_runs_and_after_a_kill(server, client, data_dir):
    for n in range(3):
        client.post(f"{path_of('a')}/commit", COMMIT)
        client.post(f"{path_of(f'b{n}')}/reservations")
    for _ in range(2):
        checked = creditsctl("check", "--data-dir", data_dir)
        assert (checked.returncode, checked.stderr) == (0, "")
        assert checked.stdout == "ok: 4 installs, 6 entries\n"
        server.kill()


def test_an_entry_that_was_changed_is_named(server, client, data_dir):
    for _ in range(3):
        client.post(f"{path_of('a')}/commit", COMMIT)
    server.stop()
    with sqlite3.connect(data_dir / "journal.db") as journal:
        journal.execute("UPDATE entries SET credits = 0 WHERE version = 2")
    checked = creditsctl("check", "--data-dir", data_dir)
    assert (checked.returncode, checked.stdout) == (1, "")
    assert 'install "a", version 2' in checked.stderr


def test_what_is_no_ledger_is_told_so(tmp_path):
    checked = creditsctl("check", "--data-dir", tmp_path)
    assert checked.returncode == 1
    assert str(tmp_path) in checked.stderr


def test_a_usage_error_ends_with_2():
    assert creditsctl().returncode == 2
    assert creditsctl("check", "--nonsense").returncode == 2
    assert creditsctl("--help").returncode == 0


def test_old_entries_are_pruned_and_the_ledger_stays_whole(start, connect, data_dir):
    client = connect(start("--keep-entries", "1s"))
    for _ in range(5):
        installed = client.post(f"{path_of('a')}/commit", COMMIT).json
    wait_until(lambda: not all_entries(client, "a"), "the pruning of all entries")
    assert client.get(path_of("a")).json == installed
    assert creditsctl("check", "--data-dir", data_dir).returncode == 0

    keyed = client.request("POST", f"{path_of('a')}/commit", COMMIT, {"Idempotency-Key": "k"})
    client.post(f"{path_of('a')}/commit", COMMIT)
    wait_until(lambda: "pruned" in creditsctl("check", "--data-dir", data_dir).stdout, "a check")
    assert [entry["version"] for entry in all_entries(client, "a")] == [6, 7]
    again = client.request("POST", f"{path_of('a')}/commit", COMMIT, {"Idempotency-Key": "k"})
    assert again.body == keyed.body
