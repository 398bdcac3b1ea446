"""Digests: the name of content, checked before anything else uses it.

Grammar and algorithms: OCI image-spec, descriptor.md, "Digests".
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable
from typing import Final, Protocol

from snapfs.errors import InvalidArgumentError, UnimplementedError
from snapfs.values import dataclass

_GRAMMAR: Final = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")

# Registered algorithms that Python's hashlib has, and the length of their hex
# form. blake3 is registered too; no digest of it has been seen in an image.
_HEX_LENGTHS: Final = {"sha256": 64, "sha512": 128}

# Hex digits of the shortest hash in use; a tag after a colon is rarely as long.
_SHORTEST: Final = 32

_HEX: Final = re.compile(r"[0-9a-f]+")


class Hasher(Protocol):
    """What hashlib's objects have and a reader needs."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Take in the next bytes."""

    def hexdigest(self) -> str:
        """Return the hash of all bytes taken in, in lower-case hex."""


@functools.total_ordering
@dataclass(frozen=True, slots=True)
class Digest:
    """A verified reference ``algorithm:hex``; safe to use in a path.

    Raises:
        InvalidArgumentError: ``text`` is not a digest by the grammar, or its hex
            part does not have the algorithm's length in lower case.
        UnimplementedError: The algorithm is not ``sha256`` or ``sha512``.
    """

    text: str

    def __lt__(self, other: Digest) -> bool:
        """Sort by the text."""
        return self.text < other.text

    def __post_init__(self) -> None:
        """Refuse what is not a digest."""
        if not _GRAMMAR.fullmatch(self.text):
            raise InvalidArgumentError(f"{self.text[:100]!r} is not a digest")
        length = _HEX_LENGTHS.get(self.algorithm)
        if length is None:
            raise UnimplementedError(
                f"digest {self.text[:100]!r}: {self.algorithm!r} is not supported; "
                "sha256 and sha512 are"
            )
        if len(self.hex) != length or not _HEX.fullmatch(self.hex):
            raise InvalidArgumentError(
                f"{self.text[:100]!r} is not a digest: {self.algorithm} has "
                f"{length} lower-case hex digits"
            )

    @property
    def algorithm(self) -> str:
        """Return the part before the colon."""
        return self.text.partition(":")[0]

    @property
    def hex(self) -> str:
        """Return the part after the colon."""
        return self.text.partition(":")[2]

    def hasher(self) -> Hasher:
        """Return a fresh hasher of this digest's algorithm."""
        return hashlib.new(self.algorithm, usedforsecurity=False)

    def __str__(self) -> str:
        """Return ``algorithm:hex``."""
        return self.text


def is_digest(text: str) -> bool:
    """Tell whether ``text`` is a digest by the grammar, of whatever algorithm."""
    return bool(_GRAMMAR.fullmatch(text)) and len(text.partition(":")[2]) >= _SHORTEST


def sha256(content: bytes) -> Digest:
    """Return the sha256 digest of ``content``."""
    return Digest("sha256:" + hashlib.sha256(content).hexdigest())


def chain_ids(diff_ids: Iterable[Digest]) -> list[Digest]:
    """Return the chain ID of each prefix of ``diff_ids``, the base layer's first.

    Source: image-spec config.md, "Layer ChainID".
    """
    chain: list[Digest] = []
    for diff_id in diff_ids:
        if chain:
            chain.append(sha256(f"{chain[-1]} {diff_id}".encode()))
        else:
            chain.append(diff_id)
    return chain
