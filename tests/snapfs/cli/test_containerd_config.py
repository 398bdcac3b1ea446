from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from snapfs.cli.containerd_config import DIFFER, containerd_toml
from snapfs.cli.containerd_version import (
    ContainerdVersion,
    parse_version,
    version_in_output,
)
from snapfs.errors import InvalidArgumentError

from .conftest import CommandLine

TRANSFER = "io.containerd.transfer.v1.local"
EVERY_VERSION = [
    *("1.6", "1.6.20~ds1", "1.6.32", "1.7", "1.7.15", "1.7.16", "2.0.0", "2.1.4"),
    *("v2.2.0", "v2.2.3-rc.1", "2.2.3", "2.3.0", "2.3.4+unknown", "2.4.2", "3.0.0"),
]


def parsed(version: str, *, cri: bool = False, root: str = "/var/lib/snapfs") -> Any:  # noqa: ANN401 - TOML is anything
    text = containerd_toml(
        parse_version(version), root=root, address="/run/s.sock", use_for_cri=cri
    )
    return tomllib.loads(text)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        pytest.param("1.7", ContainerdVersion(1, 7), id="minor only"),
        pytest.param("1.6.20~ds1", ContainerdVersion(1, 6, 20), id="Debian"),
        pytest.param(
            "1.6.20~ds1-1+deb12u3", ContainerdVersion(1, 6, 20), id="Debian revision"
        ),
        pytest.param("v2.2.3", ContainerdVersion(2, 2, 3), id="tag"),
        pytest.param(
            "v2.2.3-rc.1", ContainerdVersion(2, 2, 3, True), id="release candidate"
        ),
        pytest.param("2.0.0~rc5", ContainerdVersion(2, 0, 0, True), id="Debian's rc"),
        pytest.param("2.4.0-beta.0", ContainerdVersion(2, 4, 0, True), id="beta"),
        pytest.param("v2.0.0-k3s1", ContainerdVersion(2, 0, 0), id="a vendor's"),
        pytest.param("1.7.24-0ubuntu1", ContainerdVersion(1, 7, 24), id="Ubuntu"),
        pytest.param("2.3.4+unknown", ContainerdVersion(2, 3, 4), id="built by hand"),
    ],
)
def test_versions_are_read_as_they_are_written(
    text: str, version: ContainerdVersion
) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("text", ["", "two", "2", "1.5.18", "0.2", "2.0.0.1", "2.x"])
def test_what_is_no_supported_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_version(text)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        pytest.param(
            "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1",
            "1.6.20~ds1",
            id="Debian",
        ),
        pytest.param(
            "containerd github.com/containerd/containerd/v2 v2.2.3 abc123",
            "v2.2.3",
            id="upstream",
        ),
        pytest.param("containerd containerd.io 1.7.24 88bf19b", "1.7.24", id="Docker"),
    ],
)
def test_the_version_is_found_in_what_containerd_prints(
    text: str, version: str
) -> None:
    assert version_in_output(text) == version


def test_output_without_a_version_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="printed no version"):
        version_in_output("containerd: command not found")


@pytest.mark.parametrize("version", EVERY_VERSION)
def test_every_version_gets_the_proxy_plugin(version: str) -> None:
    plugin = parsed(version)["proxy_plugins"]["snapfs"]

    assert (plugin["type"], plugin["address"]) == ("snapshot", "/run/s.sock")


@pytest.mark.parametrize(
    ("version", "number"),
    [("1.6.20~ds1", 2), ("1.7.24", 2), ("2.0.0", 3), ("2.2.3", 3), ("2.3.0", 3)],
)
def test_the_configuration_version_is_one_that_is_read_without_doubt(
    version: str, number: int
) -> None:
    assert parsed(version)["version"] == number


@pytest.mark.parametrize(
    ("version", "has_exports"),
    [
        *(("1.6.20~ds1", False), ("1.6", False), ("1.6.31", False), ("1.6.32", True)),
        *(("1.6.38", True), ("1.7", False), ("1.7.15", False), ("1.7.16-rc.1", False)),
        *(("1.7.16", True), ("1.7.29", True), ("2.0.0", True), ("2.3.1", True)),
    ],
)
def test_exports_are_there_from_the_patch_that_knows_them(
    version: str, has_exports: bool
) -> None:
    plugin = parsed(version, root='/odd "root"\\')["proxy_plugins"]["snapfs"]

    assert ("exports" in plugin) == has_exports
    if has_exports:
        assert plugin["exports"] == {"root": '/odd "root"\\'}


@pytest.mark.parametrize("version", EVERY_VERSION)
def test_the_transfer_service_of_2_x_unpacks_with_both_snapshotters(
    version: str,
) -> None:
    plugins = parsed(version).get("plugins", {})

    if parse_version(version).major < 2:
        assert TRANSFER not in plugins
        return
    entries = plugins[TRANSFER]["unpack_config"]
    assert [entry["snapshotter"] for entry in entries] == ["overlayfs", "snapfs"]
    assert [entry["differ"] for entry in entries] == ["walking", "snapfs-differ"]
    assert {entry["platform"] for entry in entries} == {"linux"}


@pytest.mark.parametrize(
    ("version", "is_optional"), [("2.0.0", False), ("2.2.3", False), ("2.3.0", True)]
)
def test_overlayfs_is_optional_where_that_can_be_said(
    version: str, is_optional: bool
) -> None:
    first, second = parsed(version)["plugins"][TRANSFER]["unpack_config"]

    assert first.get("optional", False) == is_optional
    assert "optional" not in second


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ("1.7.24", ("io.containerd.grpc.v1.cri", "containerd")),
        ("2.1.0", ("io.containerd.cri.v1.images",)),
    ],
)
def test_kubernetes_uses_snapfs_only_when_asked_for(
    version: str, path: tuple[str, ...]
) -> None:
    table = parsed(version, cri=True)["plugins"]
    for name in path:
        table = table[name]

    assert table == {"snapshotter": "snapfs"}
    assert path[0] not in parsed(version).get("plugins", {})


def test_parallel_unpacking_is_warned_of_where_it_damages_images() -> None:
    texts = {
        version: containerd_toml(
            parse_version(version), root="/r", address="/a", use_for_cri=False
        )
        for version in ("2.1.0", "2.2.2", "2.2.3-rc.1", "2.2.3")
    }

    warned = [name for name, text in texts.items() if "must stay 1" in text]
    assert warned == ["2.2.2", "2.2.3-rc.1"]


@pytest.mark.parametrize("version", EVERY_VERSION)
def test_layers_are_unpacked_at_once_where_that_is_sound(version: str) -> None:
    document = parsed(version)

    at_once = (
        document.get("plugins", {}).get(TRANSFER, {}).get("max_concurrent_unpacks")
    )
    can = parse_version(version).is_at_least(2, 2, 3)
    assert at_once == (4 if can else None)
    capabilities = document["proxy_plugins"]["snapfs"].get("capabilities", [])
    assert ("rebase" in capabilities) == can


@pytest.mark.parametrize(
    ("version", "options", "reason"),
    [
        ("2.2.0", ("--parallel", "2"), "damages images"),
        ("2.2.2", ("--parallel", "4"), "damages images"),
        ("2.2.3-rc.1", ("--parallel", "4"), "damages images"),
        ("2.1.4", ("--parallel", "4"), "one layer after another"),
        ("1.7.24", ("--parallel", "4"), "one layer after another"),
        ("2.4.2", ("--parallel", "2", "--no-differ"), "--no-differ"),
    ],
)
def test_more_at_once_than_is_sound_is_refused(
    snapfs: CommandLine, version: str, options: tuple[str, ...], reason: str
) -> None:
    outcome = snapfs("config", "containerd", "--containerd-version", version, *options)

    assert outcome.code == 2
    assert reason in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize(
    "options", [("--parallel", "1"), ("--no-differ",)], ids=["one", "no differ"]
)
def test_one_after_another_is_for_the_asking(
    snapfs: CommandLine, options: tuple[str, ...]
) -> None:
    outcome = snapfs("config", "containerd", "--containerd-version", "2.4.2", *options)

    assert "rebase" not in outcome.out
    assert "max_concurrent" not in outcome.out


def test_the_command_prints_toml_for_the_root_and_socket_in_use(
    snapfs: CommandLine,
) -> None:
    outcome = snapfs("config", "containerd", "--containerd-version", "2.2.3")

    plugin = tomllib.loads(outcome.out)["proxy_plugins"]["snapfs"]
    assert plugin["exports"]["root"] == str(snapfs.root)
    assert plugin["address"] == "/run/snapfs/snapfs.sock"


def test_without_containerd_the_version_must_be_named(
    snapfs: CommandLine, tmp_path: object
) -> None:
    snapfs.environment["PATH"] = str(tmp_path)

    outcome = snapfs("config", "containerd")

    assert outcome.code == 6
    assert "--containerd-version" in outcome.err


def test_an_old_version_is_exit_code_2(snapfs: CommandLine) -> None:
    outcome = snapfs("config", "containerd", "--containerd-version", "1.4.3")

    assert outcome.code == 2
    assert "older than 1.6" in outcome.err


@pytest.mark.parametrize("version", EVERY_VERSION)
def test_containerd_unpacks_by_itself_where_that_is_wanted(version: str) -> None:
    text = containerd_toml(
        parse_version(version),
        root="/r",
        address="/s",
        use_for_cri=False,
        is_differ=False,
    )

    assert DIFFER not in text
    assert tomllib.loads(text)["proxy_plugins"].keys() == {"snapfs"}


@pytest.mark.parametrize("version", ["1.7.23", "2.0.0", "2.4.2"])
def test_containerd_is_told_that_owners_are_mapped_where_they_are(
    snapfs: CommandLine, tmp_path: Path, version: str
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[overlay]\nremap_ids = true\n")
    words = ("config", "containerd", "--containerd-version", version)

    plain = tomllib.loads(snapfs(*words).out)
    mapped = tomllib.loads(snapfs(*words, "--config", config).out)

    without = plain["proxy_plugins"]["snapfs"].get("capabilities", [])
    assert "remap-ids" not in without
    assert mapped["proxy_plugins"]["snapfs"]["capabilities"] == [*without, "remap-ids"]


@pytest.mark.parametrize("version", ["1.6.39", "1.7.22"])
def test_a_containerd_that_cannot_be_told_is_refused(
    snapfs: CommandLine, tmp_path: Path, version: str
) -> None:
    """It would change the owners itself, and snapfs map them once more."""
    config = tmp_path / "config.toml"
    config.write_text("[overlay]\nremap_ids = true\n")

    outcome = snapfs(
        *("config", "containerd", "--containerd-version", version),
        *("--config", config),
    )

    assert outcome.code == 2
    assert "overlay.remap_ids" in outcome.err
