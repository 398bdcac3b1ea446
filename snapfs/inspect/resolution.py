"""How a path resolves in a merged tree: symlinks, and where it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from snapfs.inspect.merged import MergedTree, Place
from snapfs.layer.kinds import Kind

_LINKS: Final = 40
"""Symlinks on one path; the kernel's limit (path_resolution(7))."""


@dataclass(frozen=True, slots=True)
class Step:
    """A symlink that was followed on the way."""

    link: Place
    target: bytes


@dataclass(frozen=True, slots=True)
class Resolution:
    """Where a path leads.

    Attributes:
        place: What is there; None if nothing is.
        steps: The symlinks that were followed, in order.
        path: Where it ended: of ``place``, or the first path that is not there.
        problem: Why there is nothing, as a clause; "" otherwise.
    """

    place: Place | None
    steps: tuple[Step, ...]
    path: bytes
    problem: str = ""


def resolve(tree: MergedTree, path: bytes, *, follows_last: bool = True) -> Resolution:
    """Follow ``path`` as a process whose root is the tree's root would."""
    pending = [name for name in reversed(path.split(b"/")) if name not in (b"", b".")]
    above: list[Place] = [tree.root]
    steps: list[Step] = []
    while pending:
        name = pending.pop()
        here = above[-1]
        if name in (b"", b"."):
            continue
        if name == b"..":
            above = above[:-1] or above
            continue
        wanted = here.path + b"/" + name if here.path else name
        if not here.is_directory:
            return Resolution(None, tuple(steps), wanted, "its parent is no directory")
        child = tree.child(here, name)
        if child is None:
            return Resolution(None, tuple(steps), wanted, "nothing is there")
        index = tree.indexes[child.layer]
        entry_kind = index.kinds[child.node]
        if entry_kind == Kind.SYMLINK and (pending or follows_last):
            target = index.link_target(child.node)
            steps.append(Step(child, target))
            if len(steps) > _LINKS:
                problem = f"more than {_LINKS} symbolic links are on the way"
                return Resolution(None, tuple(steps), wanted, problem)
            if target.startswith(b"/"):
                above = above[:1]
            pending += reversed(target.split(b"/"))
            continue
        above.append(child)
    return Resolution(above[-1], tuple(steps), above[-1].path)
