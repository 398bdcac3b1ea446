"""The seam between images and where their blobs are."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from snapfs.image.descriptor import Descriptor


class BlobReader(Protocol):
    """The stored bytes of one blob, front to back; not verified yet."""

    def read(self, size_bytes: int, /) -> bytes:
        """Return up to ``size_bytes`` further bytes; b"" at the end.

        Raises:
            SnapfsError: The source failed; the message names it.
            OSError: As the filesystem says.
        """

    def close(self) -> None:
        """Let go of what the reader holds; it may be called twice."""


class ImageSource(Protocol):
    """One image somewhere: its top document, and blobs by descriptor.

    Any number of threads may open and read blobs at once. Whoever reads verifies
    (``snapfs.image.verified``): a source only finds bytes.
    """

    @property
    def name(self) -> str:
        """What messages call the source: the SOURCE that the user wrote."""

    def root(self) -> Descriptor:
        """Return the descriptor of the index or manifest that was asked for.

        Raises:
            NotFoundError: The source or the tag in it does not exist.
            InvalidArgumentError: More than one image could be meant; the message
                lists them.
            DataLossError: The source contradicts itself.
        """

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BlobReader:
        """Open a blob for reading from ``offset`` on.

        Raises:
            NotFoundError: The source does not have it.
        """

    def close(self) -> None:
        """Let go of what the source holds; of open readers the caller lets go."""

    def __enter__(self) -> Self:
        """Return the source itself."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the source."""


@runtime_checkable
class Interruptible(Protocol):
    """A source that waits for others, over a network."""

    def interrupt(self) -> None:
        """Let every wait of other threads end with an error, now and from here on."""
