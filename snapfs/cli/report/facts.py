"""All that the report tells, worked out from the image."""

from __future__ import annotations

from dataclasses import dataclass

from snapfs.image.resolve import Image
from snapfs.inspect.findings import Checked
from snapfs.inspect.inspection import Inspection
from snapfs.inspect.lint import lint
from snapfs.inspect.overview import (
    Branch,
    LayerChanges,
    SeenFile,
    changes_of_layers,
    grown,
    largest,
    seen_files,
)
from snapfs.inspect.settings import settings
from snapfs.inspect.waste import Waste, find_waste, stored_bytes


@dataclass(frozen=True, slots=True)
class Facts:
    """One image.

    Attributes:
        name: As the user called it.
        image_id: The digest of the config; "" for directories.
        created: As the config says.
        stored_bytes: Of the layers' blobs.
        plain_bytes: Of all files in all layers.
        step_times: When the step of each layer ended, as the history says; empty
            where that is not known.
        settings: The config, flat.
    """

    name: str
    image_id: str
    created: str
    stored_bytes: int
    plain_bytes: int
    step_times: tuple[str, ...]
    changes: list[LayerChanges]
    files: list[SeenFile]
    largest: list[SeenFile]
    tree: Branch
    waste: list[Waste]
    checked: Checked
    settings: dict[str, str]

    @property
    def seen_bytes(self) -> int:
        """What containers see."""
        return self.tree.size_bytes


def gather(inspection: Inspection, name: str) -> Facts:
    """Look at an image from all sides; contents are read as the parts need them.

    Raises:
        SnapfsError: A content that is needed cannot be read.
    """
    image = inspection.image
    files = list(seen_files(inspection.tree()))
    waste = find_waste(inspection)
    return Facts(
        name=name,
        image_id=str(image.image_id) if image else "",
        created=image.config.created if image else "",
        stored_bytes=sum(layer.size_bytes for layer in inspection.layers),
        plain_bytes=sum(stored_bytes(layer.index) for layer in inspection.layers),
        step_times=_step_times(image) if image else (),
        changes=changes_of_layers(inspection),
        files=files,
        largest=largest(files),
        tree=grown(files),
        waste=waste,
        checked=lint(inspection, waste=waste),
        settings=settings(image) if image else {},
    )


def _step_times(image: Image) -> tuple[str, ...]:
    return tuple(step.created for step in image.config.layer_steps())
