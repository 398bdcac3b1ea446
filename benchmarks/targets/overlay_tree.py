"""Trees through the kernel's overlayfs, mounted in three ways."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from snapfs import syscalls
from snapfs.benchmarks.protocols import NO_COUNTS, Fairness, Family, Workspace
from snapfs.kernel_overlay import OverlayDriver, context, mounting
from snapfs.model import Kind, Stack
from snapfs.overlay_format import XattrPrefix

_INDEX_PARAMETER: Final = "/sys/module/overlay/parameters/index"


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """The directories of one tree, ready to be mounted."""

    lowerdirs: Sequence[Path]
    upperdir: Path
    workdir: Path
    merged: Path


class OverlayTree(abc.ABC):
    """A :class:`snapfs.benchmarks.protocols.TreeTarget` that mounts one overlay a tree.

    Beyond that contract the two halves of ``present`` and ``dismiss`` can be called
    by themselves, so that a mount can be timed without the making of directories.
    """

    family = Family.TREE

    def __init__(self) -> None:
        self._trees: Path | None = None
        self._mounted: dict[str, Place] = {}

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """See :class:`snapfs.benchmarks.protocols.Target`."""

    @property
    @abc.abstractmethod
    def summary(self) -> str:
        """See :class:`snapfs.benchmarks.protocols.Target`."""

    @abc.abstractmethod
    def mount(self, place: Place) -> None:
        """Mount ``place`` on its ``merged``."""

    def unmount(self, place: Place) -> None:
        """Undo :meth:`mount`; what was written stays in the upper directory."""
        syscalls.umount2(place.merged, syscalls.UMOUNT_NOFOLLOW)

    def fairness(self) -> Fairness:
        """See :meth:`snapfs.benchmarks.protocols.Target.fairness`."""
        return Fairness(
            durability="a copied-up file is synced (no volatile)",
            cache="the kernel's page, dentry and inode caches",
            threads="none of its own",
            privileges="root",
            version=f"Linux {os.uname().release}",
            notes="index=off, as containerd mounts",
        )

    def unavailable(self) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Target.unavailable`."""
        if os.geteuid() != 0:
            return "mounting needs root"
        listed = Path("/proc/filesystems").read_text().split()
        return "" if "overlay" in listed else "this kernel has no overlayfs loaded"

    def start(self, workspace: Workspace) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Target.start`."""
        trees = workspace.directory / "trees"
        trees.mkdir()
        self._trees = trees

    def stop(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Target.stop`."""
        for name in list(self._mounted):
            self.dismiss(name)

    def processes(self) -> Sequence[int]:
        """See :meth:`snapfs.benchmarks.protocols.Target.processes`."""
        return ()

    def forget_caches(self) -> None:
        """Do nothing: all that is cached is the kernel's."""
        return

    def counts(self) -> Mapping[str, int]:
        """See :meth:`snapfs.benchmarks.protocols.Target.counts`."""
        return NO_COUNTS

    def make_place(self, lowerdirs: Sequence[Path], name: str) -> Place:
        """Make the directories of the tree ``name``; nothing is mounted yet."""
        assert self._trees is not None, "not started"
        home = self._trees / name
        home.mkdir()
        place = Place(tuple(lowerdirs), home / "up", home / "work", home / "merged")
        for directory in (place.upperdir, place.workdir, place.merged):
            directory.mkdir()
        return place

    def present(self, lowerdirs: Sequence[Path], name: str) -> Path:
        """See :meth:`snapfs.benchmarks.protocols.TreeTarget.present`."""
        place = self.make_place(lowerdirs, name)
        self.mount(place)
        self._mounted[name] = place
        return place.merged

    def dismiss(self, name: str) -> None:
        """See :meth:`snapfs.benchmarks.protocols.TreeTarget.dismiss`."""
        place = self._mounted.pop(name)
        self.unmount(place)
        shutil.rmtree(place.merged.parent)


class KernelOverlayfs(OverlayTree):
    """mount(2) with one string of options, as containerd and Docker mount."""

    name = "kernel-overlayfs"
    summary = "kernel overlayfs by mount(2) with one option string"
    options = ""

    def mount(self, place: Place) -> None:
        """See :meth:`OverlayTree.mount`."""
        common = os.path.commonpath(place.lowerdirs)
        if len(place.lowerdirs) == 1:
            common = os.path.dirname(common)
        lowers = ":".join(os.path.relpath(path, common) for path in place.lowerdirs)
        options = f"workdir={place.workdir},upperdir={place.upperdir},lowerdir={lowers}"
        options = f"{self.options}{options}"
        if os.path.exists(_INDEX_PARAMETER):
            options = f"index=off,{options}"
        # Relative names are how containerd brings many layers below a page, too
        # (core/mount/mount_linux.go, compactLowerdirOption).
        with contextlib.chdir(common):
            syscalls.mount("overlay", place.merged, "overlay", 0, os.fsencode(options))


class KernelOverlayfsVolatile(KernelOverlayfs):
    """The same with ``volatile``: no copy-up waits for the disk."""

    name = "kernel-overlayfs-volatile"
    summary = "kernel overlayfs by mount(2), volatile"
    options = "volatile,"

    def fairness(self) -> Fairness:
        """See :meth:`snapfs.benchmarks.protocols.Target.fairness`."""
        return dataclasses.replace(super().fairness(), durability="nothing is synced")


class KernelOverlayfsMetacopy(KernelOverlayfs):
    """The same with ``metacopy``: a change of attributes copies no data."""

    name = "kernel-overlayfs-metacopy"
    summary = "kernel overlayfs by mount(2), metacopy=on,redirect_dir=on"
    options = "metacopy=on,redirect_dir=on,"

    def fairness(self) -> Fairness:
        """See :meth:`snapfs.benchmarks.protocols.Target.fairness`."""
        notes = "index=off; no differ that reads an upperdir understands it"
        return dataclasses.replace(super().fairness(), notes=notes)


class KernelOverlayfsLayers(OverlayTree):
    """fsopen(2) and fsconfig(2) with ``lowerdir+``: no more calls than it takes."""

    name = "kernel-overlayfs-fsconfig"
    summary = "kernel overlayfs by fsopen(2), one fsconfig(2) a layer"

    def unavailable(self) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Target.unavailable`."""
        reason = super().unavailable()
        if reason:
            return reason
        if not context.takes_layers():
            return "this kernel's overlayfs has no lowerdir+ (Linux 6.8)"
        return ""

    def mount(self, place: Place) -> None:
        """See :meth:`OverlayTree.mount`."""
        fd = syscalls.fsopen("overlay")
        try:
            syscalls.fsconfig_string(fd, "source", "overlay")
            if os.path.exists(_INDEX_PARAMETER):
                syscalls.fsconfig_string(fd, "index", "off")
            syscalls.fsconfig_string(fd, "workdir", place.workdir)
            syscalls.fsconfig_string(fd, "upperdir", place.upperdir)
            for lowerdir in place.lowerdirs:
                syscalls.fsconfig_string(fd, "lowerdir+", lowerdir)
            syscalls.fsconfig_create(fd)
            tree = syscalls.fsmount(fd)
        finally:
            os.close(fd)
        try:
            target = os.open(place.merged, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                syscalls.move_mount(tree, target)
            finally:
                os.close(target)
        finally:
            os.close(tree)


class SnapfsOverlayfs(OverlayTree):
    """The kernel driver of this project: ``snapfs mount`` without its start."""

    name = "snapfs-kernel"
    summary = "kernel overlayfs mounted by snapfs's kernel driver"

    def __init__(self) -> None:
        super().__init__()
        self._driver = OverlayDriver(xattr_prefix=XattrPrefix.TRUSTED)

    def mount(self, place: Place) -> None:
        """See :meth:`OverlayTree.mount`."""
        stack = Stack(
            Kind.ACTIVE,
            tuple(str(path) for path in place.lowerdirs),
            str(place.upperdir),
            str(place.workdir),
        )
        mounting.mount_all(self._driver.local_mounts(stack), str(place.merged))

    def unmount(self, place: Place) -> None:
        """See :meth:`OverlayTree.unmount`."""
        mounting.unmount(str(place.merged))
