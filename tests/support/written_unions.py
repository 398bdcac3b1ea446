"""Two trees that take the same changes: kernel overlayfs, and the union engine.

The kernel's is the oracle. Here are the layers and what is to see of them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from snapfs.overlay_format import XattrPrefix
from snapfs.syscalls import mount, umount2
from support.engine_tree import EngineTree
from support.kernel_tree import Change

OLD_NS = 1_000_000_000_123_456_789
"""The times of what a test finds; everything younger is "now"."""


class Sandbox:
    """Layers on disk: ``lower0`` is the highest; ``upper`` and ``work``."""

    def __init__(self, root: Path, lowers: int = 2) -> None:
        self.root = root
        self.lowers = [root / f"lower{index}" for index in range(lowers)]
        self.upper = root / "upper"
        self.work = root / "work"
        self.merged = root / "merged"
        for path in (*self.lowers, self.upper, self.work, self.merged):
            path.mkdir(parents=True)

    @contextlib.contextmanager
    def mounted(self, options: str = "redirect_dir=on") -> Iterator[Path]:
        """Mount with the kernel."""
        lowers = ":".join(str(path) for path in self.lowers)
        data = (
            f"lowerdir={lowers},upperdir={self.upper},workdir={self.work},"
            f"index=off,{options}"
        )
        mount("overlay", self.merged, "overlay", 0, data.encode())
        try:
            yield self.merged
        finally:
            umount2(self.merged)

    @contextlib.contextmanager
    def engine(
        self, prefix: XattrPrefix = XattrPrefix.TRUSTED, **options: object
    ) -> Iterator[EngineTree]:
        """Open the union engine on the layers."""
        tree = EngineTree(self.upper, self.work, self.lowers, prefix, **options)
        try:
            yield tree
        finally:
            tree.close()


def build(root: Path, entries: Sequence[Change]) -> None:
    """Make a layer: (path, kind, ...) with kinds d, f, l, h, p, w and c."""
    for path, kind, *rest in entries:
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if kind == "d":
            place.mkdir(exist_ok=True)
            place.chmod(rest[0] if rest else 0o755)
        elif kind == "f":
            place.write_bytes(rest[0] if rest else b"data of " + path.encode())
            place.chmod(rest[1] if len(rest) > 1 else 0o644)
        elif kind == "l":
            place.symlink_to(rest[0])
        elif kind == "h":
            os.link(root / rest[0], place)
        elif kind == "p":
            os.mkfifo(place, 0o640)
        elif kind == "c":
            os.mknod(place, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        else:
            assert kind == "w"
            os.mknod(place, stat.S_IFCHR, os.makedev(0, 0))
    make_old(root)


def make_old(root: Path) -> None:
    """Give all below ``root``, and itself, the times that tests know."""
    for above, directories, files in os.walk(root, topdown=False):
        for name in (*files, *directories):
            os.utime(Path(above, name), ns=(OLD_NS, OLD_NS), follow_symlinks=False)
    os.utime(root, ns=(OLD_NS, OLD_NS))


def view(root: Path, *, has_times: bool = True) -> dict[str, tuple[object, ...]]:
    """Return all that is to see of a tree: kinds, owners, contents, attributes."""
    seen: dict[str, tuple[object, ...]] = {".": _describe(root, has_times)}
    for above, directories, files in os.walk(root):
        for name in (*files, *directories):
            path = Path(above, name)
            seen[str(path.relative_to(root))] = _describe(path, has_times)
    return seen


def _describe(path: Path, has_times: bool) -> tuple[object, ...]:
    status = os.lstat(path)
    content: object = None
    if stat.S_ISREG(status.st_mode):
        content = path.read_bytes()
    elif stat.S_ISLNK(status.st_mode):
        content = os.readlink(path)
    return (
        oct(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_rdev,
        0 if stat.S_ISDIR(status.st_mode) else status.st_nlink,
        content,
        {
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in sorted(os.listxattr(path, follow_symlinks=False))
        },
        (status.st_mtime_ns == OLD_NS) if has_times else None,
    )


def raw_state(root: Path) -> dict[str, tuple[object, ...]]:
    """Return what must never change of a lower layer; access times too."""
    seen = {}
    for above, directories, files in os.walk(root):
        for name in (".", *files, *directories):
            path = Path(above, name)
            status = os.lstat(path)
            seen[str(path)] = (
                *_describe(path, True),
                status.st_ino,
                status.st_ctime_ns,
            )
    return seen


def clean(root: Path) -> None:
    """Remove a sandbox's tree."""
    shutil.rmtree(root, ignore_errors=True)
