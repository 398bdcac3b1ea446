"""Fill an empty root from a backup, without trusting the file.

Every member is reached from the root's descriptor, one component at a time and
through no symlink: a damaged or hostile file cannot write anywhere else.
"""

from __future__ import annotations

import json
import os
import stat
import tarfile
from typing import IO, Final

from snapfs.cli.store_archive import FORMAT, MARKER, XATTR_RECORD, Tally
from snapfs.errors import DataLossError, InvalidArgumentError, UnsafeLayerError
from snapfs.state import StatePaths
from snapfs.syscalls import syncfs

_IDENTITY: Final = StatePaths("").identity
_CHUNK: Final = 1 << 20
_ZEROS: Final = bytes(_CHUNK)
_NS: Final = 1_000_000_000
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def read_archive(root_fd: int, file: IO[bytes]) -> Tally:
    """Unpack the backup ``file`` into the empty directory ``root_fd``.

    On return all is on disk. After an error the directory holds a part.

    Raises:
        InvalidArgumentError: The file is no backup, or of a newer format.
        DataLossError: It is damaged or cut short.
        UnsafeLayerError: A member would lie outside of the directory.
        OSError: Something cannot be written.
    """
    tally = Tally()
    directories: list[tarfile.TarInfo] = []
    is_complete = False
    try:
        with tarfile.open(
            fileobj=file, mode="r|", encoding="utf-8", errors="surrogateescape"
        ) as archive:
            members = iter(archive)  # a second one would begin anew
            _check_marker(archive, next(members, None))
            for member in members:
                _restore(root_fd, archive, member)
                if member.isdir():
                    directories.append(member)
                tally.entries += 1
                tally.size_bytes += member.size if member.isreg() else 0
                is_complete = member.name == _IDENTITY
    except tarfile.TarError as error:
        if not tally.entries:
            raise InvalidArgumentError("the file is no backup of snapfs") from error
        raise DataLossError(f"the backup is damaged: {error}") from error
    if not is_complete:
        raise DataLossError(
            f"the backup is cut short: it does not end with {_IDENTITY}"
        )
    # Only now: whatever is made in a directory changes its time, and may need a
    # permission that the directory does not give.
    for member in reversed(directories):
        _finish_directory(root_fd, member)
    syncfs(root_fd)
    return tally


def _check_marker(archive: tarfile.TarFile, first: tarfile.TarInfo | None) -> None:
    file = archive.extractfile(first) if first and first.name == MARKER else None
    try:
        found = json.load(file)["format"] if file else None
    except (ValueError, KeyError, TypeError):
        found = None  # some other JSON, or none
    if found is None:
        raise InvalidArgumentError("the file is no backup of snapfs")
    if found != FORMAT:
        raise InvalidArgumentError(
            f"the backup has format {found}; this version reads format {FORMAT}"
        )


def _restore(root_fd: int, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    parent, name = _open_parent(root_fd, member.name)
    try:
        _create(root_fd, parent, name, archive, member)
        if member.islnk():
            return  # another name of what has all its attributes already
        os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
        if not member.issym():
            mode = member.mode | (stat.S_IRWXU if member.isdir() else 0)
            os.chmod(name, mode, dir_fd=parent)
        # After chown(2), which drops security.capability. There is no *xattr() by
        # directory descriptor; /proc follows exactly this one.
        path = f"/proc/self/fd/{parent}/{name}"
        for record, value in member.pax_headers.items():
            if record.startswith(XATTR_RECORD):
                raw = value.encode("utf-8", "surrogateescape")
                attribute = record.removeprefix(XATTR_RECORD)
                os.setxattr(path, attribute, raw, follow_symlinks=False)
        _set_time(parent, name, member)
    finally:
        os.close(parent)


def _create(
    root_fd: int,
    parent: int,
    name: str,
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
) -> None:
    """Make the object, which must not be there yet, without its attributes."""
    if member.isdir():
        os.mkdir(name, 0o700, dir_fd=parent)
    elif member.islnk():
        source, source_name = _open_parent(root_fd, member.linkname)
        try:
            os.link(
                source_name,
                name,
                src_dir_fd=source,
                dst_dir_fd=parent,
                follow_symlinks=False,
            )
        finally:
            os.close(source)
    elif member.issym():
        os.symlink(member.linkname, name, dir_fd=parent)
    elif member.isreg():
        _write_file(parent, name, archive, member)
    elif member.isfifo():
        os.mkfifo(name, 0o600, dir_fd=parent)
    elif member.ischr() or member.isblk():
        kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
        device = os.makedev(member.devmajor, member.devminor)
        os.mknod(name, kind | 0o600, device, dir_fd=parent)
    else:
        raise DataLossError(f"{member.name!r} is of an unknown type in the backup")


def _write_file(
    parent: int, name: str, archive: tarfile.TarFile, member: tarfile.TarInfo
) -> None:
    """Write the content; what is all zeros becomes a hole, as it mostly was."""
    content = archive.extractfile(member)
    assert content is not None  # a regular file has content
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(name, flags, 0o600, dir_fd=parent), "wb", buffering=0) as file:
        while chunk := content.read(_CHUNK):
            if chunk == _ZEROS:
                file.seek(len(chunk), os.SEEK_CUR)
                continue
            view = memoryview(chunk)
            while view:
                view = view[file.write(view) :]
        file.truncate(member.size)


def _finish_directory(root_fd: int, member: tarfile.TarInfo) -> None:
    parent, name = _open_parent(root_fd, member.name)
    try:
        os.chmod(name, member.mode, dir_fd=parent)
        _set_time(parent, name, member)
    finally:
        os.close(parent)


def _set_time(parent: int, name: str, member: tarfile.TarInfo) -> None:
    seconds, _, fraction = member.pax_headers.get("mtime", "").partition(".")
    if seconds:
        time_ns = int(seconds) * _NS + int(fraction.ljust(9, "0")[:9] or 0)
    else:
        time_ns = int(member.mtime) * _NS
    os.utime(name, ns=(time_ns, time_ns), dir_fd=parent, follow_symlinks=False)


def _open_parent(root_fd: int, path: str) -> tuple[int, str]:
    """Open the directory that ``path`` lies in; return it and the last name."""
    *above, name = path.split("/")
    if any(part in ("", ".", "..") for part in (*above, name)):
        raise UnsafeLayerError(f"the backup holds {path!r}, which leads elsewhere")
    current = os.dup(root_fd)
    for part in above:
        try:
            opened = os.open(part, _DIRECTORY, dir_fd=current)
        except OSError as error:
            raise UnsafeLayerError(
                f"the backup holds {path!r}, but {part!r} is no directory in it"
            ) from error
        finally:
            os.close(current)
        current = opened
    return current, name
