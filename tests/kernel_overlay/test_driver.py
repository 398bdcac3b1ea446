"""The driver: every kind of stack, and the mounts that containerd expects for it."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from snapfs.driver import Driver
from snapfs.errors import InvalidArgumentError, ResourceExhaustedError
from snapfs.kernel_overlay import OverlayDriver
from snapfs.kernel_overlay import driver as driver_module
from snapfs.model import NO_LABELS, Kind, Mount, Stack

UID_LABEL = "containerd.io/snapshot/uidmapping"
GID_LABEL = "containerd.io/snapshot/gidmapping"
MAPPED = {UID_LABEL: "0:666:1000,1000:6666:9", GID_LABEL: "0:888:1000"}
EXTRACTION = {"containerd.io/snapshot.ref": "sha256:aa"}


@pytest.fixture(autouse=True)
def no_index_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the options the same on every kernel."""
    monkeypatch.setattr(driver_module, "_INDEX_PARAMETER", "/nonexistent")


def trusted(*mount_options: str, remap_ids: bool = False) -> OverlayDriver:
    return OverlayDriver(
        xattr_prefix="trusted.", mount_options=mount_options, remap_ids=remap_ids
    )


def active(*lowerdirs: str, labels: Mapping[str, str] = NO_LABELS) -> Stack:
    return Stack(Kind.ACTIVE, lowerdirs, "/s/9/fs", "/s/9/work", labels)


def view(*lowerdirs: str, upperdir: str = "") -> Stack:
    return Stack(Kind.VIEW, lowerdirs, upperdir)


def only(mounts: list[Mount]) -> Mount:
    (mount,) = mounts
    return mount


def test_the_overlay_driver_is_a_driver_named_kernel() -> None:
    driver: Driver = trusted()

    assert driver.name == "kernel"


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        pytest.param(
            active(), Mount("bind", "/s/9/fs", options=("rw", "rbind")), id="active-0"
        ),
        pytest.param(
            view(upperdir="/s/9/fs"),
            Mount("bind", "/s/9/fs", options=("ro", "rbind")),
            id="view-0",
        ),
        pytest.param(
            view("/s/1/fs"),
            Mount("bind", "/s/1/fs", options=("ro", "rbind")),
            id="view-1",
        ),
        pytest.param(
            active("/s/1/fs"),
            Mount(
                "overlay",
                "overlay",
                options=(
                    "workdir=/s/9/work",
                    "upperdir=/s/9/fs",
                    "noatime",
                    "lowerdir=/s/1/fs",
                ),
            ),
            id="active-1",
        ),
        pytest.param(
            active("/s/2/fs", "/s/1/fs"),
            Mount(
                "overlay",
                "overlay",
                options=(
                    "workdir=/s/9/work",
                    "upperdir=/s/9/fs",
                    "noatime",
                    "lowerdir=/s/2/fs:/s/1/fs",
                ),
            ),
            id="active-2",
        ),
        pytest.param(
            view("/s/2/fs", "/s/1/fs"),
            Mount(
                "overlay", "overlay", options=("noatime", "lowerdir=/s/2/fs:/s/1/fs")
            ),
            id="view-2",
        ),
    ],
)
def test_each_kind_of_stack_has_its_mount(stack: Stack, expected: Mount) -> None:
    assert trusted("noatime").mounts(stack) == [expected]


def test_a_store_with_user_attributes_is_mounted_with_userxattr() -> None:
    driver = OverlayDriver(xattr_prefix="user.")

    assert "userxattr" in only(driver.mounts(active("/s/1/fs"))).options
    assert "userxattr" in only(driver.mounts(view("/s/2/fs", "/s/1/fs"))).options
    assert only(driver.mounts(active())).options == ("rw", "rbind")


def test_index_is_off_where_the_kernel_knows_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]
) -> None:
    monkeypatch.setattr(driver_module, "_INDEX_PARAMETER", os.fspath(tmp_path))

    assert "index=off" in only(trusted().mounts(active("/s/1/fs"))).options


@pytest.mark.parametrize("word", ["volatile", "fsync=volatile"])
def test_volatile_is_for_active_snapshots_that_are_not_extracted_to(word: str) -> None:
    driver = trusted(word)

    container = only(driver.mounts(active("/s/1/fs")))
    extraction = only(driver.mounts(active("/s/1/fs", labels=EXTRACTION)))
    shown = only(driver.mounts(view("/s/2/fs", "/s/1/fs")))

    assert word in container.options
    assert word not in extraction.options
    assert word not in shown.options


def test_identity_mappings_stand_first_in_an_overlay_and_last_in_a_bind() -> None:
    driver = trusted(remap_ids=True)
    maps = ("uidmap=0:666:1000,1000:6666:9", "gidmap=0:888:1000")

    overlay = only(driver.mounts(active("/s/1/fs", labels=MAPPED)))
    bind = only(driver.mounts(active(labels=MAPPED)))

    assert overlay.options[:2] == maps
    assert bind.options == ("rw", "rbind", *maps)


def test_identity_mappings_are_left_out_unless_wanted() -> None:
    stack = active("/s/1/fs", labels=MAPPED)

    assert not any("map=" in word for word in only(trusted().mounts(stack)).options)


def test_an_identity_mapping_that_cannot_be_read_is_refused() -> None:
    stack = active("/s/1/fs", labels={UID_LABEL: "0:666:1000"})

    with pytest.raises(InvalidArgumentError, match="gidmapping' is missing"):
        trusted(remap_ids=True).mounts(stack)


@pytest.mark.parametrize("path", ["/a:b/fs", "/a,b/fs", "/a\\b/fs"])
def test_a_path_that_options_cannot_hold_is_refused_and_can_be_mounted_locally(
    path: str,
) -> None:
    driver = trusted()

    with pytest.raises(InvalidArgumentError, match="cannot stand in mount options"):
        driver.mounts(active(path))
    with pytest.raises(InvalidArgumentError, match="cannot stand in mount options"):
        driver.mounts(Stack(Kind.ACTIVE, ("/s/1/fs",), path, "/s/9/work"))

    assert f"lowerdir+={path}" in only(driver.local_mounts(active(path))).options


def test_a_chain_that_mount_2_would_cut_is_refused_and_can_be_mounted_locally() -> None:
    driver = trusted()
    lowerdirs = tuple(
        f"/var/lib/snapfs/snapshots/{n}/fs" for n in range(100_000, 100_450)
    )

    with pytest.raises(ResourceExhaustedError, match=r"4,?\d+ bytes"):
        driver.mounts(active(*lowerdirs))

    local = only(driver.local_mounts(active(*lowerdirs)))
    assert local.options[-450:] == tuple(f"lowerdir+={path}" for path in lowerdirs)


def test_more_layers_than_the_kernel_takes_are_refused_everywhere() -> None:
    lowerdirs = tuple(f"/{n}" for n in range(501))

    for mounts in (trusted().mounts, trusted().local_mounts):
        with pytest.raises(ResourceExhaustedError, match="501 layers"):
            mounts(active(*lowerdirs))


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        pytest.param(Stack(Kind.COMMITTED, ("/1",)), "through a view", id="committed"),
        pytest.param(Stack(Kind.ACTIVE), "needs an upperdir", id="no-upperdir"),
        pytest.param(
            Stack(Kind.ACTIVE, ("/1",), "/u"), "needs a workdir", id="no-workdir"
        ),
        pytest.param(Stack(Kind.VIEW), "a directory to show", id="nothing"),
    ],
)
def test_a_stack_that_is_not_mounted_is_refused(stack: Stack, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        trusted().mounts(stack)


def test_an_unknown_attribute_prefix_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"neither 'trusted\.' nor 'user\.'"):
        OverlayDriver(xattr_prefix="security.")


def test_mounts_of_containers_are_writable_and_views_are_not() -> None:
    driver = trusted()

    stacks = {
        True: (view("/1"), view("/2", "/1"), view(upperdir="/u")),
        False: (active(), active("/1"), active("/2", "/1")),
    }

    for expected, kinds in stacks.items():
        for stack in kinds:
            assert only(driver.mounts(stack)).is_read_only is expected
