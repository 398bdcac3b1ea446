"""What can be chosen about a store and a service."""

from __future__ import annotations

from snapfs.light_typing import Final
from snapfs.model import Durability
from snapfs.values import dataclass

DRIVERS: Final = ("auto", "kernel", "fuse")
LIMIT_BACKENDS: Final = ("quota", "loop")
DEFAULT_ADDRESS: Final = "/run/snapfs/snapfs.sock"
CONTAINERD_ADDRESS: Final = "/run/containerd/containerd.sock"
CONTAINERD_ROOT: Final = "/var/lib/containerd"


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """How a store works in the process that owns it.

    Attributes:
        driver: For new snapshots: "kernel", "fuse", or "auto" for what works here.
        durability: When the data of a commit is on disk.
        mount_options: Further overlayfs options for every overlay mount.
        remap_ids: Whether identity mapping labels become mount options.
        max_size: What an active snapshot may occupy unless its label says otherwise,
            in bytes; 0 for any.
        limit_backend: What limits snapshots that the kernel mounts: "quota" or "loop".
        min_free_percent: What of the filesystem new layers leave free.
    """

    driver: str = "auto"
    durability: Durability = Durability.LAYER
    mount_options: tuple[str, ...] = ()
    remap_ids: bool = False
    max_size: int = 0
    limit_backend: str = "quota"
    min_free_percent: int = 1


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How a service works.

    Attributes:
        address: The socket for containerd, absolute.
        store: The store's settings.
        workers: Threads for calls on each socket.
        notify_socket: Where systemd wants to hear of readiness; "" for nowhere.
        watchdog_s: How long systemd waits for the next sign of life; 0: it does not.
        inherited_fd: A socket that systemd listens on for us at ``address``
            (sd_listen_fds(3)); -1 for none.
        group: The name of a group whose members may call at ``address``; "" for
            nobody but the owner.
        containerd_address: containerd's socket, for the blobs that its differ is to
            apply.
        containerd_root: containerd's root directory, where their files are.
        clamps_unsafe: Its layers' names that lead out of the root are read within it
            instead of refused.
        shares_namespaces: What one of its namespaces has unpacked, others get.
        metrics_address: Where Prometheus may scrape, "HOST:PORT"; "" for nowhere.
        tracing_endpoint: The collector of traces, "http://HOST:PORT"; "" for none.
    """

    address: str = DEFAULT_ADDRESS
    store: StoreSettings = StoreSettings()
    workers: int = 16
    notify_socket: str = ""
    watchdog_s: float = 0.0
    inherited_fd: int = -1
    group: str = ""
    containerd_address: str = CONTAINERD_ADDRESS
    containerd_root: str = CONTAINERD_ROOT
    clamps_unsafe: bool = False
    shares_namespaces: bool = False
    metrics_address: str = ""
    tracing_endpoint: str = ""
