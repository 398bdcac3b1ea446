"""From a settled tree to its index: living names only, level by level."""

from __future__ import annotations

from array import array
from typing import Final

from snapfs.layer.index import LayerIndex
from snapfs.layer.kinds import Flag, Kind
from snapfs.layer.nodes import Nodes


def build_index(nodes: Nodes) -> LayerIndex:
    """Return the index of a settled tree."""
    order, parents, first_children, names, name_ends = _levels(nodes)
    columns = {
        "parents": parents,
        "first_children": first_children,
        "groups": _groups(nodes, order),
        "flags": array("B", _picked(nodes.flags, order).tobytes().translate(_KEPT)),
        "uids": _picked(nodes.uids, order),
        "gids": _picked(nodes.gids, order),
        "extras": _picked(nodes.extras, order),
        "sizes": _picked(nodes.sizes, order),
        "mtimes": _picked(nodes.mtimes, order),
        "data": _picked(nodes.data, order),
        "modes": _picked(nodes.modes, order),
        "kinds": _picked(nodes.kinds, order),
        "name_ends": name_ends,
    }
    blobs = {"names": names, "texts": nodes.texts, "extra": nodes.extra.data}
    parts = {name: memoryview(column) for name, column in columns.items()}
    parts |= {name: memoryview(bytes(blob)) for name, blob in blobs.items()}
    return LayerIndex(parts)


def _picked(column: array[int], order: array[int]) -> array[int]:
    return array(column.typecode, map(column.__getitem__, order))


def _levels(
    nodes: Nodes,
) -> tuple[array[int], array[int], array[int], bytearray, array[int]]:
    """Return the living nodes level by level, their parents and first children.

    The latter two speak in places within the first. Then come their names, one after
    the other, and where each of them ends.
    """
    starts, children = _children(nodes)
    order = array("I", [0])
    parents = array("I", [0])
    first_children = array("I")
    names, name_ends = bytearray(), array("I", [0])
    name_of = nodes.name
    at = 0
    while at < len(order):
        node = order[at]
        first_children.append(len(order))
        start, end = starts[node], starts[node + 1]
        if start < end:
            # Two of one name, a file and a whiteout, cannot both live.
            found = sorted((name_of(child), child) for child in children[start:end])
            for name, child in found:
                order.append(child)
                names += name
                name_ends.append(len(names))
            parents.extend([at] * len(found))
        at += 1
    first_children.append(len(order))
    return order, parents, first_children, names, name_ends


def _children(nodes: Nodes) -> tuple[array[int], array[int]]:
    """Sort living nodes by parent: those of ``n`` start at the first array's ``n``."""
    flags, dead = nodes.flags, Flag.DEAD
    starts = array("I", bytes(4 * (len(nodes) + 1)))
    for node, parent in enumerate(nodes.parents):
        if node and not flags[node] & dead:
            starts[parent] += 1
    total = 0
    for parent, count in enumerate(starts):
        total += count
        starts[parent] = total
    children = array("I", bytes(4 * total))
    for node, parent in enumerate(nodes.parents):
        if node and not flags[node] & dead:
            starts[parent] -= 1
            children[starts[parent]] = node
    return starts, children


def _groups(nodes: Nodes, order: array[int]) -> array[int]:
    """Number the files that several living names share, by their first name."""
    if nodes.inodes == array("I", range(len(nodes))):  # there are no hard links
        return array("I", bytes(4 * len(order)))
    counts = array("I", bytes(4 * len(nodes)))
    linked = [node for node in order if nodes.kinds[node] not in _UNLINKED]
    for node in linked:
        counts[nodes.inodes[node]] += 1
    numbers: dict[int, int] = {}
    groups = array("I")
    for node in order:
        inode = nodes.inodes[node]
        if counts[inode] < 2:
            groups.append(0)
        else:
            groups.append(numbers.setdefault(inode, len(numbers) + 1))
    return groups


_KEPT: Final = bytes(flags & Flag.KEPT for flags in range(256))
_UNLINKED: Final = (Kind.DIRECTORY, Kind.WHITEOUT)
