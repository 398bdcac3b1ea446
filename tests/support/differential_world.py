"""The oracle and the subject over the same lower layers, and their comparison."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from support.differential_actors import DIED, HANGS
from support.differential_choices import EXCHANGE, REMOUNT, ROTATE
from support.differential_explained import Difference, settlement, unexplained
from support.differential_formats import make_data
from support.differential_operations import (
    Operation,
    Outcome,
    Sight,
    brief,
    parent_of,
)
from support.differential_plan import Plan
from support.differential_sides import FAULTS, Side, calls_of, mounter
from support.differential_view import GHOST, View, differing, shown
from support.tree_changes import apply_changes
from support.tree_metadata import Tree, compare, read_metadata

_MOST_LAYERS = 7
_DROP_INODES = "2"
_NEVER_NS = 1 << 63
_NOT_EMPTY = Outcome("ENOTEMPTY")


@dataclasses.dataclass(frozen=True, slots=True)
class _Fingerprint:
    tree: Tree
    identities: dict[bytes, tuple[int, int]]  # inode and change time


class World:
    """Both sides mounted; a context manager.

    Args:
        plan: What is mounted.
        directory: Empty; all goes in here, and it is emptied at the end.
    """

    def __init__(self, plan: Plan, directory: Path) -> None:
        self._plan = plan
        self._directory = directory
        kind = "engine" if plan.subject == "engine" else "kernel"
        assert kind == "engine" or plan.subject in ("kernel", *FAULTS)
        self._data: list[Path] = []
        if plan.formats == "all":
            self._data.append(directory / "data")
            self._data[0].mkdir()
            apply_changes(self._data[0], make_data(random.Random(plan.seed)))
        oracle = mounter("kernel", plan, self._data)
        subject = mounter(kind, plan, self._data)
        self._sides = (
            Side(directory / "oracle", oracle, calls_of("kernel")),
            Side(directory / "subject", subject, calls_of(plan.subject)),
        )
        *lowers, upper = plan.layers()
        self._lowers: list[Path] = []  # highest first
        for changes in lowers:
            apply_changes(self._new_lower(), changes)
        for side in self._sides:
            apply_changes(side.upper, upper)
        # Setting times on purpose goes years back; the clock of files is coarse.
        self._start_ns = time.time_ns() - 10**9

    def __enter__(self) -> Self:
        self._mount()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for side in self._sides:
            side.stop()
        for path in self._directory.iterdir():
            shutil.rmtree(path)

    def perform(self, operation: Operation) -> tuple[Outcome, list[Difference]]:
        """Do one operation on both; return the oracle's outcome and what differs."""
        if operation.call in (REMOUNT, EXCHANGE, ROTATE):
            return Outcome(""), self._unexplained(self._cycle(operation))
        outcomes = [side.actors.perform(operation) for side in self._sides]
        found = list(_between(operation, *outcomes))
        if operation.call == "rename" and outcomes[0] == outcomes[1] == _NOT_EMPTY:
            found += self._times_after(operation)
        if settling := settlement(found, self._plan.mode):
            settled = [side.actors.perform(settling) for side in self._sides]
            found += _between(settling, *settled)
        return outcomes[0], self._unexplained(found)

    def _times_after(self, rename: Operation) -> Iterator[Difference]:
        """Compare the times of a directory from which a rename was refused."""
        parent = parent_of(rename.arguments[0])
        look = Operation(0, "stat", (parent, True))
        if isinstance(parent, int):
            look = Operation(rename.actor, "fstat", (parent,))
        want, have = (side.actors.perform(look).value for side in self._sides)
        if isinstance(want, dict) and isinstance(have, dict) and want != have:
            times = want["mtime"], have["mtime"]
            yield Difference(
                "outcome", "mtime after ENOTEMPTY", *times, operation=rename
            )

    @property
    def deaths(self) -> int:
        """How many of the engine's servers were killed."""
        return self._sides[1].deaths

    def look(self) -> tuple[View, list[Difference]]:
        """Compare the whole trees; return the oracle's and what differs."""
        try:
            found = self._views()
        except OSError as error:
            return {}, [Difference("view", "readable", "a tree", error)]
        want, have = (shown(view, self._sight) for view in found)
        return want, self._unexplained(
            [*_in_views(want, have), *self._in_listings(found)]
        )

    def finish(self) -> list[Difference]:
        """Exchange the uppers a last time; unmount; look at what is left behind."""
        found = self._cycle(Operation(0, EXCHANGE))
        return self._unexplained([*found, *self._unmount()])

    def layers_with(self, paths: set[bytes]) -> Iterator[str]:
        """Yield the changes that made ``paths`` in each layer, for a report."""
        for number, changes in enumerate(self._plan.layers()):
            for change in changes:
                path = os.fsencode(getattr(change, "path", ""))
                if path in paths:
                    yield f"layer {number}: {brief(change)}"

    def _unexplained(self, differences: Iterable[Difference]) -> list[Difference]:
        return unexplained(differences, self._plan.mode)

    def _views(self) -> list[View]:
        return [side.actors.view() for side in self._sides]

    def _cycle(self, operation: Operation) -> list[Difference]:
        """Unmount both and mount them again; all must look as before."""
        try:
            before = self._views()
            found = self._unmount()
            if operation.call == EXCHANGE:
                self._sides[0].exchange_with(self._sides[1])
                before.reverse()
            elif operation.call == ROTATE and len(self._lowers) < _MOST_LAYERS:
                before = self._rotate(operation, before)
            self._mount()
            after = self._views()
        except (OSError, RuntimeError) as error:
            return [Difference("mount", "mountable", "a tree", error, b"", operation)]
        for want, have in zip(before, after, strict=True):
            if operation.call == ROTATE:
                found += _in_views(self._rotated(want), self._rotated(have), operation)
            else:
                found += _in_views(self._kept(want), self._kept(have), operation)
        return [*found, *self._in_listings(after)]

    def _kept(self, view: View) -> View:
        """Return what of a view a new mount must show unchanged, numbers included."""
        every_ino = frozenset(seen.ino for seen in view.values())
        return shown(view, Sight(every_ino, _NEVER_NS, not self._plan.userxattr))

    def _rotated(self, view: View) -> View:
        """Return what of a view stays when the upper becomes the topmost lower.

        The root becomes the new upper's. Numbers change: origins in lowers are not
        read.
        """
        sight = Sight(frozenset(), _NEVER_NS, not self._plan.userxattr)
        return {p: seen for p, seen in shown(view, sight).items() if p != b"."}

    def _in_listings(self, views: list[View]) -> Iterator[Difference]:
        """The engine's listings must tell inode numbers as stat(2) does.

        The kernel's do not: of an object that came into an upper directory with its
        origin, a listing shows the upper's number until the directory is impure.
        """
        if self._plan.subject == "engine":
            for path, seen in views[1].items():
                if seen.d_ino != seen.ino and seen.kind != GHOST:
                    yield Difference("view", "d_ino", seen.ino, seen.d_ino, path)

    def _rotate(self, operation: Operation, before: list[View]) -> list[View]:
        """Make the upper of one side the topmost lower layer of both."""
        chosen = operation.arguments[0]
        giver = self._sides[1 if chosen else 0]
        target = self._new_lower()
        target.rmdir()
        for side in self._sides:
            side.give_upper(target if side is giver else None)
        view = before[self._sides.index(giver)]
        return [view, view]

    def _new_lower(self) -> Path:
        path = self._directory / f"lower{len(self._lowers)}"
        path.mkdir()
        self._lowers.insert(0, path)
        return path

    @property
    def _layers(self) -> list[Path]:
        """All that may not change."""
        return [*self._lowers, *self._data]

    def _mount(self) -> None:
        self._fingerprints = [_fingerprint(lower) for lower in self._layers]
        inos = {
            ino
            for fingerprint in self._fingerprints
            for ino, _ in fingerprint.identities.values()
        }
        self._sight = Sight(frozenset(inos), self._start_ns, not self._plan.userxattr)
        for side in self._sides:
            kill_seed = self._plan.seed if self._plan.kills else None
            side.start(self._lowers, self._sight, kill_seed)

    def _unmount(self) -> list[Difference]:
        found = []
        for side in self._sides:
            found += [
                Difference("workdir", "leftovers", "none", line) for line in side.stop()
            ]
        if self._plan.drops_caches:
            with suppress(PermissionError):
                Path("/proc/sys/vm/drop_caches").write_text(_DROP_INODES)
        return [*found, *self._in_lowers()]

    def _in_lowers(self) -> Iterator[Difference]:
        for lower, before in zip(self._layers, self._fingerprints, strict=True):
            after = _fingerprint(lower)
            for line in compare(after.tree, before.tree):
                yield Difference("lower layers", "metadata", "unchanged", line)
            for path, identity in before.identities.items():
                have = after.identities.get(path)
                if have != identity:
                    yield Difference("lower layers", "ctime", identity, have, path)


def _fingerprint(lower: Path) -> _Fingerprint:
    tree = read_metadata(os.fsencode(lower))
    identities = {}
    for path in tree:
        status = os.lstat(os.path.join(os.fsencode(lower), path))
        identities[path] = (status.st_ino, status.st_ctime_ns)
    return _Fingerprint(tree, identities)


def _between(
    operation: Operation, expected: Outcome, actual: Outcome
) -> Iterator[Difference]:
    if expected == actual and expected.error not in (HANGS, DIED):
        return
    want, have = expected.value, actual.value
    if isinstance(want, dict) and isinstance(have, dict):
        for field in want:
            if want[field] != have[field]:
                yield Difference(
                    "outcome", field, want[field], have[field], b"", operation
                )
        return
    field = "errno" if expected.error or actual.error else "value"
    yield Difference("outcome", field, expected, actual, b"", operation)


def _in_views(
    expected: View, actual: View, operation: Operation | None = None
) -> Iterator[Difference]:
    for path, field, want, have in differing(expected, actual):
        yield Difference("view", field, want, have, path, operation)


def paths_in(operations: Sequence[Operation]) -> set[bytes]:
    """Return all paths that ``operations`` name, and the directories they lie in."""
    paths: set[bytes] = set()
    for operation in operations:
        for argument in operation.arguments:
            if isinstance(argument, bytes):
                parts = argument.strip(b"/").split(b"/")
                paths |= {b"/".join(parts[: i + 1]) for i in range(len(parts))}
    return paths
