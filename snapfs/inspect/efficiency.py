"""How much of what an image stores its containers can see, as one number.

The question is that of dive's rules; the count is that of :mod:`snapfs.inspect.waste`:
each hidden byte once, opaque directories and hard links understood. dive counts each
copy of a path that has several, the one that is seen, too, and no opaque directory.
"""

from __future__ import annotations

from dataclasses import dataclass

from snapfs.inspect.inspection import Inspection
from snapfs.inspect.waste import Waste, find_waste, stored_bytes


@dataclass(frozen=True, slots=True)
class Efficiency:
    """What is stored, and what of it is hidden.

    Attributes:
        stored_bytes: All files of all layers, plain.
        user_bytes: Those of all layers but the lowest, which is taken for the base.
        wasted_bytes: Those that no container sees.
        waste: The hidden files, the largest first.
    """

    stored_bytes: int
    user_bytes: int
    wasted_bytes: int
    waste: tuple[Waste, ...]

    @property
    def score(self) -> float:
        """The part that is seen, from 0 to 1; 1 for an image without files."""
        if not self.stored_bytes:
            return 1.0
        return 1 - self.wasted_bytes / self.stored_bytes

    @property
    def user_wasted(self) -> float:
        """What is wasted, as a part of ``user_bytes``; more than 1 is possible.

        1 where something is wasted and the upper layers store nothing.
        """
        if not self.user_bytes:
            return 1.0 if self.wasted_bytes else 0.0
        return self.wasted_bytes / self.user_bytes


def measure(inspection: Inspection) -> Efficiency:
    """Measure an image from its indexes; no content is read."""
    sizes = [stored_bytes(layer.index) for layer in inspection.layers]
    waste = tuple(find_waste(inspection, reads_contents=False))
    wasted = sum(one.size_bytes for one in waste)
    return Efficiency(sum(sizes), sum(sizes[1:]), wasted, waste)
