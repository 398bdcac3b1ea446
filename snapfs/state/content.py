"""The two directories that overlayfs needs of a snapshot."""

from __future__ import annotations

import os

from snapfs.light_typing import Final

# As containerd's overlayfs snapshotter: the root of a container's tree is readable
# by all, overlayfs's scratch directory only traversable.
_FS_MODE: Final = 0o755
_WORK_MODE: Final = 0o711


def make_content_directories(
    directory_fd: int, *, with_work: bool, fs_owner: tuple[int, int] | None
) -> None:
    """Make ``fs`` and, if wanted, ``work`` in an open snapshot directory."""
    _make_directory("fs", _FS_MODE, directory_fd, fs_owner)
    if with_work:
        _make_directory("work", _WORK_MODE, directory_fd, fs_owner)


def _make_directory(
    name: str, mode: int, parent_fd: int, owner: tuple[int, int] | None
) -> None:
    os.mkdir(name, mode, dir_fd=parent_fd)
    os.chmod(name, mode, dir_fd=parent_fd)  # whatever the umask is
    if owner is not None:  # not "is another's": a set-group-ID parent gives its group
        os.chown(name, *owner, dir_fd=parent_fd, follow_symlinks=False)
