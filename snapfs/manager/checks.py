"""``check``: the store against itself and against the disk. Changes nothing.

Every invariant has a row in ``docs/on-disk.md``; the code of a finding is its name
there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

from snapfs.errors import DataLossError
from snapfs.light_typing import TYPE_CHECKING
from snapfs.manager.sidecars import sidecar_of
from snapfs.metadata import Row
from snapfs.metadata.database import ADVICE
from snapfs.model import Finding, Garbage, Kind, Severity
from snapfs.state.sidecar import read_sidecar

if TYPE_CHECKING:
    from snapfs.manager.parts import ManagerParts


def check_store(
    parts: ManagerParts,
    orphans: Sequence[Garbage],
    holding: Callable[[int], AbstractContextManager[Row | None]],
) -> list[Finding]:
    """Return every contradiction; empty means that all invariants hold.

    ``holding`` keeps a snapshot from changing while its directory is compared with
    its row, which it yields as it is then.
    """
    findings = [
        _error(
            "database",
            parts.paths.database,
            f"{text}; {ADVICE}",
        )
        for text in parts.metadata.integrity_errors()
    ]
    rows = parts.metadata.rows()
    findings += _check_relations(rows)
    for row in rows:
        with holding(row.snapshot_id) as current:
            if current is not None:
                findings += _check_directory(parts, current)
    findings += [
        Finding(
            Severity.WARNING,
            "orphan",
            item.path,
            f"{item.reason}; `snapfs cleanup` reclaims it",
        )
        for item in orphans
    ]
    findings += _check_names(parts)
    return findings


def _check_relations(rows: Sequence[Row]) -> Iterator[Finding]:
    """Parents are committed and older; nothing but a committed row is a parent."""
    by_id = {row.snapshot_id: row for row in rows}
    for row in rows:
        if not row.parent_id:
            continue
        parent = by_id.get(row.parent_id)
        if parent is None:
            yield _error(
                "missing-parent", row.key, f"its parent {row.info.parent!r} is gone"
            )
        elif parent.kind is not Kind.COMMITTED:
            yield _error(
                "parent-not-committed",
                row.key,
                f"its parent {parent.key!r} is {parent.kind}",
            )


def _check_directory(parts: ManagerParts, row: Row) -> Iterator[Finding]:
    """The row's directory is complete, and its sidecar says what the row says."""
    paths = parts.paths
    needed = [paths.directory(row.snapshot_id), paths.fs(row.layer_id)]
    if row.kind is Kind.ACTIVE:
        needed.append(paths.work(row.layer_id))
    for path in needed:
        if not _is_directory(path):
            yield _error(
                "missing-directory",
                row.key,
                f"{path} is not there; remove the snapshot and make it anew",
            )
            return
    if row.driver not in parts.drivers:
        yield _error("unknown-driver", row.key, f"driver {row.driver!r} is not here")
    try:
        sidecar = read_sidecar(paths.directory(row.snapshot_id))
    except DataLossError as error:
        yield _error("sidecar", row.key, f"{error}; a label change rewrites it")
        return
    if sidecar != sidecar_of(row, parts.identity.xattr_prefix):
        yield _error(
            "sidecar",
            row.key,
            f"the sidecar in {paths.directory(row.snapshot_id)} says something else"
            " than the database",
        )


def _check_names(parts: ManagerParts) -> Iterator[Finding]:
    """Only numbers that were handed out are names of snapshot directories."""
    for name in parts.directories.published():
        path = os.path.join(parts.paths.snapshots, name)
        if not (name.isascii() and name.isdigit()):
            yield Finding(
                Severity.WARNING, "foreign-file", path, "snapfs did not make it"
            )
        elif int(name) >= parts.metadata.first_unused_id:
            yield _error(
                "number-not-issued",
                path,
                "the database never gave this number: it is older than the disk;"
                " restore the database that belongs to it",
            )


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _error(code: str, subject: str, detail: str) -> Finding:
    return Finding(Severity.ERROR, code, subject, detail)
