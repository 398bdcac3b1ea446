"""Whether an object is still what it was: what differs between two views of a path."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from snapfs.errors import UnimplementedError
from snapfs.layer.layer_view import LayerView, Shown

_NS_PER_S: Final = 1_000_000_000
_PIECE_BYTES: Final = 1 << 20
# Set by overlayfs on files whose hard links it keeps together (index=on).
_NLINK: Final = "nlink"


def differing(
    old: Shown, old_view: LayerView, new: Shown, new_view: LayerView
) -> tuple[str, ...]:
    """Name what differs between two objects, as in :attr:`Change.fields`.

    Access times, inode numbers and link counts do not count, nor does the size of a
    directory. The content of files is read only if they are equal otherwise and
    their times have no fraction of a second: so tars, and tools that reset times,
    leave them, and a file of the same size may have been rewritten.

    Raises:
        UnimplementedError: The kernel kept hard links together that it copied up,
            so that other names may have changed, too.
        OSError: One of the two cannot be read.
    """
    was, now = old.status, new.status
    if stat.S_IFMT(was.st_mode) != stat.S_IFMT(now.st_mode):
        return ("type",)
    if (was.st_dev, was.st_ino) == (now.st_dev, now.st_ino):
        return ()  # one inode, linked into both layers
    fields = _differing_attributes(was, now)
    if old_view.xattrs(old) != new_view.xattrs(new):
        fields.append("xattrs")
    if stat.S_ISLNK(now.st_mode):
        if old_view.link_target(old) != new_view.link_target(new):
            fields.append("target")
    elif stat.S_ISREG(now.st_mode):
        _refuse_index(was, new, new_view)
        is_known = fields or now.st_mtime_ns % _NS_PER_S
        if not is_known and not _has_same_content(old, old_view, new, new_view):
            fields.append("content")
    return tuple(fields)


def _differing_attributes(was: os.stat_result, now: os.stat_result) -> list[str]:
    kind = now.st_mode
    pairs = {
        "mode": (was.st_mode, now.st_mode),
        "uid": (was.st_uid, now.st_uid),
        "gid": (was.st_gid, now.st_gid),
        "mtime": (was.st_mtime_ns, now.st_mtime_ns),
    }
    if stat.S_ISREG(kind):
        pairs["size"] = (was.st_size, now.st_size)
    elif stat.S_ISCHR(kind) or stat.S_ISBLK(kind):
        pairs["device"] = (was.st_rdev, now.st_rdev)
    return [name for name, (left, right) in pairs.items() if left != right]


def _refuse_index(was: os.stat_result, new: Shown, view: LayerView) -> None:
    if was.st_nlink > 1 and view.marks(new).value(_NLINK) is not None:
        path = os.fsdecode(new.place.path)
        raise UnimplementedError(
            f"{path!r} was changed through a mount with 'index=on',"
            " which changes all its hard links and leaves no trace of them"
        )


def _has_same_content(
    old: Shown, old_view: LayerView, new: Shown, new_view: LayerView
) -> bool:
    """Compare what two files of one size hold; what is a hole in both is not read."""
    left = old_view.open_content(old)
    try:
        right = new_view.open_content(new)
        try:
            return os.path.sameopenfile(left, right) or _are_equal(
                left, right, new.status.st_size
            )
        finally:
            os.close(right)
    finally:
        os.close(left)


def _are_equal(left: int, right: int, size_bytes: int) -> bool:
    at = 0
    while at < size_bytes:
        at = min(_next_data(left, at, size_bytes), _next_data(right, at, size_bytes))
        piece = os.pread(left, _PIECE_BYTES, at)
        if piece != os.pread(right, _PIECE_BYTES, at):
            return False
        at += max(len(piece), 1)  # 0 where both became shorter meanwhile
    return True


def _next_data(fd: int, at: int, size_bytes: int) -> int:
    try:
        return os.lseek(fd, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a hole up to the end
            return size_bytes
        if error.errno == errno.EINVAL:  # a filesystem that does not know
            return at
        raise
