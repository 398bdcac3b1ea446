"""How an image is unpacked, and who wants to hear of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from snapfs.image.resolve import ImageLayer
from snapfs.layer.limits import Limits, Policy
from snapfs.model import Durability
from snapfs.unpack.messages import Applied, Progress

# What a layer's process takes besides the entries: the interpreter, the stacks of its
# threads, a decompressor's window, blocks on their way.
LEAST_LAYER_MEMORY_BYTES: Final = 128 << 20


@dataclass(frozen=True, slots=True)
class UnpackSettings:
    """What an unpack may do and how.

    Attributes:
        jobs: Layers that are applied side by side at most, 1 at least.
        limits: Against hostile layers.
        policy: What of a layer reaches the disk.
        durability: ``image``: everything is on disk before the snapshots exist, by
            one sync. ``none``: whenever the kernel likes.
        name: A committed snapshot of that name is made besides the one that is
            named by its chain ID, and shares its content; "" for none.
        memory_bytes: That all layers at work may take together, 128 MiB at
            least; with less than that for each, fewer are at work. 0 for any.
    """

    jobs: int
    limits: Limits = field(default_factory=Limits)
    policy: Policy = field(default_factory=Policy)
    durability: Durability = Durability.IMAGE
    name: str = ""
    memory_bytes: int = 0

    @property
    def workers(self) -> int:
        """Return how many layers are at work at once: what the memory is enough for."""
        if not self.memory_bytes:
            return self.jobs
        return max(1, min(self.jobs, self.memory_bytes // LEAST_LAYER_MEMORY_BYTES))

    @property
    def layer_memory_bytes(self) -> int:
        """Return what one of the layers at work may take; 0 for any."""
        if not self.memory_bytes:
            return 0
        return max(self.memory_bytes // self.workers, LEAST_LAYER_MEMORY_BYTES)


class UnpackObserver(Protocol):
    """Hears how an unpack goes; from any thread, one call at a time for each layer."""

    def layer_reused(self, layer: ImageLayer) -> None:
        """The layer needs no work: the store has it."""

    def layer_started(self, layer: ImageLayer) -> None:
        """Somebody works on the layer now."""

    def layer_progress(self, layer: ImageLayer, progress: Progress) -> None:
        """The layer is so far."""

    def layer_applied(self, layer: ImageLayer, applied: Applied) -> None:
        """The layer is complete, but nobody can use it yet."""

    def publishing(self) -> None:
        """All layers are complete; they are synced and published."""


class NoObserver:
    """An observer that hears nothing."""

    def layer_reused(self, layer: ImageLayer) -> None:
        """See :class:`UnpackObserver`."""

    def layer_started(self, layer: ImageLayer) -> None:
        """See :class:`UnpackObserver`."""

    def layer_progress(self, layer: ImageLayer, progress: Progress) -> None:
        """See :class:`UnpackObserver`."""

    def layer_applied(self, layer: ImageLayer, applied: Applied) -> None:
        """See :class:`UnpackObserver`."""

    def publishing(self) -> None:
        """See :class:`UnpackObserver`."""
