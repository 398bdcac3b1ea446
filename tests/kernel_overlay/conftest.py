"""Directories to mount, and the certainty that nothing stays mounted."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from snapfs import mountinfo, syscalls
from snapfs.kernel_overlay import context
from snapfs.model import Mount
from snapfs.overlay_format import XattrPrefix, fitting_prefix

MKFS = "/sbin/mkfs.ext4"
NOBODY = 65534

AsNobody: TypeAlias = Callable[[Callable[[], object]], str]


class Site:
    """A directory with layers in it, an upperdir, a workdir and a mount point."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.target = path / "merged"
        self.upperdir = path / "upper"
        self.workdir = path / "work"
        for directory in (self.target, self.upperdir, self.workdir):
            directory.mkdir(parents=True)

    def layer(self, name: str, **files: str) -> str:
        """Make a layer with ``files``; return its path."""
        directory = self.path / name
        directory.mkdir(parents=True)
        for file, text in files.items():
            (directory / file).write_text(text)
        return str(directory)

    def overlay(self, *lowerdirs: str, options: tuple[str, ...] = ()) -> Mount:
        """Describe a writable overlay of these layers, highest first."""
        upper = (f"workdir={self.workdir}", f"upperdir={self.upperdir}")
        return self.view(*lowerdirs, options=(*upper, *options))

    def view(self, *lowerdirs: str, options: tuple[str, ...] = ()) -> Mount:
        """Describe a read-only overlay of these layers, highest first."""
        layers = tuple(f"lowerdir+={path}" for path in lowerdirs)
        return Mount("overlay", "overlay", options=(*options, *layers))

    def is_mounted(self) -> bool:
        """Tell whether anything is mounted on the mount point."""
        return mountinfo.find(str(self.target)) is not None


def unmount_below(path: Path) -> None:
    """Unmount all at and below ``path``, the last first."""
    for entry in reversed(mountinfo.mounts_below(str(path))):
        flags = syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW
        # A lazy unmount takes the mounts below along, so some are gone already.
        with contextlib.suppress(OSError):
            syscalls.umount2(entry.target, flags)


def need_root() -> None:
    # Root of a user namespace has the capability too, but no trusted attributes.
    if fitting_prefix() is not XattrPrefix.TRUSTED:
        pytest.skip("needs CAP_SYS_ADMIN in the initial user namespace")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A place to mount in, as root."""
    need_root()
    try:
        yield Site(tmp_path / "site")
    finally:
        unmount_below(tmp_path)


@pytest.fixture
def public_site() -> Iterator[Site]:
    """A place to mount in that every user can reach."""
    need_root()
    # The directories of tmp_path are closed to other users.
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        try:
            yield Site(Path(name) / "site")
        finally:
            unmount_below(Path(name))


@pytest.fixture
def as_nobody() -> AsNobody:
    """Run something in a child without any privilege; return what it raised."""
    return run_as_nobody


def run_as_nobody(action: Callable[[], object]) -> str:
    reader, writer = os.pipe()
    child = os.fork()  # not exec: nobody may be unable to read this interpreter
    if child == 0:
        text = "nothing was raised"
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            action()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
            text = f"{type(error).__name__}: {error}"
        os.write(writer, os.fsencode(text))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        text = os.fsdecode(file.read())
    os.waitpid(child, 0)
    return text


@pytest.fixture(params=["new", "old"])
def either_api(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test once by the new mount API and once by mount(2)."""
    if request.param == "old":
        use_mount_2(monkeypatch)
    elif not context.takes_layers():
        pytest.skip("this kernel adds no layers one by one (before Linux 6.7)")
    return str(request.param)


@pytest.fixture
def old_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mount by mount(2)."""
    use_mount_2(monkeypatch)


@pytest.fixture
def new_api() -> None:
    """Mount layer by layer."""
    if not context.takes_layers():
        pytest.skip("this kernel adds no layers one by one (before Linux 6.7)")


def use_mount_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "takes_layers", lambda: False)


@pytest.fixture
def without_d_type(tmp_path: Path) -> Iterator[Path]:
    """A directory on a filesystem whose listings give no file types."""
    need_root()
    if not os.path.exists(MKFS):
        pytest.skip(f"needs {MKFS}")
    image, target = tmp_path / "image", tmp_path / "untyped"
    target.mkdir()
    with image.open("wb") as file:
        file.truncate(8 << 20)
    features = "^filetype,^has_journal"
    subprocess.run([MKFS, "-q", "-O", features, str(image)], check=True)
    # mount(8) sets the loop device up so that it ends with the mount.
    subprocess.run(["mount", "-o", "loop", str(image), str(target)], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", str(target)], check=True)
