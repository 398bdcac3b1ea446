"""Random changes to the layers of :mod:`support.union_changes`."""

from __future__ import annotations

import random

from snapfs.syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE
from support.kernel_tree import Change

_NAMES = ("a", "b", "file", "sub", "low1", "lowdir", "both", "up")
_TOPS = ("", "up/", "lowdir/", "both/", "lowdir/sub/", "opaque/", "nested/a/", "a/")


def random_changes(seed: int, count: int) -> list[Change]:
    """Return changes that meet one another: few names, many kinds."""
    chance = random.Random(seed)

    def path() -> str:
        if chance.random() < 0.25:
            return chance.choice(("top", "gone1", "covered", "covereddir", "lowempty"))
        return chance.choice(_TOPS) + chance.choice(_NAMES)

    makers = (
        lambda: ("create", path(), chance.choice((0o600, 0o666))),
        lambda: ("mkdir", path()),
        lambda: ("symlink", path(), "target"),
        lambda: ("link", path(), path()),
        lambda: ("unlink", path()),
        lambda: ("rmdir", path()),
        lambda: ("rename", path(), path(), 0),
        lambda: ("rename", path(), path(), 0),
        lambda: ("rename", path(), path(), RENAME_NOREPLACE),
        lambda: ("rename", path(), path(), RENAME_EXCHANGE),
        lambda: ("chmod", path(), chance.choice((0o700, 0o755))),
        lambda: ("write", path(), chance.randrange(9), b"written"),
        lambda: ("truncate", path(), chance.randrange(9)),
        lambda: ("listdir", path().rpartition("/")[0]),
        lambda: ("read", path()),
        lambda: ("tmpfile", path().rpartition("/")[0], path(), 0o600, b"tmp"),
    )
    return [chance.choice(makers)() for _ in range(count)]
