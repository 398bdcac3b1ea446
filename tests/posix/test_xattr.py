"""getxattr(2), setxattr(2), listxattr(2) and removexattr(2)."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from support.posix_descriptors import opened, wait_for_the_clock
from support.posix_errors import refused
from support.posix_objects import (
    GROUP,
    OLD_NS,
    OTHER_USER,
    USER,
    directory,
    fifo,
    file,
    node,
    placed,
    symlink,
    xattr,
)
from support.posix_place import Place
from support.posix_processes import as_user

# A capability set of version 2: cap_net_raw, permitted and effective.
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")

pytestmark = placed(
    file("file", b"content", owner=(USER, GROUP)),
    xattr("file", "user.one", b"first"),
    xattr("file", "trusted.two", b"\0second\xff"),
    directory("directory"),
    xattr("directory", "user.three", b"third"),
    file("bare"),
    symlink("link", "file"),
    fifo("fifo"),
)


@pytest.mark.parametrize(
    ("name", "attribute", "value"),
    [
        ("file", "user.one", b"first"),
        ("file", "trusted.two", b"\0second\xff"),
        ("link", "user.one", b"first"),
        ("directory", "user.three", b"third"),
    ],
)
def test_a_value_is_read(place: Place, name: str, attribute: str, value: bytes) -> None:
    assert os.getxattr(place / name, attribute) == value


@pytest.mark.parametrize("name", ["file", "directory", "bare"])
@pytest.mark.parametrize("attribute", ["user.new", "trusted.new", "security.new"])
@pytest.mark.parametrize("value", [b"", b"value", bytes(2000)])
def test_a_value_is_set(place: Place, name: str, attribute: str, value: bytes) -> None:
    ino = os.stat(place / name).st_ino

    os.setxattr(place / name, attribute, value)

    assert os.getxattr(place / name, attribute) == value
    assert attribute in os.listxattr(place / name)
    assert os.stat(place / name).st_ino == ino


@pytest.mark.parametrize("name", ["file", "directory", "bare"])
def test_a_value_lasts(place: Place, name: str) -> None:
    for attribute in ("user.new", "trusted.new", "security.new"):
        os.setxattr(place / name, attribute, attribute.encode())

    place.remount()

    for attribute in ("user.new", "trusted.new", "security.new"):
        assert os.getxattr(place / name, attribute) == attribute.encode()


def test_a_name_of_255_bytes_is_the_longest(place: Place) -> None:
    longest = "user." + "n" * 250

    os.setxattr(place / "file", longest, b"value")

    assert os.getxattr(place / "file", longest) == b"value"
    with refused(errno.ERANGE):
        os.setxattr(place / "file", longest + "n", b"value")


def test_the_list_has_every_attribute_once(place: Place) -> None:
    os.setxattr(place / "file", "user.new", b"")
    os.setxattr(place / "file", "user.one", b"changed")

    listed = sorted(os.listxattr(place / "file"))

    assert listed == ["trusted.two", "user.new", "user.one"]
    assert os.listxattr(place / "bare") == []
    assert os.listxattr(place / "link", follow_symlinks=False) == []


def test_create_and_replace_do_only_that(place: Place) -> None:
    with refused(errno.EEXIST):
        os.setxattr(place / "file", "user.one", b"x", os.XATTR_CREATE)
    with refused(errno.ENODATA):
        os.setxattr(place / "file", "user.new", b"x", os.XATTR_REPLACE)

    os.setxattr(place / "file", "user.one", b"replaced", os.XATTR_REPLACE)
    os.setxattr(place / "file", "user.new", b"created", os.XATTR_CREATE)

    assert os.getxattr(place / "file", "user.one") == b"replaced"
    assert os.getxattr(place / "file", "user.new") == b"created"


@pytest.mark.parametrize(
    ("name", "attribute"), [("file", "user.one"), ("directory", "user.three")]
)
def test_a_removed_attribute_stays_gone(
    place: Place, name: str, attribute: str
) -> None:
    os.removexattr(place / name, attribute)

    assert attribute not in os.listxattr(place / name)
    with refused(errno.ENODATA):
        os.getxattr(place / name, attribute)
    with refused(errno.ENODATA):
        os.removexattr(place / name, attribute)
    place.remount()
    assert attribute not in os.listxattr(place / name)


@pytest.mark.parametrize(
    ("name", "attribute", "code"),
    [
        pytest.param("bare", "user.one", errno.ENODATA, id="absent"),
        pytest.param("missing", "user.one", errno.ENOENT, id="missing"),
        pytest.param("file/x", "user.one", errno.ENOTDIR, id="below-a-file"),
        pytest.param("file", "unknown.name", errno.EOPNOTSUPP, id="unknown-space"),
        pytest.param("file", "user.", errno.EINVAL, id="no-name"),
        pytest.param("fifo", "user.one", errno.ENODATA, id="fifo"),
    ],
)
def test_getxattr_refuses(place: Place, name: str, attribute: str, code: int) -> None:
    with refused(code):
        os.getxattr(place / name, attribute)


@pytest.mark.parametrize(
    ("name", "attribute", "code"),
    [
        pytest.param("fifo", "user.new", errno.EPERM, id="user-on-a-fifo"),
        pytest.param("file", "unknown.name", errno.EOPNOTSUPP, id="unknown-space"),
        pytest.param("missing", "user.new", errno.ENOENT, id="missing"),
    ],
)
def test_setxattr_refuses(place: Place, name: str, attribute: str, code: int) -> None:
    with refused(code):
        os.setxattr(place / name, attribute, b"value")


def test_a_link_has_no_user_attributes_but_trusted_ones(place: Place) -> None:
    with refused(errno.EPERM):
        os.setxattr(place / "link", "user.new", b"x", follow_symlinks=False)

    os.setxattr(place / "link", "trusted.new", b"x", follow_symlinks=False)

    assert os.getxattr(place / "link", "trusted.new", follow_symlinks=False) == b"x"


def test_a_descriptor_has_the_attributes_of_its_file(place: Place) -> None:
    with opened(place / "file") as fd:
        os.setxattr(fd, "user.new", b"by descriptor")

        assert os.getxattr(fd, "user.one") == b"first"
        assert "user.new" in os.listxattr(fd)
    assert os.getxattr(place / "file", "user.new") == b"by descriptor"


def test_attributes_survive_changes_of_the_file(place: Place) -> None:
    (place / "file").write_bytes(b"changed")
    os.chmod(place / "file", 0o600)
    os.rename(place / "file", place / "moved")

    assert os.getxattr(place / "moved", "user.one") == b"first"
    assert os.getxattr(place / "moved", "trusted.two") == b"\0second\xff"


@pytest.mark.parametrize("prefix", ["trusted.overlay.", "user.overlay."])
def test_what_a_union_keeps_for_itself_is_hidden(place: Place, prefix: str) -> None:
    # Whatever made the union write its own attributes must not show them.
    os.rename(place / "directory", place / "moved")
    (place / "moved/new").touch()
    (place / "file").write_bytes(b"changed")

    for path in (place.path, place / "moved", place / "file"):
        shown = [name for name in os.listxattr(path) if name.startswith(prefix)]
        assert shown == []
    if place.is_union and prefix == "trusted.overlay.":
        with refused(errno.ENODATA):
            os.getxattr(place / "moved", prefix + "opaque")


@pytest.mark.parametrize("name", ["opaque", "redirect", "metacopy", "origin"])
def test_names_that_a_union_uses_are_the_user_s_too(place: Place, name: str) -> None:
    # Linux 6.7 escapes them (overlayfs.rst, "Nested overlayfs"): for a union's layers.
    attribute = f"trusted.overlay.{name}"

    os.setxattr(place / "file", attribute, b"y")
    os.setxattr(place / "directory", attribute, b"y")

    assert os.getxattr(place / "file", attribute) == b"y"
    assert attribute in os.listxattr(place / "directory")
    (place / "directory/new").touch()
    assert os.listdir(place / "directory") == ["new"]
    place.remount()
    assert os.getxattr(place / "directory", attribute) == b"y"
    os.removexattr(place / "file", attribute)
    assert attribute not in os.listxattr(place / "file")


def test_a_user_does_not_see_trusted_attributes(place: Place) -> None:
    listed = as_user(lambda: os.listxattr(place / "file"), USER, GROUP)

    assert listed == ["user.one"]
    with refused(errno.ENODATA):
        as_user(lambda: os.getxattr(place / "file", "trusted.two"), USER, GROUP)
    with refused(errno.EPERM):
        as_user(lambda: os.setxattr(place / "file", "trusted.x", b""), USER, GROUP)


@placed(
    file("readable", mode=0o644, owner=(OTHER_USER, GROUP)),
    xattr("readable", "user.one", b"first"),
    file("closed", mode=0o600, owner=(OTHER_USER, GROUP)),
    xattr("closed", "user.one", b"first"),
)
def test_the_mode_rules_over_user_attributes(place: Place) -> None:
    def use(name: str) -> bytes:
        value = os.getxattr(place / name, "user.one")
        os.setxattr(place / name, "user.one", b"changed")
        return value

    assert as_user(lambda: use("file"), USER, GROUP) == b"first"
    with refused(errno.EACCES):
        as_user(lambda: use("closed"), USER, GROUP)
    with refused(errno.EACCES):
        as_user(lambda: use("readable"), USER, GROUP)
    assert os.getxattr(place / "readable", "user.one") == b"first"


@placed(file("capable", b"x"), xattr("capable", "security.capability", CAPABILITY))
def test_a_capability_survives_a_change_of_mode_but_not_of_content(
    place: Place,
) -> None:
    os.chmod(place / "capable", 0o755)
    assert os.getxattr(place / "capable", "security.capability") == CAPABILITY

    with opened(place / "capable", os.O_WRONLY) as fd:
        os.write(fd, b"y")

    with refused(errno.ENODATA):
        os.getxattr(place / "capable", "security.capability")


def test_setting_an_attribute_changes_ctime_alone(place: Place) -> None:
    before = os.stat(place / "file")
    wait_for_the_clock(before.st_ctime_ns)

    os.setxattr(place / "file", "user.one", b"changed")

    after = os.stat(place / "file")
    assert after.st_ctime_ns > before.st_ctime_ns
    assert after.st_mtime_ns == OLD_NS


@placed(node("device", stat.S_IFCHR | 0o600, 1, 3))
def test_special_files_have_trusted_attributes(place: Place) -> None:
    for name in ("device", "fifo"):
        os.setxattr(place / name, "trusted.new", b"value")

        assert os.getxattr(place / name, "trusted.new") == b"value"


@pytest.mark.parametrize("name", ["user.", "trusted.", "security."])
@pytest.mark.parametrize("path", ["file", "bare"])
def test_a_namespace_without_a_name_is_invalid(
    place: Place, path: str, name: str
) -> None:
    with refused(errno.EINVAL):
        os.getxattr(place / path, name)
