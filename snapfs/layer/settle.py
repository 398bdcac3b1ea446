"""What is decided of a layer once all its entries are known.

Whiteouts and opaque marks act on lower layers only, in whatever order they and the
entries beside them come (image-spec layer.md, "Whiteouts"). So of a whiteout of ``x``:

- with a file ``x`` in this layer nothing is left, since the file hides the lower one;
- with a directory ``x``, named or only implied by what is in it, that is opaque, and
  has nothing to do with the directory below;
- within an opaque directory, or below one, nothing is left: no lower name shows there.

A directory that is there for whiteouts and marks alone counts as absent in the first
and last case: marks hide, they do not create.
"""

from __future__ import annotations

from snapfs.errors import UnsafeLayerError
from snapfs.layer.admission import ROOT, LowerLink, Settlement, Whiteout
from snapfs.layer.kinds import Flag, Kind
from snapfs.layer.nodes import Nodes
from snapfs.tar.member import shown


def settle(nodes: Nodes) -> Settlement:
    """Settle all names; afterwards their flags tell what reaches the disk.

    Parents have lower numbers than their children, so that one pass in order of the
    numbers sees each directory before what is in it.

    Raises:
        UnsafeLayerError: A link into a lower layer leads to what this layer hides.
    """
    _bury_children(nodes)
    removed = _removed(nodes)
    lower_links = _lower_links(nodes)
    _settle_whiteouts(nodes)
    _settle_hidden(nodes)
    return _settlement(nodes, lower_links, removed)


def _bury_children(nodes: Nodes) -> None:
    """Mark as dead what lies below a dead name."""
    flags = nodes.flags
    dead = Flag.DEAD
    for node, parent in enumerate(nodes.parents):
        if flags[parent] & dead:
            flags[node] |= dead


def _removed(nodes: Nodes) -> tuple[int, ...]:
    kinds = nodes.kinds
    return tuple(
        node
        for node, flags in enumerate(nodes.flags)
        if flags & Flag.DEAD
        and kinds[node] not in (Kind.WHITEOUT, Kind.LOWER_LINK)
        and (flags & Flag.MADE or kinds[node] != Kind.DIRECTORY)
    )


def _living(nodes: Nodes, kind: Kind) -> list[int]:
    """Return the living nodes of a kind, in order of their numbers."""
    number = int(kind)
    flags = nodes.flags
    return [
        node
        for node, other in enumerate(nodes.kinds)
        if other == number and not flags[node] & Flag.DEAD
    ]


def _lower_links(nodes: Nodes) -> tuple[LowerLink, ...]:
    links = []
    for node in _living(nodes, Kind.LOWER_LINK):
        target = nodes.text(node)
        _check_shown(nodes, node, target)
        links.append(LowerLink(node, nodes.parents[node], nodes.name(node), target))
    return tuple(links)


def _check_shown(nodes: Nodes, link: int, target: bytes) -> None:
    """Refuse a link to a lower file that this layer says is gone."""
    at = ROOT
    for part in target.split(b"/"):
        if nodes.flags[at] & Flag.OPAQUE or nodes.find(at, b"/" + part):
            raise UnsafeLayerError(
                f"hard link {shown(nodes.path(link))} links to {shown(target)}, which"
                " this layer does not have and hides in the layers below"
            )
        at = nodes.find(at, part)
        if not at or nodes.kinds[at] != Kind.DIRECTORY:
            return


def _settle_whiteouts(nodes: Nodes) -> None:
    flags = nodes.flags
    for whiteout in _living(nodes, Kind.WHITEOUT):
        node = nodes.find(nodes.parents[whiteout], nodes.name(whiteout))
        if not node:
            continue
        if nodes.kinds[node] != Kind.DIRECTORY:
            flags[whiteout] |= Flag.DEAD
        elif flags[node] & Flag.MADE:
            flags[whiteout] |= Flag.DEAD
            flags[node] |= Flag.OPAQUE | Flag.RENEWED
        else:
            flags[node] |= Flag.DEAD


def _settle_hidden(nodes: Nodes) -> None:
    """Drop the marks where no lower layer shows: in and below opaque directories."""
    flags, kinds = nodes.flags, nodes.kinds
    dead, opaque = Flag.DEAD, Flag.OPAQUE
    whiteout, directory = int(Kind.WHITEOUT), int(Kind.DIRECTORY)
    hidden = bytearray(len(nodes))
    hidden[ROOT] = flags[ROOT] & opaque
    for node, parent in enumerate(nodes.parents):
        if flags[parent] & dead:
            flags[node] |= dead
        elif hidden[parent]:
            hidden[node] = 1
            if kinds[node] == whiteout:
                flags[node] |= dead
            elif kinds[node] == directory and node:
                flags[node] &= ~opaque
                if not flags[node] & Flag.MADE:
                    flags[node] |= dead
        elif flags[node] & opaque:
            hidden[node] = 1


def _settlement(
    nodes: Nodes, lower_links: tuple[LowerLink, ...], removed: tuple[int, ...]
) -> Settlement:
    flags = nodes.flags
    directories = _living(nodes, Kind.DIRECTORY)
    whiteouts = _living(nodes, Kind.WHITEOUT)
    upwards = directories[::-1]
    return Settlement(
        missing=tuple(n for n in directories if not flags[n] & Flag.MADE),
        whiteouts=tuple(Whiteout(nodes.parents[n], nodes.name(n)) for n in whiteouts),
        opaque=tuple(n for n in directories if n and flags[n] & Flag.OPAQUE),
        root_opaque=bool(flags[ROOT] & Flag.OPAQUE),
        marked=tuple(sorted({nodes.parents[n] for n in whiteouts})),
        implied=tuple(n for n in upwards if flags[n] & Flag.IMPLIED),
        directories=tuple(n for n in upwards if not flags[n] & Flag.IMPLIED),
        lower_links=lower_links,
        removed=removed,
    )
