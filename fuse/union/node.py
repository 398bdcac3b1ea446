"""What the union remembers of an inode that the kernel has seen.

These objects are the memory of a mount: a tree of half a million files has as many
of them, so they hold no more than cannot be found again at once (see
:mod:`snapfs.fuse.union.table`).
"""

from __future__ import annotations

from snapfs.light_typing import Final

ROOT_ID: Final = 1

PINNED: Final = 1
"""Unlinked in the upper, but still known to the kernel: kept as ``work/#<nodeid>``."""
REMOVED: Final = 2
"""A directory that was removed: empty, and nothing can be made in it."""
IMPURE: Final = 4
"""An upper directory whose entries may have an ``origin`` (the ``impure`` mark)."""
METACOPY: Final = 8
"""The inode holds attributes only; its data is at ``Union.data_places[nodeid]``."""
XATTR_WHITEOUTS: Final = 16
"""A lower directory of the stack is marked to hold whiteouts of the second form."""
ALIASED: Final = 32
"""An upper inode that has had more than one name: it is in ``by_upper_inode``."""
DETACHED: Final = 64
"""No name leads to it any more; ``parent`` and ``name`` say where it was."""
LOWER_IMPURE: Final = 128
"""As ``IMPURE``, for a lower directory of the stack."""
PLAIN: Final = 1 << 12
"""It is known that there are no extended attributes that callers could see."""
DRESSED: Final = 1 << 13
"""It is known that there are some, or that it cannot be known."""
COMPLETE: Final = 1 << 14
"""A directory of the upper alone all of whose names are among its ``children``: it was
made by this server, and the kernel has forgotten none of them."""


class Node:
    """A file of the merged tree; see :class:`Directory` for those that have children.

    Attributes:
        nodeid: The kernel's name for it; never used again for another.
        kind: The ``S_IFMT`` bits of its mode.
        parent: The directory in which it was found; None for the root.
        name: Its name there.
        layer: Index of the layer that holds it; 0 is the upper.
        ino: The ``st_ino`` that callers see.
        lookups: References that the kernel holds (``nlookup``).
        flags: ``PINNED`` and the other constants of this module.
    """

    __slots__ = ("flags", "ino", "kind", "layer", "lookups", "name", "nodeid", "parent")

    def __init__(
        self,
        nodeid: int,
        kind: int,
        parent: Directory | None,
        name: bytes,
        layer: int,
        ino: int,
    ) -> None:
        self.nodeid = nodeid
        self.kind = kind
        self.parent = parent
        self.name = name
        self.layer = layer
        self.ino = ino
        self.lookups = 0
        self.flags = 0

    def __repr__(self) -> str:
        """Say which node this is, for logs."""
        return (
            f"<{type(self).__name__} {self.nodeid} {self.name!r} layer {self.layer}"
            f" ino {self.ino} lookups {self.lookups} flags {self.flags:#x}>"
        )


class Directory(Node):
    """A directory: one of the upper, of a lower, or several merged.

    Attributes:
        children: The nodes of those entries that have one, by name.
        lowers: Indexes of the lower layers merged here, highest first.
        has_upper: Whether the upper layer has the directory (``layer`` is 0 then).
        lower_paths: None where each lower has it below the parent's directory under
            ``name``; else its path in each of ``lowers``, from the layer's root and
            without a leading slash: a redirect led there.
    """

    __slots__ = ("children", "has_upper", "lower_paths", "lowers")

    def __init__(
        self,
        nodeid: int,
        kind: int,
        parent: Directory | None,
        name: bytes,
        layer: int,
        ino: int,
        *,
        lowers: tuple[int, ...] = (),
        has_upper: bool = False,
        lower_paths: tuple[bytes, ...] | None = None,
    ) -> None:
        Node.__init__(self, nodeid, kind, parent, name, layer, ino)
        self.children: dict[bytes, Node] = {}
        self.lowers = lowers
        self.has_upper = has_upper
        self.lower_paths = lower_paths

    @property
    def is_merged(self) -> bool:
        """Whether more than one layer makes up the directory; it shows nlink 1 then."""
        return len(self.lowers) + self.has_upper > 1
