"""Extended attributes of an object in a layer on disk, as a container sees them.

overlayfs keeps its marks to itself and shows those of a nested overlayfs, which it
stores as ``overlay.overlay.NAME``, under their own names (see
:mod:`snapfs.layer.xattrs` for the other way). Marks of the other prefix are left out:
a store of that prefix, unpacking the layer, would have to escape them, and tools that
do not would let them steer overlayfs.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import Final

from snapfs.layer.notes import Notes
from snapfs.overlay_format import XattrPrefix

_ESCAPE: Final = "overlay."

_HOST_ONLY: Final = frozenset(
    ("security.selinux", "security.ima", "security.evm", "system.nfs4_acl")
)
"""What the host's policy, keys or server set; it means nothing elsewhere."""


def shown_xattrs(
    target: int | bytes, prefix: XattrPrefix, notes: Notes
) -> dict[bytes, bytes]:
    """Return the attributes of an open object, or of one by its path, sorted.

    Those that only this host can have set are left out without a note.

    Raises:
        OSError: They cannot be read.
    """
    own = prefix.attribute("")
    others = tuple(p.attribute("") for p in XattrPrefix if p is not prefix)
    found: dict[bytes, bytes] = {}
    for text in _names(target):
        if text.startswith(others):
            notes.add(f"extended attribute {text!r} left out")
            continue
        name = _shown_name(text, own)
        if name is not None:
            found[os.fsencode(name)] = _value(target, text)
    return found


def without_host_only(xattrs: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the attributes without those that only this host can have set."""
    return {
        name: value
        for name, value in xattrs.items()
        if os.fsdecode(name) not in _HOST_ONLY
    }


def _shown_name(name: str, own: str) -> str | None:
    if name in _HOST_ONLY:
        return None
    if not name.startswith(own):
        return name
    rest = name.removeprefix(own)
    return own + rest.removeprefix(_ESCAPE) if rest.startswith(_ESCAPE) else None


def _names(target: int | bytes) -> list[str]:
    try:
        if isinstance(target, int):
            names = os.listxattr(target)
        else:
            names = os.listxattr(target, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENOTSUP:  # a filesystem without any
            return []
        raise
    return sorted(names) if len(names) > 1 else names


def _value(target: int | bytes, name: str) -> bytes:
    if isinstance(target, int):
        return os.getxattr(target, name)
    return os.getxattr(target, name, follow_symlinks=False)
