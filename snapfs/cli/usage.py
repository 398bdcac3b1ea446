"""``usage``: the disk space of snapshots."""

from __future__ import annotations

from collections.abc import Mapping

import click

from snapfs.cli.exit_codes import ExitCode
from snapfs.cli.keys import KEY
from snapfs.cli.lazy import Command, examples
from snapfs.cli.output import Output, complain
from snapfs.cli.session import Session, pass_session, suggesting
from snapfs.cli.shapes import usage_shape
from snapfs.cli.wording import human_bytes
from snapfs.errors import DataLossError, NotFoundError
from snapfs.model import Usage
from snapfs.snapshotter import Store


@click.command(
    cls=Command,
    short_help="Show the disk space of snapshots.",
    epilog=examples("snapfs usage", "snapfs usage work --json"),
)
@click.argument("key", type=KEY, default="")
@click.pass_context
@pass_session
def usage(session: Session, ctx: click.Context, key: str) -> None:
    """Show what the snapshot KEY occupies without its parents, or what each does.

    Of all snapshots, each that is damaged gets a line; the others are shown.
    """
    if key:
        with session.store() as store, suggesting(store, key):
            used = store.usage(key)
        if session.output.as_json:
            session.output.document({"name": key, **usage_shape(used)})
        else:
            _print_table(session.output, {key: used}, {})
        return
    with session.store() as store:
        measured, damaged = _measure_all(store)
    if session.output.as_json:
        session.output.records(
            {"name": name, **usage_shape(used)} for name, used in measured.items()
        )
    else:
        _print_table(session.output, measured, {"total": _sum(measured)})
    for error in damaged:
        complain(str(error))
    if damaged:
        ctx.exit(ExitCode.DATA_LOSS)


def _measure_all(store: Store) -> tuple[dict[str, Usage], list[DataLossError]]:
    """Return the usage of every snapshot that is still there when its turn comes.

    The second value says what is wrong with those that are damaged.
    """
    measured = {}
    damaged = []
    for found in store.walk():
        try:
            measured[found.name] = store.usage(found.name)
        except NotFoundError:
            continue  # removed since the listing
        except DataLossError as error:
            damaged.append(error)
    return measured, damaged


def _sum(measured: Mapping[str, Usage]) -> Usage:
    return Usage(
        sum(used.size_bytes for used in measured.values()),
        sum(used.inodes for used in measured.values()),
    )


def _print_table(
    output: Output, measured: Mapping[str, Usage], more: Mapping[str, Usage]
) -> None:
    # Two mappings: a snapshot may be called "total".
    rows = [
        (name, human_bytes(used.size_bytes), str(used.inodes))
        for name, used in (*measured.items(), *more.items())
    ]
    output.table(("KEY", ">SIZE", ">INODES"), rows)
