"""Mount one directory at a second place, with other attributes where asked."""

from __future__ import annotations

import contextlib
import errno
import os

from snapfs import mountinfo, syscalls
from snapfs.errors import InvalidArgumentError, UnavailableError
from snapfs.kernel_overlay import id_map
from snapfs.kernel_overlay.failures import translate, undo_mount
from snapfs.kernel_overlay.words import Words, sort_out
from snapfs.model import Mount

# What statvfs(3) tells of a mount, and mount(2) must be told again at a remount;
# in a user namespace the kernel refuses to drop any of them.
_KEPT = (
    (os.ST_RDONLY, syscalls.MS_RDONLY),
    (os.ST_NOSUID, syscalls.MS_NOSUID),
    (os.ST_NODEV, syscalls.MS_NODEV),
    (os.ST_NOEXEC, syscalls.MS_NOEXEC),
    (os.ST_NOATIME, syscalls.MS_NOATIME),
    (os.ST_NODIRATIME, syscalls.MS_NODIRATIME),
    (os.ST_RELATIME, syscalls.MS_RELATIME),
)


def mount_bind(mount: Mount, target_fd: int, where: str) -> None:
    """Bind ``mount.source`` to the open directory ``target_fd``.

    What the words ask for holds for the mounts below the source too. Afterwards it
    is mounted so; on any error nothing is.

    Raises:
        InvalidArgumentError: A word is none of a bind mount's.
        SnapfsError: The narrowest class for what the kernel said.
    """
    words = sort_out(mount.options)
    values = dict(word.partition("=")[::2] for word in words.data)
    unknown = values.keys() - {"uidmap", "gidmap"}
    if unknown:
        raise InvalidArgumentError(f"a bind mount has no option {min(unknown)!r}")
    maps = id_map.pair(values)
    try:
        tree = _clone(mount.source, words, maps)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise _translated(error, mount.source, where) from error
        if maps:
            raise UnavailableError("this kernel maps no identities") from error
        _bind_and_remount(mount.source, words, target_fd, where)
        return
    try:
        syscalls.move_mount(tree, target_fd)
    except OSError as error:
        raise _translated(error, mount.source, where) from error
    finally:
        os.close(tree)


def _clone(source: str, words: Words, maps: tuple[str, str] | None) -> int:
    """Make the mount, attached nowhere, with its attributes; return its descriptor."""
    recursive = bool(words.flags & syscalls.MS_REC)
    tree = syscalls.clone_tree(source, recursive=recursive)
    try:
        with contextlib.ExitStack() as stack:
            userns_fd, id_map_bit = 0, 0
            if maps:
                userns_fd = stack.enter_context(id_map.user_namespace(*maps))
                id_map_bit = syscalls.MOUNT_ATTR_IDMAP
            bits = words.attributes | id_map_bit
            # The mask must be cleared for a choice to be set, and only then.
            clear = syscalls.MOUNT_ATTR_ATIME if words.has_atime_choice else 0
            if bits or clear:
                syscalls.mount_setattr(
                    tree,
                    set_=bits,
                    clear=clear,
                    recursive=recursive,
                    userns_fd=userns_fd,
                )
    except BaseException:
        os.close(tree)
        raise
    return tree


def _bind_and_remount(source: str, words: Words, target_fd: int, where: str) -> None:
    """Do the same by mount(2), which ignores the attributes of a new bind mount."""
    target = f"/proc/self/fd/{target_fd}"
    recursive = words.flags & syscalls.MS_REC
    attributes = words.flags & ~syscalls.MS_BIND & ~syscalls.MS_REC
    try:
        syscalls.mount(source, target, "", syscalls.MS_BIND | recursive)
    except OSError as error:
        raise _translated(error, source, where) from error
    if not attributes:
        return
    try:
        for entry in mountinfo.mounts_below(where):
            _remount(entry.target, attributes)
    except OSError as error:
        undo_mount(where)
        raise _translated(error, source, where) from error


def _remount(target: str, attributes: int) -> None:
    state = os.statvfs(target).f_flag
    kept = sum(flag for bit, flag in _KEPT if state & bit)
    flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | kept | attributes
    syscalls.mount("", target, "", flags)


def _translated(error: OSError, source: str, where: str) -> Exception:
    return translate(error, f"cannot bind {source!r} to {where!r}")
