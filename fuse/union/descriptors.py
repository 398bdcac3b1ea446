"""Open descriptors of the layers' directories, as many as the limit allows.

Every directory is opened from its parent's descriptor by one name, so that neither
the depth of the tree nor what happens above it matters.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import OrderedDict
from collections.abc import Iterator

from snapfs.fuse.union.layers import LayerStack
from snapfs.fuse.union.node import REMOVED, Directory, Node
from snapfs.light_typing import Final

DEFAULT_LIMIT: Final = 512
_MINIMUM: Final = 16
# One call caches no more than an eighth, so a descriptor outlives the next calls.
_SHARE: Final = 8
_LAYER_BITS: Final = 16
_FLAGS: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Descriptors:
    """``O_PATH`` descriptors of directories, least recently used closed first.

    A descriptor that :meth:`get` returned stays open during the next six calls at
    least; who needs it longer, or on another thread, uses :meth:`holding`. Those of
    removed directories (:meth:`retain`) are beside the limit.
    """

    __slots__ = ("_fds", "_layers", "_limit", "_retained")

    def __init__(self, stack: LayerStack, limit: int = DEFAULT_LIMIT) -> None:
        self._layers = stack.layers
        self._limit = max(limit, _MINIMUM)
        self._fds: OrderedDict[int, int] = OrderedDict()
        self._retained: dict[int, int] = {}

    def __len__(self) -> int:
        """Return how many descriptors are open."""
        return len(self._fds)

    def get(self, directory: Directory, layer: int) -> int:
        """Return a descriptor of ``directory`` in a layer that has it.

        Raises:
            OSError: The layer's directory is gone (ENOENT, ESTALE), or from open(2).
        """
        if directory.parent is None:
            return self._layers[layer].root_fd
        key = directory.nodeid << _LAYER_BITS | layer
        fd = self._fds.get(key)
        if fd is None:
            return self._open(directory, layer)
        self._fds.move_to_end(key)
        return fd

    def in_upper(self, node: Node) -> int | None:
        """Return what is open of a directory of the upper; None, nothing is."""
        if node.parent is None:
            return self._layers[0].root_fd
        return self._fds.get(node.nodeid << _LAYER_BITS)

    @contextlib.contextmanager
    def holding(self, directory: Directory, layer: int) -> Iterator[int]:
        """Own a descriptor of ``directory`` until the block ends, on any thread.

        Raises:
            OSError: As :meth:`get`.
        """
        fd = os.dup(self.get(directory, layer))
        try:
            yield fd
        finally:
            os.close(fd)

    def retain(self, directory: Directory) -> None:
        """Keep what a directory of the upper is reached by once it is removed.

        Before it is; until :meth:`release`.

        Raises:
            OSError: From opening it.
        """
        if not directory.has_upper:
            return
        fd = self.get(directory, 0)
        self.release(directory)
        # Out of descriptors, the directory is removed all the same.
        with contextlib.suppress(OSError):
            self._retained[directory.nodeid] = os.dup(fd)

    def release(self, directory: Directory) -> None:
        """Close what :meth:`retain` kept, if anything."""
        fd = self._retained.pop(directory.nodeid, None)
        if fd is not None:
            os.close(fd)

    def drop(self, directory: Directory, layer: int) -> None:
        """Close the descriptor of a directory that is another one from now on."""
        fd = self._fds.pop(directory.nodeid << _LAYER_BITS | layer, None)
        if fd is not None:
            os.close(fd)

    def drop_all(self, directory: Directory) -> None:
        """Close what is open of ``directory`` in all layers."""
        if directory.has_upper or directory.layer == 0:
            self.drop(directory, 0)
        for layer in directory.lowers:
            self.drop(directory, layer)

    def close(self) -> None:
        """Close all of them."""
        for fds in (self._fds, self._retained):
            for fd in fds.values():
                os.close(fd)
            fds.clear()

    def _open(self, directory: Directory, layer: int) -> int:
        """Open ``directory`` from the nearest open ancestor on, one name a step."""
        if layer == 0 and directory.flags & REMOVED:
            fd = self._retained.get(directory.nodeid, -1)
            if fd >= 0:
                return fd
        chain = [directory]
        fd = -1
        while fd < 0:
            top = chain[-1]
            if layer == 0 and top.flags & REMOVED:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), top.name)
            if layer and top.lower_paths is not None:
                return self._descend_from(self._open_path(top, layer), chain, layer)
            parent = top.parent
            if parent is None:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), directory.name)
            if parent.parent is None:
                fd = self._layers[layer].root_fd
            else:
                fd = self._fds.get(parent.nodeid << _LAYER_BITS | layer, -1)
                if fd < 0:
                    chain.append(parent)
        return self._descend(fd, chain, layer)

    def _open_path(self, directory: Directory, layer: int) -> int:
        paths = directory.lower_paths
        assert paths is not None
        path = paths[directory.lowers.index(layer)]
        return open_beneath(self._layers[layer].root_fd, path, _FLAGS)

    def _descend_from(self, fd: int, chain: list[Directory], layer: int) -> int:
        """Descend from the last of ``chain``, whose own new descriptor is ``fd``."""
        start = chain.pop()
        if not chain:
            self._keep(start, layer, fd)
            return fd
        try:
            return self._descend(fd, chain, layer)
        finally:
            os.close(fd)

    def _descend(self, fd: int, chain: list[Directory], layer: int) -> int:
        share = self._limit // _SHARE
        passing = -1  # a descriptor that is needed for the next step only
        while chain:
            directory = chain.pop()
            try:
                fd = os.open(directory.name, _FLAGS, dir_fd=fd)
            finally:
                if passing >= 0:
                    os.close(passing)
                    passing = -1
            if len(chain) < share:
                self._keep(directory, layer, fd)
            else:
                passing = fd
        return fd

    def _keep(self, directory: Directory, layer: int, fd: int) -> None:
        fds = self._fds
        fds[directory.nodeid << _LAYER_BITS | layer] = fd
        if len(fds) > self._limit:
            os.close(fds.popitem(last=False)[1])


def open_beneath(root_fd: int, path: bytes, flags: int) -> int:
    """Open a path below an open directory; no component may be a symbolic link.

    Raises:
        OSError: From open(2); ENOTDIR or ELOOP where a component is no directory.
    """
    names = path.split(b"/")
    fd = root_fd
    try:
        for name in names[:-1]:
            below = os.open(name, _FLAGS, dir_fd=fd)
            if fd != root_fd:
                os.close(fd)
            fd = below
        return os.open(names[-1], flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    finally:
        if fd != root_fd:
            os.close(fd)
