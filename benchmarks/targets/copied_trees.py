"""Trees that are copies of their layers, each made by a command, and no union."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from snapfs.benchmarks import programs
from snapfs.benchmarks.protocols import Fairness, Workspace
from snapfs.benchmarks.targets import peer_programs
from snapfs.benchmarks.targets.plain_directory import PlainDirectory
from snapfs.errors import UnavailableError

_BTRFS: Final = "btrfs"
_FICLONE: Final = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)


class CopiedTree(PlainDirectory):
    """What ``cp`` makes of the layers, lowest first; a subclass says how."""

    flags: Sequence[str] = ()
    notes = "presenting a tree takes a call a file"

    def fairness(self) -> Fairness:
        """See :meth:`snapfs.benchmarks.protocols.Target.fairness`."""
        return Fairness(
            durability="as the backing filesystem; nothing is synced",
            cache="the kernel's page, dentry and inode caches",
            threads="none of its own",
            privileges="none",
            version=peer_programs.version("cp", "--version", after="coreutils) "),
            notes=self.notes,
        )

    def present(self, lowerdirs: Sequence[Path], name: str) -> Path:
        """See :meth:`snapfs.benchmarks.protocols.TreeTarget.present`."""
        merged = self._tree(name)
        merged.mkdir()
        for lowerdir in reversed(lowerdirs):
            programs.run("cp", "-a", "-f", *self.flags, f"{lowerdir}/.", str(merged))
        return merged


class FullCopy(CopiedTree):
    """Every byte is copied when the tree is made, as containerd's ``native`` does."""

    name = "full-copy"
    summary = "cp -a --reflink=never: every byte is copied beforehand"
    flags = ("--reflink=never",)


class HardLinkFarm(CopiedTree):
    """Second names of the layers' files: what is changed in place changes them."""

    name = "hard-link-farm"
    summary = "cp -al: second names of the layers' files; no copy-on-write"
    flags = ("-l", "--remove-destination")


class ReflinkCopy(CopiedTree):
    """Files that share their blocks with the layers' until they are changed."""

    name = "reflink-copy"
    summary = "cp -a --reflink=always, on XFS or Btrfs"
    flags = ("--reflink=always",)

    def start(self, workspace: Workspace) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Target.start`."""
        require_shared_blocks(workspace)
        super().start(workspace)


class BtrfsSnapshot(CopiedTree):
    """A subvolume of the layers, and of it a snapshot for each tree.

    The first tree of some layers makes the subvolume; further ones are one call.
    """

    name = "btrfs-snapshot"
    summary = "btrfs subvolume snapshot of the merged layers"
    notes = "the first tree of some layers copies them, by reference"

    def __init__(self) -> None:
        super().__init__()
        self._bases: dict[tuple[Path, ...], Path] = {}

    def unavailable(self) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Target.unavailable`."""
        if os.geteuid() != 0:
            return "deleting subvolumes needs root"
        return "" if shutil.which(_BTRFS) else "btrfs-progs is not installed"

    def start(self, workspace: Workspace) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Target.start`."""
        if not workspace.backing.startswith(_BTRFS):
            raise UnavailableError("it needs Btrfs below (--backing btrfs)")
        super().start(workspace)

    def stop(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Target.stop`."""
        if self._trees is not None:
            for subvolume in self._trees.iterdir():
                _btrfs("subvolume", "delete", subvolume)
            self._bases.clear()
        super().stop()

    def present(self, lowerdirs: Sequence[Path], name: str) -> Path:
        """See :meth:`snapfs.benchmarks.protocols.TreeTarget.present`."""
        merged = self._tree(name)
        _btrfs("subvolume", "snapshot", self._base(lowerdirs), merged)
        return merged

    def dismiss(self, name: str) -> None:
        """See :meth:`snapfs.benchmarks.protocols.TreeTarget.dismiss`."""
        _btrfs("subvolume", "delete", self._tree(name))

    def _base(self, lowerdirs: Sequence[Path]) -> Path:
        key = tuple(lowerdirs)
        if key not in self._bases:
            base = self._tree(f"base-{len(self._bases)}")
            _btrfs("subvolume", "create", base)
            for lowerdir in reversed(lowerdirs):
                words = ("cp", "-a", "-f", "--reflink=always", f"{lowerdir}/.")
                programs.run(*words, str(base))
            self._bases[key] = base
        return self._bases[key]


def _btrfs(*words: str | Path) -> None:
    programs.run(_BTRFS, *map(str, words))


def require_shared_blocks(workspace: Workspace) -> None:
    """Refuse a filesystem on which files cannot share blocks (FICLONE).

    Raises:
        UnavailableError: It cannot.
    """
    with (
        tempfile.TemporaryFile(dir=workspace.directory) as source,
        tempfile.TemporaryFile(dir=workspace.directory) as copy,
    ):
        source.write(b"shared")
        source.flush()
        try:
            fcntl.ioctl(copy.fileno(), _FICLONE, source.fileno())
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY):
                raise
            kind = workspace.backing.partition(" ")[0]
            raise UnavailableError(
                f"files on {kind} share no blocks (--backing xfs or btrfs)"
            ) from error
