"""Names in a layer, as components of bytes.

A tar names its entries in many ways: ``./a``, ``/a``, ``a/``, ``a//b``. All of them
are relative to the layer's root and mean the same list of components; the root
itself is the empty list. A backslash and bytes that are no text are ordinary.
"""

from __future__ import annotations

from typing import Final

from snapfs.errors import UnsafeLayerError
from snapfs.layer.limits import Limits
from snapfs.tar.member import shown

WHITEOUT_PREFIX: Final = b".wh."
"""Before the name that a whiteout hides (image-spec layer.md, "Whiteouts")."""

OPAQUE_NAME: Final = b".wh..wh..opq"
"""Marks its directory as opaque (image-spec layer.md, "Opaque Whiteout")."""

AUFS_PREFIX: Final = b".wh..wh."
"""Before the private names of AUFS, which Docker once wrote into layers."""


def has_parent_reference(name: bytes) -> bool:
    """Tell whether a component of ``name`` is ``..``."""
    return b".." in name and b".." in name.split(b"/")


def split_path(name: bytes, limits: Limits, *, clamp: bool) -> list[bytes]:
    """Return the components of a name; none for the root.

    With ``clamp`` each ``..`` takes the component before it away, and does nothing
    at the root.

    Raises:
        UnsafeLayerError: The name holds a NUL, breaks a limit, or holds ``..``
            without ``clamp``.
    """
    if b"\0" in name:
        raise UnsafeLayerError(f"path {shown(name)} holds a NUL")
    parts = [part for part in name.split(b"/") if part and part != b"."]
    if b".." in parts:
        if not clamp:
            raise UnsafeLayerError(f"path {shown(name)} holds '..'")
        parts = _clamped(parts)
    _check(name, parts, limits)
    return parts


def _clamped(parts: list[bytes]) -> list[bytes]:
    kept: list[bytes] = []
    for part in parts:
        if part != b"..":
            kept.append(part)
        elif kept:
            kept.pop()
    return kept


def _check(name: bytes, parts: list[bytes], limits: Limits) -> None:
    if len(parts) > limits.depth:
        raise UnsafeLayerError(
            f"path {shown(name)} has {len(parts)} components; the limit is"
            f" {limits.depth}"
        )
    length = sum(map(len, parts)) + len(parts) - 1
    if length > limits.path_bytes:
        raise UnsafeLayerError(
            f"path {shown(name)} has {length} bytes; the limit is {limits.path_bytes}"
        )
    for part in parts:
        check_component(part, name, limits)


def check_component(part: bytes, name: bytes, limits: Limits) -> None:
    """Refuse a component that no filesystem can hold; ``name`` is the whole path.

    Raises:
        UnsafeLayerError: It is too long.
    """
    if len(part) > limits.component_bytes:
        raise UnsafeLayerError(
            f"path {shown(name)} has a component of {len(part)} bytes; the limit is"
            f" {limits.component_bytes}"
        )
