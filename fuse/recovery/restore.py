"""From the log to the table, and from the table to a new log."""

from __future__ import annotations

import os
import stat

from snapfs.fuse.recovery.fold import Folded, FoldedNode
from snapfs.fuse.union.found_nodes import KINDS
from snapfs.fuse.union.node import (
    ALIASED,
    METACOPY,
    ROOT_ID,
    Directory,
    Node,
)
from snapfs.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snapfs.fuse.operations.opens import Opens
    from snapfs.fuse.recovery.node_log import NodeLog
    from snapfs.fuse.union.union import Union


def restore_nodes(union: Union, folded: Folded) -> None:
    """Put into an empty table every node that the kernel knows, and those above it."""
    made: dict[int, Node] = {ROOT_ID: union.nodes.root}
    wanted = [folded.nodes[nodeid] for nodeid in _needed(folded)]
    for node in wanted:
        made[node.nodeid] = _make(union, node)
    for node in wanted:
        new = made[node.nodeid]
        parent = made[node.parent]
        assert isinstance(parent, Directory)
        new.parent = parent
        formers = node.formers or {}
        held = {number: count for number, count in formers.items() if count > 0}
        union.nodes.put_back(new, held)
    for node in wanted:
        _add_names(union, node, made)
    union.nodes.continue_from(folded.next_id)
    for nodeid, thread in folded.uncapped.items():
        if thread and union.nodes.get(nodeid) is not None:
            union.uncapped[nodeid] = thread


def _needed(folded: Folded) -> set[int]:
    """Return the nodes that the kernel refers to, and all directories above them."""
    needed: set[int] = set()
    nodes = folded.nodes
    waiting = [node.nodeid for node in nodes.values() if node.references > 0]
    while waiting:
        nodeid = waiting.pop()
        if nodeid in needed or nodeid == ROOT_ID:
            continue
        node = nodes.get(nodeid)
        if node is None or not node.is_known:
            continue  # the log is of a table that had it; the kernel will hear ESTALE
        needed.add(nodeid)
        waiting.append(node.parent)
        waiting.extend(parent for parent, _ in node.aliases or ())
    return needed


def _make(union: Union, folded: FoldedNode) -> Node:
    kind = KINDS[folded.kind]
    node: Node
    if kind == stat.S_IFDIR:
        node = Directory(
            folded.nodeid,
            kind,
            None,
            folded.name,
            folded.layer,
            folded.ino,
            lowers=union.shared(folded.lowers),
            has_upper=folded.layer == 0,
            lower_paths=folded.lower_paths,
        )
    else:
        node = Node(folded.nodeid, kind, None, folded.name, folded.layer, folded.ino)
    node.flags = folded.flags
    node.lookups = max(folded.references, 0)
    if folded.flags & METACOPY and folded.data_place is not None:
        union.data_places[folded.nodeid] = folded.data_place
    if folded.status is not None:
        from ast import literal_eval  # rarely needed, and large

        arguments = literal_eval(folded.status.decode())
        union.removed_statuses[folded.nodeid] = os.stat_result(*arguments)
    return node


def _add_names(union: Union, folded: FoldedNode, made: dict[int, Node]) -> None:
    nodes = union.nodes
    node = made[folded.nodeid]
    for number, name in folded.aliases or ():
        parent = made.get(number)
        if isinstance(parent, Directory):
            nodes.alias(node, parent, name)
    if folded.upper_ino is not None:
        node.flags |= ALIASED
        nodes.share(node, folded.upper_ino)


def restore_opens(opens: Opens, folded: Folded) -> None:
    """Put the open files of a connection back."""
    for nodeid, (backing, is_lower) in folded.backings.items():
        count = folded.opens.get(nodeid, 0)
        if backing or count > 0:
            opens.put_back(nodeid, count, backing, is_lower)


def write_all(log: NodeLog, union: Union, opens: Opens | None) -> None:
    """Write a new log: all that there is."""
    nodes = union.nodes
    log.next_id(nodes.next_id)
    formers: dict[int, list[tuple[int, int]]] = {}
    for former, count in nodes.former.items():
        node = nodes.get(former)
        assert node is not None
        formers.setdefault(node.nodeid, []).append((former, count))
    written: set[int] = set()
    for node in nodes.all():
        _write(log, union, node, written)
        for former, count in formers.get(node.nodeid, ()):
            log.renumbered(former, node.nodeid, count)
        if node.lookups:
            log.count(node.nodeid, node.lookups)
    for nodeid, thread in union.uncapped.items():
        log.uncapped(0, nodeid, thread)
    if opens is not None:
        for nodeid, count, backing, is_lower in opens.state():
            log.backing(nodeid, backing, is_lower=is_lower)
            log.opens(nodeid, count)


def _write(log: NodeLog, union: Union, node: Node, written: set[int]) -> None:
    current: Node | None = node
    # A node without a name may be all that holds the directory where it was.
    while current is not None and current.nodeid not in written:
        written.add(current.nodeid)
        _write_one(log, union, current)
        current = current.parent


def _write_one(log: NodeLog, union: Union, node: Node) -> None:
    log.node(node)
    nodes = union.nodes
    if isinstance(node, Directory):
        if node.lower_paths is not None and node.parent is not None:
            log.lower_paths(node)
        status = union.removed_statuses.get(node.nodeid)
        if status is not None:
            log.last_status(node.nodeid, status)
        return
    place = union.data_places.get(node.nodeid)
    if place is not None:
        log.data_place(node.nodeid, *place)
    if node.flags & ALIASED:
        for parent, name in nodes.aliases.get(node.nodeid, ()):
            log.alias(node, parent, name)
        ino = nodes.upper_ino(node)
        if ino is not None:
            log.shared(node, ino)
