"""What an inspection says of an image, as a tree to compare with a mount's."""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from snapfs.image.layout import open_layout
from snapfs.image.resolve import open_image
from snapfs.inspect.contents import BlobContents
from snapfs.inspect.inspection import Inspection, Layer
from snapfs.inspect.merged import MergedTree, Place
from snapfs.layer.index_cache import IndexCache
from snapfs.layer.kinds import Kind
from snapfs.layer.limits import DEFAULT_XATTRS, Limits
from snapfs.unpack.indexes import layer_index
from support.tree_metadata import Metadata, Tree

_TYPES = {
    Kind.FILE: "file",
    Kind.DIRECTORY: "directory",
    Kind.SYMLINK: "symlink",
    Kind.CHARACTER_DEVICE: "character device",
    Kind.BLOCK_DEVICE: "block device",
    Kind.FIFO: "fifo",
}


@contextlib.contextmanager
def inspected(layout: Path, cache: Path) -> Iterator[Inspection]:
    """Inspect the image of a layout."""
    with open_layout("image", str(layout)) as source:
        layers = []
        image = open_image(source)
        for number, layer in enumerate(image.layers, 1):
            index = layer_index(source, layer, IndexCache(str(cache)), Limits())
            layers.append(
                Layer(
                    number,
                    str(layer.descriptor.digest),
                    str(layer.diff_id),
                    str(layer.chain_id),
                    layer.descriptor.size_bytes,
                    layer.command,
                    index,
                    BlobContents(source, layer),
                )
            )
        yield Inspection("image", layers, image)


def shown(inspection: Inspection, tree: MergedTree | None = None) -> Tree:
    """Return all that the merged tree shows, contents hashed."""
    tree = tree or inspection.tree()
    found: Tree = {b".": _metadata(inspection, tree, tree.root)}
    groups: defaultdict[tuple[int, int], list[bytes]] = defaultdict(list)
    for place in tree.walk():
        found[place.path] = _metadata(inspection, tree, place)
        if group := tree.entry(place).group:
            groups[place.layer, group].append(place.path)
    for names in groups.values():
        for name in names if len(names) > 1 else ():
            found[name] = dataclasses.replace(found[name], links=tuple(sorted(names)))
    return found


def _metadata(inspection: Inspection, tree: MergedTree, place: Place) -> Metadata:
    entry = tree.entry(place)
    content = entry.link_target
    if entry.kind is Kind.FILE:
        digest = hashlib.sha256()
        for piece in inspection.read(tree, place):
            digest.update(piece)
        content = digest.digest()
    return Metadata(
        type=_TYPES[entry.kind],
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        size=entry.size_bytes if entry.kind is Kind.FILE else 0,
        content=content,
        device=entry.device,
        mtime_ns=entry.mtime_ns,
        xattrs={
            os.fsdecode(name): value
            for name, value in entry.xattrs.items()
            if any(fnmatch.fnmatch(os.fsdecode(name), p) for p in DEFAULT_XATTRS)
        },
    )
