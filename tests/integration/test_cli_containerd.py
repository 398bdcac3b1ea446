"""What ``config containerd`` prints is accepted by the containerd it is for."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

from support.command import Command
from support.containerd import find_generation


@pytest.mark.containerd
@pytest.mark.parametrize(
    ("name", "main_version"),
    # containerd 1.x has no configuration version 3.
    [("packaged", None), ("packaged", 2), ("built", None), ("built", 2), ("built", 3)],
)
def test_containerd_reads_it_whole_and_as_a_drop_in(
    tmp_path: Path, name: str, main_version: int | None
) -> None:
    generation = find_generation(name)
    if generation is None:
        pytest.skip(f"no {name} containerd here")
    command = Command(tmp_path / "root")
    version = ("--containerd-version", generation.version)
    text = command.ok("config", "containerd", *version, "--cri")
    printed = tmp_path / "printed.toml"
    printed.write_text(text)
    main = printed
    if main_version is not None:
        main = tmp_path / "main.toml"
        main.write_text(f'version = {main_version}\nimports = ["{printed}"]\n')

    done = subprocess.run(
        [generation.programs / "containerd", "--config", main, "config", "dump"],
        capture_output=True,
        text=True,
        check=True,
    )

    effective = tomllib.loads(done.stdout)
    plugin = effective["proxy_plugins"]["snapfs"]
    assert (plugin["type"], plugin["address"]) == (
        "snapshot",
        "/run/snapfs/snapfs.sock",
    )
    assert "unknown" not in done.stderr.lower()
    plugins = effective["plugins"]
    if generation.is_2:
        images = plugins["io.containerd.cri.v1.images"]
        assert images["snapshotter"] == "snapfs"
        assert plugin["exports"]["root"] == str(tmp_path / "root")
        unpack = plugins["io.containerd.transfer.v1.local"]["unpack_config"]
        assert [entry["snapshotter"] for entry in unpack] == ["overlayfs", "snapfs"]
    else:
        cri = plugins["io.containerd.grpc.v1.cri"]["containerd"]
        assert cri["snapshotter"] == "snapfs"


@pytest.mark.containerd
def test_the_version_is_asked_of_the_installed_containerd(tmp_path: Path) -> None:
    generation = find_generation("packaged")
    if generation is None:
        pytest.skip("no packaged containerd here")

    printed = Command(tmp_path / "root").ok("config", "containerd")

    assert f"# snapfs for containerd {generation.version}." in printed
