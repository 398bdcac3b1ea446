"""``diff -o``: the changes as an OCI layer."""

from __future__ import annotations

from snapfs.cli.diff_sides import Sides
from snapfs.cli.layer_options import LayerFileOptions
from snapfs.cli.layer_output import tell_layer, written_layer
from snapfs.cli.layer_settings import read_layer_settings
from snapfs.cli.session import Session
from snapfs.export.config import Step
from snapfs.export.diff_layer import DiffLayer


def write_diff_layer(
    session: Session, what: str, sides: Sides, output: str, options: LayerFileOptions
) -> None:
    """Write what differs between two trees to ``output``, and tell of it.

    ``what`` is what messages call it. The layer on top of the one tree shows the
    other; the file appears when it is complete.

    Raises:
        AlreadyExistsError: There is something at ``output``.
        FailedPreconditionError: Something in the tree cannot be in a layer, changed
            meanwhile, or was removed.
        SnapfsError: It cannot be written; nothing is left of it.
    """
    settings, media_type = read_layer_settings(options)
    source = DiffLayer(
        repr(what),
        Step(None, ""),
        sides.before,
        sides.after,
        sides.prefix,
        sides.owners,
    )
    with written_layer(session.output, source, output, settings) as (written, publish):
        sides.check(session)
        publish()
    shape = tell_layer(session.output, written, media_type, output)
    if session.output.as_json and output != "-":
        session.output.document(shape)
