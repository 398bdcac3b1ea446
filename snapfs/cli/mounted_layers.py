"""The directories of a mount that is there, whoever serves it."""

from __future__ import annotations

from typing import Final

from snapfs.cli.provenance import OverlayLayers
from snapfs.mountinfo import MountEntry
from snapfs.overlay_format import XattrPrefix

_FUSE_TYPE: Final = "fuse.snapfs-fuse"


def layers_of(entry: MountEntry) -> OverlayLayers | None:
    """Return the layers of a kernel overlay or of a union of ours; None for others.

    The kernel shows them in the mount table, our server tells its own user and root.

    Raises:
        UnavailableError: No server answers.
        PermissionDeniedError: The mount is another user's.
    """
    if entry.type == "overlay":
        return OverlayLayers.from_options(entry.super_options)
    if entry.type != _FUSE_TYPE:
        return None
    from snapfs.fuse.control import read_statistics

    layers = read_statistics(entry.device)["layers"]
    assert isinstance(layers, dict)
    upper, lowers = layers["upper"], layers["lowers"]
    return OverlayLayers(
        (*([upper] if upper else []), *lowers),
        XattrPrefix(layers["prefix"]),
        upper=upper,
    )
