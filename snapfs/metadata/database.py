"""The SQLite connection: how it is opened, and what its errors mean here."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from snapfs.errors import (
    DataLossError,
    PermissionDeniedError,
    ResourceExhaustedError,
    SnapfsError,
    UnavailableError,
)
from snapfs.light_typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3
else:
    try:
        # What sqlite3 shows, without what it knows of dates: it loads datetime for
        # that, which takes a thirtieth of the time of a mount.
        import _sqlite3 as sqlite3
    except ImportError:  # another Python than CPython may have it otherwise
        import sqlite3

ADVICE: Final = "restore it from a backup, or run `snapfs check --repair`"
"""What a message about a damaged database says to do."""

# A constraint that our own rules did not foresee: the database and the index in
# memory no longer say the same.
_DAMAGED: Final = frozenset(
    {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT}
)
_MAGIC: Final = b"SQLite format 3\0"  # https://www.sqlite.org/fileformat2.html
_FORBIDDEN: Final = frozenset(
    {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
)
# Python's own message, without a code, for text that is not UTF-8.
_UNDECODABLE: Final = "Could not decode to UTF-8"
_BUSY_S: Final = 5.0  # a backup by other means ends sooner, a shell never does
_PRIMARY_CODE: Final = 0xFF  # an extended result code has the primary in its low byte


def connect(path: str, *, create: bool) -> sqlite3.Connection:
    """Open the database ``path`` for durable transactions.

    WAL with ``synchronous=FULL``: a transaction is on disk when COMMIT returns
    (https://www.sqlite.org/pragma.html#pragma_synchronous; NORMAL would lose
    acknowledged commits in a power cut). The caller serialises writers.

    The connection has the file for itself, so that the index of the log lies in its
    own memory and not in a mapped file (https://www.sqlite.org/wal.html#noshm): on a
    filesystem that shuts itself down, a change to a mapped page ends the process by
    SIGBUS, while a write that fails is an error that can be told. So whoever else has
    read it and not closed it yet is waited for, but not for long.

    Nobody in this process may open and close the file from here on: that would drop
    SQLite's locks (fcntl_locking(2)).

    Raises:
        DataLossError: The file is missing or no database.
        PermissionDeniedError: It cannot be written.
        UnavailableError: Another process has it open.
    """
    if not create:
        _refuse_other_files(path)
    mode = "rwc" if create else "rw"
    with errors_of(path):
        connection = sqlite3.connect(
            f"file:{_quoted(path)}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
            timeout=_BUSY_S,
        )
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")  # takes the lock
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            _remove_mapped_index(path)
        except sqlite3.Error as error:
            connection.close()
            _refuse_busy(error, path)
            raise
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, path: str) -> Iterator[None]:
    """Run the block in one durable transaction; on any error nothing changes."""
    with errors_of(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextlib.contextmanager
def errors_of(path: str) -> Iterator[None]:
    """Translate what SQLite raises about the database ``path``, in one place."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(error, path) from error


def _refuse_other_files(path: str) -> None:
    """Refuse what is no database before SQLite sees it: it would fill an empty file.

    Raises:
        DataLossError: It is missing, empty or something else.
        PermissionDeniedError: It cannot be read.
    """
    try:
        with open(path, "rb") as file:
            beginning = file.read(len(_MAGIC))
    except PermissionError as error:
        raise PermissionDeniedError(f"{path} cannot be read") from error
    except OSError as error:
        raise DataLossError(
            f"{path} cannot be read ({error.strerror}); {ADVICE}"
        ) from error
    if beginning != _MAGIC:
        what = "damaged" if beginning else "empty"
        raise DataLossError(f"{path} is {what}; {ADVICE}")


def _remove_mapped_index(path: str) -> None:
    """Remove the mapped index of a version that shared it and was killed.

    Nobody can have it mapped: whoever does holds a lock on the database.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{path}-shm")


def _refuse_busy(error: sqlite3.Error, path: str) -> None:
    """Say who has the database open, if that is what the error means.

    Raises:
        UnavailableError: It is.
    """
    if _code_of(error) == sqlite3.SQLITE_BUSY:
        from snapfs.metadata.holder import database_holder

        raise UnavailableError(
            f"{path} is open in {database_holder(path)}; snapfs needs it for itself:"
            " end that, and copy a store by `snapfs backup`"
        ) from error


def _code_of(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE


def _translated(error: sqlite3.Error, path: str) -> SnapfsError:
    code = _code_of(error)
    if code in _DAMAGED or _UNDECODABLE in str(error):
        return DataLossError(f"{path} is damaged ({error}); {ADVICE}")
    if code == sqlite3.SQLITE_FULL:
        return ResourceExhaustedError(f"no space left for {path}; free some space")
    if code in _FORBIDDEN:
        return PermissionDeniedError(f"{path} cannot be written: {error}")
    if code == sqlite3.SQLITE_CANTOPEN and _has_no_inodes(path):
        return ResourceExhaustedError(f"no inode left for {path}; remove some files")
    if code == sqlite3.SQLITE_CANTOPEN:
        return DataLossError(f"{path} cannot be opened: {error}")
    return UnavailableError(f"{path} cannot be used: {error}")


def _has_no_inodes(path: str) -> bool:
    """Whether no file can be made beside ``path``, such as the log of a database."""
    with contextlib.suppress(OSError):
        space = os.statvfs(os.path.dirname(path))
        return space.f_files > 0 and space.f_favail == 0  # 0 of 0: as many as one likes
    return False


def _quoted(path: str) -> str:
    """Quote a path for an SQLite URI (https://www.sqlite.org/uri.html)."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
