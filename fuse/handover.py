"""The keeper becomes another program without letting the mount go: an upgrade.

Descriptors outlive exec(2); what they are is told by its last argument. The new program
is first asked whether it understands that, in a process of its own: one that cannot
begin, or keeps other records, must not take the place of one that works.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from snapfs.fuse.opened import LiveMount, OpenedUnion
from snapfs.fuse.recovery import SharedMemory
from snapfs.fuse.recovery.memory import FORMAT
from snapfs.fuse.session.connection import Connection
from snapfs.fuse.union.layers import Layer, LayerStack
from snapfs.fuse.union.workdir import WorkDirectory
from snapfs.fuse.wire import Negotiated
from snapfs.light_typing import TYPE_CHECKING, Any, Final
from snapfs.overlay_format import XattrPrefix

if TYPE_CHECKING:
    from snapfs.fuse.mount_config import MountConfig

OPTION: Final = "--handover"
"""Last but one argument of the new program; the last one tells what it gets."""
_VERSION: Final = 1
_QUESTION: Final = f"can-you-{FORMAT:x}-{_VERSION}"
_SIGNALS: Final = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


def is_question(word: str) -> bool:
    """Tell whether the program is only asked; its exit status is the answer."""
    return word.startswith("can-you-")


def is_understood(word: str) -> bool:
    """Tell whether this program can go on where the one that asks is."""
    return word == _QUESTION


def become_new(live: LiveMount, memory: SharedMemory) -> bool:
    """Replace this process by what its command starts now; False if that cannot be.

    Does not return otherwise.
    """
    words = sys.orig_argv
    if OPTION in words[-2:]:
        words = words[:-2]
    if not _can_go_on([*words, OPTION, _QUESTION]):
        return False
    words = [*words, OPTION, _written(live, memory)]
    # The new program is to mind signals before it gets any.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        os.execv(sys.executable, words)  # noqa: S606 - our own program
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return False


def _can_go_on(words: list[str]) -> bool:
    asked = os.fork()
    if not asked:
        with contextlib.suppress(OSError):
            os.execv(sys.executable, words)  # noqa: S606 - our own program
        os._exit(1)
    return os.waitpid(asked, 0)[1] == 0


def _written(live: LiveMount, memory: SharedMemory) -> str:
    import json

    union, connection = live.union, live.connection
    stack, work = union.stack, union.work
    layers = stack.layers if stack.upper is not None else stack.layers[1:]
    fds = [memory.fd, connection.fd, *(layer.root_fd for layer in layers)]
    if work is not None:
        assert stack.work_fd is not None
        fds += [work.fd, work.lock_fd, stack.work_fd]
    for fd in fds:
        os.set_inheritable(fd, True)
    return json.dumps(
        {
            "memory": memory.fd,
            "connection": [connection.fd, os.fsdecode(connection.target)],
            "device": connection.device,
            "by_helper": connection.by_helper,
            "negotiated": live.negotiated.to_bytes().hex(),
            "layers": [
                [
                    *(layer.root_fd, os.fsdecode(layer.path), layer.is_upper),
                    *(layer.is_root_opaque, layer.is_data_only),
                ]
                for layer in layers
            ],
            "work": None if work is None else fds[-3:],
            "prefix": union.prefix.value,
        }
    )


def read(config: MountConfig, word: str) -> tuple[LiveMount, SharedMemory]:
    """Return the mount that the last argument tells of.

    Raises:
        OSError: The memory is of another version.
    """
    import json

    told: dict[str, Any] = json.loads(word)
    prefix = XattrPrefix(told["prefix"])
    layers = [_layer(*each) for each in told["layers"]]
    upper = layers.pop(0) if layers[0].is_upper else None
    work, work_fd = None, None
    if told["work"] is not None:
        work = WorkDirectory(*told["work"][:2])
        work_fd = told["work"][2]
    stack = LayerStack(upper, work_fd, layers, prefix)
    device_fd, target = told["connection"]
    connection = Connection(
        device_fd,
        os.fsencode(target),
        device=told["device"],
        by_helper=told["by_helper"],
    )
    negotiated = Negotiated.from_bytes(bytes.fromhex(told["negotiated"]))
    union = OpenedUnion(config, prefix, stack, work)
    memory = SharedMemory(told["memory"])
    for fd in _all_fds(connection, memory, stack, work):
        os.set_inheritable(fd, False)
    return LiveMount(union, connection, negotiated), memory


def _layer(
    fd: int, path: str, is_upper: bool, is_root_opaque: bool, is_data_only: bool
) -> Layer:
    return Layer(
        fd,
        os.fsencode(path),
        is_upper=is_upper,
        is_root_opaque=is_root_opaque,
        is_data_only=is_data_only,
    )


def _all_fds(
    connection: Connection,
    memory: SharedMemory,
    stack: LayerStack,
    work: WorkDirectory | None,
) -> set[int]:
    fds = {connection.fd, memory.fd, *(layer.root_fd for layer in stack.layers)}
    if work is not None:
        assert stack.work_fd is not None
        fds |= {work.fd, work.lock_fd, stack.work_fd}
    return fds
