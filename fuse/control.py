"""Statistics of a live mount, told to its owner over a socket.

The socket is an abstract one (unix(7)): it has no file that could be left behind, and
ends with the server. Its name holds the device number of the filesystem, which is all
that a user of the mount knows of its server. Abstract sockets have no permissions:
each side looks at who the other is. Nobody can ask for more than numbers and the
directories of the union.
"""

from __future__ import annotations

import _socket  # what `socket` is made of, which itself takes 5 ms to load
import os
import struct
import time
from _thread import start_new_thread
from collections.abc import Callable, Mapping
from signal import SIG_BLOCK, pthread_sigmask

from snapfs.errors import PermissionDeniedError, UnavailableError
from snapfs.fuse.recovery.memory import WORD_DIED_AT, WORD_KEEPER, WORD_RESTARTS
from snapfs.fuse.session.stopping import ENDING, HAND_OVER
from snapfs.light_typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket

    from snapfs.fuse.operations import Context
    from snapfs.fuse.recovery import SharedMemory
    from snapfs.fuse.session import Session

Statement = Mapping[str, object]

_UCRED: Final = struct.Struct("3i")  # struct ucred of socket(7): pid, uid, gid
_PATIENCE_S: Final = 5.0
"""For the other side, before it is taken for dead."""
_ATTEMPTS: Final = 40
_PAUSE_S: Final = 0.05
"""A server that has just begun opens its socket within two seconds, however busy."""


def start_control(context: Context, session: Session, memory: SharedMemory) -> None:
    """Answer on the mount's socket in a thread, which sleeps until someone asks.

    Nothing is loaded for it before: the first requests would wait for the interpreter's
    lock. Where the socket cannot be had the mount works without.
    """
    device = session.connection.device
    if not device:
        return
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        listener.bind(_address(device))
        listener.listen()
    except OSError:
        listener.close()
        return  # someone has taken the name: statistics are no reason to fail
    started = time.monotonic()

    def tell() -> Statement:
        age_s = time.monotonic() - started
        return {**_statement(context, session, age_s), **_past(memory)}

    start_new_thread(_serve, (listener, tell))


def read_statistics(device: str) -> Statement:
    """Ask the server of the filesystem ``device`` ("major:minor").

    Raises:
        UnavailableError: No server answers.
        PermissionDeniedError: The mount is another user's.
    """
    import json

    with _connected(device) as client:
        client.settimeout(_PATIENCE_S)
        if not _is_trusted(client):
            raise PermissionDeniedError(f"the mount {device} is another user's")
        try:
            parts = []
            while part := client.recv(1 << 16):
                parts.append(part)
        except (TimeoutError, ConnectionResetError) as error:
            raise UnavailableError(
                f"the server of the mount {device} does not answer"
            ) from error
    if not parts:
        raise PermissionDeniedError(f"the mount {device} is another user's")
    answer: Statement = json.loads(b"".join(parts))
    return answer


def _connected(device: str) -> socket.socket:
    import socket

    for _ in range(_ATTEMPTS):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            client.connect(_address(device))
        except ConnectionRefusedError:
            client.close()
            time.sleep(_PAUSE_S)
        else:
            return client
    raise UnavailableError(
        f"no server answers for the mount {device}; it may live in another network"
        " namespace"
    )


def _address(device: str) -> bytes:
    return b"\0snapfs-fuse-" + device.encode()


def _serve(listener: _socket.socket, tell: Callable[[], Statement]) -> None:
    # Signals are for the main thread, which must wake up from its read.
    pthread_sigmask(SIG_BLOCK, (*ENDING, HAND_OVER))
    while True:
        try:
            # What socket.accept() calls; typeshed leaves it out.
            fd, _ = listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001
        except OSError:
            return  # no descriptors left: the mount needs them more
        client = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd)
        try:
            client.settimeout(_PATIENCE_S)
            if _is_trusted(client):
                client.sendall(_packed(tell()))
        except OSError:
            continue  # who asked has gone
        finally:
            client.close()


def _packed(statement: Statement) -> bytes:
    import json

    return json.dumps(statement).encode()


def _is_trusted(peer: _socket.socket) -> bool:
    """Tell whether the other side is run by root or by our own user."""
    raw = peer.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _UCRED.size)
    _, uid, _ = _UCRED.unpack(raw)
    return uid in (0, os.geteuid())


def _statement(context: Context, session: Session, age_s: float) -> Statement:
    counted = session.statistics
    copy_up = None if context.is_read_only else context.changes.copy_up
    return {
        "pid": os.getpid(),
        "age_s": round(age_s, 3),
        "mode": "fast" if context.opens is None else "io",
        "requests": dict(sorted(counted.by_name().items())),
        "replies": counted.replies,
        "errors": counted.errors,
        "bytes_in": counted.bytes_in,
        "bytes_out": counted.bytes_out,
        "nodes": len(context.union.nodes),
        "copy_ups": 0 if copy_up is None else copy_up.copied,
        "copied_bytes": 0 if copy_up is None else copy_up.copied_bytes,
        "layers": _layers(context),
    }


def _layers(context: Context) -> Statement:
    """Return the directories of the union, as they were opened."""
    stack = context.union.stack
    return {
        "upper": "" if stack.upper is None else os.fsdecode(stack.upper.path),
        "lowers": [os.fsdecode(layer.path) for layer in stack.layers[1:]],
        "prefix": context.union.options.prefix,
    }


def _past(memory: SharedMemory) -> Statement:
    """Return what is known of the servers before this one, and of who started it."""
    died_at = memory.words[WORD_DIED_AT]
    return {
        "keeper": memory.words[WORD_KEEPER],
        "restarts": memory.words[WORD_RESTARTS],
        "last_death": memory.last_words or None,
        "last_death_at": died_at or None,
    }
