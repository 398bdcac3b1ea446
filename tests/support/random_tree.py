"""The same random changes to a mount and to a plain directory, and whether they differ.

Each step makes one system call on both, and compares what it returned; so a call that
failed, or was done twice, shows at once. Open files and those without a name stay so
over many steps.
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from snapfs.syscalls import AT_FDCWD, RENAME_EXCHANGE, renameat2

_NAMES: Final = tuple(f"n{number}" for number in range(6))
_OPEN_FILES: Final = 6
_SIZES: Final = (0, 1, 100, 5000, 70_000)

Outcome = object
T = TypeVar("T")


class Pair:
    """Two trees that are to stay equal.

    Args:
        mount: The tree under test.
        plain: A plain directory with the same content.
        seed: Of the random choices.
    """

    def __init__(self, mount: Path, plain: Path, seed: int) -> None:
        self._roots = (mount, plain)
        self._random = random.Random(seed)
        self._open: list[tuple[int, int]] = []
        self.steps = 0
        self._actions: list[Callable[[], None]] = [
            *(self._make_file, self._make_file, self._make_directory, self._make_link),
            *(self._hard_link, self._unlink, self._unlink, self._remove_directory),
            *(self._rename, self._rename, self._exchange, self._write, self._write),
            *(self._append, self._truncate, self._chmod, self._set_times),
            *(self._create_xattr, self._remove_xattr, self._read, self._list),
            *(self._stat, self._open_file, self._close_file, self._write_open),
            *(self._read_open, self._stat_open, self._unnamed),
        ]

    def step(self) -> None:
        """Make one random change, or look at something.

        Raises:
            AssertionError: The two trees answered differently.
        """
        self.steps += 1
        self._random.choice(self._actions)()

    def close(self) -> None:
        """Close what is open."""
        for pair in self._open:
            for fd in pair:
                os.close(fd)
        self._open.clear()

    def compare(self) -> None:
        """Compare everything.

        Raises:
            AssertionError: The two trees differ.
        """
        mount, plain = (snapshot(root) for root in self._roots)
        assert mount == plain
        for one, other in self._open:
            assert _described(one) == _described(other)

    # How both are asked.

    def _both(self, call: Callable[[Path], Outcome]) -> Outcome:
        mount, plain = (_outcome(call, root) for root in self._roots)
        assert mount == plain, f"step {self.steps}: {mount!r} is not {plain!r}"
        return mount

    def _both_open(self, call: Callable[[int], Outcome]) -> None:
        if self._open:
            one, other = self._random.choice(self._open)
            mount, plain = _outcome(call, one), _outcome(call, other)
            assert mount == plain, f"step {self.steps}: {mount!r} is not {plain!r}"

    def _path(self) -> str:
        depth = self._random.choice((1, 1, 2, 2, 3))
        return "/".join(self._random.choices(_NAMES, k=depth))

    def _data(self) -> bytes:
        return self._random.randbytes(self._random.choice(_SIZES))

    # Names.

    def _make_file(self) -> None:
        path, data = self._path(), self._data()

        def make(root: Path) -> None:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
            fd = os.open(root / path, flags, 0o644)
            try:
                os.write(fd, data)
            finally:
                os.close(fd)

        self._both(make)

    def _make_directory(self) -> None:
        path = self._path()
        self._both(lambda root: os.mkdir(root / path))

    def _make_link(self) -> None:
        path, target = self._path(), self._path()
        self._both(lambda root: os.symlink(target, root / path))

    def _hard_link(self) -> None:
        old, new = self._path(), self._path()
        self._both(lambda root: os.link(root / old, root / new, follow_symlinks=False))

    def _unlink(self) -> None:
        path = self._path()
        self._both(lambda root: os.unlink(root / path))

    def _remove_directory(self) -> None:
        path = self._path()
        self._both(lambda root: os.rmdir(root / path))

    def _rename(self) -> None:
        old, new = self._path(), self._path()
        self._both(lambda root: os.rename(root / old, root / new))

    def _exchange(self) -> None:
        old, new = self._path(), self._path()
        self._both(
            lambda root: renameat2(
                os.fsencode(root / old),
                os.fsencode(root / new),
                RENAME_EXCHANGE,
                old_dir_fd=AT_FDCWD,
                new_dir_fd=AT_FDCWD,
            )
        )

    # Contents and attributes.

    def _write(self) -> None:
        self._write_with(os.O_WRONLY)

    def _append(self) -> None:
        self._write_with(os.O_WRONLY | os.O_APPEND)

    def _write_with(self, flags: int) -> None:
        path, data = self._path(), self._data()
        offset = self._random.choice((0, 10, 4096))

        def write(root: Path) -> int:
            fd = os.open(root / path, flags | os.O_NOFOLLOW)
            try:
                if flags & os.O_APPEND:
                    return os.write(fd, data)
                return os.pwrite(fd, data, offset)
            finally:
                os.close(fd)

        self._both(write)

    def _truncate(self) -> None:
        path, size = self._path(), self._random.choice(_SIZES)
        self._both(lambda root: os.truncate(root / path, size))

    def _chmod(self) -> None:
        path, mode = self._path(), self._random.choice((0o600, 0o755, 0o4711))
        self._both(lambda root: os.chmod(root / path, mode))

    def _set_times(self) -> None:
        path, when = self._path(), self._random.randrange(10**18)
        self._both(lambda root: os.utime(root / path, ns=(when, when)))

    def _create_xattr(self) -> None:
        path, value = self._path(), self._random.randbytes(5)
        self._both(
            lambda root: os.setxattr(root / path, "user.a", value, os.XATTR_CREATE)
        )

    def _remove_xattr(self) -> None:
        path = self._path()
        self._both(lambda root: os.removexattr(root / path, "user.a"))

    def _read(self) -> None:
        path = self._path()
        self._both(lambda root: (root / path).read_bytes())

    def _list(self) -> None:
        path = self._path()
        self._both(lambda root: sorted(os.listdir(root / path)))

    def _stat(self) -> None:
        path = self._path()
        self._both(lambda root: described(os.lstat(root / path)))

    # Open files.

    def _open_file(self) -> None:
        path = self._path()
        self._keep(lambda root: os.open(root / path, os.O_RDWR | os.O_NOFOLLOW))

    def _unnamed(self) -> None:
        self._keep(lambda root: os.open(root, os.O_TMPFILE | os.O_RDWR, 0o600))

    def _keep(self, open_: Callable[[Path], int]) -> None:
        if len(self._open) >= _OPEN_FILES:
            return
        found: list[int] = []

        def open_one(root: Path) -> None:
            found.append(open_(root))

        self._both(open_one)
        if found:
            self._open.append((found[0], found[1]))

    def _close_file(self) -> None:
        if self._open:
            index = self._random.randrange(len(self._open))
            for fd in self._open.pop(index):
                os.close(fd)

    def _write_open(self) -> None:
        data, offset = self._data(), self._random.choice((0, 5, 4000))
        self._both_open(lambda fd: os.pwrite(fd, data, offset))

    def _read_open(self) -> None:
        self._both_open(lambda fd: os.pread(fd, 1 << 17, 0))

    def _stat_open(self) -> None:
        self._both_open(_described)


def _outcome(call: Callable[[T], Outcome], argument: T) -> Outcome:
    try:
        return call(argument)
    except OSError as error:
        return f"errno {error.errno}"


def _described(fd: int) -> tuple[object, ...]:
    return (*described(os.fstat(fd)), os.pread(fd, 1 << 18, 0))


def described(status: os.stat_result) -> tuple[object, ...]:
    """Return of a status what two trees have in common."""
    is_directory = stat.S_ISDIR(status.st_mode)
    return (
        status.st_mode,
        status.st_uid,
        status.st_gid,
        None if is_directory else status.st_nlink,
        None if is_directory else status.st_size,
    )


def snapshot(root: Path) -> dict[str, object]:
    """Return all that a tree shows, by path."""
    found: dict[str, object] = {}
    for directory, names, files in os.walk(root):
        for name in (*names, *files):
            path = Path(directory, name)
            status = os.lstat(path)
            content: object = None
            if stat.S_ISREG(status.st_mode):
                content = path.read_bytes()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            attributes = sorted(
                (name, os.getxattr(path, name, follow_symlinks=False))
                for name in os.listxattr(path, follow_symlinks=False)
            )
            found[str(path.relative_to(root))] = (
                described(status),
                content,
                attributes,
            )
    return found


def populate(roots: tuple[Path, ...], seed: int) -> None:
    """Fill several directories with the same content."""
    for root in roots:
        choices = random.Random(seed)
        for first in _NAMES[:3]:
            (root / first).mkdir(parents=True)
            for second in _NAMES[:4]:
                data = choices.randbytes(choices.choice(_SIZES))
                (root / first / second).write_bytes(data)
            (root / first / _NAMES[4]).mkdir()
            (root / first / _NAMES[4] / _NAMES[0]).write_bytes(b"deep")
        (root / _NAMES[3]).write_bytes(choices.randbytes(3 << 20))
        (root / _NAMES[4]).symlink_to(_NAMES[0])
