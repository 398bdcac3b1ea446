"""Which part of WHAT is mounted, and what may happen to it: the values."""

from __future__ import annotations

from collections.abc import Sequence

from snapfs.errors import InvalidArgumentError
from snapfs.values import dataclass


@dataclass(frozen=True, slots=True)
class Access:
    """What may happen to the mounted tree.

    Attributes:
        is_writable: Whether it takes changes.
        upper: A directory for the changes: ``fs`` and ``work`` are made below it.
            "" leaves them in the active snapshot itself; where there is none, in a
            directory that goes with the mount.
        is_read_only: Whether somebody asked for a tree that takes none.
        is_kept: Changes that would go with the mount are refused.
        has_provenance: Whether files tell their layer in extended attributes.
        is_local: This process itself mounts, with the rights that it has now; not
            one in a new namespace.
    """

    is_writable: bool = False
    upper: str = ""
    is_read_only: bool = False
    is_kept: bool = False
    has_provenance: bool = False
    is_local: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """Which image of several, and which of its layers; 1 is the lowest.

    Attributes:
        platform: As ``OS/ARCH``; None for this machine's.
        layer: That one alone.
        at: All up to that one. With neither: all.
    """

    platform: str | None = None
    layer: int | None = None
    at: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether no layer is left out."""
        return self.layer is None and self.at is None

    def last(self, count: int, name: str) -> int:
        """Return the number of the highest layer that is needed of ``count``.

        Raises:
            InvalidArgumentError: ``name`` has no layer of that number.
        """
        number = self.layer or self.at or count
        if number > count:
            raise InvalidArgumentError(
                f"{name} has the layers 1 to {count}; there is no layer {number}"
            )
        return number

    def of(self, directories: Sequence[str], name: str) -> tuple[str, ...]:
        """Return what is selected of ``directories``, highest first, one a layer.

        Raises:
            InvalidArgumentError: As :meth:`last`.
        """
        top = len(directories) - self.last(len(directories), name)
        return tuple(directories[top : top + 1 if self.layer else None])
