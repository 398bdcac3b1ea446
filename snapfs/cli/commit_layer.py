"""``commit --layer``: the snapshot and its layer, in one step."""

from __future__ import annotations

from collections.abc import Mapping

from snapfs.cli.layer_options import LayerFileOptions
from snapfs.cli.layer_output import tell_layer, written_layer
from snapfs.cli.layer_settings import read_layer_settings
from snapfs.cli.session import Session, suggesting
from snapfs.cli.shapes import info_shape
from snapfs.cli.snapshot_layers import snapshot_layer
from snapfs.errors import FailedPreconditionError
from snapfs.model import Kind
from snapfs.overlay_format import XattrPrefix


def commit_with_layer(
    session: Session,
    name: str,
    key: str,
    labels: Mapping[str, str],
    output: str,
    options: LayerFileOptions,
) -> None:
    """Write what ``key`` changed to ``output``, and commit it as ``name``.

    The file shows once the snapshot is committed; without it nothing is left.

    Raises:
        FailedPreconditionError: ``key`` is not active.
        SnapfsError: The layer cannot be written, or ``key`` not be committed.
        OSError: The layer is written, and cannot be named though ``key`` is committed.
    """
    settings, media_type = read_layer_settings(options)
    with session.store() as store, suggesting(store, key):
        details = store.details(key)
        prefix = XattrPrefix(store.status().xattr_prefix)
    kind = details.info.kind
    if kind is not Kind.ACTIVE:
        raise FailedPreconditionError(
            f"snapshot {key!r} is {kind}; only active snapshots commit"
        )
    source = snapshot_layer(details, prefix)
    with written_layer(session.output, source, output, settings) as (written, publish):
        with session.store() as store:
            store.commit(name, key, labels)
            info = store.stat(name)
        publish()
    shape = tell_layer(session.output, written, media_type, output)
    if session.output.as_json:
        session.output.document({**info_shape(info), "layer": shape})
