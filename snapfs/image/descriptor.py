"""Descriptors: what points at a blob (OCI image-spec, descriptor.md)."""

from __future__ import annotations

from collections.abc import Mapping

from snapfs.digest import Digest
from snapfs.errors import InvalidArgumentError
from snapfs.values import dataclass, field


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image runs on, in Go's words (``linux``, ``arm64``, ``v8``)."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        """Return ``os/architecture[/variant]``."""
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob's type, name and size; all three are checked when it is read.

    Raises:
        InvalidArgumentError: The size is negative.
    """

    media_type: str
    digest: Digest
    size_bytes: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None
    artifact_type: str = ""
    urls: tuple[str, ...] = ()
    data: bytes | None = None

    def __post_init__(self) -> None:
        """Refuse a size that no blob has."""
        if self.size_bytes < 0:
            raise InvalidArgumentError(
                f"the descriptor of {self.digest} has the size {self.size_bytes}"
            )
