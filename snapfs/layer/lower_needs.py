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
    """

    implied: tuple[bytes, ...] = ()
    links: tuple[tuple[bytes, bytes], ...] = ()
    root_opaque: bool = False


def needs_of_index(index: LayerIndex) -> LowerNeeds:
    """Return what the layer of ``index`` would need from others below it.

    As :func:`snapfs.layer.lower_settle.lower_needs` says of the applied layer.
    """
    links: list[tuple[bytes, bytes]] = []
    implied = [b""] if index.flags[0] & Flag.IMPLIED else []
    hidden: bytes | None = None  # what lies below this opaque directory
    for path, node in index.walk():
        kind, flags = index.kinds[node], index.flags[node]
        if kind == Kind.LOWER_LINK:
            links.append((path, index.link_target(node)))
        elif hidden is not None and path.startswith(hidden):
            continue
        elif flags & Flag.OPAQUE:
            hidden = path + b"/"
        elif flags & Flag.IMPLIED:
            implied.append(path)
    if index.is_root_opaque:
        return LowerNeeds((), tuple(links), root_opaque=True)
    return LowerNeeds(tuple(reversed(implied)), tuple(links))
