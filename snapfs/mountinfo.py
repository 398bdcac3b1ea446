"""The mount table of this process: ``/proc/self/mountinfo``, parsed.

The format is that of proc_pid_mountinfo(5) and ``fs/proc_namespace.c``. Lines are
longer than a page where an overlay has many layers, and any byte can stand in a
path, so the file is read whole and as bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from snapfs.light_typing import Final
from snapfs.values import dataclass

MOUNTINFO: Final = "/proc/self/mountinfo"

# seq_escape() writes space, tab, newline, backslash, '#' and, in option values,
# comma and colon as three octal digits.
_OCTAL: Final = frozenset(b"01234567")
_DIGITS: Final = 3


@dataclass(frozen=True, slots=True)
class MountEntry:
    """One line of the mount table.

    Attributes:
        mount_id: Unique among the mounts of now; reused later.
        parent_id: The mount that this one is mounted on.
        device: "major:minor", as in ``st_dev`` of its files.
        root: The directory of the filesystem that is the root of this mount.
        target: Where it is mounted.
        options: Of this mount ("ro", "nosuid", "relatime", ...).
        propagation: The optional fields ("shared:7", "master:1", ...).
        type: The filesystem type, with a subtype after a dot.
        source: A device, or whatever the one who mounted it called it.
        super_options: Of the filesystem; all mounts of it share them.
    """

    mount_id: int
    parent_id: int
    device: str
    root: str
    target: str
    options: tuple[str, ...]
    propagation: tuple[str, ...]
    type: str
    source: str
    super_options: tuple[str, ...]

    @property
    def is_read_only(self) -> bool:
        """Whether this mount, or the filesystem itself, refuses writes."""
        return "ro" in self.options or "ro" in self.super_options


def read(path: str = MOUNTINFO) -> list[MountEntry]:
    """Return every mount that this process can see, in the kernel's order."""
    with open(path, "rb") as file:
        table = file.read()
    return [parse(line) for line in table.split(b"\n") if line]


def mounts_below(path: str, *, table: str = MOUNTINFO) -> list[MountEntry]:
    """Return the mounts on ``path`` and on anything below it, parents first."""
    top = os.path.realpath(path)
    below = top.rstrip("/") + "/"
    return [
        entry
        for entry in read(table)
        if entry.target == top or entry.target.startswith(below)
    ]


def find(target: str, *, table: str = MOUNTINFO) -> MountEntry | None:
    """Return the mount that is seen at ``target``; None if it is no mount point.

    Where several are stacked there, it is the topmost.
    """
    return _topmost(read(table), os.path.realpath(target))


def containing(path: str, *, table: str = MOUNTINFO) -> MountEntry | None:
    """Return the mount that ``path`` lies on; None if this process sees none."""
    entries = read(table)
    real = os.path.realpath(path)
    while True:
        entry = _topmost(entries, real)
        if entry is not None or real == "/":
            return entry
        real = os.path.dirname(real)


def _topmost(entries: Iterable[MountEntry], real: str) -> MountEntry | None:
    stacked = [entry for entry in entries if entry.target == real]
    covered = {entry.parent_id for entry in stacked}
    tops = [entry for entry in stacked if entry.mount_id not in covered]
    return tops[-1] if tops else None


def parse(line: bytes) -> MountEntry:
    """Parse one line of the table.

    Raises:
        ValueError: It is not such a line.
    """
    head, separator, tail = line.rstrip(b"\n").partition(b" - ")
    fields = head.split(b" ")
    # Not split(): an empty source leaves two spaces in a row.
    rest = tail.split(b" ")
    if not separator or len(fields) < 6 or len(rest) != 3:
        raise ValueError(f"not a line of mountinfo: {line!r}")
    return MountEntry(
        mount_id=int(fields[0]),
        parent_id=int(fields[1]),
        device=_text(fields[2]),
        root=_text(fields[3]),
        target=_text(fields[4]),
        options=_words(fields[5]),
        propagation=tuple(_text(field) for field in fields[6:]),
        type=_text(rest[0]),
        source=_text(rest[1]),
        super_options=_words(rest[2]),
    )


def _words(raw: bytes) -> tuple[str, ...]:
    # Split first: a comma inside a value is escaped.
    return tuple(_text(word) for word in raw.split(b","))


def _text(raw: bytes) -> str:
    if b"\\" in raw:
        first, *parts = raw.split(b"\\")
        raw = first + b"".join(map(_unescaped, parts))
    return os.fsdecode(raw)


def _unescaped(part: bytes) -> bytes:
    """Return what stands for a backslash and the bytes after it."""
    digits = part[:_DIGITS]
    if len(digits) < _DIGITS or not _OCTAL.issuperset(digits):
        return b"\\" + part
    return bytes([int(digits, 8)]) + part[_DIGITS:]
