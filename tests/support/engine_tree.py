"""The union engine as a tree that takes changes, as the kernel's FUSE client asks."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from snapfs.fuse.union.attributes import SetAttributes
from snapfs.fuse.union.caller import Caller
from snapfs.fuse.union.changes import Changes
from snapfs.fuse.union.layers import LayerStack, open_lower, open_upper
from snapfs.fuse.union.node import Directory, Node
from snapfs.fuse.union.union import Union, UnionOptions
from snapfs.fuse.union.workdir import open_work_directory
from snapfs.overlay_format import XattrPrefix
from snapfs.syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE
from support.kernel_tree import result_of

UMASK = 0o022


class EngineTree:
    """Makes the same changes with the engine, as the kernel's FUSE client asks."""

    def __init__(
        self,
        upperdir: Path,
        workdir: Path,
        lowerdirs: Sequence[Path],
        prefix: XattrPrefix = XattrPrefix.TRUSTED,
        **options: object,
    ) -> None:
        wanted = UnionOptions(prefix)
        for name, value in options.items():
            setattr(wanted, name, value)
        upper = open_upper(os.fsencode(upperdir))
        workdir_fd = os.open(workdir, os.O_PATH | os.O_DIRECTORY)
        try:
            self.work = open_work_directory(
                workdir_fd, upper.root_fd, is_volatile=wanted.is_volatile
            )
        except BaseException:
            upper.close()
            raise
        finally:
            os.close(workdir_fd)
        lowers = [open_lower(os.fsencode(path)) for path in lowerdirs]
        stack = LayerStack(upper, os.dup(self.work.fd), lowers, prefix)
        self.union = Union(stack, wanted)
        self.changes = Changes(self.union, self.work)
        self.caller = Caller(0, 0, os.getpid(), UMASK)

    def close(self) -> None:
        """Forget all nodes and close the engine."""
        nodes = self.union.nodes
        for nodeid in list(nodes._by_id):
            node = nodes.get(nodeid)
            if node is not None:
                nodes.forget(nodeid, node.lookups)
        self.changes.close()
        self.union.close()

    def node(self, path: str) -> Node:
        """Look a path up, as the kernel does: with a reference for each part."""
        node: Node = self.union.nodes.root
        for part in os.fsencode(path).split(b"/"):
            if part in (b"", b"."):
                continue
            if not isinstance(node, Directory):
                raise NotADirectoryError(errno.ENOTDIR, "")
            below = self.union.lookup(node, part)
            if below is None:
                raise FileNotFoundError(errno.ENOENT, path)
            self.union.nodes.reference(below)
            node = below
        return node

    def place(self, path: str) -> tuple[Directory, bytes]:
        """Return the directory of a path and the last name."""
        above, _, name = path.rpartition("/")
        directory = self.node(above)
        if not isinstance(directory, Directory):
            raise NotADirectoryError(errno.ENOTDIR, "")
        return directory, os.fsencode(name)

    def _new_place(self, path: str) -> tuple[Directory, bytes]:
        directory, name = self.place(path)
        if self.union.lookup(directory, name) is not None:
            raise FileExistsError(errno.EEXIST, path)
        return directory, name

    def _made(self, node: Node) -> None:
        self.union.nodes.reference(node)

    def user(self, uid: int, gid: int, *change: object) -> object:
        before = self.caller
        self.caller = Caller(uid, gid, 0, UMASK)
        try:
            return result_of(self, change)
        finally:
            self.caller = before

    def create(self, path: str, mode: int = 0o644) -> None:
        self.mknod(path, stat.S_IFREG | mode)

    def mknod(self, path: str, mode: int, rdev: int = 0) -> None:
        place = self._new_place(path)
        self._made(self.changes.make_node(*place, mode, rdev, self.caller))

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        place = self._new_place(path)
        self._made(self.changes.make_directory(*place, mode, self.caller))

    def symlink(self, path: str, target: str) -> None:
        place = self._new_place(path)
        target_ = os.fsencode(target)
        self._made(self.changes.make_symlink(*place, target_, self.caller))

    def link(self, old: str, new: str) -> None:
        node = self.node(old)
        self._made(self.changes.link(node, *self._new_place(new)))

    def tmpfile(self, directory: str, new: str, mode: int, data: bytes) -> None:
        parent = self.node(directory)
        if not isinstance(parent, Directory):
            raise NotADirectoryError(errno.ENOTDIR, directory)
        node = self.changes.make_unnamed(parent, mode, self.caller)
        self._made(node)
        assert self.union.status(node)[2] == 0
        self.changes.data.write(node, 0, data)
        self._made(self.changes.link(node, *self._new_place(new)))

    def unlink(self, path: str) -> None:
        self.node(path)
        self.changes.remove(*self.place(path))

    def rmdir(self, path: str) -> None:
        self.node(path)
        self.changes.remove_directory(*self.place(path))

    def rename(self, old: str, new: str, flags: int = 0) -> None:
        self.node(old)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self.node(new)
            self._refuse_ancestors(old, new, flags)
        self.changes.rename(*self.place(old), *self.place(new), flags)

    def _refuse_ancestors(self, old: str, new: str, flags: int) -> None:
        """Do as the kernel before it asks a filesystem (``do_renameat2``)."""
        if flags & RENAME_NOREPLACE and old != new:
            raise FileExistsError(errno.EEXIST, new)
        if new.startswith(old + "/"):
            raise OSError(errno.EINVAL, old)
        if old.startswith(new + "/"):
            code = errno.EINVAL if flags & RENAME_EXCHANGE else errno.ENOTEMPTY
            raise OSError(code, new)

    def _set(self, path: str, wanted: SetAttributes) -> None:
        self.changes.set_attributes(self.node(path), wanted, self.caller)

    def chmod(self, path: str, mode: int) -> None:
        self._set(path, SetAttributes(mode=mode))

    def chown(self, path: str, uid: int, gid: int) -> None:
        owner = None if uid < 0 else uid
        group = None if gid < 0 else gid
        self._set(path, SetAttributes(uid=owner, gid=group))

    def utime(self, path: str, atime_ns: int, mtime_ns: int) -> None:
        self._set(path, SetAttributes(atime_ns=atime_ns, mtime_ns=mtime_ns))

    def truncate(self, path: str, size: int) -> None:
        self._set(path, SetAttributes(size=size))

    def write(self, path: str, offset: int, data: bytes) -> int:
        return self.changes.data.write(self._file(path), offset, data)

    def _file(self, path: str) -> Node:
        node = self.node(path)
        if node.kind == stat.S_IFDIR:
            raise IsADirectoryError(errno.EISDIR, path)
        if node.kind == stat.S_IFLNK:
            raise OSError(errno.ELOOP, path)
        return node

    def allocate(self, path: str, mode: int, offset: int, size: int) -> None:
        self.changes.data.allocate(self._file(path), mode, offset, size)

    def read(self, path: str) -> bytes:
        return self.changes.data.read(self._file(path), 0, 1 << 24)

    def setxattr(self, path: str, name: str, value: bytes, flags: int = 0) -> None:
        self.changes.set_xattr(self.node(path), name.encode(), value, flags)

    def removexattr(self, path: str, name: str) -> None:
        self.changes.remove_xattr(self.node(path), name.encode())

    def listdir(self, path: str) -> list[str]:
        node = self.node(path)
        if not isinstance(node, Directory):
            raise NotADirectoryError(errno.ENOTDIR, path)
        names = [os.fsdecode(entry[1]) for entry in self.union.listing(node).entries]
        return sorted(name for name in names if name not in (".", ".."))

    def nlink(self, path: str) -> int:
        return self.union.status(self.node(path))[2]
