"""Renames of everything to everywhere, and POSIX ACLs that are inherited."""

from __future__ import annotations

import stat

from _pytest.mark import ParameterSet

from snapfs.syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT
from support.union_changes import case

RENAMED: list[ParameterSet] = [
    *[
        case(
            f"{name}-{old.replace('/', '-')}-to-{new.replace('/', '-')}",
            ("rename", old, new, flags),
            ("listdir", "."),
        )
        for name, flags in (
            ("rename", 0),
            ("noreplace", RENAME_NOREPLACE),
            ("exchange", RENAME_EXCHANGE),
        )
        for old in (
            "top",
            "up/file",
            "up/full",
            "up/empty",
            "lowdir",
            "both",
            "both/updir",
            "lowempty",
            "lowdir/hard1",
            "gone1",
        )
        for new in (
            "gone2",
            "new",
            "up/new",
            "up/file",
            "up/empty",
            "up/full",
            "nested",
            "both/new",
            "both/low1",
            "emptied",
            "lowempty",
            "mid/dir",
            "mid/dir/file",
            "opaque/new",
            "hidden",
            "covereddir",
            "covered",
            "lowdir/link",
        )
        if old != new and not new.startswith(old + "/")
    ],
    case("whiteout-flag", ("rename", "top", "new", RENAME_WHITEOUT)),
    case("hard-upper", ("rename", "up/file", "up/file2"), ("listdir", "up")),
    case(
        "hard-lower",
        ("rename", "lowdir/hard1", "lowdir/hard2"),
        ("listdir", "lowdir"),
    ),
    case(
        "chain",
        ("rename", "lowdir", "moved"),
        ("rename", "moved/sub", "both/sub"),
        ("rename", "moved", "again"),
        ("rename", "both/sub/deep", "again/deep"),
        ("write", "again/deep/er/file", 0, b"X"),
        ("rename", "both", "opaque/both"),
        ("create", "opaque/both/sub/new"),
        ("unlink", "again/file"),
        ("rename", "again", "lowdir"),
        ("listdir", "lowdir"),
        ("mkdir", "again"),
    ),
    case(
        "there-and-back",
        ("rename", "lowdir", "other"),
        ("mkdir", "lowdir"),
        ("create", "lowdir/file"),
        ("rename", "lowdir", "third"),
        ("rename", "other", "lowdir"),
        ("rmdir", "third"),
        ("unlink", "third/file"),
        ("rmdir", "third"),
    ),
    case(
        "swap-parents",
        ("rename", "lowdir", "both", RENAME_EXCHANGE),
        ("rename", "lowdir/updir", "both/updir"),
        ("listdir", "both"),
        ("rename", "both/sub", "lowdir/sub"),
        ("listdir", "lowdir/sub/deep/er"),
    ),
    case(
        "too-long",
        *[("mkdir", "/".join(["d" * 90] * n)) for n in (1, 2, 3)],
        ("rename", "lowdir", "/".join(["d" * 90] * 3) + "/l"),
        ("rename", "nested", "d" * 90 + "/nested"),
        ("rename", "d" * 90 + "/nested/a", "a"),
    ),
    case(
        "long-source",
        ("rename", "lowdir/sub/deep", "deep"),
        ("rename", "deep/er", "lowdir/er"),
        ("unlink", "lowdir/er/file"),
        ("rmdir", "lowdir/er"),
        ("rmdir", "deep"),
        ("rmdir", "lowdir/sub"),
    ),
    case("into-itself", ("rename", "up", "up/empty/x")),
]

# Once over each sort of target; the other flags add nothing to these.
MOVED = [case for case in RENAMED if not str(case.id).startswith(("nor", "exch"))]

_ACL = (
    b"\x02\x00\x00\x00"
    b"\x01\x00\x07\x00\xff\xff\xff\xff"
    b"\x02\x00\x06\x00\x05\x00\x00\x00"
    b"\x04\x00\x07\x00\xff\xff\xff\xff"
    b"\x10\x00\x07\x00\xff\xff\xff\xff"
    b"\x20\x00\x05\x00\xff\xff\xff\xff"
)
ACLS: list[ParameterSet] = [
    case(
        f"default-{place.replace('/', '-')}",
        ("setxattr", place, "system.posix_acl_default", _ACL),
        ("create", f"{place}/new", 0o666),
        ("mkdir", f"{place}/newdir", 0o777),
        ("symlink", f"{place}/link", "x"),
        ("unlink", f"{place}/new"),
        ("create", f"{place}/new", 0o640),
        ("tmpfile", place, f"{place}/tmp", 0o666, b""),
    )
    for place in ("up", "lowdir", "both")
] + [
    case(
        "default-over-whiteout",
        ("setxattr", "lowdir", "system.posix_acl_default", _ACL),
        *[
            change
            for name in ("file", "zero", "fifo", "link")
            for change in (("unlink", f"lowdir/{name}"),)
        ],
        ("create", "lowdir/file", 0o666),
        ("mkdir", "lowdir/zero", 0o770),
        ("mknod", "lowdir/fifo", stat.S_IFIFO | 0o606),
        ("symlink", "lowdir/link", "x"),
    ),
    case(
        "access-copied",
        ("setxattr", "up/file", "system.posix_acl_access", _ACL),
        ("chmod", "up/file", 0o600),
    ),
    case("access-lower", ("setxattr", "top", "system.posix_acl_access", _ACL)),
    case("access-removed", ("removexattr", "top", "system.posix_acl_access")),
    case("default-on-file", ("setxattr", "top", "system.posix_acl_default", _ACL)),
]
