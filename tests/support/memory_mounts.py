"""The mounts that the store in memory writes down: of directories that do not exist."""

from __future__ import annotations

from snapfs.model import Mount


def read_only_mounts(lowerdirs: tuple[str, ...]) -> list[Mount]:
    """Return the mounts of a view of ``lowerdirs``, highest first."""
    if len(lowerdirs) == 1:
        return [Mount("bind", lowerdirs[0], options=("ro", "rbind"))]
    return [Mount("overlay", "overlay", options=(f"lowerdir={':'.join(lowerdirs)}",))]


def writable_mounts(
    lowerdirs: tuple[str, ...], upperdir: str, workdir: str
) -> list[Mount]:
    """Return the mounts of an active snapshot on ``lowerdirs``."""
    options = (
        f"workdir={workdir}",
        f"upperdir={upperdir}",
        f"lowerdir={':'.join(lowerdirs)}",
    )
    return [Mount("overlay", "overlay", options=options)]
