"""``-o docker://``: what was exported is pushed, and pulled again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.cli.exit_codes import ExitCode
from support.command import Command
from support.docker_registry import docker_registry
from support.exported_images import exported


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with docker_registry(tmp_path_factory.mktemp("upstream") / "registry") as host:
        yield host


@pytest.fixture
def stocked(command: Command, archive: Path, tmp_path: Path) -> Command:
    command.environment["DOCKER_CONFIG"] = str(tmp_path)
    command.environment["SNAPFS_CERTS_D"] = str(tmp_path)
    command.ok("unpack", archive, "--name", "demo")
    return command


def test_a_pushed_image_is_unpacked_again(
    stocked: Command, registry: str, tmp_path: Path
) -> None:
    name = f"docker://{registry}/team/app:1"

    document = exported(stocked, "export", "demo", "-o", name)

    other = Command(tmp_path / "other")
    other.environment |= stocked.environment
    top = other.ok("unpack", name).strip()
    assert top == document["layers"][-1]["chain_id"]
    again = exported(other, "export", top, "-o", f"{name}.again")
    assert again["digest"] == document["digest"]


def test_a_squashed_image_is_pushed_from_where_it_is(
    stocked: Command, registry: str, archive: Path
) -> None:
    name = f"docker://{registry}/team/flat:1"

    document = exported(stocked, "image", "squash", archive, "-o", name)

    (layer,) = document["layers"]
    assert stocked.ok("unpack", name).strip() == layer["chain_id"]


def test_a_registry_that_is_not_there_is_one_line(stocked: Command) -> None:
    done = stocked("export", "demo", "-o", "docker://127.0.0.1:1/team/app:1")

    assert (done.returncode, done.stdout) == (ExitCode.UNAVAILABLE, "")
    assert len(done.stderr.splitlines()) == 1
    assert "127.0.0.1:1" in done.stderr
