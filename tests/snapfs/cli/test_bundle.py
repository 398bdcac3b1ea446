from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from snapfs.cli.oci_config import ContainerProcess, runtime_config
from snapfs.model import Mount

from .conftest import CommandLine


def test_a_bundle_has_a_configuration_and_a_mounted_root(
    snapfs: CommandLine, tmp_path: Path
) -> None:
    snapfs.store.prepare("work")
    place = tmp_path / "box"

    outcome = snapfs("bundle", "work", place, "--rw", "-e", "A=b", "--user", "7:8")

    assert outcome.code == 0
    assert sorted(os.listdir(place)) == ["config.json", "rootfs"]
    assert snapfs.mounted[0][1] == str(place / "rootfs")
    config = json.loads((place / "config.json").read_text())
    assert config["root"] == {"path": "rootfs", "readonly": False}
    assert config["process"]["user"] == {"uid": 7, "gid": 8}
    assert "A=b" in config["process"]["env"]
    assert config["hostname"] == "box"


def test_a_bundle_is_read_only_unless_told_otherwise(
    snapfs: CommandLine, tmp_path: Path
) -> None:
    snapfs.store.prepare("work")

    snapfs("bundle", "work", tmp_path / "box")

    config = json.loads((tmp_path / "box" / "config.json").read_text())
    assert config["root"]["readonly"] is True


def test_a_bundle_never_lands_in_a_directory_with_content(
    snapfs: CommandLine, tmp_path: Path
) -> None:
    snapfs.store.prepare("work")
    (tmp_path / "precious").touch()

    outcome = snapfs("bundle", "work", tmp_path)

    assert outcome.code == 4
    assert snapfs.mounted == []


def test_a_bundle_that_cannot_be_mounted_leaves_nothing(
    snapfs: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapfs.store.prepare("work")

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted", "rootfs")

    monkeypatch.setattr(snapfs, "_mount", refuse)

    outcome = snapfs("bundle", "work", tmp_path / "box")

    assert outcome.code == 1
    assert not (tmp_path / "box").exists()


@pytest.mark.parametrize("user", ["root", "1:", "1:x", ":1", "-1"])
def test_a_user_is_a_number(snapfs: CommandLine, tmp_path: Path, user: str) -> None:
    snapfs.store.prepare("work")

    outcome = snapfs("bundle", "work", tmp_path / "box", f"--user={user}")

    expected = 0 if user == "1:" else 2
    assert outcome.code == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="asks for root before a runtime")
def test_run_without_a_runtime_is_exit_code_6(
    snapfs: CommandLine, tmp_path: Path
) -> None:
    snapfs.environment["PATH"] = str(tmp_path)

    outcome = snapfs("run", "work")

    assert outcome.code == 6
    assert "neither runc nor crun" in outcome.err


def test_a_container_has_its_own_network_unless_told_otherwise() -> None:
    def namespaces(has_host_network: bool) -> list[dict[str, str]]:
        process = ContainerProcess(has_host_network=has_host_network)
        config = runtime_config(process, hostname="h", is_read_only=True)
        linux = config["linux"]
        assert isinstance(linux, dict)
        return list(linux["namespaces"])

    assert {"type": "network"} in namespaces(False)
    assert {"type": "network"} not in namespaces(True)


def test_a_plan_counts_its_layers(snapfs: CommandLine, tmp_path: Path) -> None:
    snapfs.store.prepare("one")
    snapfs.store.commit("base", "one")
    snapfs.store.prepare("work", "base")
    (tmp_path / "target").mkdir()

    outcome = snapfs("mount", "work", tmp_path / "target", "--rw")

    [(mounts, _)] = snapfs.mounted
    assert isinstance(mounts[0], Mount)
    assert "overlay mount of 2 directories" in outcome.err
