"""The contract of a driver: how the directories of a snapshot become mounts."""

from __future__ import annotations

from typing import Protocol

from snapfs.model import Mount, Stack


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
