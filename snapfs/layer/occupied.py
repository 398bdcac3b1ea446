"""What files occupy, without asking for each: where that follows from their sizes.

On most filesystems a file that was just written whole takes as many allocation units
as its bytes fill. Others keep small files in the inode, compress, or tell later; there
each file is asked for. One file that is tried tells which of them this is.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

PREDICTED_BYTES: Final = 64 << 10
"""Files up to this size can be predicted; what is set aside for the growth of larger
ones may count as theirs."""

STAT_BLOCK_BYTES: Final = 512
"""What ``st_blocks`` counts in, stat(2)."""

# The ends of what is predicted, and what is a little more than a page.
_TRIED: Final = (1, 4097, PREDICTED_BYTES)


def allocation_unit(fd: int) -> int:
    """Return the unit in bytes that files of the filesystem take; 0: ask for each.

    ``fd`` is a new, empty file that nobody else has; its content is lost.
    """
    unit = 0
    with contextlib.suppress(OSError):  # a full disk: then a real file will say so
        if os.fstat(fd).st_blocks:
            return 0
        for size in _TRIED:
            os.pwrite(fd, bytes(size), 0)
            occupied = os.fstat(fd).st_blocks * STAT_BLOCK_BYTES
            unit = unit or occupied
            if not unit or occupied != -(-size // unit) * unit:
                return 0
            os.ftruncate(fd, 0)
        return unit
    return 0
