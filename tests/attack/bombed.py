"""The process that a bomb hits: it applies one and says what it came to."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
from pathlib import Path
from typing import Final

from attack.bombs import BOMBS, Bomb

from snapfs.digest import Digest, sha256
from snapfs.errors import SnapfsError
from snapfs.image.descriptor import Descriptor
from snapfs.layer.apply import apply_layer
from snapfs.layer.form import OverlayForm
from snapfs.layer.limits import Policy
from snapfs.layer.removal import Removed, discard_tree
from snapfs.overlay_format import fitting_prefix
from snapfs.tar.reader import TarReader
from snapfs.unpack.plain_stream import PlainStream
from support.applied_layers import opened

# Far above what is allowed, so that a bomb that works harms nobody but itself.
_ADDRESS_BYTES: Final = 1 << 30


class _Reader:
    """The stored bytes of a bomb, as a BlobReader."""

    def __init__(self, bomb: Bomb) -> None:
        self._pieces = bomb.stored()
        self._rest = b""

    def read(self, size_bytes: int, /) -> bytes:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        taken, self._rest = self._rest[:size_bytes], self._rest[size_bytes:]
        return taken

    def close(self) -> None:
        self._rest = b""


def _descriptor(bomb: Bomb) -> Descriptor:
    """Return what makes a sound blob of the bomb; nobody sees the end of some."""
    if bomb.refusal:
        return Descriptor("", sha256(b"never reached"), 1 << 62)
    hasher = hashlib.sha256()
    size_bytes = 0
    for piece in bomb.stored():
        hasher.update(piece)
        size_bytes += len(piece)
    return Descriptor("", Digest(f"sha256:{hasher.hexdigest()}"), size_bytes)


def _apply(bomb: Bomb, staging: int) -> None:
    """Do what the worker of an unpack does, up to the check of the diff ID."""
    descriptor = _descriptor(bomb)
    limits = bomb.limits
    policy = Policy(keep_owners=not os.geteuid())
    blob = _Reader(bomb)
    with PlainStream(blob, descriptor, descriptor.digest, limits, "bomb") as stream:
        reader = TarReader(stream.read_block, extension_bytes=limits.extension_bytes)
        apply_layer(reader, staging, OverlayForm(fitting_prefix()), limits, policy)


def _peak_bytes() -> int:
    """Return the most that this program ever had in memory.

    Not ``ru_maxrss``: that counts what the process was before it became this one, a
    copy of the test runner (``fs/exec.c``, ``setmax_mm_hiwater_rss``).
    """
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main(name: str, staging: Path) -> None:
    """Apply the bomb, remove what it left, and print what that was."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_BYTES, _ADDRESS_BYTES))
    refusal = message = ""
    removed = Removed()
    with opened(staging) as fd:
        try:
            _apply(BOMBS[name], fd)
        except SnapfsError as error:
            refusal, message = type(error).__name__, str(error)
        discard_tree(fd, removed)
    result = {
        "refusal": refusal,
        "message": message,
        "disk_bytes": removed.blocks * 512,
        "inodes": removed.inodes,
        "memory_bytes": _peak_bytes(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
