"""``backup`` and ``restore``: a whole store in one file."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator

import click

from snapfs import mountinfo
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.store_archive import Tally, write_archive
from snapfs.cli.store_restore import read_archive
from snapfs.cli.wording import counted, human_bytes
from snapfs.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
)
from snapfs.state import RootLock, StatePaths


@click.command(
    cls=Command,
    short_help="Save the whole store in FILE.",
    epilog=examples(
        "snapfs backup /backup/store.tar",
        "snapfs --root /srv/copy restore /backup/store.tar",
    ),
)
@click.argument("file", type=click.Path(dir_okay=False))
@pass_session
def backup(session: Session, file: str) -> None:
    """Save the whole store in the new tar file FILE.

    Nobody may use the store meanwhile: stop 'snapfs serve' and unmount what is
    mounted from it, also in other mount namespaces. FILE appears when it is complete
    and on disk.
    """
    paths = StatePaths(session.root)
    if not os.path.exists(paths.identity):
        raise NotFoundError(f"there is no store in {paths.root!r}")
    if os.path.lexists(file):
        raise AlreadyExistsError(f"{file!r} exists; a backup never replaces a file")
    if os.path.realpath(file).startswith(os.path.realpath(paths.root) + os.sep):
        raise FailedPreconditionError(f"{file!r} lies in the store that it would hold")
    with _owning(paths):
        _refuse_mounts(paths)
        tally = _write(paths, file)
    for path in tally.sockets:
        session.output.note(f"left out, since tar has no sockets: {path!r}")
    _tell(session, tally, f"saved in {file!r}")


def _write(paths: StatePaths, file: str) -> Tally:
    partial = f"{file}.partial"
    try:
        with open(
            os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
        ) as out:
            tally = write_archive(paths, out)
            out.flush()
            os.fsync(out.fileno())
        os.link(partial, file)  # unlike a rename, it replaces nothing
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
    return tally


@click.command(
    cls=Command,
    short_help="Fill an empty root from a backup.",
    epilog=examples("snapfs --root /srv/copy restore /backup/store.tar"),
)
@click.argument("file", type=click.Path(dir_okay=False))
@pass_session
def restore(session: Session, file: str) -> None:
    """Fill the root, which must be empty or missing, from the backup FILE.

    If anything goes wrong the root is empty again. Two stores of one backup have the
    same identity: do not use both with one containerd.
    """
    paths = StatePaths(session.root)
    with open(file, "rb") as source:
        is_new = not os.path.lexists(paths.root)
        os.makedirs(paths.root, mode=0o700, exist_ok=True)
        if os.listdir(paths.root):
            raise FailedPreconditionError(
                f"{paths.root!r} is not empty; a backup is restored into a new root"
            )
        try:
            with _owning(paths), _directory(paths.root) as root_fd:
                tally = read_archive(root_fd, source)
        except BaseException:
            _empty(paths.root)
            if is_new:
                os.rmdir(paths.root)
            raise
    _tell(session, tally, f"restored in {paths.root!r}; 'snapfs check' compares")


@contextlib.contextmanager
def _owning(paths: StatePaths) -> Iterator[None]:
    """Hold the lock of the root, so that no other process opens the store."""
    lock = RootLock.try_acquire(paths.lock)
    if not isinstance(lock, RootLock):
        raise FailedPreconditionError(f"{paths.root} is owned by {lock}; stop it first")
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _directory(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_mounts(paths: StatePaths) -> None:
    """Refuse while something can be written behind the back of the backup."""
    snapshots = os.path.realpath(paths.snapshots) + os.sep
    contents = _contents(snapshots)
    for entry in mountinfo.read():
        if entry.type == "overlay":
            values = [option.partition("=")[2] for option in entry.super_options]
            is_ours = any(value.startswith(snapshots) for value in values)
        else:
            # A snapshot without a parent is bound, not overlaid.
            is_ours = entry.root != "/" and _identity(entry.target) in contents
        if is_ours:
            raise FailedPreconditionError(
                f"a snapshot of this store is mounted at {entry.target!r}; unmount it"
            )


def _contents(snapshots: str) -> set[tuple[int, int]]:
    """Return device and inode of the root directory of each snapshot."""
    fs = [os.path.join(snapshots, name, "fs") for name in os.listdir(snapshots)]
    return {identity for path in fs if (identity := _identity(path))}


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None  # out of our reach, or gone: none of ours
    return status.st_dev, status.st_ino


def _empty(root: str) -> None:
    for name in os.listdir(root):
        path = os.path.join(root, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def _tell(session: Session, tally: Tally, what: str) -> None:
    entries = counted(tally.entries, "entry", "entries")
    session.output.note(f"{entries}, {human_bytes(tally.size_bytes)} {what}")
    if session.output.as_json:
        session.output.document(
            {"entries": tally.entries, "size_bytes": tally.size_bytes}
        )
