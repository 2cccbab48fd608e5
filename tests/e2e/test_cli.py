"""The command line, the environment, the configuration file, and the errors that prevent a start."""

import json
import os
import re
import signal
import socket

import pytest

import creditsd
from creditsd import run

PACKAGED = creditsd.REPO / "tools/package/creditsd.conf"
FLAGS = ["--listen", "--listen-mode", "--data-dir", "--store", "--quota", "--hardware", "--no-hardware",
         "--passivate-after", "--max-live-installs", "--max-connections", "--max-in-flight",
         "--log-level", "--config", "--version", "--help"]

BAD_VALUES = [
    *[("--listen", value) for value in (
        "nonsense", "8787", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:80x",
        "127.0.0.1:-1", "127.0.0.1:65536", "127.0.0.1:99999999999999999999", "[::1:80", "::1]:80",
        "127.0.0.1/8:80", " 127.0.0.1:80", "127.0.0.1 :80", "unix", "unix:", "unix:s", "unix:./s", "unix:8787",
        "unix:@s", "unix:/", "unix:/run/", "unix:/run/.", "unix:/run/..", "unix:/" + "s" * 107,
        "UNIX:/run/s")],
    *[("--listen", value) for value in (",", ",127.0.0.1:0", "127.0.0.1:0,", "127.0.0.1:0,,unix:/s")],
    *[("--listen-mode", value) for value in (
        "rw", "0", "0060", "0400", "0200", "0661x", "0800", "01777", "07777", "-0660", "0x1b0", "u=rw",
        "777777777777777777777777")],
    *[("--store", value) for value in ("memory", "SQLite", "mysql://x")],
    *[("--passivate-after", value) for value in ("soon", "10", "10y", "-1m", "0s", "10 parsecs")],
    *[(flag, value) for flag in ("--max-live-installs", "--max-connections", "--max-in-flight")
      for value in ("0", "-1", "many", "1.5", "1e9", "99999999999999999999")],
    ("--log-level", "loud"),
]


def quota_file(path, lifetime):
    path.write_text(json.dumps({"core": {"lifetime": lifetime, "geminiCapLifetime": 50}}))
    return path


def lifetime(client):
    return client.get("/v1/quota").json["core"]["lifetime"]


def has_hardware(client):
    """A plan for more than the Gemini cap is allowed only with hardware."""
    return client.post("/v1/installs/a/plan", {"credits": 51}).json["allowed"]


@pytest.fixture
def start_bare(tmp_path):
    """Starts servers with only these arguments."""
    servers = []

    def start_server(*args, **settings):
        servers.append(creditsd.Server(args, tmp_path / f"bare-{len(servers)}.log", **settings))
        return servers[-1]

    yield start_server
    for server in servers:
        server.kill()


# --- usage


def test_help_lists_all_flags(tmp_path):
    ended = run("--help", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [flag for flag in FLAGS if flag not in ended.stdout] == []
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_environment_variable_of_each_setting(tmp_path):
    output = run("--help", cwd=tmp_path).stdout
    for flag in set(FLAGS) - {"--no-hardware", "--version", "--help"}:
        assert "CREDITSD_" + flag[2:].upper().replace("-", "_") in output


def test_version_prints_the_version(tmp_path):
    ended = run("--version", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.search(r"\d+\.\d+\.\d+", ended.stdout)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arg", ["--colour", "--Listen", "-x", "serve", "--max-connection=5"])
def test_an_unknown_argument_exits_with_2_and_is_named(data_dir, arg):
    ended = run("--data-dir", data_dir, "--listen", "127.0.0.1:0", arg)
    assert ended.returncode == 2
    assert arg.split("=")[0] in ended.stderr
    assert (ended.stdout, list(data_dir.iterdir())) == ("", [])


@pytest.mark.parametrize("flag", [
    "--listen", "--data-dir", "--quota", "--passivate-after", "--max-connections", "--log-level",
    "--config"])
def test_a_flag_without_its_value_exits_with_2_and_is_named(data_dir, flag):
    ended = run("--data-dir", data_dir, "--listen", "127.0.0.1:0", flag)
    assert ended.returncode == 2
    assert flag in ended.stderr


@pytest.mark.parametrize("flag, value", BAD_VALUES)
def test_a_bad_value_exits_with_2_and_is_named_with_its_flag(data_dir, flag, value):
    ended = run("--data-dir", data_dir, "--listen", "127.0.0.1:0", f"{flag}={value}")
    assert ended.returncode == 2
    assert flag in ended.stderr and value in ended.stderr
    assert (ended.stdout, list(data_dir.iterdir())) == ("", [])


@pytest.mark.parametrize("flag, value", BAD_VALUES)
def test_a_bad_value_in_the_environment_exits_with_2_and_is_named(data_dir, flag, value):
    args = {"--data-dir": data_dir, "--listen": "127.0.0.1:0"}
    args.pop(flag, None)
    ended = run(*[word for pair in args.items() for word in pair],
                env={"CREDITSD_" + flag[2:].upper().replace("-", "_"): value})
    assert ended.returncode == 2
    assert value in ended.stderr
    assert list(data_dir.iterdir()) == []


@pytest.mark.parametrize("value, named", [
    *[(f"127.0.0.1:0,{one}", one) for one in ("nonsense", "unix:s", "127.0.0.1:65536", " 127.0.0.2:0")],
    ("127.0.0.1:80,127.0.0.1:80", "127.0.0.1:80"), ("[::1]:80,127.0.0.1:0,[::1]:80", "[::1]:80"),
    ("unix:/s,127.0.0.1:0,unix:/s", "unix:/s"),
])
def test_of_several_addresses_the_bad_one_exits_2_and_is_named(data_dir, value, named):
    ended = run("--data-dir", data_dir, "--listen", value)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f'--listen: "{named}" ' in ended.stderr
    assert list(data_dir.iterdir()) == []


# --- precedence of settings


def test_the_last_duplicate_of_a_flag_wins(start, connect, tmp_path):
    first, last = quota_file(tmp_path / "first", 1), quota_file(tmp_path / "last", 2)
    assert lifetime(connect(start("--quota", first, "--quota", last))) == 2


@pytest.mark.parametrize("flags, expected", [
    ("--hardware --no-hardware", False),
    ("--no-hardware --hardware", True),
    ("--hardware --hardware", True),
    ("--hardware --no-hardware --hardware", True),
])
def test_the_last_of_hardware_and_no_hardware_wins(start, connect, flags, expected):
    assert has_hardware(connect(start(*flags.split()))) is expected


def test_all_flags_at_once(start, connect, tmp_path):
    server = start("--store", "sqlite", "--quota", quota_file(tmp_path / "quota", 60),
                   "--no-hardware", "--passivate-after", "1s", "--max-live-installs", "1000",
                   "--max-connections", "100", "--max-in-flight", "100", "--log-level", "debug")
    assert connect(server).get("/readyz").status == 200


@pytest.mark.parametrize("duration", ["1ms", "1s", "10m", "2h", "365d", "36500d"])
def test_a_duration_needs_a_unit(start, duration):
    assert start("--passivate-after", duration).running()


def test_the_environment_sets_options_without_a_flag(start_bare, connect, tmp_path):
    server = start_bare(env={
        "CREDITSD_LISTEN": "127.0.0.1:0", "CREDITSD_DATA_DIR": str(tmp_path / "ledger"),
        "CREDITSD_STORE": "sqlite", "CREDITSD_QUOTA": str(quota_file(tmp_path / "quota", 60)),
        "CREDITSD_HARDWARE": "true", "CREDITSD_PASSIVATE_AFTER": "5m",
        "CREDITSD_MAX_LIVE_INSTALLS": "10", "CREDITSD_MAX_CONNECTIONS": "10",
        "CREDITSD_MAX_IN_FLIGHT": "10", "CREDITSD_LOG_LEVEL": "debug"})
    client = connect(server)
    assert lifetime(client) == 60
    assert has_hardware(client)
    assert (tmp_path / "ledger").is_dir()


@pytest.mark.parametrize("value, expected", [("true", True), ("false", False)])
def test_the_environment_sets_hardware_both_ways(start, connect, value, expected):
    assert has_hardware(connect(start(env={"CREDITSD_HARDWARE": value}))) is expected


@pytest.mark.parametrize("name", ["LISTEN", "QUOTA", "HARDWARE", "LOG_LEVEL", "MAX_CONNECTIONS",
                                  "CONFIG"])
def test_an_empty_variable_is_ignored(start, connect, data_dir, name):
    client = connect(start(env={f"CREDITSD_{name}": ""}))
    assert lifetime(client) == 100
    assert (data_dir / "quota.json").exists()


def test_a_line_of_the_config_file_sets_options_without_a_flag(start_bare, connect, tmp_path):
    config = tmp_path / "creditsd.conf"
    config.write_text(f"""# a comment
listen = 127.0.0.1:0
data-dir = {tmp_path / "ledger"}
store = sqlite

quota = {quota_file(tmp_path / "quota", 60)}
hardware = true
passivate-after = 5m
max-live-installs = 10
max-connections = 10
max-in-flight = 10
log-level = debug
""")
    for args, env in ((["--config", config], None), ([], {"CREDITSD_CONFIG": str(config)})):
        server = start_bare(*args, env=env)
        client = connect(server)
        assert lifetime(client) == 60
        assert has_hardware(client)
        assert (tmp_path / "ledger").is_dir()
        server.stop()


@pytest.mark.parametrize("line, named", [
    ("colour = blue", "colour"), ("max-connections = many", "many"), ("listen = x", "x"),
])
def test_a_bad_line_of_the_config_file_exits_with_2_and_is_named(data_dir, tmp_path, line, named):
    config = tmp_path / "creditsd.conf"
    config.write_text(line + "\n")
    ended = run("--data-dir", data_dir, "--config", config)
    assert ended.returncode == 2
    assert named in ended.stderr


def test_the_last_duplicate_line_of_the_config_file_wins(start, connect, tmp_path):
    config = tmp_path / "creditsd.conf"
    quotas = [tmp_path / f"{limit}.json" for limit in (1, 2, 3)]
    for limit, path in enumerate(quotas, 1):
        path.write_text(json.dumps({"core": {"lifetime": limit}}))
    lines = [f"quota = {quotas[0]}", f"quota = {quotas[1]}", "log-level = info", f"quota = {quotas[2]}"]
    config.write_text("\n".join(lines) + "\n")
    assert connect(start("--config", config)).get("/v1/quota").json["core"]["lifetime"] == 3


@pytest.mark.parametrize("name", ["with two spaces", "a,b", "[a]", "[a", '["a", "b"]'])
def test_a_line_of_the_config_file_is_one_value_whatever_is_in_it(start_bare, tmp_path, name):
    config = tmp_path / "creditsd.conf"
    config.write_text(f"data-dir = {name}\n")
    start_bare("--listen", "127.0.0.1:0", "--config", config, cwd=tmp_path)
    assert (tmp_path / name / "journal.db").exists()


def test_the_package_s_settings_are_accepted(start, connect):
    server = start("--config", PACKAGED, "--log-format", "text")
    assert connect(server).get("/readyz").status == 200


def test_the_package_s_settings_name_only_existing_flags(tmp_path):
    output = run("--help", cwd=tmp_path).stdout
    named = re.findall(r"^#?([a-z-]+) = ", PACKAGED.read_text(), re.MULTILINE)
    assert len(named) > 8
    assert [name for name in named if not re.search(rf"--{name}\b", output)] == []


def test_a_named_config_file_must_exist(data_dir, tmp_path):
    ended = run("--data-dir", data_dir, "--config", tmp_path / "missing.conf")
    assert ended.returncode in (1, 2)
    assert str(tmp_path / "missing.conf") in ended.stderr


def test_a_missing_config_file_is_a_usage_error(tmp_path):
    ended = run("--data-dir", tmp_path / "ledger", "--config", tmp_path / "missing.conf")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert not (tmp_path / "ledger").exists()


@pytest.mark.parametrize("given, expected", [
    ({"flag", "env", "config"}, "flag"), ({"flag", "env"}, "flag"), ({"flag", "config"}, "flag"),
    ({"env", "config"}, "env"), ({"env"}, "env"), ({"config"}, "config"),
], ids=["all", "flag+env", "flag+config", "env+config", "env", "config"])
def test_a_flag_overrides_the_environment_which_overrides_the_config_file(start, connect, tmp_path, given,
                                                              expected):
    files = {name: quota_file(tmp_path / name, n + 1)
             for n, name in enumerate(("flag", "env", "config"))}
    config = tmp_path / "creditsd.conf"
    config.write_text(f"quota = {files['config']}\n" if "config" in given else "")
    client = connect(start("--config", config, *(["--quota", files["flag"]] if "flag" in given
                                                 else []),
                           env={"CREDITSD_QUOTA": str(files["env"])} if "env" in given else None))
    assert lifetime(client) == json.loads(files[expected].read_text())["core"]["lifetime"]


def test_a_flag_overrides_the_environment_for_hardware_too(start, connect):
    assert not has_hardware(connect(start("--no-hardware", env={"CREDITSD_HARDWARE": "true"})))


@pytest.mark.parametrize("line, value, flags, expected", [
    ("true", None, [], True), ("true", "false", [], False), ("false", "true", [], True),
    ("true", None, ["--no-hardware"], False), ("false", None, ["--hardware"], True),
    ("true", "false", ["--hardware"], True),
])
def test_hardware_in_the_config_file_yields_to_flag_and_environment(start, connect, tmp_path, line,
                                                                    value, flags, expected):
    config = tmp_path / "creditsd.conf"
    config.write_text(f"hardware = {line}\n")
    env = {"CREDITSD_HARDWARE": value} if value else None
    assert has_hardware(connect(start("--config", config, *flags, env=env))) is expected


# --- the address


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"])
def test_beyond_loopback_it_refuses_to_listen_and_explains(data_dir, address):
    ended = run("--data-dir", data_dir, "--listen", address)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "loopback" in ended.stderr and "token" in ended.stderr
    assert address.rpartition(":")[0].strip("[]") in ended.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost"])
def test_it_listens_on_loopback(start, host):
    server = start("--listen", f"{host}:0")
    assert server.host == host
    with socket.create_connection((host, server.port), creditsd.TIMEOUT_S):
        pass


def test_it_listens_on_the_loopback_of_ipv6(start):
    try:
        socket.socket(socket.AF_INET6).bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    server = start("--listen", "[::1]:0")
    assert server.host == "[::1]"
    with socket.create_connection(("::1", server.port), creditsd.TIMEOUT_S):
        pass


def test_it_prints_one_line_to_standard_output(start, connect):
    server = start()
    connect(server).put("/v1/installs/a")
    assert server.stop() == 0
    assert server.out() == f"listening on http://127.0.0.1:{server.port}\n"


def test_a_port_in_use_exits_with_1_and_is_named(server, tmp_path):
    ended = run("--data-dir", tmp_path / "other", "--listen", f"127.0.0.1:{server.port}")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert str(server.port) in ended.stderr
    assert server.running()


def test_an_address_of_another_program_is_reported_as_in_use(data_dir):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        ended = run("--data-dir", data_dir, "--listen", address)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert address in ended.stderr and "in use" in ended.stderr


def test_a_restart_can_take_the_same_port_at_once(start, connect):
    server = start()
    assert connect(server).get("/healthz").status == 200
    assert server.stop() == 0
    again = start("--listen", f"127.0.0.1:{server.port}")
    assert again.port == server.port


# --- the data directory


def test_a_missing_data_directory_is_created(start, data_dir):
    start("--data-dir", data_dir / "new")
    assert (data_dir / "new").is_dir()


def test_the_data_directory_is_created_with_its_parents(start, connect, data_dir):
    path = data_dir / "a" / "b" / "c"
    server = start("--data-dir", path)
    assert connect(server).put("/v1/installs/a").status == 201
    assert server.stop() == 0
    assert (path / "journal.db").exists()


def test_the_data_directory_is_data_by_default(start_bare, tmp_path):
    start_bare("--listen", "127.0.0.1:0", cwd=tmp_path)
    assert (tmp_path / "data" / "quota.json").exists()


def unwritable(tmp_path):
    """A directory in which not even root can create a file."""
    if os.geteuid() == 0:
        return "/proc/self"
    (tmp_path / "locked").mkdir(mode=0o555)
    return tmp_path / "locked"


@pytest.mark.parametrize("path_of", [
    lambda tmp: tmp / "file", lambda tmp: tmp / "file" / "below", unwritable,
    lambda tmp: f"{unwritable(tmp)}/below",
], ids=["file", "below-a-file", "not-writable", "below-not-writable"])
def test_an_unusable_data_directory_exits_with_1_and_is_named(tmp_path, path_of):
    (tmp_path / "file").write_text("mine")
    path = path_of(tmp_path)
    ended = run("--listen", "127.0.0.1:0", "--data-dir", path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert str(path) in ended.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_a_file_in_place_of_the_data_directory_is_reported(tmp_path):
    (tmp_path / "file").touch()
    ended = run("--listen", "127.0.0.1:0", "--data-dir", tmp_path / "file")
    assert (ended.returncode, "not a directory" in ended.stderr) == (1, True)


def test_a_data_directory_has_one_owner(server, client, data_dir):
    client.put("/v1/installs/a")
    ended = run("--listen", "127.0.0.1:0", "--data-dir", data_dir)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert str(server.process.pid) in ended.stderr
    assert client.get("/v1/installs/a").status == 200


def test_a_killed_owner_leaves_the_data_directory_free(start):
    start().kill()
    assert start().running()


# --- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_a_signal_to_end_exits_with_0_and_keeps_acknowledged_writes(start, connect, number):
    server = start()
    client = connect(server)
    for n in range(100):
        client.post(f"/v1/installs/i{n}/commit", {"backend": "gemini", "tier": "core"})
    expected = client.get("/v1/snapshot").json
    server.process.send_signal(number)
    assert server.process.wait(creditsd.TIMEOUT_S) == 0
    assert connect(start()).get("/v1/snapshot").json == expected


@pytest.mark.parametrize("flags", [
    ["--admin-token-file", ""], ["--relay-token-file", ""], ["--quota", ""],
    ["--tls-cert", "", "--tls-key", "k.pem"], ["--tls-cert", "", "--tls-key", ""]],
    ids=lambda flags: " ".join(flags))
def test_an_empty_file_name_is_an_error(data_dir, flags):
    ended = run("--data-dir", data_dir, "--listen", "127.0.0.1:0", *flags)
    assert ended.returncode == 2
    assert flags[0] in ended.stderr
    assert (ended.stdout, list(data_dir.iterdir())) == ("", [])
