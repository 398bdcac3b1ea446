"""Where the files of an image go: the contract, and how a blob is written there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from snapfs.compression.blob_writer import WrittenBlob
from snapfs.digest import Digest

LAYOUT_MARKER: Final = "oci-layout"

BlobProducer: TypeAlias = Callable[[Callable[[bytes], object]], WrittenBlob]
"""Writes stored bytes by the function that it is given; returns what they are."""


class ImagePlace(Protocol):
    """Files of an image layout, written one after the other.

    Nothing shows of them before all are there.
    """

    def add_blob(self, produce: BlobProducer) -> WrittenBlob:
        """Write a blob whose digest is known when it is complete.

        One that is there already is not stored again.

        Raises:
            SnapfsError: From ``produce``.
            OSError: The place is full, or fails.
        """

    def add_file(self, name: str, content: bytes) -> None:
        """Write a file by its name in the layout; one that is there stays.

        Raises:
            OSError: The place is full, or fails.
        """


def blob_path(digest: Digest) -> str:
    """Return where an OCI image layout keeps a blob (image-layout.md)."""
    return f"blobs/{digest.algorithm}/{digest.hex}"
