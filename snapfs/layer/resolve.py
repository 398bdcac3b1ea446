"""Where a path leads within one layer, its own symlinks followed in memory.

Only what this layer holds is known here. A lower layer's symlink is not followed:
an entry below its name makes a directory that shadows it, as in overlayfs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from snapfs.errors import UnsafeLayerError
from snapfs.layer.admission import ROOT
from snapfs.layer.kinds import Flag, Kind
from snapfs.layer.limits import Limits
from snapfs.layer.nodes import NOBODY, Nodes
from snapfs.layer.paths import check_component
from snapfs.tar.member import shown

_SYMLINKS: Final = 40  # MAXSYMLINKS, linux/namei.h

_REMEMBERED: Final = 512  # directories; a tar comes back to a few parents only
_REMEMBERED_BYTES: Final = 1024


class KnownDirectories:
    """The nodes of directories by the way their paths were written.

    None of these paths leads through a symlink. Whoever replaces a name forgets all
    of them, so that none can mean what is no longer there.
    """

    __slots__ = ("nodes",)

    def __init__(self) -> None:
        self.nodes: dict[bytes, int] = {b"": ROOT}

    def forget(self) -> None:
        """Forget all but the root."""
        self.nodes = {b"": ROOT}

    def remember(self, name: bytes, leaf: bytes, directory: int) -> None:
        """Remember what the part of an entry's name before its leaf means."""
        head, _, last = name.rstrip(b"/").rpartition(b"/")
        if last != leaf or len(head) > _REMEMBERED_BYTES:  # last: "a/b/.", "a/b/.."
            return
        if len(self.nodes) >= _REMEMBERED:
            self.forget()
        self.nodes[head] = directory


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads.

    Attributes:
        directory: The last directory on the way that is there.
        missing: The components after it, none of which is there.
        followed: Whether a symlink was followed.
    """

    directory: int
    missing: list[bytes]
    followed: bool


class Resolver:
    """Follows paths through the tree of one layer."""

    __slots__ = ("_limits", "_nodes", "_steps")

    def __init__(self, nodes: Nodes, limits: Limits) -> None:
        self._nodes = nodes
        self._limits = limits
        self._steps = 0

    def directory(self, parts: list[bytes], name: bytes) -> Place:
        """Return where the directory ``parts`` is or will be.

        ``name`` is the whole path, for messages. ``..`` occurs in targets of symlinks
        only and stops at the root.

        Raises:
            UnsafeLayerError: The way leads below something that is no directory, in
                circles, or too deep.
        """
        nodes = self._nodes
        at = 0
        missing: list[bytes] = []
        symlinks = 0
        pending = parts[::-1]
        while pending:
            part = pending.pop()
            if part == b"..":
                at = self._up(at, missing)
            elif missing or not (node := nodes.find(at, part)):
                missing.append(part)
            elif nodes.kinds[node] == Kind.DIRECTORY:
                at = node
            elif nodes.kinds[node] == Kind.SYMLINK:
                symlinks += 1
                target = self._target(node, symlinks, len(pending), name)
                if target[0] == b"":
                    at = 0
                pending += [p for p in reversed(target) if p not in (b"", b".")]
            else:
                raise self._below(node, name)
        if symlinks:
            self._check_reached(at, missing, name)
        return Place(at, missing, bool(symlinks))

    def _up(self, at: int, missing: list[bytes]) -> int:
        if missing:
            missing.pop()
            return at
        return self._nodes.parents[at]

    def _target(self, node: int, symlinks: int, left: int, name: bytes) -> list[bytes]:
        target = self._nodes.text(node).split(b"/")
        self._steps += len(target) + left
        if symlinks > _SYMLINKS:
            raise UnsafeLayerError(
                f"path {shown(name)} passes through more than {_SYMLINKS} symlinks"
            )
        if self._steps > self._limits.symlink_steps:
            raise UnsafeLayerError(
                f"path {shown(name)}: the layer's paths lead through symbolic links"
                f" more than {self._limits.symlink_steps} steps far"
            )
        return target

    def _below(self, node: int, name: bytes) -> UnsafeLayerError:
        nodes = self._nodes
        return UnsafeLayerError(
            f"path {shown(name)} leads below {shown(nodes.path(node))}, which is"
            f" {Kind(nodes.kinds[node]).words} of this layer"
        )

    def _check_reached(self, at: int, missing: list[bytes], name: bytes) -> None:
        """Apply the limits to where symlinks led, as ``split_path`` did to the name."""
        for part in missing:
            check_component(part, name, self._limits)
        depth, length = len(missing) + 1, sum(map(len, missing)) + len(missing)
        while at and depth <= self._limits.depth:
            depth += 1
            length += len(self._nodes.name(at)) + 1
            at = self._nodes.parents[at]
        if depth > self._limits.depth or length > self._limits.path_bytes:
            raise UnsafeLayerError(
                f"path {shown(name)} leads deeper than {self._limits.depth} components"
                f" or {self._limits.path_bytes} bytes"
            )

    def unmade(self, directory: int) -> list[int]:
        """Return the directories from the root to this one that are not made yet."""
        nodes = self._nodes
        found = []
        while not nodes.flags[directory] & Flag.MADE:
            found.append(directory)
            directory = nodes.parents[directory]
        found.reverse()
        return found

    def leaf(self, place: Place, name: bytes) -> int:
        """Return the node ``name`` at a place, a symlink not followed; or NOBODY."""
        return NOBODY if place.missing else self._nodes.find(place.directory, name)

    def path(self, place: Place, leaf: bytes) -> bytes:
        """Return the path of ``leaf`` at a place, without a leading slash."""
        parts = [*place.missing, leaf]
        if place.directory:
            parts.insert(0, self._nodes.path(place.directory))
        return b"/".join(parts)
