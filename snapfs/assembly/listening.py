"""containerd's socket: made by us, or handed over by systemd; for whom."""

from __future__ import annotations

import grp
import socket
from typing import TYPE_CHECKING, Final

from snapfs.errors import InvalidArgumentError, NotFoundError
from snapfs.service.server import Listener
from snapfs.service.socket_path import refuse_address

if TYPE_CHECKING:
    from snapfs.assembly.settings import ServeSettings
    from snapfs.differ import Differ
    from snapfs.snapshotter import Snapshotter

_PRIVATE: Final = 0o600
_FOR_GROUP: Final = 0o660


def refuse_unfit(settings: ServeSettings) -> None:
    """Refuse what can be seen to be wrong without making anything.

    Raises:
        SnapfsError: As :func:`containerd_listener` or the server would raise.
    """
    _group_id(settings.group)
    if settings.metrics_address:
        from snapfs.service.metrics import parse_address

        parse_address(settings.metrics_address)
    if settings.inherited_fd < 0:
        refuse_address(settings.address)


def containerd_listener(
    settings: ServeSettings, snapshotter: Snapshotter, differ: Differ
) -> Listener:
    """Return what listens for containerd.

    Raises:
        NotFoundError: There is no such group.
        InvalidArgumentError: What systemd handed over is no unix socket that listens.
    """
    group = _group_id(settings.group)
    return Listener(
        settings.address,
        snapshotter,
        differ=differ,
        mode=_PRIVATE if group is None else _FOR_GROUP,
        group=group,
        sock=None if settings.inherited_fd < 0 else _inherited(settings.inherited_fd),
    )


def _group_id(name: str) -> int | None:
    if not name:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise NotFoundError(f"there is no group {name!r}") from error


def _inherited(fd: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise InvalidArgumentError(
            f"descriptor {fd} from systemd is no socket: {error.strerror}"
        ) from error
    listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if (sock.family, sock.type) != (socket.AF_UNIX, socket.SOCK_STREAM) or not listens:
        sock.detach()
        raise InvalidArgumentError(
            f"descriptor {fd} from systemd is no unix socket that listens;"
            " the unit needs ListenStream= with a path"
        )
    return sock
