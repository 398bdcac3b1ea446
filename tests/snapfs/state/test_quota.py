"""Limits by project quotas.

The kernels that these tests run on have none (CONFIG_QFMT_V2, CONFIG_XFS_QUOTA), so
the kernel's part is a fake; that projects are set and inherited is real, on XFS.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from snapfs.driver import EXTRACTION_LABEL
from snapfs.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    ResourceExhaustedError,
)
from snapfs.manager import SnapshotManager
from snapfs.model import Usage
from snapfs.overlay_format import SIZE_LABEL
from snapfs.state.fsio import open_directory
from snapfs.state.quota import KernelQuotaCalls, QuotaLimiter
from snapfs.worker.measuring import measure_tree
from support.disks import mounted
from support.stores import commit_layer, fs_of, opened_store

MIB = 1 << 20


class FakeQuotas:
    """Remembers which directory got which limit, as the kernel would."""

    def __init__(self, *, has_quotas: bool = True, fails: int = 0) -> None:
        self._has_quotas = has_quotas
        self._fails = fails
        self.projects: dict[str, int] = {}
        self.limits: dict[int, int] = {}
        self.asked: list[int] = []

    def set_project(self, fd: int, project: int) -> None:
        path = os.readlink(f"/proc/self/fd/{fd}")
        assert os.listdir(path) == []  # later inodes would not be counted
        self.projects[os.path.basename(path)] = project

    def set_limit(self, fd: int, project: int, size_bytes: int) -> None:
        if self._fails:
            raise OSError(self._fails, os.strerror(self._fails))
        self.limits[project] = size_bytes

    def has_quotas(self, fd: int) -> bool:
        return self._has_quotas

    def project(self, fd: int) -> int:
        return self.projects.get(
            os.path.basename(os.readlink(f"/proc/self/fd/{fd}")), 0
        )

    def counted(self, fd: int, project: int) -> Usage:
        self.asked.append(project)
        if self._fails:
            raise OSError(self._fails, os.strerror(self._fails))
        return measure_tree(os.readlink(f"/proc/self/fd/{fd}"))


def limiter(root: Path, calls: FakeQuotas, default: int = 0) -> QuotaLimiter:
    return QuotaLimiter(str(root), default, EXTRACTION_LABEL, calls)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "root"
    place.mkdir(mode=0o700)
    return place


def test_each_snapshot_has_a_project_and_the_limit_of_its_label(root: Path) -> None:
    calls = FakeQuotas()
    with opened_store(root, limiter=limiter(root, calls), reserve_size=4) as store:
        store.prepare("one", labels={SIZE_LABEL: str(10 * MIB)})
        store.prepare("two", labels={SIZE_LABEL: "1G"})
        store.prepare("any")
        numbers = [
            os.path.basename(store.details(key).directory) for key in ("one", "two")
        ]

    assert list(calls.projects) == numbers
    assert len(set(calls.projects.values())) == 2
    assert list(calls.limits.values()) == [10 * MIB, 1 << 30]


def test_the_default_is_for_all_containers_and_no_layer(root: Path) -> None:
    calls = FakeQuotas()
    with opened_store(root, limiter=limiter(root, calls, MIB)) as store:
        store.prepare("layer", labels={EXTRACTION_LABEL: "sha256:a"})
        store.commit("base", "layer")
        store.view("view", "base")
        store.prepare("container", "base")
        number = os.path.basename(store.details("container").directory)

    assert list(calls.projects) == [number]
    assert list(calls.limits.values()) == [MIB]


def test_a_host_without_quotas_refuses_a_limit_and_nothing_else(root: Path) -> None:
    calls = FakeQuotas(has_quotas=False)
    with opened_store(root, limiter=limiter(root, calls)) as store:
        with pytest.raises(FailedPreconditionError, match=r"prjquota.*--driver fuse"):
            store.prepare("limited", labels={SIZE_LABEL: "1G"})
        store.prepare("any")

        assert [info.name for info in store.walk()] == ["any"]
        assert store.check() == []


def test_a_label_that_is_no_size_is_refused(root: Path) -> None:
    with (
        opened_store(root, limiter=limiter(root, FakeQuotas())) as store,
        pytest.raises(InvalidArgumentError, match=r"max-size.*'much'"),
    ):
        store.prepare("limited", labels={SIZE_LABEL: "much"})


def test_a_kernel_that_refuses_leaves_nothing(root: Path) -> None:
    calls = FakeQuotas(fails=errno.ENOSPC)
    with opened_store(root, limiter=limiter(root, calls)) as store:
        with pytest.raises(ResourceExhaustedError, match="project quota"):
            store.prepare("limited", labels={SIZE_LABEL: "1G"})

        assert list(store.walk()) == []
        assert store.check() == []


def fill(store: SnapshotManager, key: str) -> Path:
    fs = fs_of(store, key)
    (fs / "folder").mkdir()
    (fs / "folder/file").write_bytes(b"x" * 10_000)
    os.link(fs / "folder/file", fs / "other")
    return fs


def test_the_usage_of_a_limited_snapshot_is_what_the_kernel_counts(root: Path) -> None:
    calls = FakeQuotas()
    with opened_store(root, limiter=limiter(root, calls)) as store:
        store.prepare("limited", labels={SIZE_LABEL: "1G"})
        store.prepare("any")
        fill(store, "any")
        index = fill(store, "limited").parent / "work/index"
        index.mkdir()  # overlayfs's: another name of a file that is counted already
        os.link(index.parents[1] / "fs/other", index / "file")

        walked, counted = store.usage("any"), store.usage("limited")

    assert counted == walked
    assert calls.asked == list(calls.projects.values())


def test_what_the_kernel_does_not_tell_is_walked(root: Path) -> None:
    calls = FakeQuotas()
    with opened_store(root, limiter=limiter(root, calls)) as store:
        store.prepare("limited", labels={SIZE_LABEL: "1G"})
        fill(store, "limited")
        counted = store.usage("limited")
        calls._fails = errno.EIO

        assert store.usage("limited") == counted


def project_of(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        attributes = fcntl.ioctl(fd, 0x801C581F, bytes(28))
    finally:
        os.close(fd)
    return int(struct.unpack("=5I8x", attributes)[3])


@pytest.mark.root
def test_projects_are_set_and_inherited_on_xfs(tmp_path: Path) -> None:
    mkfs = shutil.which("mkfs.xfs") or "/sbin/mkfs.xfs"
    if not os.path.exists(mkfs):
        pytest.skip("needs mkfs.xfs")
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(320 << 20)
    subprocess.run([mkfs, "-q", image], check=True)

    class WithoutLimits(KernelQuotaCalls):
        def set_limit(self, fd: int, project: int, size_bytes: int) -> None:
            pass

        def has_quotas(self, fd: int) -> bool:
            return True

    with mounted(tmp_path / "disk", "-o", "loop", image) as disk:
        root = disk / "root"
        root.mkdir(mode=0o700)
        limits = QuotaLimiter(str(root), MIB, EXTRACTION_LABEL, WithoutLimits())
        with opened_store(root, limiter=limits) as store:
            store.prepare("a")
            store.prepare("b")
            places = [Path(store.details(key).directory) for key in ("a", "b")]
        for place in places:
            (place / "fs/file").write_text("")
            with open_directory(str(place)) as fd:
                assert KernelQuotaCalls().project(fd) == project_of(place / "fs")
        found = [
            {project_of(place / name) for name in ("fs", "work", "fs/file")}
            for place in places
        ]
        # overlayfs renames from one to the other
        os.rename(places[0] / "fs/file", places[0] / "work/file")
        with pytest.raises(OSError, match="Invalid cross-device link"):
            os.rename(places[0] / "work/file", places[1] / "work/file2")

    assert all(len(projects) == 1 for projects in found)
    assert found[0] != found[1]


@pytest.mark.root
def test_a_filesystem_without_quotas_is_known_as_one(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        assert KernelQuotaCalls().has_quotas(fd) is False
    finally:
        os.close(fd)


def test_commits_and_removals_need_no_limit(root: Path) -> None:
    calls = FakeQuotas()
    with opened_store(root, limiter=limiter(root, calls, MIB)) as store:
        commit_layer(store, "base", file="content")
        store.remove("base")

        assert store.check() == []
