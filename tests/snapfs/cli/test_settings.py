from __future__ import annotations

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

[log]
format = "json"
level = "debug"

[overlay]
mount_options = ["volatile"]
remap_ids = true
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
    assert settings.store.durability is Durability.LAYER
    assert settings.store.driver == "auto"


def test_serve_takes_all_from_a_file(snapfs: CommandLine, config: Path) -> None:
    snapfs.environment = {"SNAPFS_ROOT": None, "XDG_DATA_HOME": None}

    snapfs("serve", "--config", config)

    [(root, settings)] = snapfs.served
    assert root == "/srv/snapfs"
    assert settings.address == "/run/other.sock"
    assert settings.workers == 4
    assert settings.store.driver == "kernel"
    assert settings.store.durability is Durability.IMAGE
    assert settings.store.mount_options == ("volatile",)
    assert settings.store.remap_ids is True


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
