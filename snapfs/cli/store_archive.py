"""A backup of a store: one tar file that holds every byte and attribute of it.

POSIX.1-2001 (pax) tar, as GNU tar reads it: extended attributes as
``SCHILY.xattr.NAME`` records, times to the nanosecond, hard links, devices (so
whiteouts too). The first member says what the file is; the store's identity comes
last, so that a restore that was cut short is not taken for a store.
"""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import tarfile
from collections.abc import Iterator
from typing import IO, Final

from snapfs.errors import InvalidArgumentError
from snapfs.state import StatePaths

MARKER: Final = "snapfs-backup.json"
FORMAT: Final = 1
XATTR_RECORD: Final = "SCHILY.xattr."


@dataclasses.dataclass(slots=True)
class Tally:
    """What went into a backup, or came out of it."""

    entries: int = 0
    size_bytes: int = 0
    sockets: list[str] = dataclasses.field(default_factory=list)


def write_archive(paths: StatePaths, file: IO[bytes]) -> Tally:
    """Write the store into ``file``. The caller owns the root meanwhile.

    Sockets have no form in a tar file; they are left out and listed.

    Raises:
        OSError: Something cannot be read or written.
        InvalidArgumentError: An attribute's name cannot stand in a tar file.
    """
    tally = Tally()
    with tarfile.open(
        fileobj=file,
        mode="w|",
        format=tarfile.PAX_FORMAT,
        encoding="utf-8",
        errors="surrogateescape",
    ) as archive:
        _add_marker(archive)
        for path in _members(paths):
            _add(archive, path, os.path.relpath(path, paths.root), tally)
    return tally


def _members(paths: StatePaths) -> Iterator[str]:
    """Yield all that makes up a store: parents first, its identity last.

    What waits to be completed or reclaimed belongs to no snapshot.
    """
    left_out = {paths.lock, paths.socket, paths.identity}
    emptied = {paths.staging, paths.trash}
    # In a closed store this index of the write-ahead log is rebuilt anyway.
    left_out.add(paths.database + "-shm")
    stack = sorted(_children(paths.root), reverse=True)
    while stack:
        path = stack.pop()
        if path in left_out:
            continue
        yield path
        is_directory = stat.S_ISDIR(os.lstat(path).st_mode)
        if is_directory and path not in emptied:
            stack.extend(sorted(_children(path), reverse=True))
    yield paths.identity


def _children(directory: str) -> list[str]:
    return [os.path.join(directory, name) for name in os.listdir(directory)]


def _add_marker(archive: tarfile.TarFile) -> None:
    import io

    content = json.dumps({"format": FORMAT}).encode() + b"\n"
    marker = tarfile.TarInfo(MARKER)
    marker.size, marker.mode = len(content), 0o600
    archive.addfile(marker, io.BytesIO(content))


def _add(archive: tarfile.TarFile, path: str, name: str, tally: Tally) -> None:
    status = os.lstat(path)
    if stat.S_ISSOCK(status.st_mode):
        tally.sockets.append(path)
        return
    member = archive.gettarinfo(path, name)
    member.uname = member.gname = ""  # identities are numbers, here and there
    seconds, nanoseconds = divmod(status.st_mtime_ns, 1_000_000_000)
    member.mtime = seconds
    member.pax_headers = {"mtime": f"{seconds}.{nanoseconds:09d}"}
    if not member.islnk():
        member.pax_headers |= _attributes(path)
    if member.isreg():
        with open(path, "rb") as content:
            archive.addfile(member, content)
        tally.size_bytes += member.size
    else:
        archive.addfile(member)
    tally.entries += 1


def _attributes(path: str) -> dict[str, str]:
    records = {}
    for name in os.listxattr(path, follow_symlinks=False):
        if "=" in name:
            raise InvalidArgumentError(
                f"{path!r} has an attribute {name!r}: '=' has no place in a pax record"
            )
        value = os.getxattr(path, name, follow_symlinks=False)
        records[XATTR_RECORD + name] = value.decode("utf-8", "surrogateescape")
    return records
