"""Image configs: what a container is made of and how it starts (config.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from snapfs.digest import Digest
from snapfs.errors import DataLossError
from snapfs.image.descriptor import Platform
from snapfs.image.documents import parse_digest
from snapfs.image.strict_json import decode, shown
from snapfs.values import dataclass, field


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the image's history."""

    created_by: str = ""
    created: str = ""
    comment: str = ""
    author: str = ""
    is_empty: bool = False


@dataclass(frozen=True, slots=True)
class Process:
    """How a container of the image starts; its words are never orders to us."""

    user: str = ""
    environment: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    stop_signal: str = ""


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """One image config.

    ``platform`` is as written; old images leave it empty. ``diff_ids`` has one
    entry a layer, the base layer's first.
    """

    platform: Platform
    diff_ids: tuple[Digest, ...]
    history: tuple[Step, ...] = ()
    process: Process = field(default_factory=Process)
    created: str = ""
    author: str = ""

    def layer_steps(self) -> tuple[Step, ...]:
        """Return the step that made each layer: those without a layer are left out.

        None at all where the history does not have one step for each layer: it is
        optional and no part of the image's identity.
        """
        steps = tuple(step for step in self.history if not step.is_empty)
        return steps if len(steps) == len(self.diff_ids) else ()

    def commands(self) -> tuple[str, ...]:
        """Return what made each layer; "" for all where that is not known."""
        steps = self.layer_steps()
        if not steps:
            return ("",) * len(self.diff_ids)
        return tuple(step.created_by for step in steps)


class _RootFilesystem(msgspec.Struct):
    type: str | None = None
    diff_ids: list[str] | None = None


class _Step(msgspec.Struct):
    created_by: str | None = None
    created: str | None = None
    comment: str | None = None
    author: str | None = None
    empty_layer: bool | None = None


class _Process(msgspec.Struct, rename="pascal"):
    user: str | None = None
    env: list[str] | None = None
    # Docker's first images have one string here.
    entrypoint: list[str] | str | None = None
    cmd: list[str] | str | None = None
    working_dir: str | None = None
    labels: dict[str, str] | None = None
    volumes: dict[str, object] | None = None
    exposed_ports: dict[str, object] | None = None
    stop_signal: str | None = None


class _Config(msgspec.Struct):
    rootfs: _RootFilesystem | None = None
    os: str | None = None
    architecture: str | None = None
    variant: str | None = None
    created: str | None = None
    author: str | None = None
    history: list[_Step] | None = None
    config: _Process | None = None


def parse_config(content: bytes, what: str) -> ImageConfig:
    """Read an image config, of OCI or of Docker; ``what`` names it in messages.

    Raises:
        DataLossError: It is no image config, or its diff IDs are missing or wrong.
        UnimplementedError: A diff ID of an algorithm that is not ours.
    """
    wire, _ = decode(content, _Config, what)
    return ImageConfig(
        Platform(wire.os or "", wire.architecture or "", wire.variant or ""),
        _diff_ids(wire.rootfs, what),
        tuple(_step(step) for step in wire.history or ()),
        _process(wire.config or _Process()),
        wire.created or "",
        wire.author or "",
    )


def _diff_ids(wire: _RootFilesystem | None, what: str) -> tuple[Digest, ...]:
    if wire is None:
        raise DataLossError(f"{what}: the config has no rootfs")
    if wire.type != "layers":
        kind = shown(wire.type) if wire.type is not None else "missing"
        raise DataLossError(f"{what}: rootfs.type is {kind}, not 'layers'")
    if wire.diff_ids is None:
        raise DataLossError(f"{what}: rootfs has no diff_ids")
    return tuple(
        parse_digest(text, f"{what}: rootfs.diff_ids[{number}]")
        for number, text in enumerate(wire.diff_ids)
    )


def _step(wire: _Step) -> Step:
    return Step(
        wire.created_by or "",
        wire.created or "",
        wire.comment or "",
        wire.author or "",
        wire.empty_layer or False,
    )


def _process(wire: _Process) -> Process:
    return Process(
        wire.user or "",
        _words(wire.env),
        _words(wire.entrypoint),
        _words(wire.cmd),
        wire.working_dir or "",
        wire.labels or {},
        tuple(wire.volumes or ()),
        tuple(wire.exposed_ports or ()),
        wire.stop_signal or "",
    )


def _words(wire: Sequence[str] | str | None) -> tuple[str, ...]:
    if not wire:
        return ()
    return (wire,) if isinstance(wire, str) else tuple(wire)
