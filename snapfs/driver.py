"""The contract of a driver: how the directories of a snapshot become mounts."""

from __future__ import annotations

from snapfs.errors import InvalidArgumentError
from snapfs.light_typing import Final, Protocol
from snapfs.model import Kind, Mount, Stack
from snapfs.values import dataclass

EXTRACTION_LABEL: Final = "containerd.io/snapshot.ref"
"""Set by containerd's unpacker alone: this snapshot is being filled with a layer."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing that a host has or lacks, which a driver can make use of.

    Attributes:
        name: A stable word.
        available: Whether it can be used, by this process and in this place.
        evidence: What was tried and seen; the reason where it is not available.
    """

    name: str
    available: bool
    evidence: str


class Driver(Protocol):
    """Writes down the mounts for a stack of directories; touches no disk.

    A driver is a pure function of the stack and of its own configuration, so that
    the mounts of a snapshot are the same after a restart. Executing mounts is a
    separate matter: containerd does it for its containers, ``snapfs mount`` for
    people.
    """

    @property
    def name(self) -> str:
        """The word that is stored with each snapshot: "kernel" or "fuse"."""
        ...

    @property
    def stores_host_owners(self) -> bool:
        """Whether the owners on disk are the host's, for a container that maps them."""
        ...

    def mounts(self, stack: Stack) -> list[Mount]:
        """Return the mounts that show ``stack``, in containerd's words; at least one.

        Raises:
            InvalidArgumentError: An identity mapping label cannot be read, or a
                path cannot be expressed in mount options.
            ResourceExhaustedError: The chain is longer than whoever mounts it
                can express.
        """
        ...

    def local_mounts(self, stack: Stack) -> list[Mount]:
        """Return the mounts for this project's own mounting, on this host.

        They show the same as :meth:`mounts`, but neither the number of signs nor
        the signs in a path limit them.

        Raises:
            InvalidArgumentError: An identity mapping label cannot be read.
            ResourceExhaustedError: There are more layers than the kernel takes.
        """
        ...


def single_directory(stack: Stack) -> tuple[str, str] | None:
    """Return the one directory that shows ``stack``, with "ro" or "rw".

    None where it takes a union of several. The cases are those of containerd's
    overlay snapshotter (``plugins/snapshots/overlay/overlay.go``, ``mounts``).

    Raises:
        InvalidArgumentError: The stack is not one that is mounted.
    """
    _check_shape(stack)
    if stack.kind is Kind.ACTIVE:
        return None if stack.lowerdirs else (stack.upperdir, "rw")
    if len(stack.lowerdirs) > 1:
        return None
    return (*stack.lowerdirs, stack.upperdir)[0], "ro"


def _check_shape(stack: Stack) -> None:
    if stack.kind is Kind.COMMITTED:
        raise InvalidArgumentError("a committed snapshot is mounted through a view")
    if stack.kind is Kind.ACTIVE and not stack.upperdir:
        raise InvalidArgumentError("an active snapshot needs an upperdir")
    if stack.kind is Kind.ACTIVE and stack.lowerdirs and not stack.workdir:
        raise InvalidArgumentError("an active snapshot with parents needs a workdir")
    if stack.kind is Kind.VIEW and not stack.lowerdirs and not stack.upperdir:
        raise InvalidArgumentError("a view needs a directory to show")
