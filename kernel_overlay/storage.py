"""What the filesystem below a store can do, tried in a scratch directory on it.

The list is that of ``ovl_make_workdir`` in ``fs/overlayfs/super.c``: what overlayfs
tries on the filesystem of an upperdir, where it silently does without what it does
not find.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from snapfs import mountinfo, syscalls
from snapfs.errors import PermissionDeniedError, UnavailableError
from snapfs.kernel_overlay.failures import translate
from snapfs.light_typing import Final
from snapfs.overlay_format import OPAQUE, OVERLAYFS_MAGIC, XattrPrefix, is_whiteout

_SCRATCH_PREFIX: Final = ".snapfs-probe-"
_QUOTA_OPTIONS: Final = frozenset(("prjquota", "pquota"))


@contextlib.contextmanager
def scratch_directory(root: str) -> Iterator[str]:
    """Make an empty directory in ``root``; remove it with all that it holds.

    Raises:
        OSError: It cannot be made.
    """
    # Not by tempfile and shutil: every command that opens a store would load them.
    path = os.path.join(root, f"{_SCRATCH_PREFIX}{os.urandom(8).hex()}")
    os.mkdir(path, 0o700)
    try:
        yield path
    finally:
        _remove(path)


def _remove(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        import shutil  # a probe of features has left something

        shutil.rmtree(path)


def check_storage(root: str, prefix: str) -> None:
    """Make sure that ``root`` can hold the upperdirs of a store.

    Args:
        root: An existing directory that this process can write.
        prefix: The store's attribute prefix, ``trusted.`` or ``user.``.

    Raises:
        UnavailableError: It lies on an overlay, or its filesystem gives no file
            types in directory listings or has no such attributes.
        PermissionDeniedError: This process may not write there, or not set them.
        NotFoundError: There is no ``root``.
    """
    try:
        if lies_on_overlay(root):
            raise UnavailableError(
                f"{root!r} lies on an overlay, which cannot hold the upperdir of"
                " another; choose a root on another filesystem"
            )
        with scratch_directory(root) as scratch:
            if not has_d_type(scratch):
                raise UnavailableError(
                    f"the filesystem of {root!r} gives no file types in directory"
                    " listings (d_type), which overlayfs needs; make it with ftype=1"
                    " (xfs) or the filetype feature (ext4)"
                )
            _check_attributes(root, scratch, XattrPrefix(prefix))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            # A store on a full disk must still open, so that snapshots can go.
            return
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise PermissionDeniedError(
                f"{root!r} cannot be written ({error.strerror}); run as its owner, or"
                " choose another root"
            ) from error
        if error.errno == errno.ENOENT and os.path.isdir(root):
            raise UnavailableError(  # /proc and its like
                f"the filesystem of {root!r} lets nobody make directories; choose a"
                " root on another one"
            ) from error
        raise translate(error, f"cannot use {root!r} for snapshots") from error


def _check_attributes(root: str, scratch: str, prefix: XattrPrefix) -> None:
    try:
        set_attribute(scratch, prefix)
    except OSError as error:
        if error.errno == errno.EPERM:
            raise PermissionDeniedError(
                f"this process may not set {prefix}* attributes, in which the store"
                f" {root!r} keeps its marks"
            ) from error
        if error.errno != errno.ENOTSUP:
            raise
        raise UnavailableError(
            f"the filesystem of {root!r} has no {prefix}* attributes, which overlayfs"
            " needs; choose a root on another filesystem"
        ) from error


def lies_on_overlay(path: str) -> bool:
    """Tell whether the kernel would refuse ``path`` as an upperdir."""
    return syscalls.statfs_type(path) == OVERLAYFS_MAGIC


def has_d_type(scratch: str) -> bool:
    """Tell whether directory listings give the type of each entry.

    "." and ".." do not count: many filesystems make them up.
    """
    typed = os.path.join(scratch, "typed")
    os.mkdir(typed)
    fd = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        types = dict(syscalls.entry_types(fd))
    finally:
        os.close(fd)
        os.rmdir(typed)
    return types[b"typed"] != syscalls.DT_UNKNOWN


def renames_with_whiteout(scratch: str) -> bool:
    """Tell whether a rename can leave a whiteout behind (``RENAME_WHITEOUT``).

    Raises:
        OSError: EINVAL where it cannot.
    """
    old, new = os.path.join(scratch, "old"), os.path.join(scratch, "new")
    os.mkdir(old)
    syscalls.renameat2(old, new, syscalls.RENAME_WHITEOUT)
    return is_whiteout(os.lstat(old))


def set_attribute(scratch: str, prefix: XattrPrefix) -> None:
    """Set the attribute that marks a directory opaque.

    Raises:
        OSError: EPERM without the privilege, ENOTSUP without such attributes.
    """
    os.setxattr(scratch, prefix.attribute(OPAQUE), b"y")


def open_unnamed_file(scratch: str) -> None:
    """Open a file without a name (``O_TMPFILE``), as copy-up does.

    Raises:
        OSError: EOPNOTSUPP where there are none.
    """
    os.close(os.open(scratch, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))


def quota_option(path: str) -> str:
    """Return the mount option that turns project quotas on; "" if there is none."""
    entry = mountinfo.containing(path)
    found = _QUOTA_OPTIONS.intersection(entry.super_options) if entry else frozenset()
    return min(found, default="")
