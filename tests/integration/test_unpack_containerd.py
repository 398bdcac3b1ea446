"""``snapfs unpack containerd:``: the command against a real containerd's content.

What it commits is compared with the same image out of the archive it was imported from.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.make_image import digest
from snapfs.cli.exit_codes import ExitCode
from support.command import Command
from support.containerd import ONE_GENERATION, Containerd, Generation
from support.images import IMAGE, chain_ids, image_layers
from support.sandbox import Sandbox
from support.unpack_command import committed, is_untouched, is_whole

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]


@pytest.fixture
def containerd(sandbox: Sandbox, generation: Generation, archive: Path) -> Containerd:
    """A running containerd that holds the image's content, and no snapshot."""
    running = Containerd(sandbox, generation, "native")
    running.ctr("images", "import", "--no-unpack", archive)
    return running


@pytest.fixture
def command(tmp_path: Path, sandbox: Sandbox) -> Command:
    made = Command(tmp_path / "root")
    made.environment["CONTAINERD_ADDRESS"] = str(sandbox.home / "containerd.sock")
    made.environment.pop("CONTAINERD_NAMESPACE", None)
    return made


def test_the_image_is_the_one_that_was_imported(
    command: Command, containerd: Containerd, archive: Path, tmp_path: Path
) -> None:
    expected = Command(tmp_path / "expected")
    expected.ok("unpack", archive)

    printed = command.ok("unpack", f"containerd:{IMAGE}")

    assert printed == f"{chain_ids(image_layers())[-1]}\n"
    assert committed(command) == committed(expected)
    assert is_whole(command)
    assert containerd.list_snapshots() == []


@ONE_GENERATION
def test_the_namespace_is_the_one_of_the_environment(
    command: Command, containerd: Containerd, archive: Path
) -> None:
    containerd.ctr("images", "import", "--no-unpack", archive, namespace="k8s.io")
    containerd.ctr("images", "tag", IMAGE, "docker.io/library/a:b", namespace="k8s.io")

    refused = command("unpack", "containerd:a:b")
    command.environment["CONTAINERD_NAMESPACE"] = "k8s.io"
    printed = command.ok("unpack", "containerd:a:b", "--name", "app")

    assert refused.returncode == ExitCode.NOT_FOUND
    assert "k8s.io has it" in refused.stderr
    assert printed == "app\n"


@ONE_GENERATION
def test_content_that_is_gone_is_one_line_and_leaves_nothing(
    command: Command, containerd: Containerd
) -> None:
    layer = digest(image_layers()[1].blob)
    containerd.ctr("content", "rm", layer)

    done = command("unpack", f"containerd:{IMAGE}")

    assert (done.returncode, done.stdout) == (ExitCode.NOT_FOUND, "")
    assert len(done.stderr.splitlines()) == 1
    assert layer in done.stderr
    assert is_untouched(command)


@ONE_GENERATION
def test_content_that_changed_on_disk_is_one_line_and_leaves_nothing(
    command: Command, containerd: Containerd, sandbox: Sandbox
) -> None:
    layer = image_layers()[1]
    stored = "io.containerd.content.v1.content/blobs/" + digest(layer.blob).replace(
        ":", "/"
    )
    blob = sandbox.home / "containerd" / stored
    blob.chmod(0o600)
    blob.write_bytes(layer.blob[:-1] + b"x")

    done = command("unpack", f"containerd:{IMAGE}")

    assert (done.returncode, done.stdout) == (ExitCode.DATA_LOSS, "")
    assert len(done.stderr.splitlines()) == 1
    assert digest(layer.blob) in done.stderr
    assert is_untouched(command)


def test_a_containerd_that_is_not_there_is_named(command: Command) -> None:
    done = command("unpack", f"containerd:{IMAGE}")

    assert (done.returncode, done.stdout) == (ExitCode.UNAVAILABLE, "")
    assert len(done.stderr.splitlines()) == 1
    assert command.environment["CONTAINERD_ADDRESS"] in done.stderr
    assert not command.root.exists()
