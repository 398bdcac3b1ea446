"""containerd's content store: blobs by digest, from its files or over its socket."""

from __future__ import annotations

import os
import threading
from typing import Final

from snapfs.api.methods import NAMESPACE_HEADER
from snapfs.closing import Closing
from snapfs.image.descriptor import Descriptor
from snapfs.image.files import RangeReader
from snapfs.image.source import BlobReader
from snapfs.remote.channel import Channel
from snapfs.remote.containerd_blobs import ContainerdBlobReader

# Below containerd's root (plugins/content/local/store.go).
_BLOBS: Final = "io.containerd.content.v1.content/blobs"

# For one piece of a blob.
_TIMEOUT_S: Final = 60.0

_ADVICE: Final = (
    "containerd has called us, so it runs: name its socket (containerd.address)"
)


class ContentStore(Closing):
    """Opens blobs of the content store of one containerd; threads may share it.

    A blob's file can be read by another process, without a copy through this one and
    its interpreter; so it is preferred where it can be opened. Whoever reads verifies
    size and digest, so it does not matter how the bytes came.

    Args:
        address: containerd's socket.
        root: containerd's root directory.
    """

    def __init__(self, address: str, root: str) -> None:
        self._address = address
        self._blobs = os.path.join(root, _BLOBS)
        self._lock = threading.Lock()
        self._channels: dict[str, Channel] = {}

    def open_blob(self, descriptor: Descriptor, namespace: str) -> BlobReader:
        """Open a blob that ``namespace`` has.

        Raises:
            SnapfsError: As :class:`ContainerdBlobReader`, at the first read.
        """
        digest = descriptor.digest
        path = os.path.join(self._blobs, digest.algorithm, digest.hex)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:  # another root, or not for us to read: ask its owner
            return ContainerdBlobReader(
                self._channel(namespace),
                str(digest),
                descriptor.size_bytes,
                0,
                f"containerd's blob {digest}",
            )
        try:
            return RangeReader(fd, 0, os.fstat(fd).st_size)
        finally:
            os.close(fd)

    def close(self) -> None:
        """End the connections; readers fail. A second call does nothing."""
        with self._lock:
            channels = list(self._channels.values())
            self._channels.clear()
        for channel in channels:
            channel.close()

    def _channel(self, namespace: str) -> Channel:
        with self._lock:
            channel = self._channels.get(namespace)
            if channel is None:
                channel = self._channels[namespace] = Channel(
                    self._address,
                    timeout_s=_TIMEOUT_S,
                    metadata=((NAMESPACE_HEADER, namespace),),
                    advice=_ADVICE,
                )
            return channel
