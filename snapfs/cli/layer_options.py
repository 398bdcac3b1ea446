"""The options of commands that write layers; light, for those that may not, too."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Final, TypedDict, TypeVar

import click

_Function = TypeVar("_Function", bound=Callable[..., object])

_OWNER: Final = re.compile(r"(\d{1,10}):(\d{1,10})")
_LARGEST_ID: Final = 2**32 - 2  # the next one means "unchanged" to chown(2)

# Those of snapfs.compression, which is not loaded for its four words.
_COMPRESSIONS: Final = ("none", "gzip", "zstd", "lz4")


class OwnerType(click.ParamType):  # type: ignore[type-arg]  # generic since 8.3
    """A uid and a gid, such as ``0:0``."""

    name = "owner"

    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[int, int]:
        """Return both numbers."""
        match = _OWNER.fullmatch(str(value))
        owner = (int(match[1]), int(match[2])) if match else (-1, -1)
        if not all(0 <= number <= _LARGEST_ID for number in owner):
            self.fail(f"{value!r} is no owner; write one such as 0:0", param, ctx)
        return owner


def layer_options(function: _Function) -> _Function:
    """Add the options that say how any layer is written."""
    for option in (
        click.option(
            "--jobs",
            metavar="N",
            type=click.IntRange(1, 64),
            default=lambda: len(os.sched_getaffinity(0)),
            show_default="one a core",
            help="Threads that compress; they do not change the bytes.",
        ),
        click.option(
            "--owner",
            metavar="UID:GID",
            type=OwnerType(),
            help="Everything belongs to this owner. Default: the owners there are.",
        ),
        click.option(
            "--ns",
            "keep_ns",
            is_flag=True,
            help="Keep nanoseconds of times. Default: whole seconds.",
        ),
        click.option(
            "--fast",
            is_flag=True,
            help="Compress gzip in a fraction of the time, to more bytes, which may "
            "differ between processors.",
        ),
    ):
        function = option(function)
    return function


class LayerFileOptions(TypedDict):
    """The values of :func:`layer_file_options`, by their parameters' names."""

    compression: str | None
    media_type: str | None
    fast: bool
    keep_ns: bool
    owner: tuple[int, int] | None
    jobs: int


def layer_file_options(function: _Function) -> _Function:
    """Add the options that say how a layer is written."""
    function = layer_options(function)
    for option in (
        click.option(
            "--media-type",
            metavar="TYPE",
            help="Of the layer, as OCI or Docker has it; it also says how it is "
            "compressed.",
        ),
        click.option(
            "--compression",
            type=click.Choice(_COMPRESSIONS),
            show_default="gzip",
            help="Of the layer.",
        ),
    ):
        function = option(function)
    return function


def refuse_layer_options(options: LayerFileOptions) -> None:
    """Refuse options about a layer where none is written.

    Raises:
        click.UsageError: There is one.
    """
    for name, value in (
        ("--compression", options["compression"]),
        ("--media-type", options["media_type"]),
        ("--fast", options["fast"]),
        ("--ns", options["keep_ns"]),
        ("--owner", options["owner"]),
    ):
        if value:
            raise click.UsageError(f"{name} is about a layer, and none is written")
