"""What changed between two trees, found by reading both of them whole.

The independent answer for the diff engine: it looks at mounted trees only, and knows
nothing of layers.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from snapfs.overlay_format import XattrPrefix
from support.tree_metadata import Metadata, Tree, read_metadata

Row = tuple[str, bytes, tuple[str, ...]]
"""Kind, path, and of what is modified the fields that differ."""

_FIELDS = {
    "mode": "mode",
    "uid": "uid",
    "gid": "gid",
    "mtime": "mtime_ns",
    "size": "size",
    "device": "device",
    "xattrs": "xattrs",
}


@dataclasses.dataclass
class SeenTree:
    """A mounted tree: the metadata of all names, and which object each is."""

    rows: Tree
    identities: dict[bytes, tuple[int, int]]

    @classmethod
    def read(cls, root: Path, prefix: XattrPrefix) -> SeenTree:
        """Read a tree, without the marks of the other prefix, which no layer holds."""
        others = tuple(p.attribute("") for p in XattrPrefix if p is not prefix)
        rows = read_metadata(bytes(root))
        for row in rows.values():
            for name in [name for name in row.xattrs if name.startswith(others)]:
                del row.xattrs[name]
        identities = {}
        for path in rows:
            status = os.lstat(os.path.join(bytes(root), path))
            identities[path] = (status.st_dev, status.st_ino)
        return cls(rows, identities)

    def names(self) -> dict[bytes, list[bytes]]:
        """Return the names in each directory."""
        found: dict[bytes, list[bytes]] = {
            path: [] for path, row in self.rows.items() if row.type == "directory"
        }
        for path in self.rows:
            if path != b".":
                above, _, name = path.rpartition(b"/")
                found[above or b"."].append(name)
        return found


def expected_changes(before: SeenTree, after: SeenTree) -> list[Row]:
    """Return what differs, in the order that the diff engine promises."""
    had, has = before.names(), after.names()
    linked = _linked_names(before, after, list(_walk(b".", had, has)))
    rows: list[Row] = []
    for path in _walk(b".", had, has):
        old, new = before.rows.get(path), after.rows.get(path)
        if new is None:
            rows.append(("D", path, ()))
        elif old is None:
            rows.append(("A", path, ()))
        else:
            fields = _differing(path, old, new) or (("links",) * (path in linked))
            if fields:
                rows.append(("M", path, fields))
    return rows


def _walk(
    directory: bytes, had: dict[bytes, list[bytes]], has: dict[bytes, list[bytes]]
) -> Iterator[bytes]:
    yield directory
    old, new = set(had.get(directory, ())), set(has[directory])
    for name in [*sorted(old - new), *sorted(new)]:
        path = name if directory == b"." else directory + b"/" + name
        if name in new and path in has:
            yield from _walk(path, had, has)
        else:
            yield path


def _differing(path: bytes, old: Metadata, new: Metadata) -> tuple[str, ...]:
    if old.type != new.type:
        return ("type",)
    found = [
        shown
        for shown, name in _FIELDS.items()
        if getattr(old, name) != getattr(new, name)
        and not (path == b"." and shown == "mtime")
    ]
    if old.content != new.content:
        if new.type == "symlink":
            found.append("target")
        elif not found:
            found.append("content")
    return tuple(found)


def _linked_names(before: SeenTree, after: SeenTree, order: list[bytes]) -> set[bytes]:
    """Return names that are as they were, but links now of another such name."""
    first: dict[tuple[int, int], bytes] = {}
    found = set()
    for path in order:
        old, new = before.rows.get(path), after.rows.get(path)
        if old is None or new is None or _differing(path, old, new) or not new.links:
            continue
        leader = first.setdefault(after.identities[path], path)
        if before.identities[path] != before.identities[leader]:
            found.add(path)
    return found
