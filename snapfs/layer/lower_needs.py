"""What an applied layer still needs from the layers below it, by paths.

Layers are applied side by side, before the ones below are there, and by processes
that end with their layer: so this is all that is left of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from snapfs.layer.index import LayerIndex
from snapfs.layer.kinds import Flag, Kind


@dataclass(frozen=True, slots=True)
class LowerNeeds:
    """Paths are relative to the layer's root; b"" is the root itself.

    Attributes:
        implied: Directories that no entry named and that show the ones below,
            children before parents.
        links: Each path that is to be another name of a lower layer's file, and
            that file's path.
        root_opaque: Nothing below the layer shows.
        hides: It has whiteouts or opaque directories: as the lowest layer it is
            another one on disk, without them.
    """

    implied: tuple[bytes, ...] = ()
    links: tuple[tuple[bytes, bytes], ...] = ()
    root_opaque: bool = False
    hides: bool = False


def needs_of_index(index: LayerIndex) -> LowerNeeds:
    """Return what the layer of ``index`` would need from others below it.

    As :func:`snapfs.layer.lower_settle.lower_needs` says of the applied layer.
    """
    implied = [b""] if index.flags[0] & Flag.IMPLIED else []
    if index.is_root_opaque:
        return LowerNeeds(tuple(implied), _links(index), root_opaque=True)
    hides = False
    hidden: bytes | None = None  # what lies below this opaque directory
    for path, node in index.walk():
        kind, flags = index.kinds[node], index.flags[node]
        if hidden is not None and path.startswith(hidden):
            continue
        if kind == Kind.WHITEOUT:
            hides = True
        if flags & Flag.IMPLIED and not flags & Flag.RENEWED:
            implied.append(path)
        if flags & Flag.OPAQUE:
            hides = True
            hidden = path + b"/"
    return LowerNeeds(tuple(reversed(implied)), _links(index), hides=hides)


def _links(index: LayerIndex) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(
        (path, index.link_target(node))
        for path, node in index.walk()
        if index.kinds[node] == Kind.LOWER_LINK
    )
