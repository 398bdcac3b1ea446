"""Taking note of changes of the upper that another server has made.

Of one that died after the change and before its table had it.
"""

from __future__ import annotations

import os

from snapfs.fuse.union.move import Move
from snapfs.fuse.union.node import Directory, Node
from snapfs.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snapfs.fuse.union.links import Linker
    from snapfs.fuse.union.remove import Remover
    from snapfs.fuse.union.writer import Writer

Place = tuple[Directory, bytes]


class Notes:
    """Changes the table where the upper has been changed already."""

    __slots__ = ("_remover", "_writer", "linked")

    def __init__(self, writer: Writer, remover: Remover, linker: Linker) -> None:
        self._writer = writer
        self._remover = remover
        self.linked = linker.note

    def lost(self, node: Node, place: Place, status: os.stat_result | None) -> None:
        """Note that ``place`` no longer leads to ``node``.

        ``status``: what a directory is to show from now on.
        """
        if isinstance(node, Directory):
            self._remover.directory_lost(node, *place, status)
        else:
            self._writer.name_lost(node, *place, is_pinned=False)
        self._writer.union.entry_removed(*place)

    def moved(self, node: Node, old: Place, new: Place) -> None:
        """Note that ``node`` has another name."""
        Move(self._writer, node, old, new).note()
        new[0].children[new[1]] = node

    def leads(self, place: Place, node: Node) -> bool:
        """Tell whether the table has ``place`` as a name of ``node``."""
        if node.parent is place[0] and node.name == place[1]:
            return True
        return place in self._writer.union.nodes.aliases.get(node.nodeid, ())
