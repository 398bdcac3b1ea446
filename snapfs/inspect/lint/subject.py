"""The image that rules look at: what all of them need, worked out once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Final, NamedTuple, TypeAlias

from snapfs.inspect.findings import Finding, Rule
from snapfs.inspect.inspection import Inspection
from snapfs.inspect.merged import MergedTree, Place
from snapfs.inspect.waste import Waste, find_waste
from snapfs.layer.kinds import Kind


class Subject:
    """One image, and what its rules share."""

    def __init__(
        self, inspection: Inspection, waste: list[Waste] | None = None
    ) -> None:
        self.inspection: Final = inspection
        self.tree: Final[MergedTree] = inspection.tree()
        self._waste = waste

    @cached_property
    def shown(self) -> list[Place]:
        """All that a container sees, directories before contents."""
        return list(self.tree.walk())

    @cached_property
    def waste(self) -> list[Waste]:
        """What is hidden, or stored twice; contents are read for it."""
        return find_waste(self.inspection) if self._waste is None else self._waste

    def kind(self, place: Place) -> Kind:
        """Return what is at a place."""
        return self.tree.indexes[place.layer].kind(place.node)

    def mode(self, place: Place) -> int:
        """Return the permission bits at a place, as its layer gives them."""
        return int(self.tree.indexes[place.layer].modes[place.node])

    def is_base(self, place: Place) -> bool:
        """Whether the lowest of several layers supplies it: no choice of the user's."""
        return place.layer == 0 and len(self.tree.indexes) > 1


Check: TypeAlias = Callable[[Subject], Iterator[Finding]]
"""Yields the breaches of one rule."""


class Checker(NamedTuple):
    """A rule, and what looks for its breaches.

    ``needs_image`` says that it reads an image's documents, which directories have
    not.
    """

    rule: Rule
    check: Check
    needs_image: bool = False
