"""Changes to make to a union, and the layers that have something of each sort."""

from __future__ import annotations

import os
import stat

import pytest
from _pytest.mark import ParameterSet

from support.kernel_tree import Change

LOWER_1 = [
    ("both/low1", "f"),
    ("both/shadowed", "f", b"old"),
    ("lowdir/file", "f"),
    ("lowdir/sub/deep/er/file", "f"),
    ("lowdir/link", "l", "file"),
    ("lowdir/fifo", "p"),
    ("lowdir/null", "c"),
    ("lowdir/hard1", "f", b"hard"),
    ("lowdir/hard2", "h", "lowdir/hard1"),
    ("lowdir/suid", "f", b"s", 0o6755),
    ("lowempty", "d", 0o750),
    ("nested/a/b/c", "d"),
    ("nested/a/file", "f"),
    ("hidden/file", "f"),
    ("covered", "f"),
    ("covereddir/file", "f"),
    ("opaque/below", "f"),
    ("setgid", "d", 0o2775),
    ("open", "d", 0o777),
    ("gone1", "f"),
    ("gone2", "f"),
    ("emptied/x", "f"),
    ("emptied/y/z", "f"),
    ("top", "f", b"top" * 100),
]
LOWER_0 = [
    ("both/low0", "f"),
    ("both/shadowed", "f", b"new"),
    ("covered", "w"),
    ("lowdir/zero", "f", b""),
    ("mid/dir/file", "f"),
]
# What the upper has before: made by the kernel.
UPPER: list[Change] = [
    ("mkdir", "up"),
    ("create", "up/file"),
    ("write", "up/file", 0, b"upper"),
    ("mkdir", "up/empty"),
    ("mkdir", "up/full"),
    ("create", "up/full/x"),
    ("link", "up/file", "up/file2"),
    ("create", "both/upfile"),
    ("mkdir", "both/updir"),
    ("create", "both/updir/in"),
    ("unlink", "hidden/file"),
    ("unlink", "gone1"),
    ("unlink", "gone2"),
    ("unlink", "covereddir/file"),
    ("rmdir", "covereddir"),
    ("unlink", "opaque/below"),
    ("rmdir", "opaque"),
    ("mkdir", "opaque"),
    ("create", "opaque/file"),
    ("unlink", "emptied/x"),
    ("unlink", "emptied/y/z"),
    ("rmdir", "emptied/y"),
]

_PLACES = {
    "pure": "up",
    "lower": "lowdir",
    "merged": "both",
    "opaque": "opaque",
    "deep": "lowdir/sub/deep/er",
    "root": ".",
}


def _in_every_place(name: str, *changes: Change) -> list[ParameterSet]:
    return [
        pytest.param(
            [
                tuple(
                    part.replace("@", place) if isinstance(part, str) else part
                    for part in change
                )
                for change in changes
            ],
            id=f"{name}-{label}",
        )
        for label, place in _PLACES.items()
    ]


def case(name: str, *changes: Change) -> ParameterSet:
    """Return changes with their name."""
    return pytest.param(list(changes), id=name)


NEW: list[ParameterSet] = [
    *_in_every_place("create", ("create", "@/new"), ("write", "@/new", 3, b"x")),
    *_in_every_place("create-by-user", ("user", 0, 5, "create", "@/new", 0o666)),
    *_in_every_place("mkdir", ("mkdir", "@/new", 0o777), ("create", "@/new/in")),
    *_in_every_place("symlink", ("symlink", "@/new", "somewhere/else")),
    *_in_every_place("fifo", ("mknod", "@/new", stat.S_IFIFO | 0o666)),
    *_in_every_place("device", ("mknod", "@/new", stat.S_IFCHR | 0o600, 259)),
    *_in_every_place("socket", ("mknod", "@/new", stat.S_IFSOCK | 0o600)),
    *_in_every_place("tmpfile", ("tmpfile", "@", "@/new", 0o640, b"data")),
    *_in_every_place("link-upper", ("link", "up/file", "@/new"), ("nlink", "up/file")),
    *_in_every_place("link-lower", ("link", "top", "@/new"), ("nlink", "@/new")),
    *_in_every_place("mkdir-rmdir", ("mkdir", "@/n"), ("rmdir", "@/n")),
    *_in_every_place("create-unlink", ("create", "@/n"), ("unlink", "@/n")),
    case("whiteout", ("mknod", "new", stat.S_IFCHR, 0)),
    case("exists", ("create", "top"), ("mkdir", "lowdir"), ("symlink", "gone1", "a")),
    case("file-over-whiteout", ("create", "gone1", 0o600), ("read", "gone1")),
    case("dir-over-whiteout", ("mkdir", "gone1", 0o711), ("create", "gone1/in")),
    case("dir-over-dir-whiteout", ("mkdir", "covereddir"), ("listdir", "covereddir")),
    case("symlink-over-whiteout", ("symlink", "gone1", "there")),
    case("fifo-over-whiteout", ("mknod", "gone1", stat.S_IFIFO | 0o622)),
    case("link-over-whiteout", ("link", "top", "gone1"), ("link", "up/file", "gone2")),
    case("over-lower-whiteout", ("mkdir", "covered"), ("create", "covered/x")),
    case("tmpfile-over-whiteout", ("tmpfile", ".", "gone1", 0o600, b"d")),
    case("user-in-open", ("user", 1000, 1000, "create", "open/x", 0o666)),
    case("user-mkdir-in-open", ("user", 1000, 1000, "mkdir", "open/x", 0o777)),
    case("user-link-in-open", ("user", 1000, 1000, "symlink", "open/x", "y")),
    case(
        "user-over-whiteout",
        ("create", "open/x"),
        ("unlink", "open/x"),
        ("rename", "lowdir/file", "open/f"),
        ("unlink", "open/f"),
        ("user", 1000, 1000, "create", "open/f", 0o666),
    ),
    case("setgid-file", ("create", "setgid/f", 0o666), ("mkdir", "setgid/d", 0o777)),
    case(
        "setgid-of-another-group",
        ("chown", "setgid", 7, 8),
        ("chmod", "setgid", 0o2777),
        ("create", "setgid/f", 0o666),
        ("mkdir", "setgid/d", 0o777),
        ("user", 1000, 1000, "create", "setgid/uf", 0o666),
        ("user", 1000, 1000, "mkdir", "setgid/ud", 0o777),
        ("unlink", "setgid/f"),
        ("create", "setgid/f", 0o666),
        ("tmpfile", "setgid", "setgid/t", 0o644, b""),
    ),
    case("name-of-255-bytes", ("create", "lowdir/" + "n" * 255)),
    case("name-too-long", ("create", "lowdir/" + "n" * 256), ("listdir", "lowdir")),
]

GONE: list[ParameterSet] = [
    case("unlink-upper", ("unlink", "up/file"), ("nlink", "up/file2")),
    case("unlink-lower", ("unlink", "lowdir/file"), ("listdir", "lowdir")),
    case("unlink-twice", ("unlink", "top"), ("unlink", "top")),
    case("unlink-copied", ("chmod", "top", 0o600), ("unlink", "top")),
    case("unlink-merged", ("unlink", "both/shadowed"), ("unlink", "both/upfile")),
    case("unlink-over-whiteout", ("create", "gone1"), ("unlink", "gone1")),
    case("unlink-special", ("unlink", "lowdir/fifo"), ("unlink", "lowdir/link")),
    case("unlink-hard", ("unlink", "lowdir/hard1"), ("read", "lowdir/hard2")),
    case("unlink-directory", ("unlink", "lowdir"), ("unlink", "up")),
    case("rmdir-file", ("rmdir", "top"), ("rmdir", "up/file")),
    case("rmdir-missing", ("rmdir", "nothing"), ("rmdir", "gone1")),
    case("rmdir-full", ("rmdir", "up/full"), ("rmdir", "lowdir"), ("rmdir", "both")),
    case("rmdir-pure", ("rmdir", "up/empty"), ("listdir", "up")),
    case("rmdir-lower", ("rmdir", "lowempty"), ("mkdir", "lowempty")),
    case("rmdir-whiteouts", ("rmdir", "emptied"), ("listdir", ".")),
    case("rmdir-hidden", ("rmdir", "hidden"), ("mkdir", "hidden")),
    case("rmdir-opaque", ("rmdir", "opaque"), ("unlink", "opaque/file")),
    case("rmdir-opaque-empty", ("unlink", "opaque/file"), ("rmdir", "opaque")),
    case(
        "rm-r-merged",
        *[("unlink", f"both/{n}") for n in ("low0", "low1", "shadowed", "upfile")],
        ("unlink", "both/updir/in"),
        ("rmdir", "both/updir"),
        ("rmdir", "both"),
        ("mkdir", "both"),
        ("create", "both/low1"),
    ),
    case(
        "whiteouts-then-opaque",
        ("unlink", "nested/a/file"),
        ("rmdir", "nested/a/b/c"),
        ("rmdir", "nested/a/b"),
        ("rmdir", "nested/a"),
        ("rmdir", "nested"),
    ),
]

CHANGED: list[ParameterSet] = [
    *[
        case(f"{label}-{path.replace('/', '-')}", change)
        for path in ("top", "up/file", "lowdir/null", "lowdir/fifo", "lowempty", "both")
        for label, change in (
            ("chmod", ("chmod", path, 0o604)),
            ("chown", ("chown", path, 12, 34)),
            ("chgrp", ("chown", path, -1, 34)),
            ("utime", ("utime", path, 5_000_000_007, 6_000_000_008)),
            ("trusted", ("setxattr", path, "trusted.some", b"value")),
            ("user-xattr", ("setxattr", path, "user.some", b"value")),
        )
    ],
    case("utime-link", ("utime", "lowdir/link", 5_000_000_007, 6_000_000_008)),
    case("chown-link", ("chown", "lowdir/link", 5, 6)),
    case("chown-suid", ("chown", "lowdir/suid", 5, 6)),
    case("chmod-suid", ("chmod", "lowdir/suid", 0o4711)),
    case("chmod-root", ("chmod", ".", 0o711), ("utime", ".", 7, 8)),
    case("truncate-lower", ("truncate", "top", 10), ("read", "top")),
    case("truncate-zero", ("truncate", "top", 0), ("write", "top", 5, b"x")),
    case("truncate-longer", ("truncate", "top", 1000), ("read", "top")),
    case("truncate-upper", ("truncate", "up/file", 2)),
    case("write-lower", ("write", "top", 100, b"changed"), ("read", "top")),
    case("write-empty", ("write", "lowdir/zero", 0, b"changed")),
    case("write-hard", ("write", "lowdir/hard1", 0, b"X"), ("read", "lowdir/hard2")),
    case("write-directory", ("write", "lowdir", 0, b"X"), ("write", "none", 0, b"X")),
    case("allocate", ("allocate", "top", 0, 0, 10_000), ("read", "top")),
    case("punch", ("allocate", "top", 3, 10, 100), ("read", "top")),
    case("deep", ("write", "lowdir/sub/deep/er/file", 0, b"X")),
    case(
        "xattrs",
        ("setxattr", "top", "user.a", b"1"),
        ("setxattr", "top", "user.a", b"2", os.XATTR_CREATE),
        ("setxattr", "top", "user.b", b"2", os.XATTR_REPLACE),
        ("setxattr", "top", "user.c", b""),
        ("removexattr", "top", "user.a"),
        ("removexattr", "top", "user.a"),
    ),
    case("xattr-absent", ("removexattr", "top", "user.none")),
    case("xattr-bogus", ("setxattr", "top", "bogus.x", b"1")),
    case("xattr-private", ("setxattr", "top", "trusted.overlay.opaque", b"y")),
    case(
        "xattr-private-directory",
        ("setxattr", "lowdir", "trusted.overlay.opaque", b"y"),
        ("listdir", "lowdir"),
        ("removexattr", "lowdir", "trusted.overlay.opaque"),
        ("removexattr", "lowdir", "trusted.overlay.origin"),
    ),
    case("xattr-long", ("setxattr", "top", "trusted.overlay." + "n" * 235, b"1")),
    case("xattr-user-on-link", ("setxattr", "lowdir/link", "user.a", b"1")),
    case(
        "capability",
        (
            "setxattr",
            "top",
            "security.capability",
            _C := (b"\x01\x00\x00\x02" + b"\x20" + bytes(15)),
        ),
        ("chmod", "top", 0o755),
    ),
    case(
        "capability-chown",
        ("setxattr", "top", "security.capability", _C),
        ("chown", "top", 4, 4),
    ),
]
