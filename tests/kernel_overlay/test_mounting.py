"""Mounts executed for real, by the new mount API and by mount(2)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snapfs import mountinfo, syscalls
from snapfs.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnavailableError,
)
from snapfs.kernel_overlay import OverlayDriver
from snapfs.kernel_overlay.mounting import mount_all, unmount
from snapfs.kernel_overlay.overlay import mount_data, parse
from snapfs.model import Kind, Mount, Stack
from snapfs.overlay_format import is_whiteout

if TYPE_CHECKING:
    from kernel_overlay.conftest import AsNobody, Site

pytestmark = pytest.mark.root

NAME_MAX = 255
ODD_NAMES = ["co:lon", "com,ma", "sp ace", "back\\slash", "new\nline", "\\:,", "\udcff"]


@pytest.mark.usefixtures("either_api")
def test_an_overlay_shows_its_layers_and_takes_writes(site: Site) -> None:
    high = site.layer("high", shared="high", only_high="1")
    low = site.layer("low", shared="low", only_low="1", doomed="1")

    mount_all([site.overlay(high, low)], str(site.target))
    (site.target / "new").write_text("new")
    (site.target / "doomed").unlink()

    assert sorted(os.listdir(site.target)) == ["new", "only_high", "only_low", "shared"]
    assert (site.target / "shared").read_text() == "high"
    assert (site.upperdir / "new").read_text() == "new"
    assert is_whiteout(os.lstat(site.upperdir / "doomed"))
    unmount(str(site.target))
    assert not site.is_mounted()
    assert os.listdir(site.target) == []


@pytest.mark.usefixtures("either_api")
def test_what_the_driver_writes_down_can_be_mounted(site: Site) -> None:
    lowerdirs = (site.layer("2", two=""), site.layer("1", one=""))
    driver = OverlayDriver(xattr_prefix="trusted.")
    active = Stack(Kind.ACTIVE, lowerdirs, str(site.upperdir), str(site.workdir))

    shown = {}
    for name, stack in (
        ("active", active),
        ("view", Stack(Kind.VIEW, lowerdirs)),
        ("view of one", Stack(Kind.VIEW, lowerdirs[:1])),
        ("nothing below", Stack(Kind.ACTIVE, (), str(site.upperdir))),
    ):
        mount_all(driver.mounts(stack), str(site.target))
        writable = not os.statvfs(site.target).f_flag & os.ST_RDONLY
        shown[name] = (sorted(os.listdir(site.target)), writable)
        unmount(str(site.target))

    assert shown == {
        "active": (["one", "two"], True),
        "view": (["one", "two"], False),
        "view of one": (["two"], False),
        "nothing below": ([], True),
    }


@pytest.mark.usefixtures("either_api")
@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_byte_may_stand_in_a_path(site: Site, name: str) -> None:
    odd = type(site)(site.path / name)
    lowerdirs = (odd.layer("2", two=""), odd.layer("1", one=""))

    mount_all([odd.overlay(*lowerdirs)], str(odd.target))
    (odd.target / "new").touch()

    assert sorted(os.listdir(odd.target)) == ["new", "one", "two"]
    assert os.listdir(odd.upperdir) == ["new"]
    unmount(str(odd.target))
    assert not odd.is_mounted()


@pytest.mark.usefixtures("new_api")
def test_five_hundred_layers_are_mounted(site: Site) -> None:
    lowerdirs = [site.layer(f"{n:03}", **{f"file{n}": ""}) for n in range(500)]

    mount_all([site.overlay(*lowerdirs)], str(site.target))

    assert len(os.listdir(site.target)) == 500


@pytest.mark.usefixtures("either_api")
def test_one_layer_more_is_refused(site: Site) -> None:
    lowerdirs = [site.layer("one")] * 501

    with pytest.raises(ResourceExhaustedError, match="501 layers"):
        mount_all([site.overlay(*lowerdirs)], str(site.target))

    assert not site.is_mounted()


@pytest.mark.usefixtures("new_api")
@pytest.mark.parametrize("takes_descriptors", [True, False])
def test_paths_longer_than_the_kernel_takes_in_a_string_are_mounted(
    site: Site, monkeypatch: pytest.MonkeyPatch, takes_descriptors: bool
) -> None:
    if not takes_descriptors:  # as before Linux 6.13

        def refuse(*_: object) -> None:
            raise OSError(22, "Invalid argument")

        monkeypatch.setattr(syscalls, "fsconfig_fd", refuse)
    deep = type(site)(site.path / ("a" * 200) / ("b" * 200) / ("c" * 200))
    lowerdirs = (deep.layer("2", two=""), deep.layer("1", one=""))

    mount_all([deep.overlay(*lowerdirs)], str(deep.target))
    (deep.target / "new").touch()

    assert sorted(os.listdir(deep.target)) == ["new", "one", "two"]
    assert os.listdir(deep.upperdir) == ["new"]


@pytest.mark.usefixtures("old_api")
def test_mount_data_that_fills_the_page_is_mounted_and_no_byte_more(site: Site) -> None:
    layers: list[str] = []

    def room() -> int:
        return 4095 - len(mount_data(parse(site.overlay(*layers, f"{site.path}/"))))

    while room() > NAME_MAX:
        number = len(layers)
        layers.append(site.layer(f"{number:0100}", **{f"file{number}": ""}))
    name = "y" * room()
    fits = site.overlay(*layers, site.layer(name, last=""))
    too_long = site.overlay(*layers, site.layer(name + "y"))

    mount_all([fits], str(site.target))

    assert len(mount_data(parse(fits))) == 4095
    assert len(os.listdir(site.target)) == len(layers) + 1
    unmount(str(site.target))
    with pytest.raises(
        ResourceExhaustedError, match=r"4096 bytes; mount\(2\) reads only"
    ):
        mount_all([too_long], str(site.target))
    assert not site.is_mounted()


@pytest.mark.usefixtures("either_api")
def test_a_read_only_overlay_refuses_writes_beside_a_writable_one(site: Site) -> None:
    low = site.layer("low", file="1")
    beside = site.path / "beside"
    beside.mkdir()

    mount_all([site.overlay(low)], str(site.target))
    mount_all([site.view(str(site.upperdir), low)], str(beside))

    (site.target / "file").write_text("2")
    with pytest.raises(OSError, match="Read-only file system"):
        (beside / "new").touch()
    with pytest.raises(OSError, match="Read-only file system"):
        (beside / "file").unlink()


@pytest.mark.usefixtures("either_api")
def test_words_become_attributes_of_the_mount(site: Site) -> None:
    options = ("ro", "nosuid", "nodev", "noexec", "noatime", "index=off")

    mount_all([site.overlay(site.layer("low"), options=options)], str(site.target))

    entry = mountinfo.find(str(site.target))
    assert entry is not None
    assert set(options[:-1]) <= set(entry.options)
    assert "ro" in entry.super_options


@pytest.mark.usefixtures("either_api")
def test_an_overlay_that_silently_became_read_only_is_refused(site: Site) -> None:
    low = site.layer("low")
    (site.workdir / "work" / "a" / "b" / "c").mkdir(parents=True)

    with pytest.raises(
        FailedPreconditionError, match=r"became read-only.*could not clear"
    ):
        mount_all([site.overlay(low)], str(site.target))

    assert not site.is_mounted()


@pytest.mark.usefixtures("either_api")
def test_an_overlay_that_was_volatile_is_refused_with_the_way_out(site: Site) -> None:
    volatile = site.overlay(site.layer("low"), options=("volatile",))
    mount_all([volatile], str(site.target))
    unmount(str(site.target))

    with pytest.raises(FailedPreconditionError, match=r"volatile before.*remove '"):
        mount_all([volatile], str(site.target))

    assert not site.is_mounted()


@pytest.mark.usefixtures("either_api")
def test_a_volatile_mount_that_fails_leaves_no_mark_that_blocks_the_next(
    site: Site,
) -> None:
    low = site.layer("low")
    # The kernel marks the workdir first, and then finds the workdir below a lowerdir.
    overlapping = site.overlay(low, str(site.path), options=("volatile",))

    with pytest.raises((InvalidArgumentError, FailedPreconditionError, NotFoundError)):
        mount_all([overlapping], str(site.target))

    mount_all([site.overlay(low, options=("volatile",))], str(site.target))


@pytest.mark.usefixtures("either_api")
@pytest.mark.parametrize("role", ["lowerdir", "upperdir", "workdir"])
def test_a_missing_directory_is_named(site: Site, role: str) -> None:
    missing = site.path / "missing"
    mount = site.overlay(site.layer("low"))
    if role == "lowerdir":
        mount = site.overlay(site.layer("other"), str(missing))
    elif role == "upperdir":
        site.upperdir = missing
        mount = site.overlay(site.layer("other"))
    else:
        site.workdir = missing
        mount = site.overlay(site.layer("other"))

    with pytest.raises(NotFoundError) as caught:
        mount_all([mount], str(site.target))

    assert f"{role} {str(missing)!r}: No such file or directory (ENOENT)" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("either_api")
def test_a_layer_that_is_no_directory_is_named(site: Site) -> None:
    low = site.layer("low", file="")

    with pytest.raises(InvalidArgumentError, match=r"lowerdir '.*/low/file'"):
        mount_all([site.overlay(low, f"{low}/file")], str(site.target))


@pytest.mark.usefixtures("new_api")
def test_the_words_of_the_kernel_are_passed_on(site: Site) -> None:
    mount = site.overlay(site.layer("low"), options=("index=maybe",))

    with pytest.raises(InvalidArgumentError) as caught:
        mount_all([mount], str(site.target))

    text = str(caught.value)
    assert text.startswith(f"cannot mount an overlay on {str(site.target)!r}: option")
    assert "(EINVAL); overlay: " in text


@pytest.mark.usefixtures("either_api")
def test_an_upperdir_on_an_overlay_is_unavailable(site: Site) -> None:
    low = site.layer("low")
    mount_all([site.overlay(low)], str(site.target))
    inner = type(site)(site.target / "inner")

    with pytest.raises(UnavailableError, match=r"upperdir '.*' lies on an overlay"):
        mount_all([inner.overlay(low)], str(inner.target))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("lowerdir=/a",), "needs a lowerdir and an upperdir, or two lowerdirs"),
        (("lowerdir=/a::/b",), "has no name"),
        (("lowerdir=/a\\:b:/c",), "can be read in two ways"),
        (("upperdir=/u", "lowerdir=/a"), "upperdir and workdir go together"),
        (("uidmap=0:1:1", "lowerdir=/a:/b"), "uidmap and gidmap go together"),
    ],
)
def test_an_overlay_that_makes_no_sense_is_refused(
    site: Site, options: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        mount_all([Mount("overlay", "overlay", options=options)], str(site.target))


def test_a_mount_point_must_be_a_directory(site: Site) -> None:
    bind = Mount("bind", site.layer("low", file=""), options=("ro", "rbind"))

    with pytest.raises(NotFoundError, match=r"mount point '.*/missing' does not exist"):
        mount_all([bind], str(site.path / "missing"))
    with pytest.raises(InvalidArgumentError, match=r"'.*/low/file' is no directory"):
        mount_all([bind], str(site.path / "low" / "file"))


def test_a_mount_of_another_kind_is_refused(site: Site) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'fuse3\.x' is not for the kernel"):
        mount_all([Mount("fuse3.x", "overlay")], str(site.target))
    with pytest.raises(InvalidArgumentError, match="nothing to mount"):
        mount_all([], str(site.target))


@pytest.mark.usefixtures("either_api")
def test_what_was_mounted_is_undone_when_a_later_mount_fails(site: Site) -> None:
    first = Mount("bind", site.layer("low", file=""), options=("rw", "rbind"))
    second = Mount("bind", str(site.path / "missing"), options=("rw", "rbind"))

    with pytest.raises(NotFoundError, match=r"cannot bind '.*/missing' to "):
        mount_all([first, second], str(site.target))

    assert not site.is_mounted()


@pytest.mark.usefixtures("either_api")
def test_a_mount_may_lie_on_a_directory_of_the_one_before(site: Site) -> None:
    root, volume = site.layer("root"), site.layer("volume", file="")
    (Path(root) / "data").mkdir()
    mounts = [
        Mount("bind", root, options=("rw", "rbind")),
        Mount("bind", volume, "data", ("ro", "rbind")),
    ]

    mount_all(mounts, str(site.target))

    assert os.listdir(site.target / "data") == ["file"]
    with pytest.raises(FailedPreconditionError, match="/data' is mounted on it"):
        unmount(str(site.target))
    unmount(str(site.target / "data"))
    unmount(str(site.target))


@pytest.mark.parametrize("below", ["link", "data/../data", "missing"])
def test_a_mount_does_not_leave_the_one_it_lies_on(site: Site, below: str) -> None:
    root = site.layer("root")
    (Path(root) / "data").mkdir()
    (Path(root) / "link").symlink_to(site.upperdir)
    mounts = [
        Mount("bind", root, options=("rw", "rbind")),
        Mount("bind", site.layer("volume"), below, ("ro", "rbind")),
    ]

    with pytest.raises((InvalidArgumentError, NotFoundError), match="mount point"):
        mount_all(mounts, str(site.target))

    assert mountinfo.mounts_below(str(site.path)) == []


def test_a_symbolic_link_to_the_mount_point_is_followed(site: Site) -> None:
    link = site.path / "link"
    link.symlink_to(site.target)

    mount_all([site.overlay(site.layer("low"))], str(link))

    assert site.is_mounted()
    unmount(str(link))
    assert not site.is_mounted()


def test_mounting_never_changes_the_working_directory(site: Site) -> None:
    before = os.getcwd()

    mount_all([site.overlay(site.layer("2"), site.layer("1"))], str(site.target))

    assert os.getcwd() == before


@pytest.mark.usefixtures("either_api")
def test_no_descriptor_stays_open_after_success_or_failure(site: Site) -> None:
    good, bad = site.layer("good"), str(site.path / "missing")
    before = os.listdir("/proc/self/fd")

    mount_all([site.overlay(good)], str(site.target))
    unmount(str(site.target))
    for mount in (site.overlay(good, bad), Mount("bind", bad, options=("ro",))):
        with pytest.raises(NotFoundError):
            mount_all([mount], str(site.target))

    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.usefixtures("either_api")
def test_a_busy_mount_is_unmounted_only_lazily(site: Site) -> None:
    mount_all([site.overlay(site.layer("low", file="text"))], str(site.target))

    with (site.target / "file").open() as file:
        with pytest.raises(FailedPreconditionError, match="it is in use"):
            unmount(str(site.target))
        assert site.is_mounted()
        unmount(str(site.target), lazy=True)

        assert not site.is_mounted()
        assert file.read() == "text"


def test_a_plain_directory_cannot_be_unmounted(site: Site) -> None:
    with pytest.raises(NotFoundError, match="nothing is mounted on"):
        unmount(str(site.target))


@pytest.mark.usefixtures("new_api")
def test_layers_are_shown_with_mapped_identities(site: Site) -> None:
    low = site.layer("low", file="text")
    os.chown(Path(low) / "file", 1000, 2000)
    maps = ("uidmap=0:100000:65536", "gidmap=0:200000:65536")

    mount_all([site.overlay(low, options=maps)], str(site.target))

    status = os.stat(site.target / "file")
    assert (status.st_uid, status.st_gid) == (101000, 202000)
    assert os.stat(Path(low) / "file").st_uid == 1000


@pytest.mark.parametrize("kind", ["overlay", "bind"])
@pytest.mark.usefixtures("either_api")
def test_without_privilege_the_error_says_what_is_needed(
    public_site: Site, as_nobody: AsNobody, kind: str
) -> None:
    low = public_site.layer("low")
    mounts = {
        "overlay": public_site.overlay(low),
        "bind": Mount("bind", low, options=("ro", "rbind")),
    }

    text = as_nobody(lambda: mount_all([mounts[kind]], str(public_site.target)))

    assert text.startswith(f"{PermissionDeniedError.__name__}: cannot ")
    assert str(public_site.target) in text
    assert "Operation not permitted (EPERM); mounting needs CAP_SYS_ADMIN" in text


def test_without_privilege_nothing_is_unmounted(
    public_site: Site, as_nobody: AsNobody
) -> None:
    mount_all([public_site.overlay(public_site.layer("low"))], str(public_site.target))

    text = as_nobody(lambda: unmount(str(public_site.target)))

    assert text.startswith(f"{PermissionDeniedError.__name__}: cannot unmount ")
    assert public_site.is_mounted()


def test_in_a_user_namespace_an_overlay_with_userxattr_works(tmp_path: Path) -> None:
    if not shutil.which("unshare"):
        pytest.skip("needs unshare(1)")
    script = Path(__file__).with_name("in_user_namespace.py")
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]

    done = subprocess.run(
        [*namespace, sys.executable, str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert done.stdout == "prefix user., opaque is marked so, ['inside', 'kept']\n"
