"""Putting a FUSE filesystem on a directory: by ourselves, else by ``fusermount3``.

By the new mount API where the kernel has it (its context tells why it refuses, and
the target is an open directory), by mount(2) where not; both as root and in a user
namespace. See ``Documentation/filesystems/fuse.rst`` and ``fs/fuse/inode.c``.
"""

from __future__ import annotations

import errno
import os
import stat

from snapfs import syscalls
from snapfs.fuse.session import fusermount
from snapfs.fuse.session.connection import Connection, device_at
from snapfs.light_typing import Final
from snapfs.values import dataclass

DEVICE: Final = "/dev/fuse"
READ_AHEAD_KB: Final = 1024
"""As much as one READ can bring with 256 pages."""

# A filesystem that may not be mounted by us, or not this way.
_REFUSED: Final = (errno.EPERM, errno.EACCES)
_NO_NEW_API: Final = (errno.ENOSYS, errno.EPERM, errno.EINVAL)


@dataclass(frozen=True, slots=True)
class MountOptions:
    """How to mount; the names are those of mount.fuse3(8).

    Attributes:
        source: What mount tables show as the device.
        subtype: The part of the type after "fuse.".
        is_read_only: Refuse writes in the kernel; views should (no atime, no GETATTR
            after each read).
        allow_other: Let other users in.
        default_permissions: Have the kernel check modes and ACLs.
        max_read: Bytes of one READ; 0 for no limit of its own.
        nosuid: Ignore set-uid bits and file capabilities.
        nodev: Ignore device nodes.
        noexec: Execute nothing.
        noatime: Leave access times alone.
        read_ahead_kb: Of the bdi, raised where we may; 0 to leave it.
    """

    source: bytes = b"snapfs"
    subtype: bytes = b"snapfs-fuse"
    is_read_only: bool = False
    allow_other: bool = False
    default_permissions: bool = True
    max_read: int = 0
    nosuid: bool = False
    nodev: bool = False
    noexec: bool = False
    noatime: bool = False
    read_ahead_kb: int = READ_AHEAD_KB


def mount(target: bytes | str, options: MountOptions | None = None) -> Connection:
    """Mount a FUSE filesystem on the directory ``target``.

    Its INIT waits in the returned connection; until it is answered every access to
    ``target`` waits.

    Raises:
        OSError: ENOENT or ENODEV, no device; EPERM or EACCES, neither we nor
            ``fusermount3`` may, and the text says why; and from the mount itself.
    """
    wanted = options or MountOptions()
    path = os.path.realpath(os.fsencode(target))
    if not stat.S_ISDIR(os.stat(path).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "not a directory", path)
    try:
        connection = _mount_ourselves(path, wanted)
    except OSError as error:
        if error.errno not in _REFUSED or os.geteuid() == 0:
            raise
        connection = _mount_by_helper(path, wanted, error)
    if wanted.read_ahead_kb:
        connection.raise_read_ahead(wanted.read_ahead_kb)
    return connection


def _mount_ourselves(path: bytes, options: MountOptions) -> Connection:
    fd = open_device()
    try:
        try:
            _mount_new(fd, path, options)
        except OSError as error:
            if error.errno not in _NO_NEW_API:
                raise
            mount_old(fd, path, options)
        return Connection(fd, path, device=device_at(path))
    except BaseException:
        os.close(fd)
        raise


def open_device() -> int:
    """Open /dev/fuse.

    Raises:
        OSError: ENOENT or ENODEV, the kernel module is missing; EACCES.
    """
    return os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)


def _parameters(fd: int, options: MountOptions) -> list[tuple[str, str]]:
    """Return what the filesystem itself is told; "" marks one without a value."""
    parameters = [
        ("fd", str(fd)),
        ("rootmode", f"{stat.S_IFDIR:o}"),
        ("user_id", str(os.geteuid())),
        ("group_id", str(os.getegid())),
    ]
    if options.default_permissions:
        parameters.append(("default_permissions", ""))
    if options.allow_other:
        parameters.append(("allow_other", ""))
    if options.max_read:
        parameters.append(("max_read", str(options.max_read)))
    return parameters


def _mount_new(fd: int, path: bytes, options: MountOptions) -> None:
    context = syscalls.fsopen("fuse")
    try:
        syscalls.fsconfig_string(context, "source", options.source)
        if options.subtype:
            syscalls.fsconfig_string(context, "subtype", options.subtype)
        for key, value in _parameters(fd, options):
            if value:
                syscalls.fsconfig_string(context, key, value)
            else:
                syscalls.fsconfig_flag(context, key)
        if options.is_read_only:
            syscalls.fsconfig_flag(context, "ro")
        syscalls.fsconfig_create(context)
        mounted = syscalls.fsmount(context, _attributes(options))
    finally:
        os.close(context)
    try:
        directory = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            syscalls.move_mount(mounted, directory)
        finally:
            os.close(directory)
    finally:
        os.close(mounted)


def _attributes(options: MountOptions) -> int:
    pairs = (
        (options.is_read_only, syscalls.MOUNT_ATTR_RDONLY),
        (options.nosuid, syscalls.MOUNT_ATTR_NOSUID),
        (options.nodev, syscalls.MOUNT_ATTR_NODEV),
        (options.noexec, syscalls.MOUNT_ATTR_NOEXEC),
        (options.noatime, syscalls.MOUNT_ATTR_NOATIME),
    )
    return sum(attribute for is_set, attribute in pairs if is_set)


def mount_old(fd: int, path: bytes, options: MountOptions) -> None:
    """Mount by mount(2), for kernels before 5.2 or a filter that hides fsopen(2)."""
    pairs = (
        (options.is_read_only, syscalls.MS_RDONLY),
        (options.nosuid, syscalls.MS_NOSUID),
        (options.nodev, syscalls.MS_NODEV),
        (options.noexec, syscalls.MS_NOEXEC),
        (options.noatime, syscalls.MS_NOATIME),
    )
    flags = sum(flag for is_set, flag in pairs if is_set)
    words = [
        f"{key}={value}" if value else key for key, value in _parameters(fd, options)
    ]
    fstype = b"fuse." + options.subtype if options.subtype else b"fuse"
    data = ",".join(words).encode()
    syscalls.mount(options.source, path, os.fsdecode(fstype), flags, data)


def _mount_by_helper(path: bytes, options: MountOptions, why: OSError) -> Connection:
    words = [b"fsname=" + options.source]
    if options.subtype:
        words.append(b"subtype=" + options.subtype)
    if options.max_read:
        words.append(b"max_read=%d" % options.max_read)
    flags = (
        (options.is_read_only, b"ro"),
        (options.allow_other, b"allow_other"),
        (options.default_permissions, b"default_permissions"),
        (options.noexec, b"noexec"),
        (options.noatime, b"noatime"),
    )
    words.extend(word for is_set, word in flags if is_set)
    try:
        fd = fusermount.mount(path, words)
    except OSError as error:
        text = f"{error.strerror}; and we ourselves: {why.strerror}"
        raise OSError(error.errno, text, path) from why
    return Connection(fd, path, device=device_at(path), by_helper=True)
