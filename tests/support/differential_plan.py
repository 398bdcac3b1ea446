"""What decides a run of the differential fuzzer, except for its operations."""

from __future__ import annotations

import dataclasses
import random

from support.differential_formats import FormatLayerMaker
from support.differential_layers import LayerMaker, make_layers
from support.tree_changes import Change


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """One run: what is mounted, of which layers.

    Attributes:
        subject: "engine", "kernel" or the name of a planted fault.
        redirect_dir: "on": lower directories can be renamed; "off": EXDEV.
        drops_caches: Whether remounting also has the kernel forget inodes.
        mode: The engine's: "fast" or "io".
        userxattr: The marks are ``user.overlay.*``, not ``trusted.overlay.*``.
        formats: "own": the layers have the marks that the engine writes, too; "all":
            the kernel's as well, and so has what the kernel writes (``metacopy=on``).
        kills: The engine's servers are killed at random moments, one after another.
    """

    seed: int
    subject: str = "engine"
    redirect_dir: str = "on"
    drops_caches: bool = False
    mode: str = "fast"
    userxattr: bool = False
    formats: str = "own"
    kills: bool = False

    def layers(self) -> list[list[Change]]:
        """Return the lower layers, lowest first, and last the upper."""
        prefix = "user" if self.userxattr else "trusted"
        chosen = random.Random(f"layers {self.seed}")
        kind = LayerMaker if self.formats == "own" else FormatLayerMaker
        return make_layers(chosen, kind(chosen, prefix))
