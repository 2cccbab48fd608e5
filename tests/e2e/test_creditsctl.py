"""creditsctl without a server: check on intact, damaged and missing ledgers; backups; bash completion;
usage errors."""

import contextlib
import random
import shutil
import sqlite3
import subprocess

import pytest

import creditsctl
from creditsctl import check_done, check_failed
from creditsd import FEW_LIVE, wait_until
from damage import with_flipped_bit
from test_faults import small_disk  # noqa: F401
from traffic import Traffic, all_entries, all_installs, history, path_of

COMMIT = {"backend": "gemini", "tier": "core"}
KEY = {"Idempotency-Key": "key-of-a-commit"}
DUMPED = {"journal.db": ["entries", "imports", "baselines"], "snapshots.db": ["rows", "names"]}


def make_ledger(client):
    """Installs with several kinds of entries, on more than one page for the bit flips below."""
    client.request("POST", f"{path_of('a')}/commit", COMMIT, KEY)
    for n in range(30):
        for _ in range(3):
            client.post(f"{path_of(f'install-{n}')}/commit", COMMIT | {"tier": "pro"})
        held = client.post(f"{path_of(f'install-{n}')}/reservations", {"credits": 2}).json
        if n % 2:
            client.post(f"{path_of(f'install-{n}')}/reservations/{held['reservation_id']}/commit")


@pytest.fixture
def stopped(server, client, data_dir):
    make_ledger(client)
    server.stop()
    return data_dir


def test_a_whole_ledger_passes_while_it_runs_and_after_a_kill(server, client, data_dir):
    for n in range(3):
        client.post(f"{path_of('a')}/commit", COMMIT)
        client.post(f"{path_of(f'b{n}')}/reservations")
    for _ in range(2):
        assert check_done(creditsctl.run("check", data_dir)) == "ok: 4 installs, 6 entries\n"
        server.kill()
    assert check_done(creditsctl.run("check", data_dir, "--json")) == (
        '{"ok":true,"installs":4,"entries":6,"entries_unhashed":0,"pruned_sequence":0,'
        '"has_snapshots":true,"is_log_missing":false}\n')
    (data_dir / "snapshots.db").unlink()
    assert "snapshots.db is missing" in check_done(creditsctl.run("check", data_dir))


def make_read_only(disk):
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)


@pytest.mark.parametrize("how", ["stop", "kill"])
@pytest.mark.parametrize("name", ["data", "da ta?#%41"])
def test_a_ledger_on_a_read_only_mount_can_be_checked_and_backed_up(small_disk, start, connect, tmp_path,  # noqa: F811
                                                                        how, name):
    server = start("--data-dir", small_disk / name)
    connect(server).post(f"{path_of('a')}/commit", COMMIT)
    getattr(server, how)()
    make_read_only(small_disk)
    assert check_done(creditsctl.run("check", small_disk / name)) == "ok: 1 installs, 1 entries\n"
    check_done(creditsctl.run("backup", small_disk / name, tmp_path / "backup.db"))
    assert "1 entries" in check_done(creditsctl.run("check", *restore(tmp_path / "backup.db", tmp_path / "restored")[1:]))


def test_a_log_without_its_index_on_a_read_only_mount_is_named(small_disk, start, connect):  # noqa: F811
    data_dir = small_disk / "data"
    server = start("--data-dir", data_dir)
    connect(server).post(f"{path_of('a')}/commit", COMMIT)
    server.kill()
    for index in data_dir.glob("*-shm"):
        index.unlink()
    make_read_only(small_disk)
    check_failed(creditsctl.run("check", data_dir), 1, data_dir, "-wal", "read-only", "copy the directory")


def test_a_check_shows_its_progress(stopped):
    ended = creditsctl.run("check", stopped, "--progress")
    assert ended.returncode == 0
    assert ended.stderr == "check: 100 %\n"


CHANGES = {
    "an entry's credits": ("journal.db", "UPDATE entries SET credits = 0 "
                           "WHERE install_id = 'install-1' AND version = 2"),
    "an entry's time": ("journal.db", "UPDATE entries SET at_ms = at_ms + 1 "
                        "WHERE install_id = 'install-1' AND version = 2"),
    "an entry's tier": ("journal.db", "UPDATE entries SET tier = 'prp' "
                        "WHERE install_id = 'install-1' AND version = 2"),
    "an entry's backend": ("journal.db", "UPDATE entries SET backend = 1 "
                           "WHERE install_id = 'install-1' AND version = 2"),
    "an entry's hash": ("journal.db", "UPDATE entries SET hash = zeroblob(32) "
                        "WHERE install_id = 'install-1' AND version = 2"),
    "an entry's install": ("journal.db", "UPDATE entries SET install_id = 'install-2' "
                           "WHERE install_id = 'install-1' AND version = 2"),
}
ROW_COLUMNS = ["lifetime_consumed", "lifetime_gemini_consumed", "monthly_consumed",
               "monthly_gemini_consumed", "last_active_at_ms", "last_sequence"]


@pytest.mark.parametrize("case", CHANGES)
def test_a_changed_entry_is_named(stopped, case):
    file, sql = CHANGES[case]
    with sqlite3.connect(stopped / file) as database:
        database.execute(sql)
    check_failed(creditsctl.run("check", stopped), 1, 'install "install-', "version 2")
    ended = creditsctl.run("check", stopped, "--json")
    assert ended.returncode == 1
    assert '"ok":false,"install_id":"install-' in ended.stdout


@pytest.mark.parametrize("column", ROW_COLUMNS)
def test_a_changed_row_is_named(stopped, column):
    with sqlite3.connect(stopped / "snapshots.db") as database:
        database.execute(f"UPDATE rows SET {column} = {column} + 1 WHERE install_id = 'install-1'")
    check_failed(creditsctl.run("check", stopped), 1, 'install "install-1"', "version 5")


NEEDLES = {
    "a key in the journal": ("journal.db", b"key-of-a-commit"),
    "a key in the index of names": ("snapshots.db", b"key-of-a-commit"),
    "an install's id in the journal": ("journal.db", b"install-7"),
    "an install's id in its row": ("snapshots.db", b"install-7"),
}


@pytest.mark.parametrize("case", NEEDLES)
def test_a_changed_byte_in_a_file_is_found(stopped, case):
    file, needle = NEEDLES[case]
    content = bytearray((stopped / file).read_bytes())
    assert needle in content
    content[content.index(needle) + 4] ^= 1
    (stopped / file).write_bytes(content)
    check_failed(creditsctl.run("check", stopped), 1)


def dump(data_dir, file):
    """All entries, or rows and names, as SQLite reads them; None if it fails."""
    try:
        with contextlib.closing(sqlite3.connect(data_dir / file)) as database:
            database.text_factory = bytes
            return [database.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
                    for table in DUMPED[file]]
    except sqlite3.Error:
        return None


@pytest.mark.parametrize("file", DUMPED)
def test_no_changed_byte_alters_an_entry_or_a_row_unnoticed(stopped, tmp_path, file):
    """Free space in a page belongs to no entry or row and may change. The first page, which has the
    schema, is left out."""
    chance = random.Random(file)
    size = (stopped / file).stat().st_size
    before = dump(stopped, file)
    found = 0
    for place in chance.sample(range(4096, size), 150):
        flipped = with_flipped_bit(stopped, file, place, chance.randrange(8), tmp_path / "flipped")
        ended = creditsctl.run("check", flipped)
        if ended.returncode == 0:
            assert dump(flipped, file) == before, f"byte {place}"
        else:
            check_failed(ended, 1)
            found += 1
    assert found > 0


def test_a_missing_ledger_is_an_error(tmp_path):
    check_failed(creditsctl.run("check", tmp_path), 1, tmp_path)
    check_failed(creditsctl.run("backup", tmp_path, tmp_path.with_suffix(".db")), 1, tmp_path)
    (tmp_path / "journal.db").write_bytes(b"something else, " * 1000)
    check_failed(creditsctl.run("check", tmp_path), 1, "journal.db")
    assert not tmp_path.with_suffix(".db").exists()


def test_old_entries_are_pruned_and_the_ledger_stays_intact(start, connect, data_dir):
    client = connect(start("--keep-entries", "1s"))
    for _ in range(5):
        installed = client.post(f"{path_of('a')}/commit", COMMIT).json
    wait_until(lambda: not all_entries(client, "a"), "the pruning of all entries")
    assert client.get(path_of("a")).json == installed
    check_done(creditsctl.run("check", data_dir))

    keyed = client.request("POST", f"{path_of('a')}/commit", COMMIT, {"Idempotency-Key": "k"})
    client.post(f"{path_of('a')}/commit", COMMIT)
    wait_until(lambda: "pruned" in creditsctl.run("check", data_dir).stdout, "a check")
    assert [entry["version"] for entry in all_entries(client, "a")] == [6, 7]
    again = client.request("POST", f"{path_of('a')}/commit", COMMIT, {"Idempotency-Key": "k"})
    assert again.body == keyed.body


def test_an_install_with_keys_does_not_keep_others_from_being_pruned(start, connect, data_dir):
    client = connect(start("--keep-entries", "1s"))
    keyed = client.request("POST", f"{path_of('a')}/commit", COMMIT, {"Idempotency-Key": "k"})
    for _ in range(3):
        client.post(f"{path_of('b')}/commit", COMMIT)
    wait_until(lambda: not all_entries(client, "b"), "the pruning of the other's entries")
    again = client.request("POST", f"{path_of('a')}/commit", COMMIT, {"Idempotency-Key": "k"})
    assert again.body == keyed.body
    check_done(creditsctl.run("check", data_dir))


def restore(backup, directory):
    directory.mkdir()
    shutil.copy(backup, directory / "journal.db")
    check_done(creditsctl.run("check", directory))
    return ["--data-dir", directory]


def test_a_backup_serves_the_same_ledger(server, client, data_dir, tmp_path, start, connect):
    make_ledger(client)
    keyed = client.request("POST", f"{path_of('a')}/commit", COMMIT, {"Idempotency-Key": "k"})
    held = client.post(f"{path_of('b')}/reservations", {"credits": 7}).json
    before = history(client)
    backup = tmp_path / "backup.db"
    said = check_done(creditsctl.run("backup", data_dir, backup))
    assert str(backup) in said
    assert backup.stat().st_mode & 0o777 == 0o600
    client.post(f"{path_of('a')}/commit", COMMIT)

    restored = connect(start(*restore(backup, tmp_path / "restored")))
    assert history(restored) == before
    again = restored.request("POST", f"{path_of('a')}/commit", COMMIT, {"Idempotency-Key": "k"})
    assert again.body == keyed.body and again.headers["Idempotency-Replayed"] == "true"
    settled = restored.post(f"{path_of('b')}/reservations/{held['reservation_id']}/commit")
    assert settled.status == 200 and settled.json["lifetime_consumed"] == 7
    check_done(creditsctl.run("check", tmp_path / "restored"))


@pytest.mark.parametrize("flags", [[], ["--keep-entries", "1s"], FEW_LIVE])
def test_backups_under_traffic_have_every_earlier_acknowledged_write(start, connect, data_dir, tmp_path, flags):
    server = start(*flags)
    traffic = Traffic(server.port, [f"install-{n}" for n in range(40)], writers=8, readers=0)
    backups = []
    for n in range(3):
        traffic.wait_for(traffic.count() + 500)
        with traffic._lock:
            versions = {install_id: max(answered)
                        for install_id, answered in traffic.answered.items() if answered}
        backups.append((tmp_path / f"{n}.db", versions))
        check_done(creditsctl.run("backup", data_dir, backups[-1][0]))
    traffic.wait_for(traffic.count() + 100)
    traffic.end()
    in_the_end = connect(server)

    for file, versions in backups:
        restored = connect(start(*restore(file, file.with_suffix(""))))
        installs = all_installs(restored)
        for install_id, version in versions.items():
            assert installs[install_id]["version"] >= version
        for install_id, install in installs.items():
            newest = all_entries(in_the_end, install_id)[-1:]
            assert newest == [] or install["version"] <= newest[0]["version"]
            kept = {entry["version"]: entry for entry in all_entries(in_the_end, install_id)}
            for entry in all_entries(restored, install_id):
                assert kept.get(entry["version"], entry) == entry
        check_done(creditsctl.run("check", file.with_suffix("")))


def test_a_backup_replaces_a_file_only_with_force(stopped, tmp_path):
    backup = tmp_path / "backup.db"
    backup.write_text("mine")
    check_failed(creditsctl.run("backup", stopped, backup), 1, backup, "--force")
    assert backup.read_text() == "mine"
    check_failed(creditsctl.run("backup", stopped, stopped / "journal.db", "--force"), 1,
                 "the ledger's directory")
    ended = creditsctl.run("backup", stopped, backup, "--force", "--json", "--progress")
    assert ended.returncode == 0
    assert ended.stderr.endswith("backup: 100 %\n")
    assert ended.stdout == f'{{"file":"{backup}","bytes":{backup.stat().st_size}}}\n'
    check_failed(creditsctl.run("backup", stopped, tmp_path / "none" / "backup.db"), 1, "none")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()
                  and path.suffix not in {".log", ".out"}) == ["backup.db"]


USAGE_ERRORS = {
    "no such command": (["nonsense"], "nonsense"),
    "no such flag": (["stats", "--nonsense"], "--nonsense"),
    "check without a directory": (["check"], "LEDGER"),
    "show without an id": (["show"], "ID"),
    "two ids": (["show", "a", "b"], "b"),
    "set without a file": (["quota", "set"], "FILE"),
    "no URL": (["stats", "--url", "localhost"], "localhost"),
    "a URL of another scheme": (["stats", "--url", "ftp://localhost"], "ftp"),
    "a URL with a path": (["stats", "--url", "http://localhost/v1"], "/v1"),
    "an invalid port": (["stats", "--url", "http://localhost:70000"], "70000"),
    "not a number": (["list", "--limit", "many"], "many"),
    "a number out of range": (["list", "--limit", "0"], "0"),
    "a limit and all": (["list", "--limit", "5", "--all"], "--all"),
    "an interval without a unit": (["top", "--interval", "1"], "1"),
    "an interval of zero": (["top", "--interval", "0s"], "interval"),
    "no such CA file": (["stats", "--ca-file", "/nonsense"], "/nonsense"),
    "no such token file": (["stats", "--token-file", "/nonsense"], "/nonsense"),
}


@pytest.mark.parametrize("case", USAGE_ERRORS)
def test_a_usage_error_exits_with_2_and_names_the_fault(case):
    args, word = USAGE_ERRORS[case]
    check_failed(creditsctl.run(*args), 2, word)


@pytest.mark.parametrize("args", [[], ["--json"], ["quota"], ["completion"]], ids=" ".join)
def test_a_call_without_a_command_prints_help(args):
    ended = creditsctl.run(*args)
    assert (ended.returncode, ended.stderr) == (2, "")
    command = [arg for arg in args if not arg.startswith("-")]
    assert ended.stdout == check_done(creditsctl.run(*command, "--help"))


COMMANDS = ["stats", "top", "show", "history", "list", "export", "import", "quota get",
            "quota set", "check", "backup", "migrate", "completion bash"]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_an_example(command):
    output = check_done(creditsctl.run(*command.split(), "--help"))
    assert "Example" in output and f"creditsctl {command}" in output


def test_the_help_lists_the_commands_and_the_exit_statuses():
    output = check_done(creditsctl.run("--help"))
    for word in [*(command.split()[0] for command in COMMANDS), "Exit status", "CREDITSCTL_URL"]:
        assert word in output
    assert check_done(creditsctl.run("--version")).count("\n") == 1


COMPLETIONS = {
    "": {"stats", "top", "show", "history", "list", "export", "import", "quota", "check", "backup", "migrate",
         "completion"},
    "s": {"stats", "show"},
    "quota ": {"get", "set"},
    "quota s": {"set"},
    "completion ": {"bash"},
    "--u": {"--url"},
    "list --": {"--all", "--ca-file", "--help", "--json", "--limit", "--prefix", "--tier",
                "--token-file", "--url"},
    "--json list --p": {"--prefix"},
    "--url http://127.0.0.1 li": {"list"},
    "backup --token-file list --f": {"--force"},
    "quota get --t": {"--token-file"},
    "backup ": set(),
    "--token-file ": set(),
    "list --prefix ": set(),
}


@pytest.mark.parametrize("line", COMPLETIONS)
def test_bash_completes(line):
    words = f"creditsctl {line}".split(" ")
    script = f"""
        source <('{creditsctl.BINARY}' completion bash)
        COMP_WORDS=({" ".join(f"'{word}'" for word in words)})
        COMP_CWORD={len(words) - 1}
        _creditsctl
        printf '%s\\n' "${{COMPREPLY[@]}}"
        complete -p creditsctl
    """
    ended = subprocess.run(["bash", "--norc", "-uc", script], text=True, capture_output=True,
                           timeout=30)
    assert (ended.returncode, ended.stderr) == (0, "")
    *completed, registered = ended.stdout.splitlines()
    assert set(completed) - {""} == COMPLETIONS[line]
    assert "-F _creditsctl" in registered and "default" in registered
