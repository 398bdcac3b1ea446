"""What a layer is written from: one entry a name, wherever it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from snapfs.layer.kinds import Kind
from snapfs.tar.member import NO_DEVICE, NO_XATTRS

ROOT_PATH: Final = b""


class PlainOutput(Protocol):
    """Where the plain bytes of a layer go."""

    def write(self, data: bytes | memoryview) -> None:
        """Take in bytes."""

    def write_zeros(self, size_bytes: int) -> None:
        """Take in zeros."""

    def read_from(self, fd: int, size_bytes: int) -> int:
        """Take in bytes of a file from where it is; return how many it had."""


class Body(Protocol):
    """The content of a file, to be written once."""

    def write_to(self, out: PlainOutput, size_bytes: int) -> None:
        """Give ``out`` exactly so many bytes.

        Raises:
            FailedPreconditionError: There are more or fewer: it has changed.
            OSError: It cannot be read.
        """


# Not frozen: assigning through object.__setattr__ costs a microsecond an entry.
@dataclass(slots=True)
class LayerEntry:
    """One name of a layer; nobody changes it.

    Attributes:
        path: From the root, without a leading slash; b"" for the root.
        kind: What it is; never a LOWER_LINK. Of a whiteout only the path counts.
        mode: Permission bits, 07777 at most.
        uid: The owner.
        gid: The group.
        mtime_ns: When it was modified, in ns since the epoch.
        size_bytes: Of a file, holes included.
        link_target: Of a symlink.
        device: Major and minor number of a device node.
        xattrs: As a container sees them: without marks of overlayfs.
        is_opaque: A directory that hides what lower layers have in it.
        inode: Equal for all names of one object; None where it has one name.
        body: Of a file that is not empty.
    """

    path: bytes
    kind: Kind
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    size_bytes: int = 0
    link_target: bytes = b""
    device: tuple[int, int] = NO_DEVICE
    xattrs: Mapping[bytes, bytes] = field(default_factory=lambda: NO_XATTRS)
    is_opaque: bool = False
    inode: tuple[int, int] | None = None
    body: Body | None = None


def order_of(entry: LayerEntry) -> tuple[tuple[int, bytes], ...]:
    """Return the place of an entry in its layer, as a key to sort by.

    Names of a directory are sorted as bytes, a directory comes before what is in it,
    and the whiteouts of a directory before all else in it (image-spec layer.md,
    "Whiteouts").
    """
    if not entry.path:
        return ()
    *above, name = entry.path.split(b"/")
    is_whiteout = entry.kind is Kind.WHITEOUT
    return (*((1, part) for part in above), (0 if is_whiteout else 1, name))
