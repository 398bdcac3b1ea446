"""How overlayfs finds a name in its layers, followed by hand.

The rules are those of ``fs/overlayfs/namei.c`` (``ovl_lookup``): from the top layer
down, stop at a whiteout, at a non-directory, below an opaque directory; follow
redirects of directories, and of files whose data lies lower (metacopy).
"""

from __future__ import annotations

import dataclasses
import enum
import os
import stat
from collections.abc import Sequence

from snapfs.overlay_format import (
    XattrPrefix,
    is_opaque,
    is_whiteout,
    is_xattr_whiteout,
)
from snapfs.overlay_marks import Marks


class Role(enum.StrEnum):
    """What a layer does to a path."""

    SUPPLIES = "supplies"
    MERGED = "merged"
    DATA = "data"
    REMOVES = "removes"
    HIDES = "hides"


@dataclasses.dataclass(frozen=True, slots=True)
class Appearance:
    """One layer in which a path, or what hides it, appears.

    Attributes:
        number: Of the layer, from 1 at the top.
        layer: The directory of the layer.
        path: The object in that layer.
        role: What it does.
    """

    number: int
    layer: str
    path: str
    role: Role


@dataclasses.dataclass(frozen=True, slots=True)
class OverlayLayers:
    """The directories of a mount, from the top, and where their marks are.

    Attributes:
        directories: With the upperdir, if there is one.
        prefix: Of the marks.
        is_overlay: Whether it is a union at all; else one directory as it is.
        upper: The upperdir; "" for none.
    """

    directories: tuple[str, ...]
    prefix: XattrPrefix = XattrPrefix.TRUSTED
    is_overlay: bool = True
    upper: str = ""

    @classmethod
    def from_options(cls, options: Sequence[str]) -> OverlayLayers:
        """Read the options of an overlay as the mount table shows them."""
        upper: list[str] = []
        lower: list[str] = []
        for option in options:
            name, _, value = option.partition("=")
            if name == "upperdir":
                upper = [value]
            elif name == "lowerdir":
                lower += [part for part in value.split(":") if part]
            elif name == "lowerdir+":
                lower.append(value)
        is_user = "userxattr" in options
        return cls(
            (*upper, *(_absolute(path, upper) for path in lower)),
            XattrPrefix.USER if is_user else XattrPrefix.TRUSTED,
            upper="".join(upper),
        )


def _absolute(path: str, upper: Sequence[str]) -> str:
    """Undo containerd's shortening of long options.

    It mounts from the parent directory of all layers with relative names
    (``core/mount/mount_linux.go``, ``compactLowerdirOption``), upperdir apart.
    """
    if os.path.isabs(path) or not upper:
        return path
    above = os.path.dirname(upper[0])
    while above != "/":
        candidate = os.path.join(above, path)
        if os.path.isdir(candidate):
            return candidate
        above = os.path.dirname(above)
    return path


def trace(layers: OverlayLayers, path: str) -> list[Appearance]:
    """Return the layers that have a say about ``path``, the winner first.

    ``path`` is relative to the root of the mount, with no ``..`` in it.

    Raises:
        OSError: A layer cannot be read.
    """
    found: list[Appearance] = []
    parts = [part for part in path.split("/") if part not in ("", ".")]
    is_directory = False
    for number, layer in enumerate(layers.directories, start=1):
        step = _look_up(layer, parts, layers.prefix, is_top=number == 1)
        if step.role is not None:
            role = step.role
            if found:
                # What hides the rest, or is of another type, adds nothing.
                if role is not Role.SUPPLIES or step.is_directory != is_directory:
                    break
                role = Role.MERGED if is_directory else Role.DATA
            is_directory = step.is_directory
            found.append(Appearance(number, layer, step.path, role))
        if step.is_last:
            break
        parts = step.parts
    return found


@dataclasses.dataclass(slots=True)
class _Step:
    """What the look-up in one layer came to.

    Attributes:
        parts: The path to look for in the layers below.
        path: Where the look-up ended.
        role: What this layer does to the path; None for nothing.
        is_last: Whether the layers below are out of sight.
        is_directory: Whether the object is a directory.
    """

    parts: list[str]
    path: str
    role: Role | None = None
    is_last: bool = False
    is_directory: bool = False


def _look_up(
    layer: str, parts: list[str], prefix: XattrPrefix, *, is_top: bool
) -> _Step:
    step = _Step(list(parts), layer)
    if not parts:
        step.role, step.is_directory = Role.SUPPLIES, True
        return step
    below: list[str] = []
    for position, name in enumerate(parts):
        step.path = os.path.join(step.path, name)
        is_final = position == len(parts) - 1
        below.append(name)
        try:
            status = os.lstat(step.path)
        except FileNotFoundError:
            step.parts = [*below, *parts[position + 1 :]]
            return step
        if _hides(step.path, status, prefix, is_top=is_top):
            step.role, step.is_last = Role.REMOVES, True
            return step
        step.is_directory = stat.S_ISDIR(status.st_mode)
        if not step.is_directory:
            step.role = Role.SUPPLIES if is_final else Role.HIDES
            step.is_last = not (is_final and _is_metacopy(step.path, prefix))
        elif is_opaque(step.path, prefix):
            step.is_last = True
        if step.is_directory or not step.is_last:
            below = _redirected(step.path, below, prefix)
        if not step.is_directory:
            step.parts = below
            return step
    step.role = Role.SUPPLIES
    step.parts = below
    return step


def _hides(
    path: str, status: os.stat_result, prefix: XattrPrefix, *, is_top: bool
) -> bool:
    return is_whiteout(status) or (
        not is_top and is_xattr_whiteout(path, status, prefix)
    )


def _is_metacopy(path: str, prefix: XattrPrefix) -> bool:
    return Marks(os.fsencode(path), prefix).is_metacopy()


def _redirected(path: str, below: list[str], prefix: XattrPrefix) -> list[str]:
    """Return where the lower layers have what is at ``below`` here.

    "/a/b" is a path from the root, "b" another name in the same directory
    (``ovl_check_redirect``).
    """
    target = Marks(os.fsencode(path), prefix).redirect()
    if target is None:
        return below
    text = os.fsdecode(target)
    if text.startswith("/"):
        return [part for part in text.split("/") if part]
    return [*below[:-1], text]
