"""The cases of containerd's own list of break-outs, under its names.

pkg/archive/tar_test.go, TestBreakouts, of containerd 1.6 to 2.4. What containerd
resolves on the disk lies in lower layers here, where this layer cannot see it: then
it is the merged view that counts, which ``tests/conformance`` looks at.
"""

from __future__ import annotations

from typing import Final

from support.hostile_layers import (
    Attack,
    contained,
    directory,
    file,
    hard_link,
    refused,
    symlink,
)

_ETC: Final = (directory(b"etc", 0o770), file(b"/etc/passwd", b"inside"))
_ETC_SHOWN: Final = {"etc": "directory 0770", "etc/passwd": "file inside"}
_MARKED: Final = "directory overlay:origin="

BREAKOUTS: Final[tuple[Attack, ...]] = (
    contained(
        "SymlinkAbsolute",
        directory(b"etc"),
        symlink(b"localetc", b"/etc"),
        file(b"/localetc/unbroken", b"in"),
        shows={
            "etc": "directory",
            "localetc": "symlink /etc",
            "etc/unbroken": "file in",
        },
    ),
    contained(
        "SymlinkUpAndOut",
        directory(b"etc"),
        directory(b"dummy"),
        symlink(b"localetc", b"/dummy/../etc"),
        file(b"/localetc/unbroken", b"in"),
        shows={
            "etc": "directory",
            "dummy": "directory",
            "localetc": "symlink /dummy/../etc",
            "etc/unbroken": "file in",
        },
    ),
    contained(
        "SymlinkMultipleAbsolute",
        directory(b"etc"),
        directory(b"dummy"),
        symlink(b"/dummy/etc", b"/etc"),
        symlink(b"localetc", b"/dummy/etc"),
        file(b"/localetc/unbroken", b"in"),
        shows={
            "etc": "directory",
            "dummy": "directory",
            "dummy/etc": "symlink /etc",
            "localetc": "symlink /dummy/etc",
            "etc/unbroken": "file in",
        },
    ),
    contained(
        "SymlinkMultipleRelative",
        directory(b"etc"),
        directory(b"dummy"),
        symlink(b"/dummy/etc", b"/etc"),
        symlink(b"localetc", b"./dummy/etc"),
        file(b"/localetc/unbroken", b"in"),
        shows={
            "etc": "directory",
            "dummy": "directory",
            "dummy/etc": "symlink /etc",
            "localetc": "symlink ./dummy/etc",
            "etc/unbroken": "file in",
        },
    ),
    contained(
        "SymlinkEmptyFile",
        directory(b"etc"),
        file(b"etc/emptied", b"notempty"),
        symlink(b"localetc", b"/etc"),
        file(b"/localetc/emptied"),
        shows={"etc": "directory", "etc/emptied": "file", "localetc": "symlink /etc"},
    ),
    *(
        contained(
            name,
            *_ETC,
            directory(b"breakouts"),
            directory(b"downandout"),
            symlink(b"breakouts/d1", target),
            hard_link(b"breakouts/mypasswd", b"/breakouts/d1/passwd"),
            shows={
                "breakouts": "directory",
                "downandout": "directory",
                "breakouts/d1": f"symlink {target.decode()}",
                "breakouts/mypasswd": "file inside",
                "etc": "directory 0770",
                "etc/passwd": "file inside =breakouts/mypasswd",
            },
        )
        for name, target in (
            ("HardlinkRelative", b"../../etc"),
            ("HardlinkDownAndOut", b"../downandout/../../etc"),
        )
    ),
    *(
        contained(
            name,
            *_ETC,
            symlink(b"localetc", target),
            hard_link(b"localpasswd", b"/localetc/passwd"),
            shows=_ETC_SHOWN
            | {
                "localetc": f"symlink {target.decode()}",
                "localpasswd": "file inside =etc/passwd",
            },
        )
        for name, target in (
            ("HardlinkAbsolute", b"/etc"),
            ("HardlinkRelativeLong", b"../../../../../../../etc"),
            ("HardlinkRelativeUpAndOut", b"upandout/../../../etc"),
        )
    ),
    refused(
        "HardlinkDirectRelative",
        *_ETC,
        hard_link(b"localpasswd", b"../../../../../etc/passwd"),
        says="'../../../../../etc/passwd'",
    ),
    contained(
        "HardlinkDirectAbsolute",
        *_ETC,
        hard_link(b"localpasswd", b"/etc/passwd"),
        shows=_ETC_SHOWN | {"localpasswd": "file inside =etc/passwd"},
    ),
    refused(
        "SymlinkParentDirectory",
        *_ETC,
        symlink(b"..", b"/etc/"),
        hard_link(b"localpasswd", b"/etc/passwd"),
        says="'..'",
    ),
    refused(
        "SymlinkEmptyFilename",
        *_ETC,
        symlink(b"", b"/etc/"),
        hard_link(b"localpasswd", b"/etc/passwd"),
        says="''",
    ),
    refused(
        "SymlinkParentRelative",
        *_ETC,
        symlink(b"localetc/sub/..", b"/etc/"),
        hard_link(b"/localetc/localpasswd", b"/etc/passwd"),
        says="'localetc/sub/..'",
    ),
    contained(
        "SymlinkSlashEnded",
        *_ETC,
        directory(b"localetc/", 0o770),
        hard_link(b"/localetc/localpasswd", b"/etc/passwd"),
        shows=_ETC_SHOWN
        | {
            "localetc": "directory 0770",
            "localetc/localpasswd": "file inside =etc/passwd",
        },
    ),
    contained(
        "SymlinkOverrideDirectory",
        *_ETC,
        directory(b"localetc"),
        symlink(b"localetc", b"/etc"),
        hard_link(b"/localetc/localpasswd", b"/etc/passwd"),
        shows=_ETC_SHOWN
        | {
            "localetc": "symlink /etc",
            "etc/localpasswd": "file inside",
            "etc/passwd": "file inside =etc/localpasswd",
        },
    ),
    contained(
        "SymlinkOverrideDirectoryRelative",
        *_ETC,
        directory(b"localetc"),
        symlink(b"localetc", b"../../etc"),
        hard_link(b"/localetc/localpasswd", b"/etc/passwd"),
        shows=_ETC_SHOWN
        | {
            "localetc": "symlink ../../etc",
            "etc/localpasswd": "file inside",
            "etc/passwd": "file inside =etc/localpasswd",
        },
    ),
    contained(
        "DirectoryOverrideSymlink",
        *_ETC,
        symlink(b"localetc", b"/etc"),
        directory(b"/localetc/"),
        hard_link(b"/localetc/localpasswd", b"/etc/passwd"),
        shows=_ETC_SHOWN
        | {"localetc": "directory", "localetc/localpasswd": "file inside =etc/passwd"},
    ),
    contained(
        "DirectoryOverrideSymlinkAndHardlink",
        *_ETC,
        symlink(b"localetc", b"etc"),
        hard_link(b"/localetc/localpasswd", b"/etc/passwd"),
        directory(b"/localetc/"),
        file(b"/localetc/localpasswd", b"different"),
        shows=_ETC_SHOWN
        | {
            "etc/localpasswd": "file inside",
            "etc/passwd": "file inside =etc/localpasswd",
            "localetc": "directory",
            "localetc/localpasswd": "file different",
        },
    ),
    refused("WhiteoutRootParent", file(b".wh..."), says="'.wh...'"),
    refused("WhiteoutParent", file(b"etc/.wh..."), says="'etc/.wh...'"),
    refused("WhiteoutRoot", file(b".wh.."), says="'.wh..'"),
    refused("WhiteoutCurrentDirectory", file(b"etc/.wh.."), says="'etc/.wh..'"),
    contained(
        "WhiteoutSymlink",
        file(b".wh.localetc"),
        shows={".": _MARKED, "localetc": "whiteout"},
    ),
    contained(
        "WhiteoutSymlinkPath",
        symlink(b"localetc", b"/etc"),
        file(b"localetc/.wh.whitedout"),
        shows={"localetc": "symlink /etc", "etc": _MARKED, "etc/whitedout": "whiteout"},
    ),
    contained(
        "WhiteoutDirectoryName",
        file(b".wh.etc/somefile", b"non-empty"),
        shows={".wh.etc": "directory", ".wh.etc/somefile": "file non-empty"},
    ),
    contained(
        "WhiteoutDeadSymlinkParent",
        symlink(b"localetc", b"/dne"),
        file(b"localetc/.wh.etc"),
        shows={"localetc": "symlink /dne", "dne": _MARKED, "dne/etc": "whiteout"},
    ),
    refused("WhiteoutRelativePath", file(b"dne/../.wh.etc"), says="'dne/../.wh.etc'"),
    contained(
        "WhiteoutOpaque",
        file(b"etc/.wh..wh..opq"),
        file(b"etc/group", b"all groups"),
        shows={"etc": "directory overlay:opaque=y", "etc/group": "file all groups"},
    ),
    contained(
        "WhiteoutOpaqueOutOfOrder",
        file(b"etc/group", b"all groups"),
        file(b"etc/.wh..wh..opq"),
        shows={"etc": "directory overlay:opaque=y", "etc/group": "file all groups"},
    ),
    contained(
        "SymlinkOverridePath",
        directory(b"foo"),
        directory(b"foo/tmp"),
        file(b"foo/tmp/breakout", b"first"),
        symlink(b"foo", b"/"),
        file(b"foo/tmp/breakout", b"second"),
        directory(b"foo"),
        directory(b"foo/tmp"),
        file(b"foo/tmp/breakout", b"third"),
        shows={
            "foo": "directory",
            "foo/tmp": "directory",
            "foo/tmp/breakout": "file third",
            "tmp": "directory",
            "tmp/breakout": "file second",
        },
    ),
    contained(
        "HardlinkSymlinkBeforeCreateTarget",
        directory(b"etc", 0o770),
        symlink(b"localpasswd", b"/etc/passwd"),
        hard_link(b"localpasswd-dup", b"localpasswd"),
        file(b"/etc/passwd", b"after"),
        shows={
            "etc": "directory 0770",
            "etc/passwd": "file after",
            "localpasswd": "symlink /etc/passwd",
            "localpasswd-dup": "symlink /etc/passwd =localpasswd",
        },
    ),
    *(
        contained(
            name,
            *_ETC,
            symlink(b"passwdlink", target),
            hard_link(b"localpasswd", b"/passwdlink"),
            shows=_ETC_SHOWN
            | {
                "localpasswd": f"symlink {target.decode()}",
                "passwdlink": f"symlink {target.decode()} =localpasswd",
            },
        )
        for name, target in (
            ("HardlinkSymlinkRelative", b"../../../../../etc/passwd"),
            ("HardlinkSymlinkAbsolute", b"/etc/passwd"),
        )
    ),
    contained(
        "HardlinkSymlinkChmod",
        symlink(b"also", b"@HOST/setuid"),
        hard_link(b"sketchylink", b"also", mode=0o777),
        shows={
            "also": "symlink @HOST/setuid",
            "sketchylink": "symlink @HOST/setuid =also",
        },
    ),
)
