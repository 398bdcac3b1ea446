"""What containerd knows of the snapshots that one of its snapshotters holds for it."""

from __future__ import annotations

import contextlib
import time
from typing import Final

from snapfs.api import namespaces_pb2, snapshots_pb2
from snapfs.api.containerd_methods import LIST_NAMESPACES
from snapfs.api.methods import LIST, NAMESPACE_HEADER
from snapfs.errors import (
    InvalidArgumentError,
    NotFoundError,
    SnapfsError,
    UnavailableError,
    UnimplementedError,
)
from snapfs.remote.channel import Channel

# For all snapshots of one namespace.
_TIMEOUT_S: Final = 60.0
_ADVICE: Final = "start containerd, or name its socket"
# After a restart of the service containerd fails calls at once until it connects
# again: it tries every three seconds at least (core/snapshots/proxy, MaxDelay).
_RECONNECT_S: Final = 10.0
_AGAIN_S: Final = 0.2
# ConnectionError of gRPC for Go: containerd's way to its snapshotter, not ours to it.
_OUT_OF_REACH: Final = "connection error"


def known_snapshots(
    socket: str, snapshotter: str, *, timeout_s: float = _TIMEOUT_S
) -> set[tuple[str, str]]:
    """Return namespace and name of every snapshot that containerd counts on.

    ``snapshotter`` is the name that its configuration gives to the proxy plugin.

    Raises:
        NotFoundError: containerd has no snapshotter of that name.
        UnavailableError: Nobody answers on the socket, or it is not containerd; or
            containerd does not reach the snapshotter.
        PermissionDeniedError: The socket is not for this user.
    """
    found: set[tuple[str, str]] = set()
    with contextlib.closing(
        Channel(socket, timeout_s=timeout_s, advice=_ADVICE)
    ) as channel:
        try:
            request = namespaces_pb2.ListNamespacesRequest()
            listed = channel.call(LIST_NAMESPACES, request).namespaces
        except UnimplementedError as error:
            raise UnavailableError(
                f"{socket} is not containerd's socket ({error}); {_ADVICE}"
            ) from error
    # Without any, one is asked all the same, so that a wrong name is an error.
    for namespace in [each.name for each in listed] or ["default"]:
        names = _names(socket, namespace, snapshotter, timeout_s)
        found.update((namespace, name) for name in names)
    return found


def _names(
    socket: str, namespace: str, snapshotter: str, timeout_s: float
) -> list[str]:
    """Return the names of one namespace; the call's metadata says which it is."""
    channel = Channel(
        socket,
        timeout_s=timeout_s,
        metadata=((NAMESPACE_HEADER, namespace),),
        advice=_ADVICE,
    )
    with contextlib.closing(channel):
        end = time.monotonic() + _RECONNECT_S
        while True:
            try:
                return _listed(channel, snapshotter)
            except SnapfsError as error:
                if _OUT_OF_REACH not in str(error):
                    raise
                if time.monotonic() >= end:
                    raise UnavailableError(
                        f"containerd does not reach its snapshotter {snapshotter!r}"
                        f" ({error}); is snapfs served?"
                    ) from error
            time.sleep(_AGAIN_S)


def _listed(channel: Channel, snapshotter: str) -> list[str]:
    request = snapshots_pb2.ListSnapshotsRequest(snapshotter=snapshotter)
    try:
        return [
            info.name
            for response in channel.stream(LIST, request)
            for info in response.info
        ]
    except (NotFoundError, InvalidArgumentError) as error:
        # "snapshotter not loaded" (plugins/services/snapshots/service.go)
        raise NotFoundError(
            f"containerd has no snapshotter {snapshotter!r} ({error}); what does"
            " its configuration call this store? --snapshotter says that here"
        ) from error
