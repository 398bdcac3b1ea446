"""Layers that tests have written from directories, and read again."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from pathlib import Path

from snapfs.compression import Compression
from snapfs.compression.blob_writer import BlobWriter
from snapfs.compression.choosing import make_compressor
from snapfs.layer.notes import Notes
from snapfs.layer.overlay_entries import overlay_entries
from snapfs.layer.writing import LayerForm, write_layer
from snapfs.layer.written import LayerEntry
from snapfs.overlay_format import XattrPrefix
from support.applied_layers import opened

EXACT = LayerForm(keep_ns=True)


def tar_of_entries(
    entries: Iterable[LayerEntry], form: LayerForm = EXACT, threads: int = 1
) -> bytes:
    """Return the plain tar of the entries."""
    out = io.BytesIO()
    compressor = make_compressor(Compression.NONE)
    with BlobWriter(out.write, compressor, threads) as writer:
        write_layer(entries, writer, form)
        writer.finish()
    return out.getvalue()


def tar_of_directory(
    directory: Path,
    form: LayerForm = EXACT,
    *,
    prefix: XattrPrefix = XattrPrefix.TRUSTED,
    root_opaque: bool = False,
    notes: Notes | None = None,
) -> bytes:
    """Return the plain tar of a layer in overlayfs form."""
    with opened(directory) as fd:
        entries = overlay_entries(fd, prefix, notes or Notes(), root_opaque=root_opaque)
        return tar_of_entries(entries, form)


def raw_times(path: Path, time_ns: int) -> None:
    """Set the times of a name, a symlink not followed."""
    os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)
