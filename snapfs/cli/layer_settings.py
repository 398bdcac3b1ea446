"""What the options of commands that write layers come to."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Final

import click

from snapfs.cli.layer_options import LayerFileOptions
from snapfs.compression import Compression
from snapfs.errors import InvalidArgumentError, ResourceExhaustedError
from snapfs.export.settings import ExportSettings
from snapfs.image import media_types
from snapfs.image.registry.name import RegistryName
from snapfs.layer.writing import LayerForm

_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))

# OCI has no type for lz4, and nobody reads such layers but snapfs.
_MEDIA_TYPES: Final = {
    Compression.NONE: media_types.OCI_LAYER,
    Compression.GZIP: media_types.OCI_LAYER_GZIP,
    Compression.ZSTD: media_types.OCI_LAYER_ZSTD,
    Compression.LZ4: f"{media_types.OCI_LAYER}+lz4",
}


def layer_form(keep_ns: bool, owner: tuple[int, int] | None) -> LayerForm:
    """Return the form of layers that the options and the environment ask for.

    Raises:
        InvalidArgumentError: SOURCE_DATE_EPOCH is no number.
    """
    # https://reproducible-builds.org/specs/source-date-epoch/
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if epoch and not (epoch.isascii() and epoch.isdecimal() and len(epoch) <= 11):
        raise InvalidArgumentError(
            f"SOURCE_DATE_EPOCH is {epoch!r}, not a number of seconds since 1970"
        )
    return LayerForm(keep_ns, int(epoch) if epoch else None, owner)


def export_settings(
    compression: Compression,
    fast: bool,
    jobs: int,
    form: LayerForm,
    name: RegistryName | None = None,
    *,
    for_docker: bool = False,
) -> ExportSettings:
    """Return the settings that the options ask for.

    Raises:
        click.UsageError: ``--fast`` has no meaning for the compression.
    """
    if fast and compression is not Compression.GZIP:
        raise click.UsageError(f"--fast is for gzip; {compression} has one speed")
    return ExportSettings(form, compression, fast, jobs, name, for_docker)


@contextlib.contextmanager
def telling_full(output: str) -> Iterator[None]:
    """Say of a full disk which output it is about.

    Raises:
        ResourceExhaustedError: The disk, the quota or the file is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise ResourceExhaustedError(
            f"{output!r} cannot be written: {os.strerror(error.errno)};"
            " nothing was left of it"
        ) from error


def read_layer_settings(options: LayerFileOptions) -> tuple[ExportSettings, str]:
    """Return what the options ask for, and the layer's media type.

    Raises:
        InvalidArgumentError: The media type is no layer's, or SOURCE_DATE_EPOCH is no
            number.
        click.UsageError: The options contradict each other.
    """
    wanted = options["media_type"]
    if wanted is None:
        compression = Compression(options["compression"] or Compression.GZIP)
        media_type = _MEDIA_TYPES[compression]
    elif options["compression"] is not None:
        raise click.UsageError("--media-type and --compression exclude each other")
    else:
        declared = media_types.declared_compression(wanted)
        if not declared:
            raise InvalidArgumentError(
                f"{wanted!r} is no layer's media type; take {media_types.OCI_LAYER},"
                " with '+gzip' or '+zstd' at its end, or leave it out"
            )
        compression, media_type = Compression(declared), wanted
    form = layer_form(options["keep_ns"], options["owner"])
    return export_settings(compression, options["fast"], options["jobs"], form), (
        media_type
    )
