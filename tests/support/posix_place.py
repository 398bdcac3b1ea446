"""Where a case of the POSIX suite runs, and the mounts that make it possible."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

from snapfs import syscalls
from support.posix_objects import Builder, make_old

T = TypeVar("T")
MountUnion: TypeAlias = Callable[
    [Sequence[Path], Path, Path, Path], AbstractContextManager[object]
]

SETTINGS: Final = (
    *("plain", "kernel-upper", "kernel-lower"),
    *("fuse-upper", "fuse-lower", "io-upper", "io-lower"),
)
"""The filesystem, and the layer in which the case's objects start."""

# Listing a directory and following a link may set their access time.
_LASTING: Final = (
    *("st_ino", "st_mode", "st_nlink", "st_uid", "st_gid", "st_rdev", "st_size"),
    *("st_mtime_ns", "st_ctime_ns"),
)


class Place:
    """A directory for one case, with the objects that it asked for."""

    def __init__(self, path: Path, setting: str, remount: Callable[[], None]) -> None:
        self.path = path
        self.driver, _, layer = setting.partition("-")
        self.is_lower = layer == "lower"
        self.is_union = self.driver != "plain"
        self.remount = remount
        self._setting = setting.replace("-", "_")

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def expected(self, posix: T, *, because: str, **deviations: T) -> T:
        """Return ``posix``, or what a union is known and documented to do instead.

        ``deviations`` are named after a setting (``kernel_lower``), a driver
        (``kernel``) or a layer (``lower``: on both drivers); the first found in this
        order holds. ``because`` is for the reader: the reason and its source.
        """
        assert because
        for name in (self._setting, self.driver, "lower" if self.is_lower else ""):
            if name in deviations:
                return deviations[name]
        return posix


class Mounted:
    """One union with two lower layers; the lowest holds what cases placed below."""

    def __init__(self, root: Path, mount_union: MountUnion) -> None:
        self.top, self.bottom = root / "top", root / "bottom"
        self.upper, self.work = root / "upper", root / "work"
        self.merged = root / "merged"
        for directory in (self.top, self.bottom, self.upper, self.work, self.merged):
            directory.mkdir(parents=True)
            directory.chmod(0o755)
        self._mount_union = mount_union
        self._mount = contextlib.ExitStack()
        self._laid: dict[str, dict[str, int]] = {}
        self.is_mounted = False

    def lay(self, case: str, builders: Sequence[Builder]) -> None:
        """Place a case's objects in the lowest layer; before :meth:`mount`."""
        build(self.bottom / case, builders)
        build(self.top / case, ())
        # A directory's mode, owner and attributes come from the topmost layer.
        status = os.stat(self.bottom / case)
        os.chown(self.top / case, status.st_uid, status.st_gid)
        os.chmod(self.top / case, status.st_mode & 0o7777)
        for name in os.listxattr(self.bottom / case):
            os.setxattr(self.top / case, name, os.getxattr(self.bottom / case, name))

    def mount(self) -> None:
        """Mount the union."""
        if not self._laid:
            self._laid = self._below()
        layers = (self.top, self.bottom)
        union = self._mount_union(layers, self.upper, self.work, self.merged)
        self._mount.enter_context(union)
        self.is_mounted = True

    def unmount(self) -> None:
        """Unmount the union."""
        self.is_mounted = False
        self._mount.close()

    def changed_below(self) -> list[str]:
        """Say what became of the lower layers, where it should be nothing.

        No change escapes the times: a program cannot set ctime, and reading a file
        sets atime, which a union must not either.
        """
        now = self._below()
        return [
            f"{path}: {field} is {now.get(path, {}).get(field)}, was {value}"
            for path, state in self._laid.items()
            for field, value in state.items()
            if now.get(path, {}).get(field) != value
        ] + [f"{path} is new" for path in now.keys() - self._laid.keys()]

    def _below(self) -> dict[str, dict[str, int]]:
        return _states(self.top) | _states(self.bottom)

    def remount(self) -> None:
        """Unmount and mount again; nothing may be open below the mount."""
        self.unmount()
        self.mount()


def _states(directory: str | Path) -> dict[str, dict[str, int]]:
    """Return what a change of anything at all would change, by path."""
    found: dict[str, dict[str, int]] = {}
    with os.scandir(directory) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            found[entry.path] = {name: getattr(status, name) for name in _LASTING}
            if entry.is_file(follow_symlinks=False):
                found[entry.path]["st_atime_ns"] = status.st_atime_ns
            if entry.is_dir(follow_symlinks=False):
                found |= _states(entry.path)
    return found


def build(path: Path, builders: Sequence[Builder]) -> None:
    """Make the case's directory ``path`` with the objects of ``builders``."""
    path.mkdir()
    path.chmod(0o755)
    for builder in builders:
        builder(path)
    make_old(path)


@contextlib.contextmanager
def mounted_overlay(
    lowers: Sequence[Path], upper: Path, work: Path, mountpoint: Path
) -> Iterator[None]:
    """Mount kernel overlayfs, with ``redirect_dir=on``.

    Its default refuses to rename directories of lower layers (EXDEV); ours does not.
    """
    options = (
        f"lowerdir={':'.join(map(str, lowers))},upperdir={upper},workdir={work},"
        "redirect_dir=on"
    )
    syscalls.mount("overlay", mountpoint, "overlay", 0, options.encode())
    try:
        yield
    finally:
        # Lazily: where a case failed, it may have left a file open.
        syscalls.umount2(mountpoint, syscalls.MNT_DETACH)


@contextlib.contextmanager
def places(
    drivers: Mapping[str, MountUnion],
    below: Mapping[str, Mapping[str, Sequence[Builder]]],
) -> Iterator[Callable[[str, str, Sequence[Builder]], Place]]:
    """Yield what makes a place from a case's name, its setting and its builders.

    ``below`` has, by driver, what lies in the lower layer of each case. A driver is
    mounted when its first case asks for it, and unmounted at the end; its lower
    layers must then be as they were.
    """
    mounts: dict[str, Mounted] = {}
    # pytest's directories are closed to other users, which some cases turn into.
    with tempfile.TemporaryDirectory(prefix="snapfs-posix-") as name:
        root = Path(name)
        root.chmod(0o755)
        (root / "plain").mkdir(mode=0o755)

        def mounted(driver: str) -> Mounted:
            if driver not in mounts:
                mounts[driver] = union = Mounted(root / driver, drivers[driver])
                for case, builders in below[driver].items():
                    union.lay(case, builders)
                union.mount()
            return mounts[driver]

        def make(case: str, setting: str, builders: Sequence[Builder]) -> Place:
            driver, _, layer = setting.partition("-")
            if driver == "plain":
                build(root / driver / case, builders)
                return Place(root / driver / case, setting, lambda: None)
            union = mounted(driver)
            assert union.is_mounted, f"{driver} could not be mounted"
            if layer == "upper":
                build(union.merged / case, builders)
            return Place(union.merged / case, setting, union.remount)

        try:
            yield make
        finally:
            for union in mounts.values():
                union.unmount()
        for driver, union in mounts.items():
            changed = union.changed_below()
            assert not changed, f"{driver} changed in its lower layers: {changed}"
