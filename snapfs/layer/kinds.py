"""What an entry of a layer is, and what is noted about it.

The numbers are part of the index's file format: never give one a new meaning.
"""

from __future__ import annotations

import enum
from typing import Final


class Kind(enum.IntEnum):
    """What a name in a layer stands for."""

    FILE = 1
    DIRECTORY = 2
    SYMLINK = 3
    CHARACTER_DEVICE = 4
    BLOCK_DEVICE = 5
    FIFO = 6
    WHITEOUT = 7
    """It hides what lower layers have under this name."""
    LOWER_LINK = 8
    """A hard link to a file that only a lower layer has."""

    @property
    def words(self) -> str:
        """The kind in a message, with its article."""
        return _WORDS[self]


_WORDS: Final = {
    Kind.FILE: "a file",
    Kind.DIRECTORY: "a directory",
    Kind.SYMLINK: "a symbolic link",
    Kind.CHARACTER_DEVICE: "a character device",
    Kind.BLOCK_DEVICE: "a block device",
    Kind.FIFO: "a FIFO",
    Kind.WHITEOUT: "a whiteout",
    Kind.LOWER_LINK: "a hard link into a lower layer",
}


class Flag:
    """What is noted about a name; ``MADE`` and ``DEAD`` never reach an index.

    Plain numbers: an IntFlag would cost half a microsecond at each use.
    """

    IMPLIED: Final = 1
    """A directory that no entry named: its attributes are those of the one below."""
    OPAQUE: Final = 2
    """A directory that hides the lower directories of its path."""
    CLAMPED: Final = 4
    """Of the root: some path of the layer held ``..`` and was read within the root."""
    MADE: Final = 8
    """A directory that the writer has been told to make."""
    DEAD: Final = 16
    """A later entry took the name, or nothing of it reaches the disk."""

    RENEWED: Final = 32
    """An opaque directory whose path a whiteout hides too: nothing is below it."""

    KEPT: Final = IMPLIED | OPAQUE | CLAMPED | RENEWED
    """What an index keeps."""
