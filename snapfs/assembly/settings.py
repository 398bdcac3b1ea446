"""What can be chosen about a store and a service."""

from __future__ import annotations

import dataclasses
from typing import Final

from snapfs.model import Durability

DRIVERS: Final = ("auto", "kernel", "fuse")
DEFAULT_ADDRESS: Final = "/run/snapfs/snapfs.sock"


@dataclasses.dataclass(frozen=True, slots=True)
class StoreSettings:
    """How a store works in the process that owns it.

    Attributes:
        driver: For new snapshots: "kernel", "fuse", or "auto" for what works here.
        durability: When the data of a commit is on disk.
        mount_options: Further overlayfs options for every overlay mount.
        remap_ids: Whether identity mapping labels become mount options.
    """

    driver: str = "auto"
    durability: Durability = Durability.LAYER
    mount_options: tuple[str, ...] = ()
    remap_ids: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ServeSettings:
    """How a service works.

    Attributes:
        address: The socket for containerd, absolute.
        store: The store's settings.
        workers: Threads for calls on each socket.
        notify_socket: Where systemd wants to hear of readiness; "" for nowhere.
    """

    address: str = DEFAULT_ADDRESS
    store: StoreSettings = StoreSettings()
    workers: int = 16
    notify_socket: str = ""
