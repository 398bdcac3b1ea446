"""What a layer's tree answers: for each entry as it comes, and at the end.

The writer makes each entry on disk as its :class:`Admission` says, and then settles
what later entries overturned as the :class:`Settlement` says. Nodes are numbers that
the tree hands out; 0 is the layer's root directory. A node is one name: each hard
link has a node of its own. A name that is replaced leaves its node for good, so a
node never changes its place, and a living one always has its object on disk there.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

ROOT: Final = 0
NO_NODE: Final = -1


class Action(enum.IntEnum):
    """What an entry asks of the disk."""

    NOTHING = 0
    """Nothing now: a whiteout, an opaque mark, a leftover of AUFS."""
    MAKE = 1
    """Make the object; its body, if any, follows in the tar."""
    MERGE_DIRECTORY = 2
    """The directory is there; its attributes come from the settlement."""
    LINK = 3
    """Make another name of the file ``target``."""


class Admission:
    """What becomes of one entry; read only, and valid until the next ``admit``.

    Not a dataclass: it is made for every entry, and this is the quicker form.

    Attributes:
        action: What to do.
        node: What the entry is about: the object or the name to make, the directory
            to merge with; NO_NODE for NOTHING.
        parent: The directory that holds it; ROOT also for the root itself.
        name: Its name there; empty for the root itself.
        replaces: The node that has been ``name`` in ``parent`` until now; it is to
            go first, with all below it. NO_NODE for none. A file that has other
            names stays under those.
        implied: Directories to make first, parents before children, that no entry
            has named yet.
        target: For LINK a living name of the file to link to; NO_NODE if only a lower
            layer has it, then nothing is made before the settlement.
    """

    __slots__ = ("action", "implied", "name", "node", "parent", "replaces", "target")

    def __init__(
        self,
        action: Action,
        node: int,
        parent: int,
        name: bytes,
        replaces: int = NO_NODE,
        implied: tuple[int, ...] = (),
        target: int = NO_NODE,
    ) -> None:
        self.action = action
        self.node = node
        self.parent = parent
        self.name = name
        self.replaces = replaces
        self.implied = implied
        self.target = target

    def __repr__(self) -> str:
        """Show all fields, for messages of failed tests."""
        fields = ", ".join(f"{slot}={getattr(self, slot)!r}" for slot in self.__slots__)
        return f"Admission({fields})"


@dataclass(frozen=True, slots=True)
class NodeAttributes:
    """What the tar says of a node, before any policy.

    Attributes:
        mode: Permission bits with setuid, setgid and sticky.
        uid: The owner.
        gid: The group.
        mtime_ns: When it was modified, in ns since the epoch.
        xattrs: All of them, under the names in the tar.
    """

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Whiteout:
    """``name`` in ``directory`` hides what lower layers have there."""

    directory: int
    name: bytes


@dataclass(frozen=True, slots=True)
class LowerLink:
    """``name`` in ``directory`` is another name of a lower layer's file.

    Attributes:
        node: The node of the name.
        directory: The directory node that is to hold the name.
        name: The name.
        target: The file's path from the root, without a leading slash.
    """

    node: int
    directory: int
    name: bytes
    target: bytes


@dataclass(frozen=True, slots=True)
class Settlement:
    """What to do once every entry has been seen.

    Attributes:
        missing: Directories to make first, parents before children: nothing lies in
            them but whiteouts, or they are opaque and empty.
        whiteouts: To be made; none lies in an opaque directory or below one.
        opaque: Directories that hide the lower directories of their path; the root
            is never among them.
        root_opaque: The layer hides everything below it. Overlayfs ignores the mark
            on a layer's root, so the chain of layers is cut here.
        marked: Directories that hold whiteouts. With an empty ``origin`` mark the
            kernel hides those from readdir also where nothing lies below.
        implied: Directories that no entry named, those in ``missing`` among them,
            children before parents: they get the attributes of the directory below,
            or 0755 of root. The root is among them if no entry named it.
        directories: Every directory that an entry named, children before parents,
            the root last if it was named; their attributes are final.
        lower_links: Links to files that only lower layers have.
        removed: Nodes that a later entry replaced, and all that was below them;
            nothing of them is left on disk.
    """

    missing: tuple[int, ...]
    whiteouts: tuple[Whiteout, ...]
    opaque: tuple[int, ...]
    root_opaque: bool
    marked: tuple[int, ...]
    implied: tuple[int, ...]
    directories: tuple[int, ...]
    lower_links: tuple[LowerLink, ...]
    removed: tuple[int, ...]
