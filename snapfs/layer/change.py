"""One change between two trees, with all that a layer needs to record it.

Changes come in the order of a walk: names of a directory sorted as bytes, a directory
before what is in it, and in each directory what is gone before all else. A directory
that is gone is one change; what it held is not named.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

ROOT_PATH: Final = b"."
"""The path of the root itself; all others are relative to it: ``etc/hosts``."""


class ChangeKind(StrEnum):
    """What became of a path."""

    ADDED = "A"
    MODIFIED = "M"
    DELETED = "D"
    UNCHANGED = "="
    """Nothing, yet a layer needs it: the directory of something that changed, or a
    hard link of something that changed. Given only where it was asked for."""


class Source(Protocol):
    """What is at a path now; usable as long as the walk that it came from is open.

    The calls are for the thread that walks.
    """

    def open_content(self) -> int:
        """Return a descriptor of a regular file's content, for the caller to close.

        It is open for reading, at position 0. Where the upper layer holds the
        attributes alone (metacopy) it is the file with the data.

        Raises:
            OSError: It cannot be opened, or there is no data for it (EIO).
        """
        ...

    def xattrs(self) -> Mapping[bytes, bytes]:
        """Return the extended attributes as a container sees them, sorted.

        The marks of overlayfs are left out, those that a nested overlayfs left have
        their own names again (:mod:`snapfs.layer.shown_xattrs`).

        Raises:
            OSError: They cannot be read.
        """
        ...

    def link_target(self) -> bytes:
        """Return what a symlink reads.

        Raises:
            OSError: It cannot be read, or is no symlink.
        """
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """One path at which two trees differ.

    Attributes:
        kind: What became of it.
        path: From the root, without a leading slash; :data:`ROOT_PATH` for the root.
        stat: What is there now, a symlink not followed; None where it is gone.
            The size of a file is right also where its content lies elsewhere.
        before: What was there; None where nothing was.
        fields: Of what is modified, that which differs: ``type`` alone, or some of
            ``mode``, ``uid``, ``gid``, ``size``, ``mtime``, ``xattrs``, ``content``,
            ``target``, ``device`` and ``links`` (it became a hard link of another).
        source: Where to read what is there now; None where it is gone.
    """

    kind: ChangeKind
    path: bytes
    stat: os.stat_result | None
    before: os.stat_result | None = None
    fields: tuple[str, ...] = ()
    source: Source | None = None

    @property
    def link_group(self) -> tuple[int, int] | None:
        """What the hard links of one object have in common; None if it has no other.

        Of a group with a change in it, all names that the layer needs are given,
        those that did not change as ``UNCHANGED``. Names in layers below, which
        nobody looks at, are not among them: a group may be smaller than ``st_nlink``.
        """
        status = self.stat
        if status is None or status.st_nlink < 2 or stat.S_ISDIR(status.st_mode):
            return None
        return status.st_dev, status.st_ino
