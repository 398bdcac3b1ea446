"""What tests of a layer's tree need: members, a disk in memory, a slow oracle."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from snapfs.errors import UnsafeLayerError
from snapfs.layer.admission import NO_NODE, Action, Admission
from snapfs.layer.index import LayerIndex
from snapfs.layer.kinds import Kind
from snapfs.layer.limits import Limits, Policy
from snapfs.layer.tree import LayerTree
from snapfs.tar import Member, MemberKind


def member(
    name: bytes,
    kind: MemberKind = MemberKind.FILE,
    link: bytes = b"",
    *,
    mode: int = 0o644,
    uid: int = 0,
    size: int = 0,
    mtime_ns: int = 0,
    device: tuple[int, int] = (0, 0),
    xattrs: Mapping[bytes, bytes] | None = None,
    sparse: tuple[tuple[int, int], ...] | None = None,
    data_offset: int = 0,
) -> Member:
    return Member(
        name=name,
        kind=kind,
        mode=mode,
        uid=uid,
        gid=uid,
        size_bytes=size,
        stored_bytes=size,
        mtime_ns=mtime_ns,
        link_name=link,
        device=device,
        xattrs=xattrs or {},
        sparse=sparse,
        header_offset=data_offset,
        data_offset=data_offset,
    )


def directory(name: bytes, mode: int = 0o755) -> Member:
    return member(name, MemberKind.DIRECTORY, mode=mode)


def symlink(name: bytes, target: bytes) -> Member:
    return member(name, MemberKind.SYMLINK, target)


def hard_link(name: bytes, target: bytes) -> Member:
    return member(name, MemberKind.HARDLINK, target)


def grown(
    members: Iterable[Member | bytes],
    limits: Limits | None = None,
    policy: Policy | None = None,
) -> LayerTree:
    """Admit members, bare names as files, with each answer done on a disk."""
    tree = LayerTree(limits or Limits(), policy or Policy())
    disk = Disk()
    for entry in members:
        item = member(entry) if isinstance(entry, bytes) else entry
        disk.obey(tree, item, tree.admit(item))
    disk.finish(tree)
    assert disk.files() == shown_files(tree.index())
    return tree


def listing(index: LayerIndex) -> dict[str, str]:
    """Return each path with what it is, in a few words."""
    found = {}
    groups = {g: index.path(n[0]).decode() for g, n in index.link_groups().items()}
    for path, node in index.walk():
        entry = index.entry(node)
        words = [entry.kind.name.lower()]
        words += [f"{entry.link_target.decode()}"] if entry.link_target else []
        words += ["implied"] if entry.is_implied else []
        words += ["opaque"] if entry.is_opaque else []
        words += [f"={groups[entry.group]}"] if entry.group else []
        key = path.decode()
        found[f"{key}!" if entry.kind == Kind.WHITEOUT else key] = " ".join(words)
    return found


def shown_files(index: LayerIndex) -> dict[bytes, tuple[str, int]]:
    """Return each path with its kind and data, as :meth:`Disk.files` does."""
    return {
        path: (index.kind(node).name, index.data[node]) for path, node in index.walk()
    }


Path = tuple[bytes, ...]


@dataclass
class Disk:
    """A disk in memory that is strict: it refuses what system calls would refuse."""

    objects: dict[Path, tuple[str, int]] = field(
        default_factory=lambda: {(): ("DIRECTORY", 0)}
    )

    def obey(self, tree: LayerTree, item: Member, answer: Admission) -> None:
        if answer.action is Action.NOTHING:
            assert answer.implied == ()
            return
        if answer.replaces != NO_NODE:
            self._remove(tree, answer)
        for node in answer.implied:
            self._make(self._at(tree, node), ("DIRECTORY", 0))
        place = (*self._at(tree, answer.parent), answer.name)
        if answer.action is Action.MAKE:
            node = answer.node
            self._make(place, (tree.kind_of(node).name, tree.nodes.data[node]))
            assert item.kind is not MemberKind.HARDLINK
        elif answer.action is Action.LINK and answer.target != NO_NODE:
            target = self.objects[self._at(tree, answer.target)]
            assert target[0] != "DIRECTORY"
            self._make(place, target)
        elif answer.action is Action.MERGE_DIRECTORY:
            assert self.objects[self._at(tree, answer.node)][0] == "DIRECTORY"

    def finish(self, tree: LayerTree) -> None:
        settlement = tree.settle()
        for node in settlement.missing:
            self._make(self._at(tree, node), ("DIRECTORY", 0))
        for whiteout in settlement.whiteouts:
            place = self._at(tree, whiteout.directory)
            self._make((*place, whiteout.name), ("WHITEOUT", 0))
        for link in settlement.lower_links:
            data = tree.nodes.data[link.node]
            place = self._at(tree, link.directory)
            self._make((*place, link.name), ("LOWER_LINK", data))
        seen: set[int] = set()
        for node in sorted((*settlement.directories, *settlement.implied))[::-1]:
            assert self.objects[self._at(tree, node)][0] == "DIRECTORY"
            seen.add(node)
        assert len(seen) == sum(o[0] == "DIRECTORY" for o in self.objects.values())

    def files(self) -> dict[bytes, tuple[str, int]]:
        """Return each path but the root's with what is there."""
        return {b"/".join(path): what for path, what in self.objects.items() if path}

    def _at(self, tree: LayerTree, node: int) -> Path:
        path = tree.path_of(node)
        return tuple(path.split(b"/")) if path else ()

    def _make(self, place: Path, what: tuple[str, int]) -> None:
        assert place not in self.objects, place
        assert self.objects[place[:-1]][0] == "DIRECTORY", place
        self.objects[place] = what

    def _remove(self, tree: LayerTree, answer: Admission) -> None:
        place = (*self._at(tree, answer.parent), answer.name)
        assert place in self.objects, place
        length = len(place)
        for path in [p for p in self.objects if p[:length] == place]:
            del self.objects[path]


@dataclass
class _Object:
    """One inode of the oracle; a directory has its names in ``names``."""

    kind: str
    target: bytes = b""
    names: dict[bytes, _Object] = field(default_factory=dict)
    whiteouts: set[bytes] = field(default_factory=set)
    is_opaque: bool = False
    is_named: bool = False
    serial: int = field(default_factory=itertools.count().__next__)


class Oracle:
    """A layer as nested dictionaries, each rule in the plainest words."""

    def __init__(self) -> None:
        self.root = _Object("DIRECTORY")

    def admit(self, item: Member) -> None:
        parts = [p for p in item.name.split(b"/") if p not in (b"", b".")]
        if not parts:
            if item.kind is not MemberKind.DIRECTORY:
                raise UnsafeLayerError("root")
            self.root.is_named = True
            return
        *above, leaf = parts
        parent = self._directory(above)
        if leaf == b".wh..wh..opq":
            parent.is_opaque = True
        elif leaf.startswith(b".wh."):
            parent.whiteouts.add(leaf[4:])
        elif item.kind is MemberKind.HARDLINK:
            self._link(parent, leaf, item.link_name)
        elif item.kind is MemberKind.DIRECTORY:
            there = parent.names.get(leaf)
            if there is None or there.kind != "DIRECTORY":
                there = parent.names[leaf] = _Object("DIRECTORY")
            there.is_named = True
        else:
            parent.names[leaf] = _Object(item.kind.name, item.link_name)

    def _link(self, parent: _Object, leaf: bytes, link_name: bytes) -> None:
        *above, last = [p for p in link_name.split(b"/") if p]
        way = self._way(above)
        holder = self._reach(way)
        target = holder.names.get(last) if holder else None
        if holder is parent and last == leaf:
            raise UnsafeLayerError("itself")
        if target is None:
            target = _Object("LOWER_LINK", b"/".join((*way, last)))
            if self._way_of(parent) == way and last == leaf:
                raise UnsafeLayerError("itself")
        if target.kind == "DIRECTORY":
            raise UnsafeLayerError("directory")
        old = parent.names.get(leaf)
        if old and holder and last in holder.names and self._holds(old, holder):
            raise UnsafeLayerError("within")
        parent.names[leaf] = target

    def _holds(self, top: _Object, wanted: _Object) -> bool:
        return top is wanted or any(
            self._holds(child, wanted)
            for child in top.names.values()
            if child.kind == "DIRECTORY"
        )

    def _way_of(self, wanted: _Object) -> list[bytes]:
        def search(top: _Object, way: list[bytes]) -> list[bytes] | None:
            if top is wanted:
                return way
            for name, child in top.names.items():
                if (
                    child.kind == "DIRECTORY"
                    and (found := search(child, [*way, name])) is not None
                ):
                    return found
            return None

        found = search(self.root, [])
        assert found is not None
        return found

    def _way(self, parts: list[bytes], budget: int = 40) -> list[bytes]:
        """Resolve a directory's path to one without symlinks of this layer."""
        way: list[bytes] = []
        rest = list(parts)
        while rest:
            part = rest.pop(0)
            if part in (b"", b"."):
                continue
            if part == b"..":
                way = way[:-1]
                continue
            holder = self._reach(way)
            there = holder.names.get(part) if holder else None
            if there is not None and there.kind == "SYMLINK":
                budget -= 1
                if budget < 0:
                    raise UnsafeLayerError("loop")
                if there.target.startswith(b"/"):
                    way = []
                rest = there.target.split(b"/") + rest
            elif there is not None and there.kind != "DIRECTORY":
                raise UnsafeLayerError("below a file")
            else:
                way.append(part)
        return way

    def _reach(self, way: list[bytes]) -> _Object | None:
        at: _Object | None = self.root
        for part in way:
            at = at.names.get(part) if at else None
        return at

    def _directory(self, parts: list[bytes]) -> _Object:
        at = self.root
        for part in self._way(parts):
            at = at.names.setdefault(part, _Object("DIRECTORY"))
        return at

    def listing(self) -> dict[str, str]:
        """Return the settled layer in the words of :func:`listing`."""
        self._check_lower_links(self.root)
        found: dict[str, tuple[str, int]] = {}
        self._show(self.root, "", self.root.is_opaque, found)
        serials = [serial for _, serial in found.values()]
        first: dict[int, str] = {}
        # The first name in the index is the one on the highest level.
        for path in sorted(found, key=lambda p: (p.count("/"), p.split("/"))):
            first.setdefault(found[path][1], path)
        return {
            path: words + (f" ={first[serial]}" if serials.count(serial) > 1 else "")
            for path, (words, serial) in found.items()
        }

    def _show(
        self,
        top: _Object,
        prefix: str,
        is_hidden: bool,
        found: dict[str, tuple[str, int]],
    ) -> None:
        for name, child in top.names.items():
            path = prefix + name.decode()
            if child.kind != "DIRECTORY":
                words = [child.kind.lower(), child.target.decode()]
                found[path] = (" ".join(filter(None, words)), child.serial)
                continue
            is_whited_out = name in top.whiteouts
            if not self._has_content(child) and (is_hidden or is_whited_out):
                if not is_hidden:
                    found[f"{path}!"] = ("whiteout", -len(found) - 1)
                continue
            is_opaque = not is_hidden and (child.is_opaque or is_whited_out)
            words = ["directory"]
            words += [] if child.is_named else ["implied"]
            words += ["opaque"] if is_opaque else []
            found[path] = (" ".join(words), child.serial)
            self._show(child, f"{path}/", is_hidden or is_opaque, found)
        if not is_hidden:
            for name in top.whiteouts - set(top.names):
                found[f"{prefix}{name.decode()}!"] = ("whiteout", -len(found) - 1)

    def _has_content(self, top: _Object) -> bool:
        return top.is_named or any(
            child.kind != "DIRECTORY" or self._has_content(child)
            for child in top.names.values()
        )

    def _check_lower_links(self, top: _Object) -> None:
        for child in top.names.values():
            if child.kind == "DIRECTORY":
                self._check_lower_links(child)
            elif child.kind == "LOWER_LINK":
                at: _Object | None = self.root
                for part in child.target.split(b"/"):
                    if at is None or at.kind != "DIRECTORY":
                        break
                    if at.is_opaque or part in at.whiteouts:
                        raise UnsafeLayerError("hidden")
                    at = at.names.get(part)
