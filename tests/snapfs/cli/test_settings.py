from __future__ import annotations

import os
from pathlib import Path

import pytest

from snapfs.model import Durability

from .conftest import CommandLine

WHOLE = """
root = "/srv/snapfs"
address = "/run/other.sock"
driver = "kernel"
durability = "image"
workers = 4
group = "containers"

[metrics]
address = "127.0.0.1:9477"

[tracing]
endpoint = "http://127.0.0.1:4318"

[log]
format = "json"
level = "debug"

[overlay]
mount_options = ["volatile"]
remap_ids = true

[limits]
max_size = "10GiB"
backend = "loop"
min_free_percent = 5
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(WHOLE)
    return path


def test_serve_has_defaults_for_everything(snapfs: CommandLine) -> None:
    outcome = snapfs("serve")

    assert outcome.code == 0
    [(root, settings)] = snapfs.served
    assert root == str(snapfs.root)
    assert settings.address == "/run/snapfs/snapfs.sock"
    assert settings.workers == 16
    assert settings.notify_socket == ""
    assert settings.group == ""
    assert settings.metrics_address == ""
    assert settings.watchdog_s == 0
    assert settings.inherited_fd == -1
    assert settings.store.durability is Durability.LAYER
    assert settings.store.driver == "auto"
    assert settings.store.max_size == 0
    assert settings.store.min_free_percent == 1


def test_serve_takes_all_from_a_file(snapfs: CommandLine, config: Path) -> None:
    snapfs.environment = {"SNAPFS_ROOT": None, "XDG_DATA_HOME": None}

    snapfs("serve", "--config", config)

    [(root, settings)] = snapfs.served
    assert root == "/srv/snapfs"
    assert settings.address == "/run/other.sock"
    assert settings.workers == 4
    assert settings.group == "containers"
    assert settings.metrics_address == "127.0.0.1:9477"
    assert settings.tracing_endpoint == "http://127.0.0.1:4318"
    assert settings.store.driver == "kernel"
    assert settings.store.durability is Durability.IMAGE
    assert settings.store.mount_options == ("volatile",)
    assert settings.store.remap_ids is True
    assert settings.store.max_size == 10 << 30
    assert settings.store.limit_backend == "loop"
    assert settings.store.min_free_percent == 5


def test_the_command_line_comes_before_the_file(
    snapfs: CommandLine, config: Path
) -> None:
    snapfs(
        *("--root", "/named", "--driver", "auto", "serve", "--config", config),
        *("--address", "/named.sock", "--durability", "none", "--workers", "2"),
    )

    [(root, settings)] = snapfs.served
    assert (root, settings.address, settings.workers) == ("/named", "/named.sock", 2)
    assert settings.store.durability is Durability.NONE
    assert settings.store.driver == "auto"


def test_the_environment_comes_before_the_file(
    snapfs: CommandLine, config: Path
) -> None:
    snapfs("serve", "--config", config)

    assert snapfs.served[0][0] == str(snapfs.root)


def test_serve_passes_systemds_socket_on(snapfs: CommandLine) -> None:
    snapfs.environment["NOTIFY_SOCKET"] = "@systemd"

    snapfs("serve")

    assert snapfs.served[0][1].notify_socket == "@systemd"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("adress = 'x'", "unknown key 'adress'; did you mean 'address'?"),
        pytest.param("[overlay]\nmap = 1", "unknown key 'overlay.map'"),
        pytest.param("overlay = 3", "unknown key 'overlay'"),
        pytest.param("[overlay.deep]\nx = 1", "unknown key 'overlay.deep'"),
        pytest.param("workers = 0", "'workers' must be a number of 1 or more, not 0"),
        pytest.param("workers = true", "'workers' must be a number"),
        pytest.param("driver = 'zfs'", "'driver' must be one of auto, kernel, fuse"),
        pytest.param("root = ''", "'root' must be a string that is not empty"),
        pytest.param("[overlay]\nmount_options = 'x'", "must be a list of strings"),
        pytest.param("[overlay]\nmount_options = [1]", "must be a list of strings"),
        pytest.param("[overlay]\nremap_ids = 'no'", "must be true or false"),
        pytest.param("[limits]\nmax_size = 'big'", "must be a size ('big' is no size"),
        pytest.param("[limits]\nmax_size = -1", "must be a number of bytes, or"),
        pytest.param("[limits]\nbackend = 'zfs'", "must be one of quota, loop"),
        pytest.param("[limits]\nmin_free_percent = 100", "must be a number from 0"),
        pytest.param("root = ", "config.toml is no valid TOML: "),
    ],
)
def test_a_bad_file_is_refused_by_name(
    snapfs: CommandLine, config: Path, text: str, complaint: str
) -> None:
    config.write_text(text)

    outcome = snapfs("serve", "--config", config)

    assert outcome.code == 2
    assert complaint in outcome.err
    assert outcome.err.count("\n") == 1
    assert snapfs.served == []


def test_a_missing_file_is_exit_code_3(snapfs: CommandLine) -> None:
    assert snapfs("serve", "--config", "/no/such.toml").code == 3


def test_config_show_tells_who_said_what(snapfs: CommandLine, config: Path) -> None:
    document = snapfs("config", "show", "--config", config, "--json").document

    assert document["root"] == {
        "value": str(snapfs.root),
        "origin": "environment SNAPFS_ROOT",
    }
    assert document["workers"] == {"value": 4, "origin": str(config)}
    assert document["overlay.mount_options"]["value"] == ["volatile"]


def test_config_show_names_defaults_and_options(snapfs: CommandLine) -> None:
    lines = snapfs("--driver", "kernel", "config", "show").out.splitlines()

    rows = {line.split()[0]: line.split()[1:] for line in lines}
    assert rows["driver"] == ["kernel", "--driver"]
    assert rows["durability"] == ["layer", "default"]


def test_systemd_says_how_long_it_waits_and_which_socket_is_ours(
    snapfs: CommandLine,
) -> None:
    me = str(os.getpid())
    snapfs.environment |= {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": me}
    snapfs.environment |= {"LISTEN_FDS": "1", "LISTEN_PID": me}

    snapfs("serve")

    [(_, settings)] = snapfs.served
    assert settings.watchdog_s == 30
    assert settings.inherited_fd == 3


def test_what_systemd_gave_to_another_process_is_not_ours(snapfs: CommandLine) -> None:
    snapfs.environment |= {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}
    snapfs.environment |= {"LISTEN_FDS": "1", "LISTEN_PID": "1"}

    snapfs("serve")

    [(_, settings)] = snapfs.served
    assert settings.watchdog_s == 0
    assert settings.inherited_fd == -1


def test_more_sockets_than_one_are_refused(snapfs: CommandLine) -> None:
    snapfs.environment |= {"LISTEN_FDS": "2", "LISTEN_PID": str(os.getpid())}

    outcome = snapfs("serve")

    assert outcome.code == 5
    assert "ListenStream=" in outcome.err
    assert snapfs.served == []
