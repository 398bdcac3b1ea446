"""Which unchanged names a layer needs, since they are hard links of changed ones.

A layer can link a new name only to a name that it has itself: appliers work in the
directory of one layer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from snapfs.layer.change import Change, ChangeKind

_Identity = tuple[int, int]


class LinkGroups:
    """The hard links of a whole walk, by the object that they name now.

    Args:
        changes: All that was visited, names that did not change as ``UNCHANGED``.
    """

    def __init__(self, changes: Iterable[Change]) -> None:
        # Of each group what its first unchanged name was before, if there is one.
        self._first: dict[_Identity, _Identity] = {}
        self._changed: set[_Identity] = set()
        for change in changes:
            group = change.link_group
            if group is not None and not self._is_as_the_first(group, change):
                self._changed.add(group)

    def _is_as_the_first(self, group: _Identity, change: Change) -> bool:
        if change.kind is not ChangeKind.UNCHANGED:
            return False
        was = _identity(change)
        return self._first.setdefault(group, was) == was

    def settle(self, change: Change) -> Change | None:
        """Say what an unchanged name is to a layer; None if the layer can do without.

        A name that was another object than the first one of its group has become a
        hard link of that, and so is modified.
        """
        group = change.link_group
        if group is None or group not in self._changed:
            return None
        if self._first.get(group) == _identity(change):
            return change
        return dataclasses.replace(change, kind=ChangeKind.MODIFIED, fields=("links",))


def _identity(change: Change) -> _Identity:
    assert change.before is not None  # what has not changed was there
    return change.before.st_dev, change.before.st_ino
