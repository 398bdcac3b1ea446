"""What ``export`` and ``image squash`` share: options, the work, and what it prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypedDict, TypeVar

import click

from snapfs.cli.export_output import (
    FORMATS,
    REGISTRY,
    STANDARD_OUTPUT,
    exporting,
)
from snapfs.cli.export_results import exported_shape, summary, tell_warnings
from snapfs.cli.layer_options import layer_options
from snapfs.cli.layer_settings import export_settings, layer_form
from snapfs.cli.orderly import in_order
from snapfs.cli.session import Session
from snapfs.cli.writing_status import writing_status
from snapfs.compression import Compression
from snapfs.digest import is_digest
from snapfs.errors import InvalidArgumentError
from snapfs.export.image import Exported, export_image
from snapfs.export.layer_source import LayerSource
from snapfs.export.settings import ExportSettings
from snapfs.image.registry.name import RegistryName, parse_name
from snapfs.stopping import Stop

_Function = TypeVar("_Function", bound=Callable[..., object])

_COMPRESSIONS: Final = [str(c) for c in Compression if c is not Compression.LZ4]


class ImageOptions(TypedDict):
    """The values of :func:`image_options`, by their parameters' names."""

    output: str
    format_: str
    name: str
    compression: str
    fast: bool
    keep_ns: bool
    owner: tuple[int, int] | None
    jobs: int


def image_options(function: _Function) -> _Function:
    """Add the options that say what image is written and where it goes."""
    function = layer_options(function)
    for option in (
        click.option(
            "--compression",
            type=click.Choice(_COMPRESSIONS),
            default=str(Compression.GZIP),
            show_default=True,
            help="Of the layers.",
        ),
        click.option(
            "--name", metavar="IMAGE", default="", help="The name that the image gets."
        ),
        click.option(
            "--format",
            "format_",
            type=click.Choice(FORMATS),
            default=FORMATS[0],
            show_default=True,
            help="An OCI layout in a tar, the same with Docker's index, or in a "
            "directory.",
        ),
        click.option(
            "-o",
            "--output",
            metavar="FILE",
            required=True,
            help="Where the image goes: a new file or directory; '-' is standard "
            f"output, '{REGISTRY}NAME' pushes.",
        ),
    ):
        function = option(function)
    return function


def read_settings(options: ImageOptions, usual_name: str) -> ExportSettings:
    """Return the settings that the options and the environment ask for.

    ``usual_name`` is what the image is called without ``--name``, if images can be
    called that.

    Raises:
        InvalidArgumentError: The name is none, or SOURCE_DATE_EPOCH is no number.
        click.UsageError: The options contradict each other.
    """
    return export_settings(
        Compression(options["compression"]),
        options["fast"],
        options["jobs"],
        layer_form(options["keep_ns"], options["owner"]),
        _image_name(options["name"], usual_name),
        for_docker=options["format_"] == "docker-archive",
    )


def write_image(
    session: Session,
    options: ImageOptions,
    settings: ExportSettings,
    sources: Sequence[LayerSource],
    config: bytes | None,
    check: Callable[[], None],
    *,
    has_base_layers: bool = True,
) -> None:
    """Write the image where the options say, and tell of it.

    ``check`` is called when all layers were read; the image appears unless it fails.

    Raises:
        SnapfsError: A layer cannot be read or written; nothing is left then.
        click.Abort: It was interrupted; nothing is left then.
    """
    stop = Stop("the export")
    output = options["output"]

    def work() -> Exported:
        with (
            exporting(output, options["format_"], stop) as place,
            writing_status(session.output) as tell,
        ):
            exported = export_image(
                sources,
                config,
                place,
                settings,
                stop,
                has_base_layers=has_base_layers,
                tell=tell,
            )
            check()
            stop.check()
            place.complete(exported)
            return exported

    exported = in_order(work, stop.ask)
    tell_warnings(exported)
    if settings.name is None and not output.startswith(REGISTRY):
        session.output.note("the image has no name, which some tools need: '--name'")
    session.output.note(summary(exported, output))
    if output == STANDARD_OUTPUT:
        return
    if session.output.as_json:
        session.output.document(exported_shape(exported, settings, output))
    else:
        session.output.line(str(exported.manifest.digest))


def _image_name(given: str, usual: str) -> RegistryName | None:
    if not given:
        return _usual_name(usual)
    found = parse_name(given)
    if found.digest is not None:
        raise InvalidArgumentError(
            f"{given!r} names a digest; what is exported has a digest of its own"
        )
    return found


def _usual_name(text: str) -> RegistryName | None:
    """Return what an image is called by a snapshot's name, if it can be.

    A chain ID would pass for a tag of the repository "sha256".
    """
    try:
        found = parse_name(text)
    except InvalidArgumentError:
        return None
    return None if found.digest or is_digest(text) else found
