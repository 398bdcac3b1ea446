"""Canaries: objects beside the staging directory that no layer may touch.

Whatever an attack aims at is here, not in the host's own ``/etc``: so that a hole is
found by a difference, and harms nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

Photograph = dict[bytes, tuple[object, ...]]


class Surroundings:
    """A directory with canaries, and a place for layers beside them.

    Attributes:
        root: The directory; whatever is in it counts.
        canaries: What attacks aim at.
        staging: Empty and private; what lies in it does not count.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.canaries = root / "canaries"
        self.staging = root / "staging" / "layer"
        self.canaries.mkdir(parents=True)
        self.staging.parent.mkdir()
        self.staging.mkdir(mode=0o700)
        self._fill()

    def _fill(self) -> None:
        canaries = self.canaries
        for name in ("file", "passwd", "directory/below", "directory/tmp/deep"):
            path = canaries / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"canary " + name.encode())
            path.chmod(0o640)
        (canaries / "setuid").write_bytes(b"canary")
        (canaries / "setuid").chmod(0o4755)
        (canaries / "link").symlink_to("file")
        os.setxattr(canaries / "file", "user.canary", b"alive")
        # Also a read would show: with relatime it moves such an old atime on.
        for path in canaries.rglob("*"):
            os.utime(path, (0, 1_500_000_000), follow_symlinks=False)

    def give_to(self, user: int) -> None:
        """Let ``user`` own all of it: then nothing but our own code protects it."""
        for path in (self.root, *self.root.rglob("*")):
            os.chown(path, user, user, follow_symlinks=False)
        (self.canaries / "setuid").chmod(0o4755)

    def photograph(self, *without: Path) -> Photograph:
        """Return all that there is outside of ``staging``, content and metadata.

        ``without`` are more directories whose content does not count.
        """
        found = dict(_photograph(self.root, (self.staging, *without)))
        # Being read is nothing for an image, but no canary may be.
        for path in self.canaries.rglob("*"):
            found[os.fsencode(path)] += (path.lstat().st_atime_ns,)
        return found


def _photograph(
    root: Path, without: Iterable[Path]
) -> Iterator[tuple[bytes, tuple[object, ...]]]:
    pending = [os.fsencode(root)]
    skipped = {os.fsencode(path) for path in without}
    while pending:
        path = pending.pop()
        status = os.lstat(path)
        yield path, _seen(path, status, is_skipped=path in skipped)
        if stat.S_ISDIR(status.st_mode) and path not in skipped:
            with os.scandir(path) as entries:
                pending += [entry.path for entry in entries]


def _seen(
    path: bytes, status: os.stat_result, *, is_skipped: bool
) -> tuple[object, ...]:
    identity = status.st_dev, status.st_ino, stat.S_IFMT(status.st_mode)
    if is_skipped:
        return identity
    content: bytes = b""
    if stat.S_ISREG(status.st_mode):
        content = _content(path)
    elif stat.S_ISLNK(status.st_mode):
        content = os.readlink(path)
    xattrs = os.listxattr(path, follow_symlinks=False)
    return (
        *identity,
        *(status.st_mode, status.st_uid, status.st_gid, status.st_nlink),
        *(status.st_size, status.st_mtime_ns, status.st_ctime_ns),
        content,
        [(name, os.getxattr(path, name, follow_symlinks=False)) for name in xattrs],
    )


def _content(path: bytes) -> bytes:
    fd = os.open(path, _FLAGS | os.O_NOATIME)
    with open(fd, "rb") as stream:
        return stream.read()
