"""Where everything lies below the root of a store."""

from __future__ import annotations

import os

from snapfs.light_typing import Final

SIDECAR_NAME: Final = "snapshot.log"
"""In each snapshot's directory; see :mod:`snapfs.state.sidecar`."""


class StatePaths:
    """The names in the state directory ``root`` (absolute).

    All snapshot directories share one parent, so that containerd can shorten a
    long ``lowerdir`` option to their common prefix.

    Attributes:
        root: The state directory.
        snapshots: The parent of the numbered snapshot directories.
    """

    __slots__ = ("root", "snapshots")

    def __init__(self, root: str) -> None:
        self.root: Final = root
        # Made once: each call for mounts asks for a path below it for every layer.
        self.snapshots: Final = os.path.join(root, "snapshots")

    @property
    def identity(self) -> str:
        """Which store this is: id, format version, xattr prefix."""
        return os.path.join(self.root, "store.json")

    @property
    def lock(self) -> str:
        """Locked with flock(2) by the one process that owns the root."""
        return os.path.join(self.root, "lock")

    @property
    def database(self) -> str:
        """The SQLite database."""
        return os.path.join(self.root, "metadata.db")

    @property
    def socket(self) -> str:
        """Where the owner listens for commands, if it serves."""
        return os.path.join(self.root, "snapfs.sock")

    @property
    def staging(self) -> str:
        """Snapshot directories that are not complete yet."""
        return os.path.join(self.root, "staging")

    @property
    def reserve(self) -> str:
        """Empty snapshot directories that were made before they are needed."""
        return os.path.join(self.root, "reserve")

    @property
    def ballast(self) -> str:
        """Blocks that are given up when a removal finds the disk full."""
        return os.path.join(self.root, "ballast")

    @property
    def trash(self) -> str:
        """Snapshot directories that nobody needs any more."""
        return os.path.join(self.root, "trash")

    @property
    def images(self) -> str:
        """Filesystems of their own for snapshots with a limit."""
        return os.path.join(self.root, "images")

    def image(self, snapshot_id: int) -> str:
        """Return the image that is mounted on a snapshot's directory."""
        return f"{self.images}/{snapshot_id}"

    def directory(self, snapshot_id: int) -> str:
        """Return the numbered directory of a snapshot."""
        return f"{self.snapshots}/{snapshot_id}"

    def reserved(self, snapshot_id: int) -> str:
        """Return where a numbered directory waits in the reserve."""
        return os.path.join(self.reserve, str(snapshot_id))

    def fs(self, snapshot_id: int) -> str:
        """Return the directory that holds a snapshot's content."""
        return f"{self.snapshots}/{snapshot_id}/fs"

    def work(self, snapshot_id: int) -> str:
        """Return overlayfs's scratch directory of an active snapshot."""
        return f"{self.snapshots}/{snapshot_id}/work"
