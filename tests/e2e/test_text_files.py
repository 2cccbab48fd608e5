"""Hand-written files: byte order marks, other encodings, and paths that are not regular files of limited size."""

import json
import os
import socket
import subprocess

import pytest

import creditsctl
import creditsd
from access import ADMIN, bearer
from creditsctl import check_done, check_failed
from creditsd import TIMEOUT_S, wait_until
from test_tls import certificate_of, context_of, der, self_signed

UTF8_MARK = b"\xef\xbb\xbf"
QUOTA = json.dumps({"core": {"lifetime": 7}}).encode()
LEDGER = b'{"rows":{"a":{"lifetime_consumed":3},"b":{}}}'


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return self_signed(tmp_path_factory.mktemp("pair"), "good")


class Files:
    """Valid versions of the files that creditsd reads, and its flags for them."""

    def __init__(self, folder, data_dir, pair):
        cert, key = pair
        self.paths = {"quota": folder / "some-quota.json", "tokens": folder / "some.tokens",
                      "config": folder / "some.conf", "cert": folder / "some.crt",
                      "key": folder / "some.key", "import": data_dir / "credits.json"}
        self.good = {"quota": QUOTA, "tokens": ADMIN.encode() + b"\n", "config": b"hardware = true\n",
                     "cert": cert.read_bytes(), "key": key.read_bytes(), "import": LEDGER}
        for name, content in self.good.items():
            self.write(name, content)

    def write(self, name, content):
        self.paths[name].write_bytes(content)
        self.paths[name].chmod(0o600)

    def replace(self, name, make):
        self.paths[name].unlink()
        make(self.paths[name])

    def flags(self):
        return ["--quota", self.paths["quota"], "--admin-token-file", self.paths["tokens"],
                "--config", self.paths["config"], "--tls-cert", self.paths["cert"],
                "--tls-key", self.paths["key"]]


@pytest.fixture
def files(tmp_path, data_dir, pair):
    return Files(tmp_path, data_dir, pair)


NAMES = ["quota", "tokens", "config", "cert", "key", "import"]
READ_AGAIN = ["quota", "tokens", "cert", "key"]


def refused(files, data_dir, name, *words):
    """Checks that creditsd does not start, and that its error names the file and has these words."""
    ended = creditsd.run("--listen", "127.0.0.1:0", "--data-dir", data_dir, *files.flags())
    assert (ended.returncode, ended.stdout) == (2 if name == "config" else 1, ""), ended.stderr
    for part in (str(files.paths[name]), *words):
        assert part in ended.stderr, ended.stderr
    assert ADMIN not in ended.stderr and "PRIVATE KEY" not in ended.stderr


# --- encodings


@pytest.mark.parametrize("name", NAMES)
def test_a_utf_8_byte_order_mark_is_ignored(files, start, name):
    files.write(name, UTF8_MARK + files.good[name])
    assert start(*files.flags()).running()


@pytest.mark.parametrize("encoding, words", [
    ("utf-16", "UTF-16"), ("utf-16-le", "UTF-16"), ("utf-16-be", "UTF-16"),
    ("utf-32", "UTF-32"), ("utf-32-le", "UTF-32"), ("utf-32-be", "UTF-32")])
@pytest.mark.parametrize("name", NAMES)
def test_another_encoding_is_named_with_what_to_do(files, data_dir, name, encoding, words):
    files.write(name, files.good[name].decode().encode(encoding))
    refused(files, data_dir, name, words, "save it as UTF-8")


@pytest.mark.parametrize("bad, words", [(b"gr\xfc\xdfe", "0xFC"), (b"\0", "NUL")], ids=["latin-1", "nul"])
@pytest.mark.parametrize("name", ["quota", "tokens", "config", "import"])
def test_invalid_text_is_named_with_its_position(files, data_dir, name, bad, words):
    files.write(name, files.good[name] + b"\n" + bad)
    line = (files.good[name] + b"\n").count(b"\n") + 1
    refused(files, data_dir, name, words, f"line {line}, column ")


# --- other kinds of files, and endless ones


def make_fifo(path):
    os.mkfifo(path, 0o600)


def make_link_to_fifo(path):
    os.mkfifo(path.with_suffix(".fifo"), 0o600)
    path.symlink_to(path.with_suffix(".fifo"))


def make_device(path):
    path.symlink_to("/dev/zero")


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
    path.chmod(0o600)


def make_large(path):
    with open(path, "wb") as made:
        made.truncate(2 << 30)  # a sparse file
    path.chmod(0o600)


NO_FILES = {
    "fifo": (make_fifo, "not a regular file"), "link-to-fifo": (make_link_to_fifo, "not a regular file"),
    "device": (make_device, "not a regular file"), "socket": (make_socket, "not a regular file"),
    "large": (make_large, "MiB"),
}


@pytest.mark.parametrize("make, words", NO_FILES.values(), ids=NO_FILES)
@pytest.mark.parametrize("name", NAMES)
def test_an_unusable_file_aborts_startup_and_is_named(files, data_dir, name, make, words):
    files.replace(name, make)
    refused(files, data_dir, name, "1024 MiB" if (name, words) == ("import", "MiB") else words)


@pytest.fixture
def serving(files, start, pair):
    """A server that has read its files, and a function that returns the lifetime quota in force."""
    server = start(*files.flags())

    def ask(method="GET", body=None):
        client = creditsd.Client(server.port)
        client.connection = creditsd.http.client.HTTPSConnection(
            "127.0.0.1", server.port, timeout=TIMEOUT_S,
            context=context_of())
        try:
            return client.request(method, "/v1/quota", body, bearer(ADMIN))
        finally:
            client.close()

    return server, ask


@pytest.mark.parametrize("make, words", NO_FILES.values(), ids=NO_FILES)
@pytest.mark.parametrize("name", READ_AGAIN)
def test_sighup_on_an_unusable_file_is_logged_and_changes_nothing(files, serving, name, make, words):
    server, ask = serving
    files.replace(name, make)
    server.hup()
    wait_until(lambda: "reload_failed" in server.log(), "a word in the log")
    [line] = [line for line in server.log().splitlines() if "reload_failed" in line]
    assert str(files.paths[name]) in line and words in line
    assert ask().json["core"]["lifetime"] == 7

    files.paths[name].unlink()
    files.write(name, files.good[name] if name != "quota" else b'{"core":{"lifetime":8}}')
    before = server.log().count(" reloaded: ")
    server.hup()
    wait_until(lambda: server.log().count(" reloaded: ") == before + 3, "the next one")
    assert ask().json["core"]["lifetime"] == (8 if name == "quota" else 7)
    assert server.stop() == 0


@pytest.mark.parametrize("where", ["the file", "beside it"])
def test_a_put_detects_a_fifo_and_does_not_wait(files, serving, where):
    server, ask = serving
    path = files.paths["quota"]
    fresh = path.with_suffix(".json.new")  # the temporary file that replaces it
    if where == "the file":
        files.replace("quota", make_fifo)
        creditsd.check_problem(ask("PUT", {"core": {"lifetime": 9}}), 503, "storage_unavailable")
        wait_until(lambda: "quota_write_failed" in server.log(), "a word in the log")
        assert path.is_fifo()
        assert ask().json["core"]["lifetime"] == 7
    else:
        make_fifo(fresh)
        assert ask("PUT", {"core": {"lifetime": 9}}).status == 200
        assert json.loads(path.read_text())["core"]["lifetime"] == 9 and not fresh.exists()
    assert server.stop() == 0


def test_sighup_accepts_a_certificate_with_a_byte_order_mark(files, serving, tmp_path):
    server, _ = serving
    cert, key = self_signed(tmp_path, "next")
    files.write("cert", UTF8_MARK + cert.read_bytes())
    files.write("key", UTF8_MARK + key.read_bytes())
    server.hup()
    wait_until(lambda: certificate_of(server.port) == der(cert), "the new one")


# --- creditsctl


@pytest.fixture
def ctl(server):
    return lambda *args, **settings: creditsctl.run(*args, server=server, **settings)


def lifetime(ctl):
    return json.loads(check_done(ctl("quota", "get", "--json")))["core"]["lifetime"]


def test_creditsctl_ignores_a_byte_order_mark(ctl, tmp_path):
    file = tmp_path / "some.json"
    file.write_bytes(UTF8_MARK + QUOTA)
    check_done(ctl("quota", "set", file))
    assert lifetime(ctl) == 7
    check_done(ctl("quota", "set", "-", stdin="\ufeff" + '{"core":{"lifetime":8}}'))
    assert lifetime(ctl) == 8
    file.write_bytes(UTF8_MARK + LEDGER)
    assert "imported 2 installs" in check_done(ctl("import", file))


@pytest.mark.parametrize("command", [["quota", "set"], ["import"]], ids=" ".join)
@pytest.mark.parametrize("encoding, words", [("utf-16", "UTF-16"), ("utf-16-le", "UTF-16"), ("utf-32", "UTF-32")])
def test_creditsctl_names_another_encoding(ctl, tmp_path, command, encoding, words):
    file = tmp_path / "some.json"
    file.write_bytes(LEDGER.decode().encode(encoding))
    check_failed(ctl(*command, file), 1, file, words, "save it as UTF-8")


@pytest.mark.parametrize("bad, words", [(b"\xfc", "0xFC"), (b"\0", "NUL")], ids=["latin-1", "nul"])
def test_creditsctl_names_the_position_of_invalid_text(ctl, tmp_path, bad, words):
    file = tmp_path / "some.json"
    file.write_bytes(b'{\n "core": {"lifetime": 7},\n "' + bad + b'": {"lifetime": 1}}')
    check_failed(ctl("quota", "set", file), 1, file, words, "line 3, column 3")


@pytest.mark.parametrize("make, words", NO_FILES.values(), ids=NO_FILES)
@pytest.mark.parametrize("flag", ["--token-file", "--ca-file"])
def test_creditsctl_names_an_unusable_file_of_a_flag(tmp_path, flag, make, words):
    make(tmp_path / "some")
    check_failed(creditsctl.run("stats", "--url", "https://127.0.0.1:1", flag, tmp_path / "some"), 2,
                 flag, tmp_path / "some", words)


def test_creditsctl_accepts_a_token_file_with_a_byte_order_mark(start, tmp_path):
    file = tmp_path / "some.tokens"
    file.write_bytes(UTF8_MARK + ADMIN.encode())
    file.chmod(0o600)
    check_done(creditsctl.run("stats", "--token-file", file, server=start("--admin-token-file", file)))
    file.write_bytes(ADMIN.encode("utf-16"))
    check_failed(creditsctl.run("stats", "--token-file", file), 2, file, "UTF-16", "save it as UTF-8")


def bash(line):
    return subprocess.run(["bash", "-c", line], text=True, capture_output=True, timeout=TIMEOUT_S,
                          env=creditsctl.environment())


@pytest.mark.parametrize("how", ["{ctl} import <(cat {file})", "cat {file} | {ctl} import -",
                                 "cat {file} | {ctl} import /dev/stdin", "{ctl} import - < {file}"])
def test_an_import_reads_another_program_s_output(server, tmp_path, how):
    file = tmp_path / "credits.json"
    rows = {f"install-{n:06}": {"lifetime_consumed": n} for n in range(30_000)}
    file.write_text("\ufeff" + json.dumps({"rows": rows}))  # more than a pipe holds
    ctl = f"'{creditsctl.BINARY}' --url http://127.0.0.1:{server.port}"
    ended = bash(how.format(ctl=ctl, file=file))
    assert (ended.returncode, ended.stderr) == (0, "") and "imported 30000 installs" in ended.stdout
    ended = bash(how.format(ctl=ctl, file=file))
    assert ended.returncode == 1 and "ledger_not_empty" in ended.stderr


@pytest.mark.parametrize("how", ["{ctl} quota set <(cat {file})", "cat {file} | {ctl} quota set -",
                                 "cat {file} | {ctl} quota set /dev/stdin"])
def test_a_quota_may_come_from_another_program(server, ctl, tmp_path, how):
    file = tmp_path / "quota.json"
    file.write_bytes(QUOTA)
    ended = bash(how.format(ctl=f"'{creditsctl.BINARY}' --url http://127.0.0.1:{server.port}", file=file))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert lifetime(ctl) == 7


@pytest.mark.parametrize("how", ["{ctl} quota set /dev/zero", "yes ' ' | {ctl} quota set -"])
def test_an_endless_quota_is_refused_at_the_limit(server, how):
    ended = bash(how.format(ctl=f"'{creditsctl.BINARY}' --url http://127.0.0.1:{server.port}"))
    assert ended.returncode == 1 and "8 MiB" in ended.stderr


def test_an_import_that_is_cut_short_imports_nothing(server, ctl):
    ctl_command = f"'{creditsctl.BINARY}' --url http://127.0.0.1:{server.port}"
    ended = bash(f"head -c 20 <<< '{LEDGER.decode()}' | {ctl_command} import -")
    assert ended.returncode == 1 and "invalid_json" in ended.stderr
    assert json.loads(check_done(ctl("list", "--json")))["installs"] == []
