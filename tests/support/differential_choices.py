"""Which operation comes next: random, but mostly on something that is there.

What is there is told after every operation, by the outcome on the oracle alone, so
that a seed gives the same operations whatever is compared with it.
"""

from __future__ import annotations

import fcntl
import os
import random
import stat
from collections.abc import Callable, Sequence
from typing import Final

from support import differential_syscalls as syscalls
from support.differential_actors import USERS
from support.differential_layers import (
    ACL_ACCESS,
    ACL_DEFAULT,
    CAPABILITY,
    CAPABILITY_VALUE,
    DEVICES,
    DIRECTORY_MODES,
    FILE_MODES,
    GIDS,
    SIZES,
    UIDS,
    acl,
    old_time,
    some_name,
    symlink_target,
)
from support.differential_operations import Data, Operation, Outcome, Where
from support.differential_view import View

SLOTS: Final = 6
_MANY: Final = 220
_DEEPEST: Final = 7
_OFFSETS: Final = (0, 0, 1, 4096, 5000, 65_536, 131_000, 400_000)
_LENGTHS: Final = (1, 10, 4096, 4097, 20_000, 70_000)
_ACCESS_MODES: Final = (os.O_RDONLY, os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR)
_EXTRA_FLAGS: Final = (
    *(0, 0, 0, 0, os.O_APPEND, os.O_TRUNC, os.O_NOFOLLOW, os.O_NOATIME),
    *(os.O_DIRECTORY, os.O_SYNC, os.O_DSYNC, os.O_PATH),
)
_CREATE_FLAGS: Final = (
    *(os.O_CREAT, os.O_CREAT, os.O_CREAT | os.O_EXCL, os.O_CREAT | os.O_TRUNC),
    *(os.O_CREAT | os.O_APPEND, os.O_CREAT | os.O_NOFOLLOW),
    os.O_CREAT | os.O_EXCL | os.O_TRUNC,
)
_FALLOCATE_MODES: Final = (
    *(0, 0, syscalls.FALLOC_FL_KEEP_SIZE),
    syscalls.FALLOC_FL_PUNCH_HOLE | syscalls.FALLOC_FL_KEEP_SIZE,
    syscalls.FALLOC_FL_ZERO_RANGE,
    syscalls.FALLOC_FL_ZERO_RANGE | syscalls.FALLOC_FL_KEEP_SIZE,
    syscalls.FALLOC_FL_PUNCH_HOLE,  # invalid without KEEP_SIZE
    syscalls.FALLOC_FL_COLLAPSE_RANGE,
    syscalls.FALLOC_FL_INSERT_RANGE,
)
_SHIFTING: Final = (
    syscalls.FALLOC_FL_COLLAPSE_RANGE,
    syscalls.FALLOC_FL_INSERT_RANGE,
)
_RENAME_FLAGS: Final = (
    *(0, 0, 0, 0, syscalls.RENAME_NOREPLACE, syscalls.RENAME_EXCHANGE),
    *(syscalls.RENAME_EXCHANGE, syscalls.RENAME_WHITEOUT),
    syscalls.RENAME_NOREPLACE | syscalls.RENAME_EXCHANGE,
)
_XATTRS: Final = (
    *(b"user.a", b"user.b", b"user.origin", b"trusted.note", b"trusted.x"),
    *(b"security.capability", b"security.other", b"trusted.overlay.opaque"),
    *(b"trusted.overlay.note", b"user.overlay.opaque", b"bogus.x", b"user."),
)
_UMASKS: Final = (0o022, 0o022, 0, 0o077, 0o027)
REMOUNT: Final = "remount"
EXCHANGE: Final = "exchange"
ROTATE: Final = "rotate"


class Choices:
    """A source of operations; :meth:`learn` tells it how each went.

    Args:
        chosen: Where all choices come from.
        cycle_every: After about as many operations both sides are mounted anew.
    """

    def __init__(self, chosen: random.Random, cycle_every: int) -> None:
        self._chosen = chosen
        self._cycle_every = cycle_every
        self._known: dict[bytes, str] = {}
        self._calls = [call for call, _ in _WEIGHTS]
        self._weights = [weight for _, weight in _WEIGHTS]

    def learn(self, view: View) -> None:
        """Take ``view`` for what is there."""
        self._known = {p: seen.kind for p, seen in view.items() if p != b"."}

    def learn_outcome(self, operation: Operation, outcome: Outcome) -> None:
        """Note what a successful operation added or took away."""
        if outcome.error:
            return
        call, arguments = operation.call, operation.arguments
        if call in ("unlink", "rmdir") and isinstance(arguments[0], bytes):
            self._known.pop(arguments[0], None)
        elif call in _MADE:
            place, kind = _MADE[call]
            made = arguments[place]
            if isinstance(made, bytes):
                self._known.setdefault(made.strip(b"/"), kind)
        elif call == "open":
            path, flags = arguments[1], arguments[2]
            if (
                isinstance(path, bytes)
                and isinstance(flags, int)
                and flags & os.O_CREAT
            ):
                self._known.setdefault(path, "file")
        elif call == "rename" and not arguments[2]:
            self._moved(arguments[0], arguments[1])

    def next(self) -> Operation:
        """Return the next operation."""
        chosen = self._chosen
        if chosen.randrange(self._cycle_every) == 0:
            return self._cycle()
        actor = chosen.choices(range(len(USERS)), (6, 3, 2))[0]
        weights = self._weights
        if len(self._known) > _MANY:
            weights = [w * (5 if c in _REMOVING else 1) for c, w in _WEIGHTS]
        call = chosen.choices(self._calls, weights)[0]
        return Operation(actor, call, _ARGUMENTS[call](self))

    def _cycle(self) -> Operation:
        kind = self._chosen.choice((REMOUNT, EXCHANGE, EXCHANGE, ROTATE))
        side = (self._chosen.randrange(2),) if kind == ROTATE else ()
        return Operation(0, kind, side)

    def _moved(self, old: object, new: object) -> None:
        if not isinstance(old, bytes) or not isinstance(new, bytes):
            return
        for path in [p for p in self._known if p == old or p.startswith(old + b"/")]:
            self._known[new + path[len(old) :]] = self._known.pop(path)

    # What arguments are made of.

    def there(self, *kinds: str) -> bytes:
        """Return a path that is probably there and of one of ``kinds``; or else not."""
        if self._chosen.random() < 0.05:
            return self.fresh()
        paths = [p for p, kind in self._known.items() if not kinds or kind in kinds]
        return self._chosen.choice(paths) if paths else self.fresh()

    def fresh(self) -> bytes:
        """Return a path in a directory that is there; the name may be taken."""
        directories = [b""]
        for path, kind in self._known.items():
            if kind == "directory" and path.count(b"/") < _DEEPEST:
                directories.append(path)
        parent = self._chosen.choice(directories)
        return os.path.join(parent, some_name(self._chosen))

    def where(self, path: bytes) -> Where:
        """Return ``path``, at times from a held descriptor on."""
        if self._chosen.random() < 0.06:
            return self.slot(), os.path.basename(path)
        return path

    def slot(self) -> int:
        return self._chosen.randrange(SLOTS)

    def data(self) -> Data:
        return self._chosen.randrange(30), self._chosen.choice(_LENGTHS)

    def offset(self) -> int:
        if self._chosen.random() < 0.3:
            return self._chosen.randrange(300_000)
        return self._chosen.choice(_OFFSETS)

    def size(self) -> int:
        return self._chosen.choice(SIZES)

    def flip(self, chance: float = 0.5) -> bool:
        return self._chosen.random() < chance

    def one(self, values: Sequence[int]) -> int:
        return self._chosen.choice(values)

    def mode(self) -> int:
        return self.one(DIRECTORY_MODES + FILE_MODES)

    def owner(self) -> tuple[int, int]:
        return self.one((*UIDS, -1)), self.one((*GIDS, -1))

    def times(self) -> tuple[int, int] | None:
        if self.flip(0.15):
            return None
        return old_time(self._chosen), old_time(self._chosen)

    def xattr(self) -> bytes:
        if self.flip(0.2):
            return ACL_DEFAULT if self.flip(0.4) else ACL_ACCESS
        return self._chosen.choice(_XATTRS)

    def xattr_value(self, name: bytes) -> bytes:
        if name in (ACL_ACCESS, ACL_DEFAULT):
            return b"rubbish" if self.flip(0.05) else acl(self._chosen)
        if name == CAPABILITY:
            return b"rubbish" if self.flip(0.1) else CAPABILITY_VALUE
        return b"y" * self.one((0, 1, 1, 30, 300))

    def target(self) -> bytes:
        return symlink_target(self._chosen, self._known)


Arguments = Callable[[Choices], tuple[object, ...]]


def _open(c: Choices) -> tuple[object, ...]:
    slot = c.slot()
    if c.flip(0.08):
        flags = os.O_TMPFILE | c.one((os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_EXCL))
        return slot, c.there("directory"), flags, c.mode()
    access = c.one(_ACCESS_MODES)
    if c.flip(0.3):
        return slot, c.where(c.fresh()), access | c.one(_CREATE_FLAGS), c.mode()
    if c.flip(0.25):
        return slot, c.there("directory"), os.O_RDONLY | os.O_DIRECTORY, 0
    path = c.there("file") if c.flip(0.8) else c.there()
    return slot, c.where(path), access | c.one(_EXTRA_FLAGS), 0


def _make_node(c: Choices) -> tuple[object, ...]:
    kinds = (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFREG, 0)
    kind, device = c.one(kinds), 0
    if c.flip(0.4):
        pairs = (*DEVICES, (stat.S_IFCHR, 0), (stat.S_IFBLK, 0))
        kind, device = pairs[c.one(range(len(pairs)))]
    return c.where(c.fresh()), kind | c.mode(), device


def _rename(c: Choices) -> tuple[object, ...]:
    kinds = ("directory",) if c.flip(0.45) else ()
    old = c.there(*kinds)
    new = c.there(*kinds) if c.flip(0.35) else c.fresh()
    return c.where(old), c.where(new), c.one(_RENAME_FLAGS)


def _link(c: Choices) -> tuple[object, ...]:
    old = c.there("file") if c.flip(0.7) else c.there()
    new = c.there() if c.flip(0.1) else c.fresh()
    return c.where(old), c.where(new), c.flip(0.3)


def _unlink(c: Choices) -> tuple[object, ...]:
    kinds = ("file", "symlink", "fifo", "socket", "character device", "block device")
    return (c.where(c.there(*kinds) if c.flip(0.85) else c.there()),)


def _list_while_removing(c: Choices) -> tuple[object, ...]:
    count = c.one((1, 2, 5))
    names = {os.path.basename(c.there("file", "symlink")) for _ in range(count)}
    return c.there("directory"), tuple(sorted(names))


def _allocate(c: Choices) -> tuple[object, ...]:
    mode, offset, length = c.one(_FALLOCATE_MODES), c.offset(), c.one(_LENGTHS)
    if mode in _SHIFTING:  # FUSE has neither: only what the kernel refuses, too
        length |= 1
    return c.slot(), mode, offset, length


def _set_xattr(c: Choices) -> tuple[object, ...]:
    name = c.xattr()
    flags = c.one((0, 0, 0, os.XATTR_CREATE, os.XATTR_REPLACE))
    return c.there(), name, c.xattr_value(name), flags, c.flip()


def _set_held_xattr(c: Choices) -> tuple[object, ...]:
    name = c.xattr()
    return c.slot(), name, c.xattr_value(name), 0


_LOCKS: Final = (fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN)
_STATX_FLAGS: Final = (0, syscalls.AT_STATX_FORCE_SYNC, syscalls.AT_STATX_DONT_SYNC)
_TABLE: Final[Sequence[tuple[str, int, Arguments]]] = (
    ("mkdir", 40, lambda c: (c.where(c.fresh()), c.mode())),
    ("rmdir", 16, lambda c: (c.where(c.there("directory")),)),
    ("mknod", 14, _make_node),
    ("symlink", 14, lambda c: (c.target(), c.where(c.fresh()))),
    ("readlink", 8, lambda c: (c.where(c.there("symlink")),)),
    ("link", 24, _link),
    ("unlink", 44, _unlink),
    ("rename", 60, _rename),
    ("chmod", 24, lambda c: (c.where(c.there()), c.mode())),
    ("chown", 20, lambda c: (c.where(c.there()), *c.owner(), c.flip())),
    ("utimens", 20, lambda c: (c.where(c.there()), c.times(), c.flip())),
    ("truncate", 14, lambda c: (c.there("file"), c.size())),
    ("stat", 24, lambda c: (c.where(c.there()), c.flip())),
    ("statx", 8, lambda c: (c.there(), c.one(_STATX_FLAGS))),
    ("access", 10, lambda c: (c.where(c.there()), c.one(range(8)))),
    ("statfs", 2, lambda c: (c.there(),)),
    ("list", 16, lambda c: (c.where(c.there("directory")),)),
    ("list_while_removing", 3, _list_while_removing),
    ("setxattr", 24, _set_xattr),
    ("getxattr", 12, lambda c: (c.there(), c.xattr(), c.flip())),
    ("listxattr", 8, lambda c: (c.there(), c.flip())),
    ("removexattr", 10, lambda c: (c.there(), c.xattr(), c.flip())),
    ("umask", 3, lambda c: (c.one(_UMASKS),)),
    ("open", 110, _open),
    ("link_descriptor", 5, lambda c: (c.slot(), c.fresh())),
    ("close", 10, lambda c: (c.slot(),)),
    ("read", 12, lambda c: (c.slot(), c.one(_LENGTHS))),
    ("pread", 24, lambda c: (c.slot(), c.offset(), c.one(_LENGTHS))),
    ("write", 24, lambda c: (c.slot(), c.data())),
    ("pwrite", 24, lambda c: (c.slot(), c.offset(), c.data())),
    ("lseek", 6, lambda c: (c.slot(), c.offset(), c.one((0, 0, 1, 2)))),
    ("ftruncate", 10, lambda c: (c.slot(), c.size())),
    ("fallocate", 14, _allocate),
    (
        "copy_file_range",
        12,
        lambda c: (c.slot(), c.offset(), c.slot(), c.offset(), c.one(_LENGTHS)),
    ),
    ("seek_data_hole", 8, lambda c: (c.slot(),)),
    ("mmap_write", 12, lambda c: (c.slot(), c.offset(), c.data())),
    ("mmap_read", 12, lambda c: (c.slot(), c.offset(), c.one(_LENGTHS))),
    ("fstat", 24, lambda c: (c.slot(),)),
    ("fchmod", 8, lambda c: (c.slot(), c.mode())),
    ("fchown", 8, lambda c: (c.slot(), *c.owner())),
    ("futimens", 8, lambda c: (c.slot(), c.times())),
    ("fsync", 2, lambda c: (c.slot(), c.flip())),
    ("fsetxattr", 8, _set_held_xattr),
    ("fgetxattr", 5, lambda c: (c.slot(), c.xattr())),
    ("flistxattr", 5, lambda c: (c.slot(),)),
    ("fremovexattr", 4, lambda c: (c.slot(), c.xattr())),
    ("flist", 8, lambda c: (c.slot(),)),
    ("flock", 4, lambda c: (c.slot(), c.one(_LOCKS))),
    (
        "lockf",
        5,
        lambda c: (c.slot(), c.one(_LOCKS), c.offset(), c.one(_LENGTHS)),
    ),
)
_WEIGHTS: Final = [(call, weight) for call, weight, _ in _TABLE]
_ARGUMENTS: Final = {call: arguments for call, _, arguments in _TABLE}
_REMOVING: Final = ("unlink", "rmdir", "list_while_removing")
# Where a call that makes something has its path, and what it makes.
_MADE: Final = {
    "mkdir": (0, "directory"),
    "mknod": (0, "fifo"),
    "symlink": (1, "symlink"),
    "link": (1, "file"),
    "link_descriptor": (1, "file"),
}
