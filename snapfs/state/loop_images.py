"""Fixed-size images: a filesystem of its own for each active snapshot with a limit.

For kernel mounts on filesystems without project quotas. The numbered directory of the
snapshot is where the image is mounted, so that ``fs`` and ``work`` lie on one
filesystem, as overlayfs demands, and all paths are as ever. The image takes its whole
size at once: what was promised to a container is there.

The image is ``images/N``. It is mounted for as long as the snapshot exists, also once
it is committed, and again whenever the store is opened after a restart of the host.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Mapping
from typing import Final

from snapfs import mountinfo
from snapfs.errors import ResourceExhaustedError, UnavailableError
from snapfs.logs import Log
from snapfs.overlay_format import size_limit
from snapfs.state.fsio import sync_directory
from snapfs.state.paths import StatePaths
from snapfs.syscalls import MNT_DETACH, umount2

_log: Final = Log(__name__)

_PRIVATE_MODE: Final = 0o700
# Below it ext4 has no room for its own tables and a journal.
_LEAST_BYTES: Final = 16 << 20
# -E nodiscard: mkfs would punch out what was allocated for good.
_PLACES: Final = "/usr/sbin:/sbin:/usr/bin:/bin"
_MKFS: Final = ("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard")


class LoopImages:
    """The images of one store.

    Args:
        paths: Of the store.
        default_bytes: For snapshots without a label; 0 for none.
        exempt_label: Snapshots that have it are layers that are unpacked.
        makes_new: Snapshots get new images; otherwise only those that there are count.

    Raises:
        UnavailableError: This host cannot make or mount them.
    """

    def __init__(
        self,
        paths: StatePaths,
        default_bytes: int,
        exempt_label: str,
        *,
        makes_new: bool = True,
    ) -> None:
        self._paths = paths
        self._default_bytes = default_bytes
        self._exempt_label = exempt_label
        self._makes_new = makes_new
        self._mkfs = ""
        if not makes_new:
            return
        from shutil import which  # few stores limit by loop images

        self._mkfs = which(_MKFS[0], path=_PLACES) or ""
        if not self._mkfs or os.geteuid() != 0:
            raise UnavailableError(
                "limits.backend = 'loop' needs root and mkfs.ext4 (e2fsprogs)"
            )

    def size(self, labels: Mapping[str, str]) -> int:
        """Return how large the image of a new snapshot must be; 0 for none.

        Raises:
            InvalidArgumentError: The label is no size.
        """
        if not self._makes_new or self._exempt_label in labels:
            return 0
        return size_limit(labels, self._default_bytes)

    def make(self, number: int, size_bytes: int) -> None:
        """Make the image of a snapshot, and mount it on its new, empty directory.

        Raises:
            ResourceExhaustedError: There is no room for all of it, or it is too small.
            UnavailableError: It cannot be mounted.
            OSError: As the filesystem says.
        """
        if size_bytes < _LEAST_BYTES:
            raise ResourceExhaustedError(
                f"an image of {size_bytes} bytes is too small; {_LEAST_BYTES >> 20} MiB"
                " are the least"
            )
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._paths.images, _PRIVATE_MODE)
        image = self._paths.image(number)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(image, flags, 0o600)
        try:
            os.posix_fallocate(fd, 0, size_bytes)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise ResourceExhaustedError(
                f"the disk has no room for an image of {size_bytes >> 20} MiB"
            ) from error
        finally:
            os.close(fd)
        self._run(self._mkfs, *_MKFS[1:], image)
        directory = self._paths.directory(number)
        os.mkdir(directory, _PRIVATE_MODE)
        self._mount(number)
        os.chmod(directory, _PRIVATE_MODE)
        os.rmdir(os.path.join(directory, "lost+found"))
        sync_directory(self._paths.images)

    def attach_all(self, is_needed: Callable[[int], bool]) -> None:
        """Mount the images of all snapshots, where they are not; drop the others.

        What cannot be mounted is logged, and its snapshot is found as damaged.
        """
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._paths.images):
                if not name.isdigit():
                    continue
                number = int(name)
                if not is_needed(number):
                    self.drop(number)
                elif not self._is_mounted(number):
                    try:
                        self._mount(number)
                    except UnavailableError as error:
                        _log.warning("%s", error)

    def detach(self, number: int) -> None:
        """Take the mount of a snapshot away; who uses it keeps it until the end."""
        if os.path.exists(self._paths.image(number)) and self._is_mounted(number):
            umount2(self._paths.directory(number), MNT_DETACH)

    def drop(self, number: int) -> None:
        """Remove the image of a snapshot that is gone."""
        self.detach(number)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._paths.image(number))

    def _is_mounted(self, number: int) -> bool:
        return mountinfo.find(self._paths.directory(number)) is not None

    def _mount(self, number: int) -> None:
        image, directory = self._paths.image(number), self._paths.directory(number)
        self._run("mount", "-t", "ext4", "-o", "loop", image, directory)

    def _run(self, *words: str) -> None:
        import subprocess

        try:
            subprocess.run(  # noqa: S603 - our own words, and paths of our own
                words, check=True, capture_output=True, text=True
            )
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            raise UnavailableError(
                f"{words[0]} of {words[-1]} fails: {' '.join(said.split())}"
            ) from error
