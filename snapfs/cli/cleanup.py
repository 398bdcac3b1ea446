"""``cleanup``: what nobody needs, why, and how much it is."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from snapfs.cli.changes import left_changes
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.shapes import garbage_shape
from snapfs.cli.wording import counted, human_bytes
from snapfs.errors import FailedPreconditionError, NotFoundError, SnapfsError
from snapfs.model import Garbage, Owner, SnapshotDetails, Usage
from snapfs.state.paths import StatePaths

if TYPE_CHECKING:
    from snapfs.snapshotter import Store

# Longer than containerd takes from a snapshot's making to its own record of it.
_GRACE_S: Final = 60.0


@click.command(
    cls=Command,
    short_help="Reclaim what nobody needs.",
    epilog=examples(
        "snapfs cleanup --dry-run",
        "snapfs cleanup",
        "snapfs cleanup --containerd /run/containerd/containerd.sock --dry-run",
    ),
)
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option(
    "--containerd",
    "socket",
    metavar="SOCKET",
    help="Remove containerd's snapshots too that containerd does not know any more.",
)
@click.option(
    "--snapshotter",
    metavar="NAME",
    default="snapfs",
    show_default=True,
    help="What containerd's configuration calls this store.",
)
@click.option(
    "--older-than",
    "grace_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=_GRACE_S,
    show_default=True,
    help="Of containerd's snapshots, leave younger ones alone: they may be in the"
    " making.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Also where containerd knows none of its snapshots here.",
)
@pass_session
def cleanup(
    session: Session,
    dry_run: bool,
    socket: str | None,
    snapshotter: str,
    grace_s: float,
    force: bool,
) -> None:
    """Remove the directories that no snapshot needs; say why, and how much it was.

    Returns once the files are gone. With --json: one object a line. Mounts of
    snapshots that are gone are named, and left alone. Temporary changes of 'snapfs
    mount --rw' that no mount needs are this user's in $TMPDIR, /var/tmp and /tmp.
    """
    passing = _passing(session, dry_run=dry_run)
    if passing and not os.path.exists(StatePaths(session.root).identity):
        _show(session, passing, dry_run=dry_run)  # without a store there are these
    else:
        _clean_store(session, passing, dry_run, socket, snapshotter, grace_s, force)


def _passing(session: Session, *, dry_run: bool) -> list[Garbage]:
    """Remove temporary changes that no mount needs; return what it was."""
    from snapfs.worker.measuring import measure_tree

    found = []
    for changes, reason in left_changes():
        try:
            usage = measure_tree(changes.directory)
        except OSError:  # an ordinary user's directory without rights
            usage = None
        try:
            if not dry_run:
                changes.discard()
        except SnapfsError as error:
            session.output.note(str(error))
            continue
        found.append(Garbage(changes.directory, reason, usage))
    return found


def _clean_store(
    session: Session,
    passing: list[Garbage],
    dry_run: bool,
    socket: str | None,
    snapshotter: str,
    grace_s: float,
    force: bool,
) -> None:
    with session.store() as store:
        forgotten: list[Garbage] = []
        if socket is not None:
            found = _forgotten(store, socket, snapshotter, grace_s)
            if not dry_run and not force:
                _refuse_stranger(store, found, socket)
            forgotten = _drop(session, store, found, dry_run=dry_run)
        removed = {item.path.rpartition("/")[2] for item in forgotten}
        rest = [
            item
            for item in store.reclaim(dry_run=dry_run)
            if item.path.rpartition("/")[2] not in removed
        ]
        leaked = _leaked(session, store)
    _show(session, [*passing, *forgotten, *rest], dry_run=dry_run)
    for line in leaked:
        session.output.note(line)


def _show(session: Session, found: Sequence[Garbage], *, dry_run: bool) -> None:
    if session.output.as_json:
        session.output.records(map(garbage_shape, found))
        return
    rows = [
        ("-" if i.usage is None else human_bytes(i.usage.size_bytes), i.path, i.reason)
        for i in found
    ]
    if rows:
        session.output.table((">SIZE", "PATH", "WHY"), rows)
    total = sum(item.usage.size_bytes for item in found if item.usage)
    verb = "would be reclaimed" if dry_run else "reclaimed"
    number = counted(len(found), "directory", "directories")
    session.output.note(f"{number}, {human_bytes(total)} {verb}")


def _forgotten(
    store: Store, socket: str, snapshotter: str, grace_s: float
) -> list[SnapshotDetails]:
    # Here: the way to containerd takes a while to load.
    from snapfs.assembly.forgotten import forgotten_snapshots
    from snapfs.remote.containerd_snapshots import known_snapshots

    details = list(store.list_details())  # first: containerd may add to its own
    known = known_snapshots(socket, snapshotter)
    return forgotten_snapshots(details, known, now_ns=time.time_ns(), grace_s=grace_s)


def _refuse_stranger(
    store: Store, found: Sequence[SnapshotDetails], socket: str
) -> None:
    """Refuse a containerd that knows nothing here: it may be another store's."""
    theirs = sum(each.owner is Owner.CONTAINERD for each in store.list_details())
    if found and len(found) == theirs:
        raise FailedPreconditionError(
            f"containerd at {socket} knows none of its {theirs} snapshots in this"
            " store; if it is the one that uses the store, --force removes them all"
        )


def _drop(
    session: Session,
    store: Store,
    found: Sequence[SnapshotDetails],
    *,
    dry_run: bool,
) -> list[Garbage]:
    """Remove forgotten snapshots that are not mounted; return what it was."""
    mounted = _mounted_at(session)
    dropped = []
    for each in found:
        key = each.info.name
        number = int(each.directory.rpartition("/")[2])
        if number in mounted:
            session.output.note(
                f"{key!r} stays: containerd does not know it, but it is mounted at"
                f" {mounted[number]}; `snapfs umount` that first"
            )
            continue
        usage = _usage(store, key)
        try:
            if not dry_run:
                store.force_remove(key)
        except NotFoundError:
            continue  # containerd's own collection was faster
        except FailedPreconditionError as error:
            session.output.note(f"{key!r} stays: {error}")
            continue
        reason = f"containerd does not know snapshot {key!r}"
        dropped.append(Garbage(each.directory, reason, usage))
    return dropped


def _usage(store: Store, key: str) -> Usage | None:
    try:
        return store.usage(key)
    except SnapfsError:  # damaged, or gone already: no reason to keep it
        return None


def _mounted_at(session: Session) -> dict[int, str]:
    from snapfs.assembly.forgotten import store_mounts

    return {
        number: mount.target
        for mount in store_mounts(StatePaths(session.root).snapshots)
        for number in mount.numbers
    }


def _leaked(session: Session, store: Store) -> list[str]:
    """Return a line for each mount that uses a snapshot which is gone."""
    from snapfs.assembly.forgotten import leaked_mounts, numbers_of, store_mounts

    mounts = store_mounts(StatePaths(session.root).snapshots)
    if not mounts:
        return []
    numbers = numbers_of(store.list_details())
    return [
        f"the mount at {mount.target} uses snapshot number {number}, which was removed;"
        f" `snapfs umount {mount.target}` ends it"
        for mount, number in leaked_mounts(mounts, numbers)
    ]
