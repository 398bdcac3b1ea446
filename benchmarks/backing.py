"""The one filesystem below all instances of a comparison."""

from __future__ import annotations

import contextlib
import enum
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from snapfs import mountinfo
from snapfs.benchmarks.leftovers import PREFIX, alive, detach_below
from snapfs.benchmarks.programs import run
from snapfs.errors import ResourceExhaustedError, UnavailableError

_log = logging.getLogger(__name__)

# How long servers whose mounts are gone may take to end.
_LEAVE_S: Final = 5.0
_LOOK_S: Final = 0.05

DEFAULT_SIZE_BYTES: Final = 2 << 30

# Initialise everything now: ext4 would otherwise write inode tables during the runs.
_EXT4: Final = (
    "mkfs.ext4",
    "-q",
    "-F",
    "-E",
    "lazy_itable_init=0,lazy_journal_init=0,nodiscard",
    # Twice as many inodes as by default: stores of 10,000 snapshots are mostly
    # directories, and several of them share an image.
    "-i",
    "8192",
)
_XFS: Final = ("mkfs.xfs", "-q", "-f", "-K", "-m", "reflink=1")


_BTRFS: Final = ("mkfs.btrfs", "-q", "-f", "--nodiscard")


class Backing(enum.StrEnum):
    """What is below: a directory as it is, memory, or a new image on a loop device."""

    DIRECTORY = "directory"
    TMPFS = "tmpfs"
    EXT4 = "ext4"
    XFS = "xfs"
    BTRFS = "btrfs"

    def unavailable(self) -> str:
        """Say why it cannot be had here; "" if it can."""
        if self is Backing.DIRECTORY:
            return ""
        if os.geteuid() != 0:
            return f"{self} needs root, to mount"
        needed = ["mount", "umount"]
        if self is not Backing.TMPFS:
            needed.append(_MAKERS[self][0])
        missing = [program for program in needed if not shutil.which(program)]
        return f"{self} needs {' and '.join(missing)}" if missing else ""


_MAKERS: Final[Mapping[Backing, Sequence[str]]] = {
    Backing.EXT4: _EXT4,
    Backing.XFS: _XFS,
    Backing.BTRFS: _BTRFS,
}


def best_available() -> Backing:
    """Return an ext4 image where one can be mounted, else a plain directory."""
    return Backing.DIRECTORY if Backing.EXT4.unavailable() else Backing.EXT4


@contextlib.contextmanager
def provide(
    backing: Backing, parent: Path, size_bytes: int = DEFAULT_SIZE_BYTES
) -> Iterator[tuple[Path, str]]:
    """Provide an empty directory on ``backing`` and its description; then remove it.

    Everything lies below ``parent``. The image is preallocated, and unlinked once it
    is mounted, so that a killed run leaves no file.

    Raises:
        UnavailableError: It cannot be made here.
        ResourceExhaustedError: The image does not fit.
    """
    if reason := backing.unavailable():
        raise UnavailableError(reason)
    with contextlib.ExitStack() as cleanup:
        made = Path(tempfile.mkdtemp(prefix=f"{PREFIX}ench-", dir=parent))
        cleanup.callback(shutil.rmtree, made)
        cleanup.enter_context(alive(made))
        root = made / "fs"
        root.mkdir()
        if backing is Backing.TMPFS:
            run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(root))
        elif backing is not Backing.DIRECTORY:
            _mount_image(_MAKERS[backing], made / "image", root, size_bytes)
        if backing is not Backing.DIRECTORY:
            cleanup.callback(_unmount, root)
        cleanup.callback(detach_below, root)
        yield root, describe(root, backing, made)


def filesystem(backing: Backing, directory: Path) -> str:
    """Return the kind of filesystem that ``provide`` makes, or finds."""
    entry = mountinfo.containing(str(directory))
    if backing is Backing.DIRECTORY and entry is not None:
        return entry.type
    return str(backing)


def describe(path: Path, backing: Backing, made: Path) -> str:
    """Return the type and options of the filesystem of ``path``, in words.

    Of an image also where it lies, which is below ``made``: an fsync of a file in an
    image in memory waits for no disk.
    """
    entry = mountinfo.containing(str(path))
    if entry is None:
        return str(backing)
    words = ",".join(entry.options + entry.super_options)
    if backing in _MAKERS:
        below = mountinfo.containing(str(made))
        place = f" on {below.type}" if below is not None else ""
        words += f"; loop image{place}, direct I/O"
    return f"{entry.type} ({words})"


def _mount_image(maker: Sequence[str], image: Path, root: Path, size: int) -> None:
    with image.open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            raise ResourceExhaustedError(
                f"an image of {size >> 20} MiB does not fit at {image.parent}"
            ) from error
    run(*maker, str(image))
    # mount(8) makes a loop device that goes away with the mount (autoclear).
    _mount_loop(image, root)
    image.unlink()


def _mount_loop(image: Path, root: Path) -> None:
    device = run("losetup", "--find", "--show", "--direct-io=on", str(image)).strip()
    try:
        run("mount", device, str(root))
    finally:
        # While it is mounted this only marks it: it goes away with the mount.
        run("losetup", "--detach", device)


def _unmount(root: Path) -> None:
    """Unmount once the servers of FUSE trees are gone, which end after their mounts."""
    deadline = time.monotonic() + _LEAVE_S
    while True:
        try:
            run("umount", str(root))
        except UnavailableError as error:
            if time.monotonic() < deadline:
                time.sleep(_LOOK_S)
                continue
            # A process that a target left behind: report it, but leave no mount.
            _log.warning("%s; it is detached instead", error)
            run("umount", "--lazy", str(root))
        return
