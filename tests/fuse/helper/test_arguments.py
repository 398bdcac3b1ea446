"""The command line of snapfs-fuse, read without mounting."""

from __future__ import annotations

import pytest

from snapfs.errors import InvalidArgumentError
from snapfs.fuse.helper.arguments import Wanted, parse
from snapfs.fuse.mount_config import ENDLESS_S, MountConfig
from snapfs.overlay_format import XattrPrefix


def _config(options: str) -> MountConfig:
    return parse(["-o", options, "/mnt"]).config


def test_the_form_of_mount_fuse3_names_source_and_mountpoint() -> None:
    arguments = parse(["overlay", "/mnt", "-o", "lowerdir=/a:/b,dev,suid"])

    assert arguments.wanted is Wanted.MOUNT
    assert not arguments.is_foreground
    assert arguments.config.source == b"overlay"
    assert arguments.config.mountpoint == b"/mnt"
    assert arguments.config.lowerdirs == (b"/a", b"/b")
    assert arguments.config.mount_words == ("dev", "suid")


def test_the_form_of_fuse_overlayfs_needs_no_source() -> None:
    config = parse(["-olowerdir=/a,upperdir=/u", "-o", "workdir=/w", "/mnt"]).config

    assert config.mountpoint == b"/mnt"
    assert (config.lowerdirs, config.upperdir, config.workdir) == (
        (b"/a",),
        b"/u",
        b"/w",
    )
    assert config.timeout_s == ENDLESS_S


def test_a_backslash_makes_commas_and_colons_plain() -> None:
    config = _config(r"lowerdir=/a\:b:/c\,d:/e\\f,upperdir=/u\,p,workdir=/w\:k")

    assert config.lowerdirs == (b"/a:b", b"/c,d", b"/e\\f")
    assert config.upperdir == b"/u,p"
    assert config.workdir == b"/w:k"


def test_lowerdir_plus_adds_one_layer_with_plain_colons() -> None:
    assert _config("lowerdir+=/a:b,lowerdir+=/c").lowerdirs == (b"/a:b", b"/c")


def test_two_colons_stand_before_each_layer_of_data() -> None:
    config = _config(r"lowerdir=/a:/b::/c\:d::/e,datadir+=/f:g")

    assert config.lowerdirs == (b"/a", b"/b")
    assert config.datadirs == (b"/c:d", b"/e", b"/f:g")


@pytest.mark.parametrize(
    ("options", "attribute", "expected"),
    [
        pytest.param("ro", "is_read_only", True, id="ro"),
        pytest.param("ro,rw", "is_read_only", False, id="the-later-wins"),
        pytest.param("volatile", "is_volatile", True, id="volatile"),
        pytest.param("fsync=0", "is_volatile", True, id="fsync-0"),
        pytest.param("fsync=1", "is_volatile", False, id="fsync-1"),
        pytest.param("mode=fast", "mode", "fast", id="mode"),
        pytest.param("redirect_dir=off", "redirect", "off", id="redirect"),
        pytest.param("userxattr", "prefix", XattrPrefix.USER, id="userxattr"),
        pytest.param(
            "xattr_prefix=trusted", "prefix", XattrPrefix.TRUSTED, id="prefix"
        ),
        pytest.param("noacl", "has_acls", False, id="noacl"),
        pytest.param("noxattrs=1", "has_xattrs", False, id="noxattrs"),
        pytest.param("static_nlink", "has_static_nlink", True, id="static-nlink"),
        pytest.param("xino=on", "xino", "on", id="xino"),
        pytest.param("timeout=0.5", "timeout_s", 0.5, id="timeout"),
        pytest.param("max_write=65536", "max_write", 65536, id="max-write"),
        pytest.param("squash_to_root", "squash_uid", 0, id="squash-root"),
        pytest.param(
            "squash_to_uid=7,squash_to_root", "squash_uid", 7, id="squash-uid-first"
        ),
        pytest.param(
            "squash_to_root,squash_to_gid=8", "squash_gid", 8, id="squash-gid-later"
        ),
        pytest.param(
            "nosuid,suid,noexec", "mount_words", ("suid", "noexec"), id="opposites"
        ),
        pytest.param(
            "threaded=1,fast_ino=0,writeback=1,index=off,defaults,x-mount.mkdir",
            "mount_words",
            (),
            id="without-meaning-here",
        ),
    ],
)
def test_an_option_sets_its_part(
    options: str, attribute: str, expected: object
) -> None:
    assert getattr(_config(f"lowerdir=/a,{options}"), attribute) == expected


@pytest.mark.parametrize("separator", [":", r"\,"])
def test_id_mappings_take_colons_and_escaped_commas(separator: str) -> None:
    text = f"0:1000:1{separator}1:110000:65536"

    ranges = _config(f"lowerdir=/a,uidmapping={text}").uid_ranges

    assert [(found.stored, found.shown, found.size) for found in ranges] == [
        (0, 1000, 1),
        (1, 110000, 65536),
    ]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        pytest.param(["-o", "lowerdir=/a,colour=red", "/m"], "'colour'", id="unknown"),
        pytest.param(["-o", "lowerdir=/a,nosuch", "/m"], "'nosuch'", id="plain"),
        pytest.param(["-o", "lowerdir=/a,suid=1", "/m"], "'suid'", id="no-value"),
        pytest.param(["-o", "lowerdir", "/m"], "lowerdir takes", id="needs-value"),
        pytest.param(["-o", "lowerdir=::/b", "/m"], "data-only", id="data-alone"),
        pytest.param(["-o", "lowerdir=/a::", "/m"], "empty", id="data-empty"),
        pytest.param(["-o", "lowerdir=/a:::/b", "/m"], "empty", id="three-colons"),
        pytest.param(["-o", "lowerdir=/a::/b:/c", "/m"], "/c after", id="after-data"),
        pytest.param(
            ["-o", "upperdir=/u,workdir=/w,datadir+=/d", "/m"],
            "takes a lowerdir",
            id="data-no-lower",
        ),
        pytest.param(["-o", "lowerdir=/a,plugins=x", "/m"], "plugins", id="plugins"),
        pytest.param(["-o", "lowerdir=/a,sync", "/m"], "sync is refused", id="sync"),
        pytest.param(["-o", "lowerdir=/a,remount", "/m"], "mount -i", id="remount"),
        pytest.param(["-o", "lowerdir=/a,allow_root", "/m"], "allow_", id="allow_root"),
        pytest.param(["-o", "lowerdir=/a,mode=slow", "/m"], "mode=slow", id="mode"),
        pytest.param(["-o", "lowerdir=/a,timeout=-1", "/m"], "timeout", id="timeout"),
        pytest.param(["-o", "lowerdir=/a,timeout=nan", "/m"], "timeout", id="nan"),
        pytest.param(["-o", "lowerdir=/a,max_write=1", "/m"], "max_write", id="small"),
        pytest.param(["-o", "lowerdir=/a,metacopy=on", "/m"], "metacopy", id="meta"),
        pytest.param(["-o", "lowerdir=/a,volatile=yes", "/m"], "volatile", id="switch"),
        pytest.param(
            ["-o", "lowerdir=/a,uidmapping=0:1", "/m"], "uidmapping", id="mapping"
        ),
        pytest.param(
            ["-o", "lowerdir=/a,gidmapping=0:4294967290:9", "/m"], "32-bit", id="range"
        ),
        pytest.param(
            ["-o", f"lowerdir=/a,max_write={'9' * 5000}", "/m"],
            "is not a number",
            id="digits",
        ),
        pytest.param(
            ["-o", "lowerdir=/a,xattr_permissions=2", "/m"], "xattr_perm", id="override"
        ),
        pytest.param(["-o", "upperdir=/u", "/m"], "workdir", id="no-workdir"),
        pytest.param(
            ["-o", "lowerdir=/a,workdir=/w", "/m"], "upperdir", id="no-upperdir"
        ),
        pytest.param(["/m"], "lowerdir", id="no-lowerdir"),
        pytest.param(["-o", "lowerdir=/a"], "MOUNTPOINT", id="no-mountpoint"),
        pytest.param(["-o", "lowerdir=/a", "a", "b", "c"], "3 places", id="places"),
        pytest.param(["-x", "/m"], "'-x'", id="flag"),
        pytest.param(["/m", "-o"], "-o takes", id="nothing-after-o"),
    ],
)
def test_what_is_refused_is_named(words: list[str], named: str) -> None:
    with pytest.raises(InvalidArgumentError, match=named) as caught:
        parse(words)

    assert "\n" not in str(caught.value)


def test_debug_stays_in_the_foreground() -> None:
    arguments = parse(["-o", "debug,lowerdir=/a", "/m"])

    assert arguments.is_foreground
    assert arguments.config.is_debugging


def test_help_and_version_need_no_mountpoint() -> None:
    assert parse(["-h"]).wanted is Wanted.HELP
    assert parse(["-V"]).wanted is Wanted.VERSION
