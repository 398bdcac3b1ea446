"""``snapfs check --deep`` as a process: beside a service, on containerd's layers."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from support.applied_layers import directory, entry
from support.command import Command, serving
from support.containerd import Containerd, Generation, require_generation
from support.images import chain_ids, image_layers
from support.snapfs_program import SnapfsProgram
from support.unpack_images import layout_of

LAYERS = (
    (directory("./"), entry("etc/motd", b"hello" * 100), entry("empty")),
    (entry("etc/motd", b"other"), entry("bin/tool", b"#!", mode=0o755)),
)


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return layout_of(tmp_path / "layout", *LAYERS)


def content(command: Command, name: str) -> Path:
    [info] = [json.loads(command.ok("--json", "info", name))]
    return Path(info["directory"], "fs")


def test_a_sound_store_is_exit_code_0_and_says_what_was_compared(
    command: Command, layout: Path
) -> None:
    command.ok("unpack", layout)

    done = command("check", "--deep", "--from", f"oci:{layout}")

    assert done.returncode == 0
    assert done.stdout == ""
    assert (
        "2 layers compared name by name, 2 of them with the content too" in done.stderr
    )
    assert "every invariant holds" in done.stderr


@pytest.mark.root
def test_damage_is_found_and_repaired_beside_a_service(
    command: Command, layout: Path
) -> None:
    """What a power cut leaves where nobody synced: a file without content."""
    with serving(command):
        top = command.ok("unpack", layout).split()[-1]
        motd = content(command, top) / "etc/motd"
        os.truncate(motd, 0)

        found = command("--json", "check", "--deep")
        advice = command("check", "--deep", "--from", f"oci:{layout}")
        repaired = command("check", "--deep", "--repair", "--from", f"oci:{layout}")

        assert found.returncode == 7
        [finding] = map(json.loads, found.stdout.splitlines())
        assert finding["code"] == "content"
        assert finding["subject"] == f"{top}:/etc/motd"
        assert "its size is 0, not 5" in finding["detail"]
        assert "--from SOURCE" in finding["detail"]
        assert advice.returncode == 7
        assert "add --repair" in advice.stdout
        assert repaired.returncode == 0, repaired.stdout
        assert "1 damaged name made anew" in repaired.stderr
        assert motd.read_bytes() == b"other"
        assert command("check", "--deep").returncode == 0


def test_from_without_deep_is_a_mistake(command: Command, layout: Path) -> None:
    command.ok("unpack", layout)

    done = command("check", "--from", f"oci:{layout}")

    assert done.returncode == 2
    assert "--deep" in done.stderr


def test_an_image_that_is_not_there_is_named(command: Command, layout: Path) -> None:
    command.ok("unpack", layout)

    done = command("check", "--deep", "--from", "oci:/nowhere")

    assert done.returncode == 3
    assert "/nowhere" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def generation() -> Generation:
    """Version 1.6 knows no differs but its own."""
    return require_generation("built")


@pytest.mark.root
@pytest.mark.containerd
@pytest.mark.slow
def test_layers_that_containerd_unpacked_are_known_by_their_chain_ids(
    containerd: Containerd, snapfs: SnapfsProgram, archive: Path
) -> None:
    containerd.import_image(archive)
    sound = snapfs.records("check", "--deep")
    top = chain_ids(image_layers())[-1]
    [info] = [i for i in snapfs.records("ls") if i["name"].endswith(top)]
    tree = Path(snapfs.document("info", info["name"])["directory"], "fs")
    victim = next(path for path in sorted(tree.rglob("*")) if path.is_file())
    kept = victim.read_bytes()
    os.truncate(victim, 0)
    source = f"docker-archive:{archive}"

    status = snapfs.status_of("check", "--deep")
    snapfs.run("check", "--deep", "--repair", "--from", source)

    assert sound == []
    assert status == 7
    assert victim.read_bytes() == kept != b""
