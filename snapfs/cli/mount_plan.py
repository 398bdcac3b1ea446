"""What will be mounted, by whom and why, and what a person is told of it."""

from __future__ import annotations

from collections.abc import Mapping

from snapfs.cli.output import Output
from snapfs.cli.wording import counted
from snapfs.light_typing import TYPE_CHECKING
from snapfs.model import Mount
from snapfs.values import dataclass, field

if TYPE_CHECKING:
    from snapfs.cli.changes import Changes
    from snapfs.image.resolve import Image


@dataclass(frozen=True, slots=True)
class ImagePart:
    """The image that a mount shows, or part of it.

    Attributes:
        image: All of it.
        first: The lowest layer that is shown, from 1.
        last: The highest one.
        unpacked: How many layers were unpacked for this mount.
    """

    image: Image
    first: int
    last: int
    unpacked: int

    def __str__(self) -> str:
        """Return which layers these are, for the user."""
        count = len(self.image.layers)
        if self.first == self.last and count > 1:
            shown = f"{self.last} alone, of {count}"
        elif self.last < count:
            shown = f"1 to {self.last} of {count}"
        else:
            shown = str(count)
        made = f"{self.unpacked} unpacked now" if self.unpacked else "there already"
        return f"{shown}; {made}"


@dataclass(frozen=True, slots=True)
class MountPlan:
    """What will be mounted, and who does it.

    Attributes:
        what: The word that the user gave.
        mounts: To be mounted in order.
        driver: The driver that wrote the mounts down.
        reason: Why this driver, as a clause.
        changes: The directory that changes go to; None where there are none, or
            they go to the active snapshot itself.
        active: The active snapshot that takes the changes; "" for none.
        part: What it shows of which image; None for a snapshot and directories.
        labels: Of a snapshot; they may hold the config of the image that it shows.
    """

    what: str
    mounts: tuple[Mount, ...]
    driver: str
    reason: str
    changes: Changes | None = None
    active: str = ""
    part: ImagePart | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_writable(self) -> bool:
        """Whether the tree takes changes."""
        return bool(self.changes or self.active)

    def discard(self) -> None:
        """Remove what was made for this mount alone; it must not be mounted.

        Raises:
            SnapfsError: Something of it stays.
        """
        if self.changes is not None:
            self.changes.discard()

    def __str__(self) -> str:
        """Return one line for the user."""
        mode = "read-write" if self.is_writable else "read-only"
        return f"{mode}, {self.driver} driver ({self.reason}), {self._form()}"

    def _form(self) -> str:
        layers = 0
        for option in self.mounts[-1].options:
            name, _, value = option.partition("=")
            if name == "lowerdir":
                layers += value.count(":") + 1
            elif name in ("lowerdir+", "upperdir"):
                layers += 1
        if self.mounts[-1].type == "bind":
            return "bind mount of its one directory"
        number = counted(layers, "directory", "directories")
        return f"{self.mounts[-1].type} mount of {number}"


def tell_mounted(
    output: Output, plan: MountPlan, target: str, end: str = "'snapfs umount'"
) -> None:
    """Tell a person what is mounted at ``target`` until ``end``."""
    output.note(f"{plan.what!r} is mounted at {target!r}: {plan}")
    if plan.part is not None:
        image = plan.part.image
        output.detail("image", f"{image.source_name}, {image.descriptor.digest}")
        output.detail("layers", str(plan.part))
    if plan.changes is not None:
        output.detail("changes", plan.changes.told(end))
    elif plan.active:
        output.detail("changes", f"in the active snapshot {plan.active!r}")


def plan_shape(plan: MountPlan, target: str) -> dict[str, object]:
    """Return the document of a mount. Scripts rely on it: only add to it."""
    from snapfs.cli.shapes import mount_shape  # here: it is for --json alone

    shape: dict[str, object] = {
        "what": plan.what,
        "target": target,
        "read_only": not plan.is_writable,
        "driver": plan.driver,
        "reason": plan.reason,
        "mounts": [mount_shape(item) for item in plan.mounts],
    }
    if plan.changes is not None:
        shape["changes"] = {
            "directory": plan.changes.directory,
            "temporary": plan.changes.is_temporary,
        }
    if plan.part is not None:
        part = plan.part
        shape["image"] = {
            "source": part.image.source_name,
            "digest": str(part.image.descriptor.digest),
            "image_id": str(part.image.image_id),
            "layers": len(part.image.layers),
            "first_layer": part.first,
            "last_layer": part.last,
            "unpacked": part.unpacked,
        }
    return shape
