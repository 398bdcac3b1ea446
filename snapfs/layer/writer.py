"""The writer: makes each entry on disk as its admission says, as soon as it comes.

Names are created, never opened again for writing: a file with ``O_EXCL`` and
``O_NOFOLLOW`` in a directory that was opened by its node. A small file of root costs
four system calls: open, write, utimensat, close.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Final

from snapfs.layer.admission import NO_NODE, Action, Admission
from snapfs.layer.attributes import Attributes
from snapfs.layer.bodies import write_all, write_sparse
from snapfs.layer.descriptors import DirectoryDescriptors
from snapfs.layer.kinds import Kind
from snapfs.layer.limits import DevicePolicy, Policy
from snapfs.layer.notes import Notes
from snapfs.layer.occupied import PREDICTED_BYTES, STAT_BLOCK_BYTES
from snapfs.layer.removal import Removed, remove_directory
from snapfs.layer.tree import LayerTree
from snapfs.tar.member import Member, MemberKind
from snapfs.tar.reader import TarReader

_NEW_FILE: Final = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
# Looked up for each entry.
_NOTHING: Final = Action.NOTHING
_MAKE: Final = Action.MAKE
_PERMISSIONS: Final = 0o777
_SECOND_NS: Final = 10**9
# Of a directory until all that it will hold is there.
_UNFINISHED: Final = 0o700


class Writer:
    """Writes the entries of one layer into its staging directory.

    Args:
        reader: Gives the bodies.
        tree: Knows the names of the nodes.
        directories: Open directories by node.
        attributes: Sets owners, modes, xattrs and times.
        policy: What becomes of devices.
        notes: Takes warnings.

    Attributes:
        blocks: That what was made occupies, of 512 bytes; directories left out.
        inodes: That were made.
        removed: What was made and has gone again.
    """

    def __init__(
        self,
        reader: TarReader,
        tree: LayerTree,
        directories: DirectoryDescriptors,
        attributes: Attributes,
        policy: Policy,
        notes: Notes,
    ) -> None:
        self._reader = reader
        self._tree = tree
        self._directories = directories
        self._directory = directories.get
        self._attributes = attributes
        self._devices = policy.devices
        self._notes = notes
        self._skipped: set[int] = set()
        self.blocks = 0
        self.inodes = 0
        self.removed = Removed()
        self._makers: dict[MemberKind, Callable[[Member, Admission], None]] = {
            MemberKind.FILE: self._make_file,
            MemberKind.DIRECTORY: self._make_directory,
            MemberKind.SYMLINK: self._make_symlink,
            MemberKind.CHARACTER_DEVICE: self._make_device,
            MemberKind.BLOCK_DEVICE: self._make_device,
            MemberKind.FIFO: self._make_fifo,
        }
        # What open(2) gives a file by itself, apart from its time.
        self._owner = attributes.uid, attributes.gid
        self._masked = attributes.masked
        self._take_body = reader.take_body
        # Files up to this size need not be asked what they occupy.
        self._predicted_bytes = PREDICTED_BYTES if attributes.unit_bytes else -1
        self._unit_bytes = attributes.unit_bytes
        self._unit_blocks = attributes.unit_bytes // STAT_BLOCK_BYTES

    def write(self, member: Member, admission: Admission) -> None:
        """Do what the admission of ``member`` says.

        Raises:
            OSError: From the kernel.
            DataLossError: The body is cut short.
        """
        action = admission.action
        if action is _NOTHING:
            return
        for node in admission.implied:
            self.make_directory(node)
        if admission.replaces != NO_NODE:
            self._remove(admission)
        if action is _MAKE:
            self._makers[member.kind](member, admission)
        elif action is Action.LINK and admission.target != NO_NODE:
            self._make_link(admission)

    def make_directory(self, node: int) -> None:
        """Make the directory ``node``, unfinished.

        Raises:
            OSError: From mkdir(2).
        """
        parent = self._directory(self._tree.parent_of(node))
        os.mkdir(self._tree.name_of(node), _UNFINISHED, dir_fd=parent)
        self.inodes += 1

    def _remove(self, admission: Admission) -> None:
        node = admission.replaces
        if node in self._skipped:
            return
        parent = self._directory(admission.parent)
        if self._tree.kind_of(node) is Kind.DIRECTORY:
            self._directories.forget(node)
            remove_directory(admission.name, parent, self.removed)
        else:
            self.removed.unlink(admission.name, parent)

    def _make_file(self, member: Member, admission: Admission) -> None:
        size = member.size_bytes
        fd = os.open(
            admission.name,
            _NEW_FILE,
            member.mode & _PERMISSIONS,
            dir_fd=self._directory(admission.parent),
        )
        try:
            if member.sparse is not None:
                pieces = self._reader.read_body()
                write_sparse(fd, size, member.sparse, pieces)
            elif size:
                body = self._take_body()
                if body is None:
                    for piece in self._reader.read_body():
                        write_all(fd, piece)
                elif os.write(fd, body) != size:
                    # Cut short: the rest fails, and says why.
                    written = os.lseek(fd, 0, os.SEEK_CUR)
                    write_all(fd, body[written:])
            if (
                member.mode & self._masked
                or member.xattrs
                or (member.uid, member.gid) != self._owner
            ):
                self._attributes.set_on_file(fd, member)
            else:
                seconds, rest_ns = divmod(member.mtime_ns, _SECOND_NS)
                if rest_ns:
                    os.utime(fd, ns=(member.mtime_ns, member.mtime_ns))
                else:  # in which Python takes less time
                    os.utime(fd, (seconds, seconds))
            is_whole = member.sparse is None
            if size > self._predicted_bytes or not is_whole or member.xattrs:
                self.blocks += os.fstat(fd).st_blocks
            else:
                self.blocks += -(-size // self._unit_bytes) * self._unit_blocks
            self.inodes += 1
        finally:
            os.close(fd)

    def _make_directory(self, _: Member, admission: Admission) -> None:
        parent = self._directory(admission.parent)
        os.mkdir(admission.name, _UNFINISHED, dir_fd=parent)
        self.inodes += 1

    def _make_symlink(self, member: Member, admission: Admission) -> None:
        parent = self._directory(admission.parent)
        os.symlink(member.link_name, admission.name, dir_fd=parent)
        self._attributes.set_on_name(admission.name, parent, member, has_mode=False)
        self._count(admission.name, parent)

    def _make_fifo(self, member: Member, admission: Admission) -> None:
        self._make_node(member, admission, stat.S_IFIFO, 0)

    def _make_device(self, member: Member, admission: Admission) -> None:
        if self._devices is DevicePolicy.SKIP:
            self._skipped.add(admission.node)
            self._notes.add("device nodes left out")
        elif self._devices is DevicePolicy.PLACEHOLDER:
            self._notes.add("device nodes replaced by empty files")
            self._make_node(member, admission, stat.S_IFREG, 0)
        else:
            is_block = member.kind is MemberKind.BLOCK_DEVICE
            file_type = stat.S_IFBLK if is_block else stat.S_IFCHR
            self._make_node(member, admission, file_type, os.makedev(*member.device))

    def _make_node(
        self, member: Member, admission: Admission, file_type: int, device: int
    ) -> None:
        parent = self._directory(admission.parent)
        mode = file_type | member.mode & _PERMISSIONS
        os.mknod(admission.name, mode, device, dir_fd=parent)
        self._attributes.set_on_name(admission.name, parent, member, has_mode=True)
        self._count(admission.name, parent)

    def _make_link(self, admission: Admission) -> None:
        target = admission.target
        if target in self._skipped:
            self._skipped.add(admission.node)
            return
        tree = self._tree
        # In this order: the later of two descriptors keeps the earlier one open.
        source = self._directory(tree.parent_of(target))
        parent = self._directory(admission.parent)
        os.link(
            tree.name_of(target),
            admission.name,
            src_dir_fd=source,
            dst_dir_fd=parent,
            follow_symlinks=False,
        )

    def _count(self, name: bytes, directory: int) -> None:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        self.blocks += status.st_blocks
        self.inodes += 1
