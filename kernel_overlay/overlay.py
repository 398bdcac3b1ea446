"""One overlay to mount, read from the words of a ``Mount``.

What stands in ``Mount.options`` is not escaped: ``lowerdir=`` is split at each colon,
``lowerdir+=`` holds one path, whatever its bytes.
"""

from __future__ import annotations

import os

from snapfs.errors import InvalidArgumentError
from snapfs.kernel_overlay import id_map
from snapfs.kernel_overlay.options import check_count
from snapfs.kernel_overlay.words import Words, sort_out
from snapfs.model import Mount
from snapfs.values import dataclass


@dataclass(frozen=True, slots=True)
class Overlay:
    """One overlay to mount, its words sorted out.

    Attributes:
        source: What the mount table will show as the device.
        lowerdirs: Highest first.
        upperdir: "" for a read-only overlay.
        workdir: "" for a read-only overlay.
        words: The flags, and the data that is no directory.
        id_maps: The values of ``uidmap=`` and ``gidmap=``; None for none.
    """

    source: str
    lowerdirs: tuple[str, ...]
    upperdir: str
    workdir: str
    words: Words
    id_maps: tuple[str, str] | None

    @property
    def must_be_writable(self) -> bool:
        """Whether a read-only mount would be a broken promise."""
        return bool(self.upperdir) and not self.words.is_read_only

    @property
    def directories(self) -> tuple[tuple[str, str], ...]:
        """The parameter and path of each directory, lowerdirs last."""
        upper = (("upperdir", self.upperdir), ("workdir", self.workdir))
        lower = (("lowerdir+", path) for path in self.lowerdirs)
        return (*(upper if self.upperdir else ()), *lower)


def parse(mount: Mount) -> Overlay:
    """Sort out the options of an overlay mount.

    Raises:
        InvalidArgumentError: The kernel would refuse this set of directories.
        ResourceExhaustedError: There are more than 500 lowerdirs.
    """
    words = sort_out(mount.options)
    values: dict[str, str] = {}
    lowerdirs: list[str] = []
    data = []
    for word in words.data:
        name, _, value = word.partition("=")
        if name == "lowerdir":
            lowerdirs += _split(value)
        elif name == "lowerdir+":
            lowerdirs.append(value)
        elif name in ("upperdir", "workdir", "uidmap", "gidmap"):
            values[name] = value
        else:
            data.append(word)
    overlay = Overlay(
        source=mount.source or "overlay",
        lowerdirs=tuple(lowerdirs),
        upperdir=values.get("upperdir", ""),
        workdir=values.get("workdir", ""),
        words=Words(words.flags, tuple(data)),
        id_maps=id_map.pair(values),
    )
    _check(overlay)
    return overlay


def _split(value: str) -> list[str]:
    if "\\" in value:
        raise InvalidArgumentError(
            f"a backslash in lowerdir={value} can be read in two ways; use lowerdir+="
        )
    return value.split(":")


def _check(overlay: Overlay) -> None:
    check_count(overlay.lowerdirs)
    if not all(overlay.lowerdirs):
        raise InvalidArgumentError("a lowerdir of an overlay has no name")
    if bool(overlay.upperdir) != bool(overlay.workdir):
        raise InvalidArgumentError("upperdir and workdir go together")
    if len(overlay.lowerdirs) < (1 if overlay.upperdir else 2):
        raise InvalidArgumentError(
            "an overlay needs a lowerdir and an upperdir, or two lowerdirs"
        )


def mount_data(overlay: Overlay) -> bytes:
    """Return the data of mount(2), escaped as ``fs/overlayfs/params.c`` reads it.

    Long values stand last, so that a cut could not take a short one away.
    """
    words = [os.fsencode(word) for word in overlay.words.data]
    if overlay.upperdir:
        words.append(b"workdir=" + _escaped(overlay.workdir))
        words.append(b"upperdir=" + _escaped(overlay.upperdir))
    layers = (_escaped(path).replace(b":", b"\\:") for path in overlay.lowerdirs)
    return b",".join((*words, b"lowerdir=" + b":".join(layers)))


def _escaped(path: str) -> bytes:
    return os.fsencode(path).replace(b"\\", b"\\\\").replace(b",", b"\\,")
