"""All hostile layers, and those of them that are about getting out."""

from __future__ import annotations

import os
from typing import Final

from attack.breakouts import BREAKOUTS
from attack.extensions import EXTENSIONS
from attack.hard_links import HARD_LINKS
from attack.kinds import KINDS
from attack.paths import PATHS
from attack.streams import STREAMS
from attack.symlinks import SYMLINKS
from attack.whiteouts import PREFIXED, WHITEOUTS, attributed

from snapfs.overlay_format import XattrPrefix
from support.hostile_layers import Attack

LAYERS: Final[tuple[Attack, ...]] = (
    *PATHS,
    *SYMLINKS,
    *HARD_LINKS,
    *WHITEOUTS,
    *KINDS,
    *EXTENSIONS,
    *STREAMS,
    *BREAKOUTS,
)
ESCAPES: Final = (*PATHS, *SYMLINKS, *HARD_LINKS, *WHITEOUTS, *BREAKOUTS)


def smuggled_marks(store: XattrPrefix) -> list[Attack]:
    """Return the layers that bring marks of overlayfs to a store of one prefix."""
    return [
        attributed(os.fsencode(prefix), name, value, is_own=prefix is store)
        for prefix in XattrPrefix
        for name, value in PREFIXED
    ]
