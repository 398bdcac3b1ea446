"""One case of the conformance table: layers, and the view that they must give.

Layers and views are written in the same words (:mod:`support.applied_layers`): the
view is the list of all that a merged mount shows, with all attributes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import tarfile
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Final

from support.applied_layers import Item, directory, entry, hard_link, symlink, tar_of
from support.tree_metadata import Metadata, Tree

OLD: Final = 1_500_000_000
"""The time of all that the base holds; later layers have the default time."""


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One row of the table.

    Attributes:
        id: Of the test, and of the row in ``docs/layers.md``.
        layers: The lowest first.
        view: All that the merged view shows; None where the image is refused.
        refused: What the refusal says.
        tail: Raw bytes that follow the last layer's tar.
    """

    id: str
    layers: tuple[tuple[Item, ...], ...]
    view: tuple[Item, ...] | None
    refused: str = ""
    tail: bytes = b""

    def tars(self) -> list[bytes]:
        """Return the layers' tars, the lowest first."""
        tars = [tar_of(layer) for layer in self.layers]
        return [*tars[:-1], tars[-1] + self.tail]


BASE: Final[tuple[Item, ...]] = (
    directory("./", 0o755, mtime=OLD),
    directory("d", 0o2750, owner=(5, 6), mtime=OLD, xattrs={"user.base": b"d"}),
    entry("d/old", b"old", mode=0o640, owner=(7, 8), mtime="1500000000.123456789"),
    directory("d/sub", mtime=OLD),
    entry("d/sub/deep", b"deep", mtime=OLD),
    entry("f", b"base", mtime=OLD, xattrs={"user.base": b"f"}),
    entry("h1", b"linked", mtime=OLD),
    hard_link("h2", "h1", mtime=OLD),
    symlink("to-d", "d", mtime=OLD),
    symlink("to-f", "f", mtime=OLD),
)


def on_base(
    id_: str,
    layer: Sequence[Item],
    plus: Sequence[Item] = (),
    minus: Collection[str] = (),
    tail: bytes = b"",
) -> Case:
    """Return a case of one layer on the base.

    The view is the base, without ``minus`` and what is below it, and with ``plus``.
    """
    return Case(id_, (BASE, tuple(layer)), changed(BASE, plus, minus), tail=tail)


def refused(id_: str, layer: Sequence[Item], says: str) -> Case:
    """Return a case of one layer on the base that must be refused."""
    return Case(id_, (BASE, tuple(layer)), None, says)


def changed(
    items: Sequence[Item], plus: Sequence[Item] = (), minus: Collection[str] = ()
) -> tuple[Item, ...]:
    """Return the items of another view."""
    replaced = {_path(info) for info, _ in plus}
    kept = [
        (info, content)
        for info, content in items
        if _path(info) not in replaced
        and not any(f"{_path(info)}/".startswith(f"{gone}/") for gone in minus)
    ]
    return (*kept, *plus)


def tree_of(items: Sequence[Item]) -> Tree:
    """Return what a view of the items has to be, entry by entry."""
    tree: Tree = {}
    groups: dict[bytes, list[bytes]] = {}
    for info, content in items:
        path = _path(info).encode("utf-8", "surrogateescape")
        if info.type == tarfile.LNKTYPE:
            target = info.linkname.encode("utf-8", "surrogateescape")
            tree[path] = tree[target]
            groups.setdefault(target, [target]).append(path)
        else:
            tree[path] = _metadata(info, content)
    for names in groups.values():
        for name in names:
            tree[name] = dataclasses.replace(tree[name], links=tuple(sorted(names)))
    return tree


_TYPES: Final = {
    tarfile.REGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.FIFOTYPE: "fifo",
    tarfile.CHRTYPE: "character device",
    tarfile.BLKTYPE: "block device",
}


def _path(info: tarfile.TarInfo) -> str:
    return info.name.removeprefix("./").strip("/") or "."


def _metadata(info: tarfile.TarInfo, content: bytes) -> Metadata:
    shown = b""
    if info.type == tarfile.REGTYPE:
        shown = hashlib.sha256(content).digest()
    elif info.type == tarfile.SYMTYPE:
        shown = info.linkname.encode("utf-8", "surrogateescape")
    xattrs = {
        key.removeprefix("SCHILY.xattr."): value.encode("utf-8", "surrogateescape")
        for key, value in sorted(info.pax_headers.items())
        if key.startswith("SCHILY.xattr.")
    }
    seconds = Decimal(info.pax_headers.get("mtime", str(info.mtime)))
    return Metadata(
        type=_TYPES[info.type],
        mode=info.mode,
        uid=info.uid,
        gid=info.gid,
        size=len(content) if info.type == tarfile.REGTYPE else 0,
        content=shown,
        device=(info.devmajor, info.devminor),
        mtime_ns=int(seconds * 1_000_000_000),
        xattrs=xattrs,
    )
