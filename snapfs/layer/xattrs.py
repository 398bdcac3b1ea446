"""Which extended attributes of an entry reach the disk, and under which names.

``trusted.overlay.*`` and ``user.overlay.*`` steer overlayfs itself: stored as they
are, a ``redirect`` would splice in directories of other layers. overlayfs has a form
for such attributes of a layer's own: ``overlay.overlay.NAME`` on disk is shown as
``overlay.NAME`` (Linux 6.7, Documentation/filesystems/overlayfs.rst, "Nesting
overlayfs mounts"). It holds for the prefix that the store uses; those of the other
prefix cannot be shown under their names and are dropped.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from snapfs.layer.limits import Policy
from snapfs.overlay_format import XattrPrefix

_OVERLAY: Final = tuple(os.fsencode(prefix.attribute("")) for prefix in XattrPrefix)
_ESCAPE: Final = b"overlay."
_NAME_BYTES: Final = 255  # XATTR_NAME_MAX


class XattrFilter:
    """Chooses and renames extended attributes for one policy and one store."""

    def __init__(self, policy: Policy, prefix: XattrPrefix) -> None:
        patterns = [os.fsencode(pattern) for pattern in policy.xattrs]
        self._names = frozenset(p for p in patterns if not p.endswith(b"*"))
        self._starts = tuple(p[:-1] for p in patterns if p.endswith(b"*"))
        self._own = os.fsencode(prefix.attribute(""))

    def stored_name(self, name: bytes) -> bytes | None:
        """Return the name on disk; None for an attribute that is dropped.

        Marks of overlayfs under the store's own prefix are kept whatever the policy
        says, escaped: so they are data and steer nothing.
        """
        if name.startswith(_OVERLAY):
            if not name.startswith(self._own):
                return None
            escaped = self._own + _ESCAPE + name[len(self._own) :]
            return escaped if len(escaped) <= _NAME_BYTES else None
        if name in self._names or name.startswith(self._starts):
            return name
        return None

    def stored(self, xattrs: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Return what is to be set on disk."""
        return {
            stored: value
            for name, value in xattrs.items()
            if (stored := self.stored_name(name)) is not None
        }

    def dropped(self, xattrs: Mapping[bytes, bytes]) -> list[bytes]:
        """Return the names of those that are not stored."""
        return [name for name in xattrs if self.stored_name(name) is None]
