"""FuseDriver: which mount is written down for which stack."""

from __future__ import annotations

import pytest

from snapfs.errors import InvalidArgumentError, ResourceExhaustedError
from snapfs.fuse.driver import FuseDriver
from snapfs.model import Kind, Mount, Stack
from snapfs.overlay_format import XattrPrefix

EXTRACTION = {"containerd.io/snapshot.ref": "sha256:abc"}
MAPPED = {
    "containerd.io/snapshot/uidmapping": "0:100000:65536,65536:0:1",
    "containerd.io/snapshot/gidmapping": "0:100000:65536",
}
TRUSTED = FuseDriver(xattr_prefix=XattrPrefix.TRUSTED)
USER = FuseDriver(xattr_prefix=XattrPrefix.USER)


def active(*lowerdirs: str, labels: dict[str, str] | None = None) -> Stack:
    return Stack(Kind.ACTIVE, lowerdirs, "/s/9/fs", "/s/9/work", labels or {})


def view(*lowerdirs: str) -> Stack:
    return Stack(Kind.VIEW, lowerdirs)


def union(*options: str) -> list[Mount]:
    return [Mount("fuse3.snapfs-fuse", "snapfs", options=options)]


def test_an_active_snapshot_is_a_union_with_the_layers_last() -> None:
    assert TRUSTED.mounts(active("/s/2/fs", "/s/1/fs")) == union(
        "workdir=/s/9/work", "upperdir=/s/9/fs", "lowerdir=/s/2/fs:/s/1/fs"
    )


def test_a_view_of_several_layers_is_read_only() -> None:
    assert TRUSTED.mounts(view("/s/2/fs", "/s/1/fs")) == union(
        "ro", "lowerdir=/s/2/fs:/s/1/fs"
    )


@pytest.mark.parametrize(
    ("stack", "source", "mode"),
    [
        (active(), "/s/9/fs", "rw"),
        (view("/s/1/fs"), "/s/1/fs", "ro"),
        (Stack(Kind.VIEW, (), "/s/9/fs"), "/s/9/fs", "ro"),
    ],
)
def test_one_directory_is_a_bind_mount_for_containerd(
    stack: Stack, source: str, mode: str
) -> None:
    assert TRUSTED.mounts(stack) == [Mount("bind", source, options=(mode, "rbind"))]


def test_one_directory_is_a_union_for_an_ordinary_user() -> None:
    assert USER.local_mounts(view("/s/1/fs")) == union(
        "userxattr", "ro", "lowerdir=/s/1/fs"
    )
    assert USER.local_mounts(active()) == union(
        "userxattr", "workdir=/s/9/work", "upperdir=/s/9/fs"
    )


def test_configured_options_stand_before_the_directories() -> None:
    driver = FuseDriver(xattr_prefix=XattrPrefix.USER, mount_options=("volatile",))

    (mount,) = driver.mounts(active("/s/1/fs"))

    assert mount.options[:2] == ("volatile", "userxattr")
    assert mount.options[-1] == "lowerdir=/s/1/fs"


def test_containerd_unpacks_straight_into_the_upperdir() -> None:
    (mount,) = TRUSTED.mounts(active("/s/1/fs", labels=EXTRACTION))

    assert mount.type == "overlay"
    assert "upperdir=/s/9/fs" in mount.options


def test_under_user_marks_containerd_unpacks_through_the_union() -> None:
    # There it would mount an overlay, and write its marks as trusted.* attributes.
    (mount,) = USER.mounts(active("/s/1/fs", labels=EXTRACTION))

    assert mount.type == "fuse3.snapfs-fuse"


def test_a_layer_is_synced_whatever_is_configured() -> None:
    driver = FuseDriver(xattr_prefix=XattrPrefix.USER, mount_options=("volatile",))

    (mount,) = driver.mounts(active("/s/1/fs", labels=EXTRACTION))

    assert "volatile" not in mount.options


@pytest.mark.parametrize("option", ["no-such-option", "mode=warp", "lowerdir=/etc"])
def test_an_option_that_the_helper_would_refuse_is_refused_at_once(option: str) -> None:
    with pytest.raises(InvalidArgumentError):
        FuseDriver(xattr_prefix=XattrPrefix.USER, mount_options=(option,))


def test_a_label_chooses_the_mode() -> None:
    (mount,) = TRUSTED.mounts(active("/l", labels={"snapfs.io/fuse-mode": "io"}))

    assert "mode=io" in mount.options


def test_a_mode_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"fuse-mode='warp'.*auto, fast, io"):
        TRUSTED.mounts(active("/l", labels={"snapfs.io/fuse-mode": "warp"}))


def test_mapped_identities_are_for_the_server_in_every_case() -> None:
    driver = FuseDriver(xattr_prefix=XattrPrefix.TRUSTED, remap_ids=True)

    for stack in (active(labels=MAPPED), active("/l", labels=MAPPED)):
        (mount,) = driver.mounts(stack)
        assert "uidmapping=0:100000:65536:65536:0:1" in mount.options
        assert "gidmapping=0:100000:65536" in mount.options


def test_mappings_are_ignored_unless_they_are_wanted() -> None:
    (mount,) = TRUSTED.mounts(active("/l", labels=MAPPED))

    assert not any("mapping" in option for option in mount.options)


def test_signs_that_separate_options_are_escaped() -> None:
    (mount,) = TRUSTED.mounts(view("/a:b", "/c,d", "/e\\f"))

    assert mount.options[-1] == "lowerdir=/a\\:b:/c\\,d:/e\\\\f"


def test_five_hundred_layers_and_more_are_no_problem() -> None:
    (mount,) = TRUSTED.mounts(view(*(f"/s/{n}/fs" for n in range(2000))))

    assert mount.options[-1].count(":") == 1999


def test_more_than_a_program_can_be_told_is_refused() -> None:
    long = "/" + "d" * 200

    with pytest.raises(ResourceExhaustedError, match="shorter --root"):
        TRUSTED.mounts(view(*(f"{long}/{n}" for n in range(1000))))


def test_a_committed_snapshot_is_not_mounted() -> None:
    with pytest.raises(InvalidArgumentError, match="through a view"):
        TRUSTED.mounts(Stack(Kind.COMMITTED, ("/l",)))


def test_a_limit_is_an_option_of_containers_mounts_alone() -> None:
    limited = FuseDriver(xattr_prefix=XattrPrefix.TRUSTED, max_size=1 << 30)
    own = {"containerd.io/snapshot/max-size": "5M"}
    places = ("workdir=/s/9/work", "upperdir=/s/9/fs")

    assert limited.mounts(active("/s/1/fs")) == union(
        f"max_size={1 << 30}", *places, "lowerdir=/s/1/fs"
    )
    assert limited.mounts(active(labels=own)) == union(f"max_size={5 << 20}", *places)
    assert TRUSTED.mounts(active(labels=own)) == union(f"max_size={5 << 20}", *places)
    for stack in (view("/s/2/fs", "/s/1/fs"), active("/s/1/fs", labels=EXTRACTION)):
        assert limited.mounts(stack) == TRUSTED.mounts(stack)


def test_a_limit_that_nobody_could_count_is_refused() -> None:
    labels = {"snapfs.io/fuse-mode": "io", "containerd.io/snapshot/max-size": "1G"}

    with pytest.raises(InvalidArgumentError, match="size limit"):
        TRUSTED.mounts(active("/s/1/fs", labels=labels))
