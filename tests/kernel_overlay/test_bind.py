"""Bind mounts: read-only where asked, all the way down."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snapfs import mountinfo, syscalls
from snapfs.errors import InvalidArgumentError, NotFoundError, UnavailableError
from snapfs.kernel_overlay.mounting import mount_all
from snapfs.model import Mount

if TYPE_CHECKING:
    from kernel_overlay.conftest import Site

pytestmark = pytest.mark.root


@pytest.fixture(params=["new", "old"], autouse=True)
def api(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run each test by open_tree(2), and by mount(2) as if there were none."""
    if request.param == "old":

        def refuse(*_: object, **__: object) -> int:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

        monkeypatch.setattr(syscalls, "clone_tree", refuse)
    return str(request.param)


@pytest.fixture
def with_submount(site: Site) -> str:
    """A directory with a tmpfs mounted inside."""
    layer = site.layer("low")
    inner = Path(layer) / "inner"
    inner.mkdir()
    syscalls.mount("tmpfs", inner, "tmpfs", 0, b"size=64k")
    (inner / "deep").touch()
    return layer


def test_a_read_only_bind_refuses_writes_and_its_source_takes_them(site: Site) -> None:
    low = site.layer("low", file="text")

    mount_all([Mount("bind", low, options=("ro", "rbind"))], str(site.target))

    with pytest.raises(OSError, match="Read-only file system"):
        (site.target / "file").write_text("changed")
    (Path(low) / "file").write_text("changed below")
    assert (site.target / "file").read_text() == "changed below"


def test_a_read_only_bind_is_read_only_in_the_mounts_inside_too(
    site: Site, with_submount: str
) -> None:
    mount_all([Mount("bind", with_submount, options=("ro", "rbind"))], str(site.target))

    with pytest.raises(OSError, match="Read-only file system"):
        (site.target / "inner" / "deep").write_text("changed")
    (Path(with_submount) / "inner" / "deep").write_text("the source is as it was")


def test_a_bind_that_is_not_recursive_leaves_the_mounts_inside_out(
    site: Site, with_submount: str
) -> None:
    mount_all([Mount("bind", with_submount, options=("rw", "bind"))], str(site.target))

    assert os.listdir(site.target / "inner") == []


def test_a_writable_bind_writes_to_its_source(site: Site) -> None:
    mount_all(
        [Mount("bind", str(site.upperdir), options=("rw", "rbind"))], str(site.target)
    )

    (site.target / "file").touch()

    assert os.listdir(site.upperdir) == ["file"]


def test_attributes_are_added_to_those_that_the_source_has(site: Site) -> None:
    low = site.layer("low")
    syscalls.mount("tmpfs", low, "tmpfs", syscalls.MS_NOSUID, b"size=64k")
    options = ("ro", "rbind", "nodev", "noexec", "noatime")

    mount_all([Mount("bind", low, options=options)], str(site.target))

    entry = mountinfo.find(str(site.target))
    assert entry is not None
    assert {"ro", "nosuid", "nodev", "noexec", "noatime"} <= set(entry.options)
    source = mountinfo.find(low)
    assert source is not None
    assert not source.is_read_only


def test_a_bind_with_a_mapping_shows_mapped_owners(site: Site, api: str) -> None:
    low = site.layer("low", file="")
    maps = ("uidmap=0:100000:65536", "gidmap=0:200000:65536")
    mount = Mount("bind", low, options=("rw", "rbind", *maps))

    if api == "old":
        with pytest.raises(UnavailableError, match="maps no identities"):
            mount_all([mount], str(site.target))
        return
    mount_all([mount], str(site.target))

    status = os.stat(site.target / "file")
    assert (status.st_uid, status.st_gid) == (100000, 200000)


def test_a_source_that_is_missing_is_named(site: Site) -> None:
    with pytest.raises(
        NotFoundError, match=r"cannot bind '/snapfs-missing' to '.*merged'"
    ):
        mount_all([Mount("bind", "/snapfs-missing", options=("ro",))], str(site.target))

    assert not site.is_mounted()


def test_an_option_of_another_filesystem_is_refused(site: Site) -> None:
    with pytest.raises(
        InvalidArgumentError, match="a bind mount has no option 'index'"
    ):
        mount_all([Mount("bind", "/", options=("ro", "index=off"))], str(site.target))
