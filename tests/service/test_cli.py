"""The command line, the environment and the configuration file."""

import socket

import pytest

from creditsd import run

FLAGS = ["--listen", "--data-dir", "--store", "--quota", "--hardware", "--no-hardware",
         "--passivate-after", "--max-live-installs", "--max-connections", "--max-in-flight",
         "--log-level", "--config"]


def has_hardware(server):
    """A setting that shows: an install without Gemini credits goes to the hardware, or nowhere."""
    client = server.client()
    client.commit("a", credits=50)
    return client.plan("a").json["backend"] == "hardware"


def test_help_tells_every_flag_and_its_environment_variable():
    ended = run("--help")
    assert ended.returncode == 0
    for flag in FLAGS:
        assert flag in ended.stdout
    assert "CREDITSD_MAX_LIVE_INSTALLS" in ended.stdout


def test_version_is_told():
    ended = run("--version")
    assert ended.returncode == 0
    assert ended.stdout.strip()[0].isdigit()


@pytest.mark.parametrize("arguments, told", [
    (["--unknown"], "--unknown"),
    (["stray"], "stray"),
    (["--listen", "8787"], "8787"),
    (["--listen", "127.0.0.1:x"], "127.0.0.1:x"),
    (["--listen", "127.0.0.1:65536"], "127.0.0.1:65536"),
    (["--listen", ":80"], ":80"),
    (["--listen"], "--listen"),
    (["--store", "mysql"], "mysql"),
    (["--passivate-after", "10"], "10"),
    (["--passivate-after", "10y"], "10y"),
    (["--passivate-after", "0s"], "--passivate-after"),
    (["--max-connections", "0"], "--max-connections"),
    (["--max-connections", "many"], "many"),
    (["--max-live-installs", "-1"], "-1"),
    (["--max-in-flight", "1e9"], "1e9"),
    (["--log-level", "loud"], "loud"),
    (["--config", "/nonexistent/file"], "/nonexistent/file"),
])
def test_a_usage_error_exits_2_and_names_the_value(tmp_path, arguments, told):
    ended = run("--data-dir", tmp_path / "data", *arguments)
    assert ended.returncode == 2
    assert told in ended.stderr
    assert not (tmp_path / "data").exists()


def test_a_bad_environment_variable_or_line_is_a_usage_error_too(tmp_path):
    assert run(env={"CREDITSD_MAX_CONNECTIONS": "0"}).returncode == 2
    config = tmp_path / "config"
    config.write_text("max-connection = 5\n")
    ended = run("--config", config)
    assert ended.returncode == 2
    assert "max-connection" in ended.stderr


def test_the_last_of_a_repeated_flag_counts(start):
    assert has_hardware(start("--no-hardware", "--hardware"))


def test_a_flag_goes_before_the_environment_and_that_before_the_file(start, tmp_path):
    config = tmp_path / "config"
    config.write_text("hardware = true\nlog-level = debug\n")
    paths = [tmp_path / name for name in "abcd"]
    assert has_hardware(start("--config", config, on=paths[0]))
    no_hardware = {"CREDITSD_HARDWARE": "false"}
    assert not has_hardware(start("--config", config, on=paths[1], env=no_hardware))
    assert has_hardware(start("--config", config, "--hardware", on=paths[2], env=no_hardware))
    assert has_hardware(start(on=paths[3], env={"CREDITSD_CONFIG": str(config)}))


def test_only_loopback_is_listened_on_as_there_are_no_tokens(data_dir):
    for host in ("0.0.0.0", "[::]", "192.0.2.1"):
        ended = run("--data-dir", data_dir, "--listen", f"{host}:0")
        assert ended.returncode == 1
        assert host.strip("[]") in ended.stderr and "loopback" in ended.stderr


def test_an_address_that_is_taken_or_not_ours_says_so(data_dir):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run("--data-dir", data_dir, "--listen", address)
    assert ended.returncode == 1
    assert address in ended.stderr and "in use" in ended.stderr


def test_a_data_directory_that_cannot_be_says_so(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    ended = run("--data-dir", path)
    assert ended.returncode == 1
    assert str(path) in ended.stderr and "not a directory" in ended.stderr


def test_a_data_directory_is_made_with_its_parents(start, tmp_path):
    server = start(on=tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c" / "journal.db").exists()
    assert server.stop() == 0
