"""The verbs of the contract: prepare, view, commit, rm, label."""

from __future__ import annotations

from typing import Unpack

import click

from snapfs.cli.exit_codes import exit_code
from snapfs.cli.keys import KEY, parse_labels
from snapfs.cli.layer_options import (
    LayerFileOptions,
    layer_file_options,
    refuse_layer_options,
)
from snapfs.cli.lazy import Command, examples
from snapfs.cli.mounts import print_mounts
from snapfs.cli.output import complain
from snapfs.cli.session import Session, pass_session, suggesting
from snapfs.cli.shapes import info_shape
from snapfs.errors import FailedPreconditionError, SnapfsError
from snapfs.model import Info
from snapfs.snapshotter import Store

_labels = click.option(
    "-l",
    "--label",
    "labels",
    metavar="K=V",
    multiple=True,
    help="A label of the new snapshot; may be repeated.",
)


@click.command(
    cls=Command,
    short_help="Make an active snapshot and print its mounts.",
    epilog=examples("snapfs prepare work", "snapfs prepare work base -l team=blue"),
)
@click.argument("key")
@click.argument("parent", type=KEY, default="")
@_labels
@pass_session
def prepare(session: Session, key: str, parent: str, labels: tuple[str, ...]) -> None:
    """Make the active snapshot KEY on the committed PARENT, or on nothing.

    Prints the mounts that show PARENT's content and take writes; 'snapfs mount KEY
    TARGET --rw' mounts them.
    """
    with session.store(create=True) as store, suggesting(store, parent):
        made = store.prepare(key, parent, parse_labels(labels))
    print_mounts(session.output, key, made)


@click.command(
    cls=Command,
    short_help="Make a read-only snapshot and print its mounts.",
    epilog=examples("snapfs view look base"),
)
@click.argument("key")
@click.argument("parent", type=KEY, default="")
@_labels
@pass_session
def view(session: Session, key: str, parent: str, labels: tuple[str, ...]) -> None:
    """Make the read-only snapshot KEY of the committed PARENT; print its mounts.

    To look at a committed snapshot no view is needed: 'snapfs mount NAME TARGET'.
    """
    with session.store(create=True) as store, suggesting(store, parent):
        made = store.view(key, parent, parse_labels(labels))
    print_mounts(session.output, key, made)


@click.command(
    cls=Command,
    short_help="Freeze the active snapshot KEY as NAME.",
    epilog=examples(
        "snapfs commit base work",
        "snapfs commit base work -l v=1",
        "snapfs commit base work --layer base.tar.gz",
    ),
)
@click.argument("name")
@click.argument("key", type=KEY)
@_labels
@click.option(
    "--layer",
    metavar="FILE",
    default="",
    help="Also write what KEY changed as an OCI layer.",
)
@layer_file_options
@pass_session
def commit(
    session: Session,
    name: str,
    key: str,
    labels: tuple[str, ...],
    layer: str,
    **options: Unpack[LayerFileOptions],
) -> None:
    """Freeze the active snapshot KEY as the committed snapshot NAME.

    Afterwards KEY is gone. Unmount it first: what is written later would change a
    snapshot that others stand on. Labels are not inherited from KEY. With --layer
    either both are there afterwards or none, unless the disk fails.
    """
    wanted = parse_labels(labels)
    if not layer:
        refuse_layer_options(options)
        with session.store() as store, suggesting(store, key):
            store.commit(name, key, wanted)
            info = store.stat(name)
        if session.output.as_json:
            session.output.document(info_shape(info))
        return
    # Here: what writes layers takes a while to load, and most commits write none.
    from snapfs.cli.commit_layer import commit_with_layer

    commit_with_layer(session, name, key, wanted, layer, options)


@click.command(
    cls=Command,
    short_help="Remove snapshots.",
    epilog=examples("snapfs rm work", "snapfs rm base top   # in any order"),
)
@click.argument("keys", metavar="KEY...", type=KEY, nargs=-1, required=True)
@click.option(
    "--force",
    is_flag=True,
    help="Remove even what belongs to containerd, which still counts on it.",
)
@click.pass_context
@pass_session
def remove(
    session: Session, ctx: click.Context, keys: tuple[str, ...], force: bool
) -> None:
    """Remove the snapshots KEY..., of whatever kind; children before parents.

    What can be removed is removed; each of the others gets a line, and the exit code
    is that of the first. Disk space is reclaimed later, or at once by 'snapfs
    cleanup'.
    """
    with session.store() as store:
        failures = _remove_all(store, list(dict.fromkeys(keys)), force)
    for error in failures.values():
        complain(str(error))
    if session.output.as_json:
        session.output.document([key for key in keys if key not in failures])
    if failures:
        ctx.exit(exit_code(next(iter(failures.values()))))


def _remove_all(store: Store, keys: list[str], force: bool) -> dict[str, SnapfsError]:
    """Remove ``keys``; return the error of each that stays.

    A parent is refused while its children are there, so what was refused is tried
    again as long as something else could be removed.
    """
    failures: dict[str, SnapfsError] = {}
    while keys:
        refused = []
        for key in keys:
            try:
                with suggesting(store, key):
                    (store.force_remove if force else store.remove)(key)
                failures.pop(key, None)
            except FailedPreconditionError as error:
                refused.append(key)
                failures[key] = error
            except SnapfsError as error:
                failures[key] = error
        if len(refused) == len(keys):
            break
        keys = refused
    return failures


@click.command(
    cls=Command,
    short_help="Set labels of a snapshot, or delete them.",
    epilog=examples("snapfs label base team=blue", "snapfs label base team="),
)
@click.argument("key", type=KEY)
@click.argument("labels", metavar="K=V...", nargs=-1, required=True)
@pass_session
def label(session: Session, key: str, labels: tuple[str, ...]) -> None:
    """Set labels of the snapshot KEY; 'K=' deletes label K. Others stay."""
    changes = parse_labels(labels, may_delete=True)
    with session.store() as store, suggesting(store, key):
        info = store.update(
            Info(name=key, labels=changes), [f"labels.{name}" for name in changes]
        )
    if session.output.as_json:
        session.output.document(info_shape(info))
