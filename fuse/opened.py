"""What is opened once for a mount, before it is there, and outlives its servers."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack

from snapfs.errors import FailedPreconditionError, UnavailableError
from snapfs.fuse.mount_config import MountConfig
from snapfs.fuse.mountpoint import check_mountpoint
from snapfs.fuse.ownership import ownership_of
from snapfs.fuse.union.layers import Layer, LayerStack, open_lower, open_upper
from snapfs.fuse.union.options import UnionOptions
from snapfs.fuse.union.workdir import WorkDirectory, open_work_directory
from snapfs.light_typing import TYPE_CHECKING, Final
from snapfs.overlay_format import XattrPrefix, fitting_prefix, make_whiteout

if TYPE_CHECKING:
    from snapfs.fuse.session import Connection
    from snapfs.fuse.wire import Negotiated


_NO_WHITEOUTS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class OpenedUnion:
    """The directories of one union, and what it was asked to be.

    No server closes them: a process that is forked from the one that has opened them
    has its own, which end with it.

    Attributes:
        config: What the mount is to be.
        prefix: Where the marks are.
        stack: The layers.
        work: The workdir; None where nothing may be changed.
    """

    __slots__ = ("config", "prefix", "stack", "work")

    def __init__(
        self,
        config: MountConfig,
        prefix: XattrPrefix,
        stack: LayerStack,
        work: WorkDirectory | None,
    ) -> None:
        self.config = config
        self.prefix = prefix
        self.stack = stack
        self.work = work

    @property
    def is_read_only(self) -> bool:
        """Whether nothing may change."""
        return self.work is None

    def options(self) -> UnionOptions:
        """Return how the union behaves."""
        config = self.config
        options = UnionOptions(self.prefix)
        options.is_readonly = self.is_read_only
        options.is_volatile = config.is_volatile
        options.is_noacl = not config.has_acls
        options.is_xino = config.xino != "off"
        options.ownership = ownership_of(config)
        options.max_bytes = config.max_bytes
        if config.redirect:
            options.write_redirects = config.redirect == "on"
            options.follow_redirects = config.redirect != "nofollow"
        return options

    def close(self) -> None:
        """Clean the workdir and close everything; when no server is left."""
        if self.work is not None:
            self.work.close()
        self.stack.close()


class LiveMount:
    """A union that is mounted: all that its servers have in common.

    Attributes:
        union: Its directories.
        connection: The descriptor and the mount.
        negotiated: What was agreed with the kernel.
    """

    __slots__ = ("connection", "negotiated", "union")

    def __init__(
        self, union: OpenedUnion, connection: Connection, negotiated: Negotiated
    ) -> None:
        self.union = union
        self.connection = connection
        self.negotiated = negotiated


def open_union(config: MountConfig) -> OpenedUnion:
    """Open layers and workdir.

    Raises:
        FailedPreconditionError: The mount point is part of the union, or the workdir
            is not one for this upperdir.
        OSError: From opening a layer.
    """
    named = (*config.lowerdirs, *config.datadirs, config.upperdir, config.workdir)
    check_mountpoint(config.mountpoint, [path for path in named if path is not None])
    prefix = config.prefix or fitting_prefix()
    with ExitStack() as opened:
        lowers: list[Layer] = []
        for path in (*config.lowerdirs, *config.datadirs):
            is_data_only = len(lowers) >= len(config.lowerdirs)
            lowers.append(open_lower(path, is_data_only=is_data_only))
            opened.callback(lowers[-1].close)
        upper = None
        if config.upperdir is not None:
            upper = open_upper(config.upperdir)
            opened.callback(upper.close)
        work = _open_work(config, upper)
        work_fd = None if work is None else os.dup(work.fd)
        stack = LayerStack(upper, work_fd, lowers, prefix)
        opened.pop_all()
    return OpenedUnion(config, prefix, stack, work)


def _open_work(config: MountConfig, upper: Layer | None) -> WorkDirectory | None:
    """Take the workdir for a mount that may write; another touches none."""
    if upper is None or config.is_read_only:
        return None
    assert config.upperdir is not None
    assert config.workdir is not None
    _refuse_nested(config.upperdir, config.workdir)
    fd = os.open(config.workdir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        work = open_work_directory(fd, upper.root_fd, is_volatile=config.is_volatile)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EINVAL):
            raise
        name = os.fsdecode(config.workdir)
        raise FailedPreconditionError(f"workdir {name}: {error.strerror}") from error
    finally:
        os.close(fd)
    _refuse_without_whiteouts(work, config.upperdir)
    return work


def _refuse_without_whiteouts(work: WorkDirectory, upperdir: bytes) -> None:
    """Refuse an upperdir where nothing of a lower layer could ever be removed."""
    name = work.temporary()
    try:
        make_whiteout(name, dir_fd=work.fd)
    except OSError as error:
        if error.errno not in _NO_WHITEOUTS:
            return  # full, or read-only: each change will tell
        work.close()
        raise UnavailableError(
            f"upperdir {os.fsdecode(upperdir)}: its filesystem takes no whiteouts"
            " (character devices 0:0); have it on another one, such as tmpfs"
        ) from error
    os.unlink(name, dir_fd=work.fd)


def _refuse_nested(upperdir: bytes, workdir: bytes) -> None:
    """Refuse what overlayfs does: a workdir in the upperdir, or around it."""
    upper, work = (os.path.realpath(path) + b"/" for path in (upperdir, workdir))
    if upper.startswith(work) or work.startswith(upper):
        raise FailedPreconditionError(
            f"workdir {os.fsdecode(workdir)} and upperdir {os.fsdecode(upperdir)}"
            " must be two separate directories"
        )
