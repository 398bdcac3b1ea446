"""A layer's directory against what its tar says of it: every name, one walk.

By open directories only; what cannot be read is a finding like any other, so that a
bad sector hides nothing but what lies on it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from snapfs.inspect.expectations import Expected, LayerExpectation
from snapfs.layer.kinds import Kind
from snapfs.layer.overlay_entries import KINDS
from snapfs.overlay_format import is_opaque, is_whiteout, is_xattr_whiteout
from snapfs.worker.levels import DIRECTORY_FLAGS, Level, Levels

_ROOT: Final = 0
_NS: Final = 1_000_000_000
# An ACL's value changes with the mode (acl(5), "mask"); that it is there counts.
_ACL: Final = b"system.posix_acl_"


@dataclass(frozen=True, slots=True)
class Damage:
    """One name of a layer that is not as it should be.

    Attributes:
        path: From the layer's root, without a leading slash.
        what: What is wrong, as a clause.
    """

    path: bytes
    what: str


def compare_layer(directory: str, expectation: LayerExpectation) -> Iterator[Damage]:
    """Yield whatever in ``directory`` differs from what is expected there.

    Names, types, sizes, modes, owners, link targets, device numbers, extended
    attributes, whiteouts, opaque marks and hard links are compared, and the times of
    files; not the content of files. Nothing is changed.

    Raises:
        OSError: The directory itself cannot be opened.
    """
    walk = _Walk(directory, expectation)
    try:
        yield from walk.run()
    finally:
        walk.levels.close()


class _Walk:
    def __init__(self, directory: str, expectation: LayerExpectation) -> None:
        self._top = directory
        self._expectation = expectation
        self._index = expectation.index
        self._nodes: list[tuple[int, bytes]] = []  # of each level, and its path
        self._first_names: dict[int, tuple[bytes, tuple[int, int]]] = {}
        self.levels = Levels()

    def run(self) -> Iterator[Damage]:
        fd = os.open(self._top, DIRECTORY_FLAGS & ~os.O_NOFOLLOW)
        expected = self._expectation.expected(_ROOT, b"")
        assert expected is not None  # a root always is
        # Its mark lies in the store's row, not on disk.
        yield from self._differences(expected, b"", ".", fd, os.fstat(fd))
        yield from self._enter(fd, ".", _ROOT, b"")
        while self.levels:
            level = self.levels.lowest
            if not level.names:
                self.levels.leave()
                self._nodes.pop()
                continue
            yield from self._descend(level.names.pop(), level.fd)

    def _descend(self, name: str, parent_fd: int) -> Iterator[Damage]:
        parent, parent_path = self._nodes[-1]
        node = self._index.child(parent, os.fsencode(name))
        assert node is not None  # only such names are kept
        path = _joined(parent_path, os.fsencode(name))
        try:
            fd = os.open(name, DIRECTORY_FLAGS, dir_fd=parent_fd)
        except OSError as error:
            yield Damage(path, _unreadable(error))
            return
        yield from self._enter(fd, name, node, path)

    def _enter(self, fd: int, name: str, node: int, path: bytes) -> Iterator[Damage]:
        """Compare what an open directory holds; go on below it later."""
        try:
            found = set(map(os.fsencode, os.listdir(fd)))
        except OSError as error:
            os.close(fd)
            yield Damage(path, _unreadable(error))
            return
        level = Level(fd, name, os.fstat(fd), [])
        self.levels.enter(level)
        self._nodes.append((node, path))
        for child in self._index.children(node):
            child_name = self._index.name(child)
            child_path = _joined(path, child_name)
            expected = self._expectation.expected(child, child_path)
            if expected is None:
                continue
            is_there = child_name in found
            found.discard(child_name)
            if expected.kind is None and not is_there:
                continue  # it may have been left out
            yield from self._compare(expected, child_path, child_name, level)
        for extra in sorted(found):
            yield Damage(_joined(path, extra), "the layer has nothing of that name")

    def _compare(
        self, expected: Expected, path: bytes, name: bytes, level: Level
    ) -> Iterator[Damage]:
        text = os.fsdecode(name)
        try:
            status = os.stat(text, dir_fd=level.fd, follow_symlinks=False)
        except FileNotFoundError:
            yield Damage(path, "it is missing")
            return
        except OSError as error:
            yield Damage(path, _unreadable(error))
            return
        damages = list(self._differences(expected, path, text, level.fd, status))
        yield from damages
        if expected.kind is Kind.DIRECTORY and stat.S_ISDIR(status.st_mode):
            level.names.append(text)
        elif expected.entry.group and not damages:
            yield from self._check_link(expected, path, status)

    def _differences(
        self,
        expected: Expected,
        path: bytes,
        name: str,
        directory: int,
        status: os.stat_result,
    ) -> Iterator[Damage]:
        where = f"/proc/self/fd/{directory}/{name}"
        try:
            words = list(self._words(expected, where, status, is_root=not path))
        except OSError as error:
            words = [_unreadable(error)]
        if words:
            yield Damage(path, "; ".join(words))

    def _words(
        self, expected: Expected, where: str, status: os.stat_result, *, is_root: bool
    ) -> Iterator[str]:
        if expected.kind is None:
            return
        kind = self._kind_of(where, status)
        if kind is not expected.kind:
            found = kind.words if kind else "a socket"
            yield f"it is {found}, not {expected.kind.words}"
            return
        yield from _numbers(expected, status)
        entry = expected.entry
        if kind is Kind.SYMLINK:
            target = os.fsencode(os.readlink(where))
            if target != entry.link_target:
                wanted = _shown(entry.link_target)
                yield f"it leads to {_shown(target)}, not to {wanted}"
        elif kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE):
            device = os.major(status.st_rdev), os.minor(status.st_rdev)
            if device != entry.device:
                yield f"it is the device {device}, not {entry.device}"
        if expected.xattrs is None or is_root:
            return
        if kind is Kind.DIRECTORY:
            yield from self._opaqueness(entry.is_opaque, where)
        yield from self._xattrs(expected.xattrs, where, kind)

    def _kind_of(self, where: str, status: os.stat_result) -> Kind | None:
        if is_whiteout(status) or is_xattr_whiteout(
            where, status, self._expectation.prefix
        ):
            return Kind.WHITEOUT
        return KINDS.get(stat.S_IFMT(status.st_mode))

    def _opaqueness(self, should_be: bool, where: str) -> Iterator[str]:
        should_be = should_be and not self._expectation.is_lowest
        if is_opaque(where, self._expectation.prefix) != should_be:
            yield (
                "it does not hide the directory below, as it should"
                if should_be
                else "it hides the directory below, as it should not"
            )

    def _xattrs(
        self, wanted: Mapping[bytes, bytes], where: str, kind: Kind
    ) -> Iterator[str]:
        for name, value in wanted.items():
            if kind not in (Kind.FILE, Kind.DIRECTORY) and name.startswith(b"user."):
                continue  # the kernel allows none there, xattr(7)
            try:
                found = os.getxattr(where, name, follow_symlinks=False)
            except OSError as error:
                if error.errno == errno.ENOTSUP:
                    continue  # nor does the filesystem
                if error.errno != errno.ENODATA:
                    raise
                yield f"extended attribute {_shown(name)} is missing"
                continue
            if found != value and not name.startswith(_ACL):
                yield f"extended attribute {_shown(name)} has another value"
        for text in os.listxattr(where, follow_symlinks=False):
            name = os.fsencode(text)
            if name not in wanted and self._expectation.is_policed(name):
                yield f"the layer has no extended attribute {_shown(name)}"

    def _check_link(
        self, expected: Expected, path: bytes, status: os.stat_result
    ) -> Iterator[Damage]:
        inode = (status.st_dev, status.st_ino)
        first, first_inode = self._first_names.setdefault(
            expected.entry.group, (path, inode)
        )
        if inode != first_inode:
            yield Damage(path, f"it is not the same file as {_shown(first)}")


def _numbers(expected: Expected, status: os.stat_result) -> Iterator[str]:
    if expected.size_bytes is not None and status.st_size != expected.size_bytes:
        yield f"its size is {status.st_size}, not {expected.size_bytes}"
    mode = stat.S_IMODE(status.st_mode)
    if expected.mode is not None and mode != expected.mode:
        yield f"its mode is {mode:04o}, not {expected.mode:04o}"
    owner = status.st_uid, status.st_gid
    if expected.owner is not None and owner != expected.owner:
        wanted = "{}:{}".format(*expected.owner)
        yield f"its owner is {owner[0]}:{owner[1]}, not {wanted}"
    if expected.mtime_s is not None and status.st_mtime_ns // _NS != expected.mtime_s:
        yield "it was modified since it was unpacked"


def _joined(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name


def _unreadable(error: OSError) -> str:
    return f"it cannot be read: {error.strerror}"


def _shown(text: bytes) -> str:
    return repr(os.fsdecode(text))
