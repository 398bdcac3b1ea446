"""The inode numbers that callers see: constant over copy-up and remounts.

The number is that of the object that was there first: of a merged directory the
highest lower's, of a copied-up file the one that its ``origin`` names (``ovl_getattr``
in ``fs/overlayfs/inode.c``). With layers on several filesystems the high bits tell
them apart, as with overlayfs's ``xino=on``.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import sys

from snapfs.file_syscalls import open_by_handle_at
from snapfs.fuse.union.layers import Layer, LayerStack
from snapfs.light_typing import Final

# struct ovl_fb (fs/overlayfs/overlayfs.h): version, magic, length, flags, type, uuid.
_HEADER: Final = struct.Struct("5B16s")
_VERSION: Final = 0
_MAGIC: Final = 0xFB
_BIG_ENDIAN: Final = 1
_ANY_ENDIAN: Final = 2
_KNOWN_FLAGS: Final = 7
_UUID_SIZE: Final = 16
# FS_IOC_GETFSUUID (linux/fs.h): struct fsuuid2 {__u8 len; __u8 uuid[16];}
_GETFSUUID: Final = 0x80111500


class InodeNumbers:
    """Turns a layer's inode numbers into those of the mount.

    Args:
        stack: The layers.
        is_xino: Whether filesystems are told apart; without it two files of two
            filesystems may show one number, as with ``xino=off``.
    """

    __slots__ = ("_can_decode", "_high_bits", "_shift", "_stack", "_uuids")

    def __init__(self, stack: LayerStack, *, is_xino: bool = True) -> None:
        self._stack = stack
        self._can_decode = True
        self._uuids: dict[int, bytes] = {}
        highest = max(layer.filesystem for layer in stack.layers)
        self._shift = 64
        self._high_bits = [0] * len(stack.layers)
        if stack.filesystems > 1 and is_xino:
            # As ovl_get_layers(): one bit more than the filesystems need.
            bits = highest.bit_length() + 1
            self._shift = 64 - bits
            self._high_bits = [
                layer.filesystem << self._shift + 1 for layer in stack.layers
            ]

    def shown(self, layer: int, ino: int) -> int:
        """Return the number to show for ``ino`` of a layer."""
        high = self._high_bits[layer]
        if high and not ino >> self._shift:
            return ino | high
        return ino

    def of_origin(self, origin: bytes, kind: int) -> int | None:
        """Return the number to show for a copied-up file, from its ``origin`` mark.

        None where it names nothing that is there, of the same kind and with a single
        name: several upper files may have come from a hard link, and need numbers of
        their own.
        """
        handle = decode_origin(origin)
        if handle is None or not self._can_decode:
            return None
        uuid, handle_type, data = handle
        tried: set[int] = set()
        for layer in self._stack.layers[1:]:
            if layer.filesystem in tried or self._uuid(layer) != uuid:
                continue
            tried.add(layer.filesystem)
            status = self._stat_handle(layer, handle_type, data)
            if status is None:
                continue
            if stat.S_IFMT(status.st_mode) != kind or status.st_nlink != 1:
                return None
            return self.shown(layer.index, status.st_ino)
        return None

    @property
    def has_high_bits(self) -> bool:
        """Whether :meth:`shown` changes numbers."""
        return self._shift < 64

    @property
    def can_decode(self) -> bool:
        """Whether the kernel lets this process look up file handles, so far."""
        return self._can_decode

    def _stat_handle(
        self, layer: Layer, handle_type: int, data: bytes
    ) -> os.stat_result | None:
        try:
            if layer.handle_fd < 0:
                layer.handle_fd = os.open(
                    ".",
                    os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC,
                    dir_fd=layer.root_fd,
                )
            fd = open_by_handle_at(layer.handle_fd, handle_type, data, os.O_PATH)
        except OSError as error:
            if error.errno == errno.EPERM:
                self._can_decode = False  # without CAP_DAC_READ_SEARCH, none ever
            return None  # ESTALE: the origin is gone
        try:
            return os.stat(fd)
        finally:
            os.close(fd)

    def _uuid(self, layer: Layer) -> bytes:
        uuid = self._uuids.get(layer.filesystem)
        if uuid is None:
            uuid = self._uuids[layer.filesystem] = filesystem_uuid(layer.root_fd)
        return uuid


def filesystem_uuid(root_fd: int) -> bytes:
    """Return the UUID that the kernel knows of a filesystem; zeros if it has none."""
    try:
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root_fd)
    except OSError:
        return bytes(_UUID_SIZE)
    try:
        answer = fcntl.ioctl(fd, _GETFSUUID, bytes(1 + _UUID_SIZE))
    except OSError:
        return bytes(_UUID_SIZE)  # ENOTTY: it has none, or the kernel is before 6.9
    finally:
        os.close(fd)
    return answer[1:] if answer[0] == _UUID_SIZE else bytes(_UUID_SIZE)


def decode_origin(origin: bytes) -> tuple[bytes, int, bytes] | None:
    """Return (filesystem UUID, handle type, handle) of an ``origin`` mark.

    None where it is empty or not one of this host's: "origin unknown".
    """
    if len(origin) <= _HEADER.size:
        return None
    version, magic, length, flags, handle_type, uuid = _HEADER.unpack_from(origin)
    if version != _VERSION or magic != _MAGIC or length != len(origin):
        return None
    if flags & ~_KNOWN_FLAGS:
        return None
    if not flags & _ANY_ENDIAN and bool(flags & _BIG_ENDIAN) != (
        sys.byteorder == "big"
    ):
        return None
    return uuid, handle_type, origin[_HEADER.size :]


def encode_origin(uuid: bytes, handle_type: int, handle: bytes) -> bytes:
    """Return the ``origin`` mark that the kernel would write for a file handle."""
    flags = _BIG_ENDIAN if sys.byteorder == "big" else 0
    length = _HEADER.size + len(handle)
    return _HEADER.pack(_VERSION, _MAGIC, length, flags, handle_type, uuid) + handle
