"""An image of three layers that do all that layers can, and what it must look like.

What a mount has to show is computed by GNU tar (:mod:`support.reference_unpack`),
from an image that has only the layers in question.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from layers.case import BASE, OLD

from support.applied_layers import Item, directory, entry, hard_link, symlink, tar_of
from support.layouts import LayoutWriter
from support.reference_unpack import unpack_by_tar
from support.tree_metadata import Tree, read_metadata

# tar leaves attributes that an entry does not name; a layer takes them away.
_XATTRS: Final = {"user.base": b"d", "user.second": b"d"}

LAYERS: Final[tuple[tuple[Item, ...], ...]] = (
    BASE,
    (
        directory("./", 0o755, mtime=OLD),
        directory("d", 0o2750, owner=(5, 6), xattrs=_XATTRS),
        entry("d/.wh.old"),
        directory("d/sub"),
        entry("d/sub/.wh..wh..opq"),
        entry("d/sub/fresh", b"fresh", mode=0o4755),
        entry("to-d", b"a file now"),
        directory("f"),
        entry("f/within", b"within"),
        entry("big", b"x" * 100_000, mtime="1600000000.123456789"),
        hard_link("big-too", "big"),
    ),
    (
        directory("./", 0o755, mtime=OLD),
        entry(".wh.h1"),
        entry("big", b"y" * 50),
        directory("d", 0o700, xattrs=_XATTRS),
        symlink("d/link", "../f/within"),
        directory("new", 0o1777),
        entry("new/\N{LATIN SMALL LETTER E WITH ACUTE} name", b"odd"),
    ),
)


def write_layout(
    path: Path, layers: Sequence[Sequence[Item]] = LAYERS, **config: object
) -> Path:
    """Write an OCI layout of gzip layers; ``config`` is the image's."""
    writer = LayoutWriter(path)
    for layer in layers:
        writer.add_layer([tar_of(layer)])
    return writer.finish(**config)


def expected_tree(scratch: Path, layers: Sequence[Sequence[Item]] = LAYERS) -> Tree:
    """Return what GNU tar makes of the layers; ``scratch`` is a new directory."""
    scratch.mkdir()
    layout = write_layout(scratch / "layout", layers)
    unpack_by_tar(layout, scratch / "rootfs")
    return read_metadata(os.fsencode(scratch / "rootfs"))
