"""Mounting and unmounting by ``fusermount3``, for users who may not themselves.

The set-uid helper of libfuse opens /dev/fuse, mounts, and sends the descriptor over
the Unix socket whose number stands in ``_FUSE_COMMFD``; see fusermount3(1) and
``util/fusermount.c``. It adds ``nosuid`` and ``nodev``.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from snapfs.light_typing import Final

_NAMES: Final = ("fusermount3", "fusermount")
# A set-uid program must be found in a trusted place, not in the caller's PATH.
_PLACES: Final = ("/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin")
_ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
# The helper only prints a reason; these are the ones worth telling apart.
_REASONS: Final = {
    os.strerror(code): code
    for code in (
        errno.EACCES,
        errno.EBUSY,
        errno.EINVAL,
        errno.ENODEV,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENOTCONN,
    )
}


def find() -> str:
    """Return the path of the helper.

    Raises:
        FileNotFoundError: It is not installed.
    """
    for name in _NAMES:
        for place in _PLACES:
            path = f"{place}/{name}"
            if os.access(path, os.X_OK):
                return path
    raise FileNotFoundError(errno.ENOENT, "fusermount3 is not installed", _NAMES[0])


def mount(target: bytes, options: Sequence[bytes]) -> int:
    """Mount on ``target``; return the descriptor of /dev/fuse.

    Raises:
        OSError: The helper refused; the text is what it said.
    """
    import socket  # a mount by root need not load it

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        theirs.set_inheritable(True)
        environment = {**_ENVIRONMENT, "_FUSE_COMMFD": str(theirs.fileno())}
        arguments = [b"-o", b",".join(options), b"--", target]
        _run(arguments, environment, target)
        theirs.close()
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    if not descriptors:
        raise OSError(errno.EPROTO, "fusermount3 sent no descriptor", target)
    os.set_inheritable(descriptors[0], False)
    return descriptors[0]


def unmount(target: bytes) -> None:
    """Detach the filesystem at ``target``, busy or not.

    Raises:
        OSError: The helper refused; the text is what it said.
    """
    _run([b"-u", b"-z", b"--", target], _ENVIRONMENT, target)


def _run(
    arguments: Sequence[bytes], environment: dict[str, str], target: bytes
) -> None:
    program = find()
    reader, writer = os.pipe()
    with open(reader, "rb") as said:
        try:
            child = os.posix_spawn(
                program,
                [os.fsencode(program), *arguments],
                environment,
                file_actions=[(os.POSIX_SPAWN_DUP2, writer, 2)],
            )
        finally:
            os.close(writer)
        text = said.read().decode(errors="replace").strip()
    _, status = os.waitpid(child, 0)
    if status != 0:
        code = next((_REASONS[word] for word in _REASONS if word in text), errno.EPERM)
        ended = os.waitstatus_to_exitcode(status)
        shown = text or f"fusermount3 ended with status {ended}"
        raise OSError(code, shown, target)
