"""The one table of differences between kernel overlayfs and the engine that are meant.

Whatever is not in it fails a run. ``docs/overlay-semantics.md`` has a line for every
row; a test holds the two together.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Callable, Iterable
from typing import Final

from support.differential_operations import (
    NEW,
    NOW,
    Operation,
    Outcome,
    brief,
    parent_of,
)
from support.differential_syscalls import (
    AT_STATX_DONT_SYNC,
    FALLOC_FL_COLLAPSE_RANGE,
    FALLOC_FL_INSERT_RANGE,
    FALLOC_FL_KEEP_SIZE,
)

_FITS_IN_A_REDIRECT: Final = 240
"""Bytes of a path; ``ovl_redirect_max`` is 256 (fs/overlayfs/dir.c)."""
_SET_IDS: Final = stat.S_ISUID | stat.S_ISGID
_ANY_TIME_NS: Final = 1_100_000_000 * 10**9


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same on both sides.

    Attributes:
        place: "outcome" of an operation, "view" of the tree, "lower layers",
            "workdir" or "mount".
        field: What differs: "errno", "value", or a field of a status or of a view.
    """

    place: str
    field: str
    expected: object
    actual: object
    path: bytes = b""
    operation: Operation | None = None

    @property
    def signature(self) -> tuple[str, str, str]:
        """What two runs must share for their failures to count as the same one."""
        call = self.operation.call if self.operation else ""
        return self.place, self.field, call

    def __str__(self) -> str:
        about = f" of {self.path!r}" if self.path else ""
        by = f" by {self.operation}" if self.operation else ""
        return (
            f"{self.place}{about}{by}: {self.field}\n"
            f"    expected {brief(self.expected)}\n"
            f"    actual   {brief(self.actual)}"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Explained:
    """A difference that is meant: what it is, why, and which ones it covers.

    Attributes:
        modes: The modes of the engine that show it.
        settles: What both sides do next, so that nothing differs from then on.
    """

    name: str
    reason: str
    modes: tuple[str, ...]
    covers: Callable[[Difference], bool]
    settles: Callable[[Operation], Operation] | None = None


def _is_shift_refused(difference: Difference) -> bool:
    operation = difference.operation
    return (
        operation is not None
        and operation.call == "fallocate"
        and operation.arguments[1] in (FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE)
        and difference.field == "errno"
        and isinstance(difference.expected, Outcome)
        and difference.expected.error != ""
        and difference.actual == Outcome("ENOTSUP")
    )


def _touch(operation: Operation) -> Operation:
    """Have the file's time be now: the kernel may have set it and then refused."""
    slot = operation.arguments[0]
    return Operation(operation.actor, "fallocate", (slot, FALLOC_FL_KEEP_SIZE, 0, 1))


_HELD_CHANGES: Final = ("fchmod", "fchown", "futimens", "fsetxattr", "fremovexattr")


def _is_copy_of_unlinked(difference: Difference) -> bool:
    operation, want = difference.operation, difference.expected
    return (
        operation is not None
        and operation.call in _HELD_CHANGES
        and difference.field == "errno"
        and isinstance(want, Outcome)
        and want.error == "EEXIST"
    )


def _is_link_of_unlinked(difference: Difference) -> bool:
    operation, want = difference.operation, difference.expected
    return (
        operation is not None
        and operation.call == "fstat"
        and difference.field == "nlink"
        and isinstance(want, int)
        and want > 0
        and difference.actual == 0
    )


def _close(operation: Operation) -> Operation:
    return Operation(operation.actor, "close", operation.arguments[:1])


def _is_refused_rename(difference: Difference) -> bool:
    operation = difference.operation
    if operation is None or operation.call != "rename":
        return False
    if difference.field == "mtime after ENOTEMPTY":
        return difference.expected == NOW
    old = operation.arguments[0]
    return (
        (not isinstance(old, bytes) or len(old) > _FITS_IN_A_REDIRECT)
        and difference.expected == Outcome("EXDEV")
        and difference.actual == Outcome("ENOTEMPTY")
    )


def _set_parent_times(operation: Operation) -> Operation:
    parent = parent_of(operation.arguments[0])
    times = (_ANY_TIME_NS, _ANY_TIME_NS)
    if isinstance(parent, int):
        return Operation(operation.actor, "futimens", (parent, times))
    return Operation(0, "utimens", (parent, times, True))


def _is_cached_status(difference: Difference) -> bool:
    operation = difference.operation
    return (
        operation is not None
        and operation.call == "statx"
        and operation.arguments[1] == AT_STATX_DONT_SYNC
        and isinstance(difference.expected, int | str)
    )


def _changes_no_owner(operation: Operation | None) -> bool:
    return (
        operation is not None
        and operation.call in ("chown", "fchown")
        and operation.arguments[1:3] == (-1, -1)
    )


def _is_chown_of_nothing(difference: Difference) -> bool:
    have = difference.actual
    return (
        _changes_no_owner(difference.operation)
        and difference.expected == Outcome("EPERM")
        and isinstance(have, Outcome)
        and not have.error
    )


def _keeps_set_ids(difference: Difference) -> bool:
    if not _changes_no_owner(difference.operation) or difference.field != "value":
        return False
    modes = []
    for outcome in (difference.expected, difference.actual):
        if not isinstance(outcome, Outcome) or not isinstance(outcome.value, str):
            return False
        modes.append(int(outcome.value, 8))
    return modes[0] == modes[1] & ~(modes[1] & _SET_IDS)


def _set_mode(operation: Operation) -> Operation:
    call = "chmod" if operation.call == "chown" else "fchmod"
    return Operation(operation.actor, call, (operation.arguments[0], 0o644))


def _opens_to_write(operation: Operation | None) -> bool:
    """Tell whether it opens a file that stays as it is for writing."""
    if operation is None or operation.call != "open":
        return False
    flags = operation.arguments[2]
    if not isinstance(flags, int):
        return False
    return flags & os.O_ACCMODE != os.O_RDONLY and not flags & os.O_TRUNC


def _is_open_not_parted(difference: Difference) -> bool:
    want, have = difference.expected, difference.actual
    if not _opens_to_write(difference.operation):
        return False
    if difference.field == "ino":
        return want == NEW and have != NEW
    return difference.field == "nlink" and (
        want == 1 and isinstance(have, int) and have > 1
    )


def _is_time_of_data(difference: Difference) -> bool:
    return (
        _opens_to_write(difference.operation)
        and difference.field == "mtime"
        and difference.expected == NOW
    )


def _write_a_byte(operation: Operation) -> Operation:
    slot = operation.arguments[0]
    return Operation(operation.actor, "pwrite", (slot, 0, (0, 1)))


def _part(operation: Operation) -> Operation:
    return Operation(operation.actor, "part", operation.arguments[:1])


EXPLAINED: Final[tuple[Explained, ...]] = (
    Explained(
        "fallocate-shift",
        "FUSE has no FALLOC_FL_COLLAPSE_RANGE and FALLOC_FL_INSERT_RANGE: the kernel "
        "answers EOPNOTSUPP itself, before it looks at the range.",
        ("fast", "io"),
        _is_shift_refused,
        _touch,
    ),
    Explained(
        "unlinked-lower",
        "Overlayfs puts the copy of an unlinked file at its old name, and fails with "
        "EEXIST where a whiteout or another file is; a file that is still open can be "
        "changed to its end here, as POSIX says.",
        ("fast", "io"),
        _is_copy_of_unlinked,
        _close,
    ),
    Explained(
        "unlinked-links",
        "Of an unlinked file of a layer overlayfs shows the layer's link count; here "
        "it is 0, by which programs tell that a file is gone.",
        ("fast", "io"),
        _is_link_of_unlinked,
    ),
    Explained(
        "refused-rename",
        "A rename over a directory that is not empty is refused here before anything "
        "is done; the kernel's may reach the upper's filesystem, and ext4 sets the "
        "time of the old directory before it refuses, or fail before that with EXDEV, "
        "if the redirect would be too long.",
        ("fast", "io"),
        _is_refused_rename,
        _set_parent_times,
    ),
    Explained(
        "chown-nothing",
        "`chown(-1, -1)` of another's file with set-id bits is EPERM; here it does "
        "nothing, since FUSE sends the same before a write to such a file.",
        ("fast", "io"),
        _is_chown_of_nothing,
    ),
    Explained(
        "chown-capable",
        "`chown(-1, -1)` by root takes the set-id bits of a file with capabilities "
        "away; here they stay, since FUSE sends the same before root writes to such a "
        "file, which leaves them.",
        ("fast", "io"),
        _keeps_set_ids,
        _set_mode,
    ),
    Explained(
        "statx-cached",
        "With AT_STATX_DONT_SYNC the kernel shows what it has cached of a FUSE file, "
        "though it knows that an ACL has changed the mode since.",
        ("fast", "io"),
        _is_cached_status,
    ),
    Explained(
        "metacopy-time",
        "When overlayfs gives a metacopy file its data, for an open for writing, the "
        "file's time becomes now; here it stays until something is written.",
        ("fast", "io"),
        _is_time_of_data,
        _write_a_byte,
    ),
    Explained(
        "late-copy-up",
        "An open takes no message, so that a lower file is copied up by its first "
        "change and not by its open: one with several names that was opened for "
        "writing has the layer's `st_ino` and `st_nlink` until it is changed.",
        ("fast",),
        _is_open_not_parted,
        _part,
    ),
)


def unexplained(differences: Iterable[Difference], mode: str) -> list[Difference]:
    """Return the differences that no row of the table covers in ``mode``."""
    return [each for each in differences if _row_of(each, mode) is None]


def settlement(differences: Iterable[Difference], mode: str) -> Operation | None:
    """Return what is to be done on both sides to make up for ``differences``."""
    for difference in differences:
        row = _row_of(difference, mode)
        if row and row.settles and difference.operation:
            return row.settles(difference.operation)
    return None


def _row_of(difference: Difference, mode: str) -> Explained | None:
    for row in EXPLAINED:
        if mode in row.modes and row.covers(difference):
            return row
    return None
