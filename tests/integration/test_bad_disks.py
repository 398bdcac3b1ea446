"""Disks that fail a store at work, and users who may not touch it.

What each verb leaves of a full disk is the matter of ``tests/crash``; here it is how
people and containerd are told, by the command and by the service.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from snapfs import open_store
from snapfs.api.codes import Code
from snapfs.cli.exit_codes import exit_code
from snapfs.errors import (
    DataLossError,
    FailedPreconditionError,
    PermissionDeniedError,
    ResourceExhaustedError,
    SnapfsError,
    UnavailableError,
)
from snapfs.remote import RemoteSnapshotter
from snapfs.snapshotter import Snapshotter
from support.command import Command, serving
from support.disks import failing_disk, filled, small_disk
from support.mistakes import assert_line, assert_refused, content_of, status_code
from support.unprivileged import NOBODY, as_nobody

pytestmark = pytest.mark.root

# Far more than a full disk of this size can take.
ATTEMPTS: Final = 2000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as mounted:
        yield mounted


@pytest.fixture
def stored(disk: Path) -> Command:
    """The command on a small disk, with base (committed) and top (active) in it."""
    command = Command(disk / "root")
    command.ok("prepare", "making")
    command.ok("commit", "base", "making")
    command.ok("prepare", "top", "base")
    return command


def first_refusal(call: Callable[[str], object]) -> tuple[str, SnapfsError]:
    """Call with new keys until one is refused; return the key and the error."""
    for number in range(ATTEMPTS):
        try:
            call(f"new-{number}")
        except SnapfsError as error:
            return f"new-{number}", error
    pytest.fail("nothing was ever refused")


def names(snapshots: Snapshotter) -> set[str]:
    return {info.name for info in snapshots.walk()}


def test_a_full_disk_refuses_a_command_and_changes_nothing(
    stored: Command, disk: Path
) -> None:
    before = content_of(stored.root)

    with filled(disk):
        done = stored("prepare", "new", "base")

    assert_refused(done, ResourceExhaustedError, "space", str(stored.root))
    assert content_of(stored.root / "snapshots") == {
        path.removeprefix("snapshots/"): digest
        for path, digest in before.items()
        if path.startswith("snapshots/")
    }
    assert stored.ok("check") == ""
    stored.ok("prepare", "new", "base")


def test_a_full_disk_does_not_keep_anyone_from_removing(
    stored: Command, disk: Path
) -> None:
    """Opening the database needs a few blocks, too."""
    with filled(disk):
        assert "top" in stored.ok("ls")
        stored.ok("rm", "top", "base")
        stored.ok("cleanup")

    assert stored.ok("check") == ""
    assert os.listdir(stored.root / "snapshots") == []


def test_a_full_disk_does_not_keep_the_service_from_starting(
    stored: Command, disk: Path, open_directory: Path
) -> None:
    command = Command(open_directory / "root")
    os.symlink(stored.root, command.root)
    with filled(disk), serving(command):
        command.ok("rm", "top")

    assert stored.ok("check") == ""


def test_a_full_disk_makes_no_store(disk: Path) -> None:
    command = Command(disk / "root")

    with filled(disk):
        done = command("prepare", "new")

    assert_refused(done, ResourceExhaustedError, "space", str(disk))
    command.ok("prepare", "new")
    assert command.ok("check") == ""


def test_a_full_disk_is_resource_exhausted_for_containerd(
    stored: Command, tmp_path: Path, disk: Path
) -> None:
    with (
        serving(stored),
        RemoteSnapshotter(f"{disk}/c.sock") as snapshots,
    ):
        with filled(disk):
            key, error = first_refusal(snapshots.prepare)
            known = names(snapshots)
            with suppress(SnapfsError):  # a full disk may refuse this, too
                snapshots.remove("new-0")

        assert type(error) is ResourceExhaustedError
        assert status_code(error) is Code.RESOURCE_EXHAUSTED
        assert_line(str(error), "space")
        assert key not in known
        snapshots.prepare(key)
        assert stored.ok("check") == ""
    assert stored.ok("check") == ""


def test_a_disk_that_fails_refuses_changes_and_answers_the_rest(
    tmp_path: Path, open_directory: Path
) -> None:
    # The socket of containerd and the log lie elsewhere.
    command = Command(open_directory / "root")
    with failing_disk(tmp_path / "disk") as fail:
        (tmp_path / "disk" / "root").mkdir(mode=0o700)
        os.symlink(tmp_path / "disk" / "root", command.root)
        with (
            serving(command),
            RemoteSnapshotter(f"{open_directory}/c.sock") as snapshots,
        ):
            snapshots.prepare("box")
            fail()

            key, error = first_refusal(snapshots.prepare)
            with pytest.raises(FailedPreconditionError, match="cannot remove now"):
                snapshots.remove("box")
            preparing = command("prepare", "new")

            assert isinstance(error, (PermissionDeniedError, UnavailableError))
            assert_line(str(error), str(command.root))
            assert preparing.returncode == exit_code(error)
            assert snapshots.stat("box").name == "box"
            assert names(snapshots).isdisjoint({key, "new"})
            # Commands still reach the service, though its lock cannot be opened.
            assert "box" in command.ok("ls")

        alone = command("ls")
    assert_refused(alone, PermissionDeniedError, str(command.root), "Read-only")


def test_content_that_is_gone_is_data_loss_by_every_way(tmp_path: Path) -> None:
    command = Command(tmp_path / "root")
    with serving(command), RemoteSnapshotter(f"{tmp_path}/c.sock") as snapshots:
        snapshots.prepare("making")
        snapshots.commit("base", "making")
        snapshots.prepare("top", "base")
        [directory] = [
            line.split()[1]
            for line in command.ok("info", "base").splitlines()
            if line.startswith("directory:")
        ]
        shutil.rmtree(directory)

        with pytest.raises(DataLossError) as caught:
            snapshots.prepare("new", "base")
        done = command("check")

        assert status_code(caught.value) is Code.DATA_LOSS
        assert_line(str(caught.value), "'base'", directory)
        assert done.returncode == 7
        assert "missing-directory" in done.stdout
        assert names(snapshots) == {"base", "top"}
        # And the way out.
        command.ok("rm", "--force", "top", "base")
        assert command.ok("check") == ""


def test_another_user_is_refused_by_name(open_directory: Path) -> None:
    root = open_directory / "root"
    with open_store(root) as store:
        store.prepare("a")
    before = content_of(root)
    command = as_nobody(root)
    serve = ("serve", "--address", open_directory / "s.sock")

    for words in (("ls",), ("prepare", "b"), serve):
        assert_refused(
            command(*words), PermissionDeniedError, str(root), "Permission denied"
        )

    assert content_of(root) == before


def test_another_user_makes_nothing_where_nothing_may_be_made(
    open_directory: Path,
) -> None:
    closed = open_directory / "closed"
    closed.mkdir(mode=0o755)

    made = as_nobody(closed / "root")("prepare", "a")
    looked = as_nobody(closed / "root")("ls")

    assert_refused(made, PermissionDeniedError, str(closed), "Permission denied")
    assert looked.returncode == 3
    assert os.listdir(closed) == []


def test_marks_of_root_are_not_for_another_user(open_directory: Path) -> None:
    root = open_directory / "root"
    with open_store(root):
        pass
    for path in (root, *root.rglob("*")):
        os.chown(path, NOBODY, NOBODY)

    done = as_nobody(root)("ls")

    assert_refused(done, FailedPreconditionError, str(root), "trusted.", "as root")
