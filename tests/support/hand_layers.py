"""Layers laid out by hand as overlayfs has them, for the kernel to mount.

Shares nothing with snapfs: what a tar's entries mean is written down here once more,
in the plainest way, for entries that are in order and have no tricks.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from support.applied_layers import Item


def lay_by_hand(layer: Path, items: Sequence[Item]) -> None:
    """Make the new directory ``layer`` of entries, each below one that came before."""
    layer.mkdir()
    for info, content in items:
        path = layer / info.name
        if path.name == ".wh..wh..opq":
            os.setxattr(path.parent, "trusted.overlay.opaque", b"y")
        elif path.name.startswith(".wh."):
            os.mknod(path.with_name(path.name[4:]), 0o20000, os.makedev(0, 0))
        elif info.islnk():
            os.link(layer / info.linkname, path)
        else:
            _make(path, info, content)
            _set_attributes(path, info)
    for info, _ in reversed(items):
        path = layer / info.name
        if not (path.name.startswith(".wh.") or info.islnk()):
            seconds = Decimal(info.pax_headers.get("mtime", str(int(info.mtime))))
            ns = int(seconds * 1_000_000_000)
            os.utime(path, ns=(ns, ns), follow_symlinks=False)


def _make(path: Path, info: tarfile.TarInfo, content: bytes) -> None:
    if info.isdir():
        path.mkdir(exist_ok=True)
    elif info.issym():
        path.symlink_to(info.linkname)
    elif info.ischr():
        os.mknod(path, 0o20000, os.makedev(info.devmajor, info.devminor))
    elif info.isfifo():
        os.mkfifo(path)
    else:
        path.write_bytes(content)


def _set_attributes(path: Path, info: tarfile.TarInfo) -> None:
    os.chown(path, info.uid, info.gid, follow_symlinks=False)
    if not info.issym():
        path.chmod(info.mode)
    for key, text in info.pax_headers.items():
        if key.startswith("SCHILY.xattr."):
            value = text.encode("utf-8", "surrogateescape")
            os.setxattr(path, key.removeprefix("SCHILY.xattr."), value)
