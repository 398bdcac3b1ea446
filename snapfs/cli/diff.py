"""``diff``: what a snapshot changes of its parent, or of any other tree."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from typing import Unpack

import click

from snapfs.cli.diff_sides import read_sides
from snapfs.cli.exit_codes import ExitCode
from snapfs.cli.image_shapes import json_path, shown_path, type_of
from snapfs.cli.keys import KEY
from snapfs.cli.layer_options import (
    LayerFileOptions,
    layer_file_options,
    refuse_layer_options,
)
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.wording import timestamp
from snapfs.layer.change import ROOT_PATH, Change
from snapfs.layer.diff import opened_diff


@click.command(
    cls=Command,
    short_help="Tell what a snapshot changes of its parent.",
    epilog=examples(
        "snapfs diff work",
        "snapfs diff work other                  # any two snapshots",
        "snapfs diff --exit-code ./new ./old     # or directories",
        "snapfs diff work -o layer.tar.gz        # as an OCI layer",
    ),
)
@click.argument("key", type=KEY)
@click.argument("parent", type=KEY, default="")
@click.option(
    "--exit-code", "tells_by_code", is_flag=True, help="Exit with 1 on a difference."
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    default="",
    help="Write the changes as an OCI layer to the new FILE; '-' is standard output.",
)
@layer_file_options
@click.pass_context
@pass_session
def diff(
    session: Session,
    ctx: click.Context,
    key: str,
    parent: str,
    tells_by_code: bool,
    output: str,
    **options: Unpack[LayerFileOptions],
) -> None:
    """Print what the snapshot KEY changes of its parent, or of PARENT.

    A is a path that was added, M one that was modified, D one that was deleted; a
    directory that is gone has one line. Either may be a snapshot of any kind,
    'dir:DIR' or 'layers:DIR:DIR:...'; without PARENT the highest of several
    directories is compared with those below it.

    With -o nothing is printed of that: FILE is a layer that makes the one tree of the
    other. The same changes give the same bytes, also on another machine; times are no
    later than SOURCE_DATE_EPOCH.
    """
    if output:
        if tells_by_code:
            raise click.UsageError("--exit-code and -o exclude each other")
        # Here: what writes layers takes a while to load.
        from snapfs.cli.diff_layer import write_diff_layer

        sides = read_sides(session, key, parent)
        write_diff_layer(session, key, sides, output, options)
        return
    refuse_layer_options(options)
    sides = read_sides(session, key, parent)
    counter = _Counter()
    with opened_diff(
        sides.before, sides.after, sides.prefix, owners=sides.owners
    ) as changes:
        counted = counter.counting(changes)
        if session.output.as_json:
            session.output.records(map(_shape, counted))
        else:
            for change in counted:
                session.output.line(f"{change.kind} {shown_path(_path(change))}")
    sides.check(session)
    if tells_by_code and counter.count:
        ctx.exit(ExitCode.FAILED)


class _Counter:
    """Counts what passes."""

    def __init__(self) -> None:
        self.count = 0

    def counting(self, changes: Iterable[Change]) -> Iterator[Change]:
        for change in changes:
            self.count += 1
            yield change


def _path(change: Change) -> bytes:
    return b"" if change.path == ROOT_PATH else change.path


def _shape(change: Change) -> dict[str, object]:
    return {
        "what": "file",
        "change": change.kind.value,
        "path": json_path(_path(change)),
        "fields": list(change.fields),
        "before": _side(change.before),
        "after": _side(change.stat),
    }


def _side(status: os.stat_result | None) -> dict[str, object] | None:
    if status is None:
        return None
    shape: dict[str, object] = {
        "type": type_of(status.st_mode),
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
        "uid": status.st_uid,
        "gid": status.st_gid,
        "mtime": timestamp(status.st_mtime_ns),
    }
    if stat.S_ISREG(status.st_mode):
        shape["size_bytes"] = status.st_size
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        shape["device"] = [os.major(status.st_rdev), os.minor(status.st_rdev)]
    return shape
