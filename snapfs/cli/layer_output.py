"""One layer in a file: the work, and what is printed of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from snapfs.cli.export_output import STANDARD_OUTPUT, opened_output
from snapfs.cli.layer_settings import telling_full
from snapfs.cli.orderly import in_order
from snapfs.cli.output import Output, complain
from snapfs.cli.wording import counted, human_bytes
from snapfs.cli.writing_status import writing_status
from snapfs.export.layer_blob import WrittenLayer, write_layer_blob
from snapfs.export.layer_source import LayerSource
from snapfs.export.settings import COMPRESSOR_ANNOTATION, ExportSettings
from snapfs.layer.bodies import write_all
from snapfs.stopping import Stop


@contextlib.contextmanager
def written_layer(
    out: Output, source: LayerSource, output: str, settings: ExportSettings
) -> Iterator[tuple[WrittenLayer, Callable[[], None]]]:
    """Write a layer; yield it with what makes it show as ``output``.

    Nothing shows unless that is called; an interrupt comes before or after.

    Raises:
        AlreadyExistsError: There is something at ``output``.
        ResourceExhaustedError: The disk is full.
        SnapfsError: It cannot be a layer.
        click.Abort: It was interrupted.
    """
    stop = Stop("the export")
    with telling_full(output), opened_output(output) as (fd, publish):

        def work() -> WrittenLayer:
            with writing_status(out) as tell:
                return write_layer_blob(
                    source,
                    settings,
                    lambda data: write_all(fd, memoryview(data)),
                    stop,
                    tell,
                )

        yield in_order(work, stop.ask), publish


def tell_layer(
    out: Output, written: WrittenLayer, media_type: str, output: str
) -> dict[str, object]:
    """Tell warnings and what was written; return the layer's descriptor as JSON.

    The digest is printed, unless the layer itself is what is printed.
    """
    for line in written.warnings:
        complain(f"warning: {line}")
    blob = written.blob
    out.note(
        f"{counted(written.members, 'entry', 'entries')},"
        f" {human_bytes(blob.plain_bytes)}, stored as {human_bytes(blob.size_bytes)}"
        f" in {output!r}"
    )
    if output != STANDARD_OUTPUT and not out.as_json:
        out.line(str(blob.digest))
    return {
        "output": output,
        "media_type": media_type,
        "digest": str(blob.digest),
        "size_bytes": blob.size_bytes,
        "diff_id": str(blob.diff_id),
        "plain_bytes": blob.plain_bytes,
        "entries": written.members,
        "annotations": {COMPRESSOR_ANNOTATION: blob.compressor},
        "warnings": list(written.warnings),
        "elapsed_s": written.elapsed_s,
    }
