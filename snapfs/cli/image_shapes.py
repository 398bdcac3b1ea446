"""How names in an image read: as JSON, and as lines like those of ls(1)."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from snapfs.cli.wording import timestamp
from snapfs.layer.kinds import Kind

if TYPE_CHECKING:
    from snapfs.inspect.merged import MergedTree, Place
    from snapfs.layer.index import IndexEntry

TYPES: Final = {
    Kind.FILE: "file",
    Kind.DIRECTORY: "directory",
    Kind.SYMLINK: "symlink",
    Kind.CHARACTER_DEVICE: "character-device",
    Kind.BLOCK_DEVICE: "block-device",
    Kind.FIFO: "fifo",
    Kind.WHITEOUT: "whiteout",
    Kind.LOWER_LINK: "lower-link",
}

_FORMATS: Final = {
    Kind.FILE: stat.S_IFREG,
    Kind.DIRECTORY: stat.S_IFDIR,
    Kind.SYMLINK: stat.S_IFLNK,
    Kind.CHARACTER_DEVICE: stat.S_IFCHR,
    Kind.BLOCK_DEVICE: stat.S_IFBLK,
    Kind.FIFO: stat.S_IFIFO,
    Kind.LOWER_LINK: stat.S_IFREG,
}
_NAMES: Final = {
    **{format_: TYPES[kind] for kind, format_ in _FORMATS.items()},
    stat.S_IFREG: TYPES[Kind.FILE],
    stat.S_IFSOCK: "socket",
}


def type_of(mode: int) -> str:
    """Return what a mode of stat(2) says that an object is."""
    return _NAMES[stat.S_IFMT(mode)]


def shown_path(path: bytes) -> str:
    """Return an absolute path as text."""
    return "/" + os.fsdecode(path)


def json_path(path: bytes) -> str:
    """Return a path for JSON; bytes that are no UTF-8 are escaped."""
    return "/" + path.decode("utf-8", "backslashreplace")


def layer_number(tree: MergedTree, place: Place) -> int:
    """Return the number, from 1, of the layer that supplies ``place``."""
    return tree.first + place.layer + 1


def entry_shape(tree: MergedTree, place: Place) -> dict[str, object]:
    """Return one name as JSON."""
    entry = tree.entry(place)
    shape: dict[str, object] = {
        "path": json_path(place.path),
        "type": TYPES[entry.kind],
        "mode": f"{entry.mode:04o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "size_bytes": entry.size_bytes,
        "mtime": timestamp(entry.mtime_ns),
        "layer": layer_number(tree, place),
    }
    if entry.link_target:
        shape["target"] = entry.link_target.decode("utf-8", "backslashreplace")
    if entry.kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE):
        shape["device"] = list(entry.device)
    if entry.xattrs:
        shape["xattrs"] = {
            name.decode("utf-8", "backslashreplace"): value.hex()
            for name, value in sorted(entry.xattrs.items())
        }
    if entry.is_opaque:
        shape["opaque"] = True
    return shape


def long_row(tree: MergedTree, place: Place, name: str) -> tuple[str, ...]:
    """Return the cells of one name in a long listing."""
    entry = tree.entry(place)
    device = entry.kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE)
    size = "{}, {}".format(*entry.device) if device else str(entry.size_bytes)
    return (
        mode_text(entry),
        str(entry.uid),
        str(entry.gid),
        size,
        timestamp(entry.mtime_ns)[:16].replace("T", " "),
        str(layer_number(tree, place)),
        name + _behind(entry),
    )


LONG_COLUMNS: Final = ("MODE", ">UID", ">GID", ">SIZE", "MODIFIED", ">LAYER", "NAME")


def mode_text(entry: IndexEntry) -> str:
    """Return type and permissions as ls(1) does; a whiteout is ``w``."""
    if entry.kind is Kind.WHITEOUT:
        return "w---------"
    return stat.filemode(_FORMATS[entry.kind] | entry.mode)


def _behind(entry: IndexEntry) -> str:
    if entry.kind is Kind.SYMLINK:
        return f" -> {os.fsdecode(entry.link_target)}"
    if entry.kind is Kind.LOWER_LINK:
        return f" link to /{os.fsdecode(entry.link_target)}"
    return " (opaque)" if entry.is_opaque else ""
