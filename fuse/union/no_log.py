"""What is told of the changes of a node table, and whom it is told if to nobody.

A log is what another process makes the same table of, should this one die; see
:mod:`snapfs.fuse.recovery`. Each method is called when the change has been made, with
the session's lock held; none may fail.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from snapfs.light_typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from snapfs.fuse.union.listing import Entry
    from snapfs.fuse.union.node import Directory, Node


class NoLog:
    """Forgets what it is told: for a table that needs not survive its process."""

    __slots__ = ()

    def node(self, node: Node) -> None:
        """Note all that a node is now, but for its references and further names."""

    def referenced(self, unique: int, nodeid: int) -> None:
        """Note one reference more, which the kernel has by the reply to ``unique``."""

    def referenced_many(self, unique: int, nodeids: list[int]) -> None:
        """Note one reference more of each."""

    def listed(
        self, unique: int, parent: int, first: int, entries: Sequence[Entry]
    ) -> None:
        """Note new nodes, of which the kernel has a reference by a listing each.

        ``parent``: Their directory. ``first``: The number of the first of them.
        """

    def forgotten(self, unique: int, records: bytes | memoryview) -> None:
        """Note references that the kernel has given back.

        Args:
            unique: Of the message that said it.
            records: Of a ``fuse_forget_one`` each: node, count.
        """

    def renumbered(self, former: int, nodeid: int, lookups: int) -> None:
        """Note that a node has got a new number; ``node`` follows."""

    def alias(self, node: Node, parent: Directory, name: bytes) -> None:
        """Note a further name."""

    def unalias(self, node: Node, parent: Directory, name: bytes) -> None:
        """Note that one of the further names is none any more."""

    def shared(self, node: Node, upper_ino: int) -> None:
        """Note that names of an upper inode lead to a node."""

    def lower_paths(self, directory: Directory) -> None:
        """Note where the lowers have a directory."""

    def data_place(self, nodeid: int, layer: int, path: bytes) -> None:
        """Note where the data of a METACOPY node is."""

    def last_status(self, nodeid: int, status: os.stat_result) -> None:
        """Note what a directory shows when it has been removed."""

    def uncapped(self, unique: int, nodeid: int, thread: int) -> None:
        """Note who took the capabilities of a node away; 0: that is over.

        ``unique``: Of the message that did it, or ended it.
        """

    def intend(self, kind: int, *numbers: int) -> None:
        """Note what is about to be done, so that it can be seen whether it was.

        It takes the place of the last intention of this kind.
        """

    def achieved(self, kind: int) -> None:
        """Note that what was intended is over: done and noted, or given up."""


INTEND_TIMES: Final = 0
"""A directory gets an entry by copy-up and its times back: nodeid, atime, mtime."""
INTEND_EXCHANGE: Final = 1
"""Two entries of the upper are exchanged: unique, ``st_ino`` of the first,
both node ids."""
INTEND_XATTR: Final = 2
"""An attribute is made that is not there, or taken away that is: unique."""
INTENTIONS: Final = 3

NO_LOG: Final = NoLog()
