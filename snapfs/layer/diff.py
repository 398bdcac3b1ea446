"""What has changed between two trees of layers: one walk that looks at both.

Each tree is a chain of layers in overlayfs form. What both chains have at their bottom
cannot make a difference: where a directory is merged of the same lower directories in
both, only what lies above them is listed. So an upperdir against the layers below it
costs a walk of the upperdir, and a look-up in the layers for each name in it; two
unrelated directories cost a walk of both, side by side.

No rule for opaque directories or redirects is needed: names of an opaque directory are
compared with what lies beneath it, and what the upperdir lacks is deleted by name,
which every tool that applies layers understands; a directory that was renamed is
deleted under its old name and added, with all that it holds, under its new one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from snapfs.layer.change import ROOT_PATH, Change, ChangeKind
from snapfs.layer.compare import differing
from snapfs.layer.layer_directories import LayerDirectories
from snapfs.layer.layer_search import Part
from snapfs.layer.layer_view import LayerView, Shown
from snapfs.layer.link_groups import LinkGroups
from snapfs.layer.notes import Notes
from snapfs.layer.stored_owners import StoredOwners
from snapfs.overlay_format import XattrPrefix

StrPath = str | bytes

# Removed, or replaced by what is no directory, since it was listed: a container may
# run on the upperdir.
_GONE: Final = (FileNotFoundError, NotADirectoryError)


@contextlib.contextmanager
def opened_diff(
    before: Sequence[StrPath],
    after: Sequence[StrPath],
    prefix: XattrPrefix,
    *,
    unchanged: bool = False,
    notes: Notes | None = None,
    owners: StoredOwners | None = None,
) -> Iterator[Iterator[Change]]:
    """Compare two chains of layers, each highest first; yield the changes lazily.

    An upperdir is compared with what it is mounted on by ``before=lowers`` and
    ``after=(upper, *lowers)``. No layer below an opaque root belongs into a chain.
    An empty ``before`` stands for an empty tree. Sources of changes can be read
    until the context ends.

    The root is never added: every tree has one. Its time does not count: a
    snapshot's root is as old as the snapshot. Hard links that copy-up has broken are
    no change, those that were made are.

    Args:
        before: The directories of the tree as it was.
        after: The directories of the tree as it is; one at least.
        prefix: Where the layers keep their marks.
        unchanged: Also give what did not change and a layer needs: directories of
            what changed, hard links of what changed.
        notes: Told of extended attributes that are left out when they are read.
        owners: How the host's owners are shown, in layers that have such.

    Raises:
        UnimplementedError: See :func:`snapfs.layer.compare.differing`.
        OSError: A layer cannot be read; raised by the iterator, too.
    """
    directories = LayerDirectories()
    try:
        old = [directories.add(path) for path in before]
        new = [directories.add(path) for path in after]
        yield iter(
            TreeDiff(
                LayerView(directories, old, prefix, owners),
                LayerView(directories, new, prefix, owners),
                unchanged=unchanged,
                notes=notes,
            )
        )
    finally:
        directories.close()


@dataclass(frozen=True, slots=True)
class _Source:
    """Reads an object of a view."""

    view: LayerView
    shown: Shown
    notes: Notes

    def open_content(self) -> int:
        return self.view.open_content(self.shown)

    def xattrs(self) -> Mapping[bytes, bytes]:
        return self.view.xattrs(self.shown, self.notes)

    def link_target(self) -> bytes:
        return self.view.link_target(self.shown)


class TreeDiff:
    """The changes between two views of the same :class:`LayerDirectories`.

    Iterate as often as is wanted; each time it is a new walk.
    """

    def __init__(
        self,
        before: LayerView,
        after: LayerView,
        *,
        unchanged: bool = False,
        notes: Notes | None = None,
    ) -> None:
        self._before = before
        self._after = after
        self._unchanged = unchanged
        self._notes = notes or Notes()
        self._shared = _common_suffix(before.chain, after.chain)

    def __iter__(self) -> Iterator[Change]:
        """Yield the changes in the order of :mod:`snapfs.layer.change`."""
        waiting: list[tuple[int, Change]] = []  # directories that did not change
        groups: LinkGroups | None = None
        for depth, visited in self._walk():
            while waiting and waiting[-1][0] >= depth:
                waiting.pop()
            change: Change | None = visited
            if visited.kind is ChangeKind.UNCHANGED:
                if visited.link_group is None:
                    waiting.append((depth, visited))
                    continue
                if groups is None:
                    groups = LinkGroups(seen for _, seen in self._walk())
                change = groups.settle(visited)
            if change is None:
                continue
            if self._unchanged:
                yield from (above for _, above in waiting)
                waiting.clear()
            elif change.kind is ChangeKind.UNCHANGED:
                continue
            yield change

    def _walk(self) -> Iterator[tuple[int, Change]]:
        """Yield what was visited, with its depth.

        What did not change is ``UNCHANGED`` if it is a directory that was looked
        into or has hard links; all else of that kind is left out.
        """
        old, new = self._before.root(), self._after.root()
        assert new is not None  # a chain has layers
        yield 0, self._root(old, new)
        frames = [self._children(old, new, b"")]
        while frames:
            step = next(frames[-1], None)
            if step is None:
                frames.pop()
                continue
            change, old, new = step
            yield len(frames), change
            if new is not None and new.parts:
                was_directory = old is not None and old.parts
                old = old if was_directory else None
                frames.append(self._children(old, new, change.path + b"/"))

    def _root(self, old: Shown | None, new: Shown) -> Change:
        found: tuple[str, ...] = ()
        if old is not None:
            found = differing(old, self._before, new, self._after)
        fields = tuple(name for name in found if name != "mtime")
        kind = ChangeKind.MODIFIED if fields else ChangeKind.UNCHANGED
        before = old.status if old is not None else None
        source = _Source(self._after, new, self._notes)
        return Change(kind, ROOT_PATH, new.status, before, fields, source)

    def _children(
        self, old: Shown | None, new: Shown, prefix: bytes
    ) -> Iterator[tuple[Change, Shown | None, Shown | None]]:
        """Yield what happened in one directory, deletions first."""
        there: list[tuple[bytes, Shown | None, Shown]] = []
        for path, was, now in self._look_up(old, new, prefix):
            if now is None:
                if was is not None:
                    yield Change(ChangeKind.DELETED, path, None, was.status), None, None
            elif was is None or not self._is_shared(was.place, now.place):
                there.append((path, was, now))
        for path, was, now in there:
            change = self._compare(was, now, path)
            if change is not None:
                yield change, was, now

    def _look_up(
        self, old: Shown | None, new: Shown, prefix: bytes
    ) -> Iterator[tuple[bytes, Shown | None, Shown | None]]:
        """Yield path, what was and what is there, of each name that can differ."""
        for name in sorted(self._names(old, new)):
            path = prefix + name
            try:
                was = self._before.child(old, name) if old is not None else None
                now = self._after.child(new, name)
            except _GONE:
                continue
            except OSError as error:
                raise _named(error, path) from error
            yield path, was, now

    def _compare(self, was: Shown | None, now: Shown, path: bytes) -> Change | None:
        source = _Source(self._after, now, self._notes)
        if was is None:
            return Change(ChangeKind.ADDED, path, now.status, source=source)
        try:
            fields = differing(was, self._before, now, self._after)
        except _GONE:
            return None
        except OSError as error:
            raise _named(error, path) from error
        kind = ChangeKind.MODIFIED if fields else ChangeKind.UNCHANGED
        change = Change(kind, path, now.status, was.status, fields, source)
        is_needed = fields or now.parts or change.link_group is not None
        return change if is_needed else None

    def _names(self, old: Shown | None, new: Shown) -> set[bytes]:
        """Return the names that can differ: not those of shared directories alone."""
        theirs = list(old.parts) if old is not None else []
        ours = list(new.parts)
        while theirs and ours and self._is_shared(theirs[-1], ours[-1]):
            theirs.pop()
            ours.pop()
        try:
            return self._before.names(theirs) | self._after.names(ours)
        except _GONE:
            return set()

    def _is_shared(self, theirs: Part, ours: Part) -> bool:
        """Tell whether two parts are one, with the same layers beneath it."""
        height = len(self._before.chain) - theirs.position
        return (
            height == len(self._after.chain) - ours.position
            and height <= self._shared
            and theirs.path == ours.path
        )


def _named(error: OSError, path: bytes) -> OSError:
    """Return the error with the path in the tree, not the entry of a descriptor."""
    return OSError(error.errno, error.strerror, path)


def _common_suffix(left: Sequence[int], right: Sequence[int]) -> int:
    count = 0
    for ours, theirs in zip(reversed(left), reversed(right), strict=False):
        if ours != theirs:
            break
        count += 1
    return count
