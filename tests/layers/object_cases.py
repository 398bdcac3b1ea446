"""Objects, their attributes, and what takes the place of what."""

from __future__ import annotations

import struct
import tarfile
from typing import Final

from layers.case import BASE, OLD, Case, changed, on_base, refused

from support.applied_layers import directory, entry, hard_link, symlink

# cap_net_raw=ep, version 2 of struct vfs_ns_cap_data (linux/capability.h).
CAPABILITY: Final = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
# user::rwx, user:1000:r-x, group::r-x, mask::r-x, other::--- (posix_acl_xattr.h).
ACL: Final = struct.pack(
    "<I HHI HHI HHI HHI HHI",
    2,
    *(1, 7, 0xFFFFFFFF, 2, 5, 1000, 4, 5, 0xFFFFFFFF),
    *(16, 5, 0xFFFFFFFF, 32, 0, 0xFFFFFFFF),
)

REPLACED: Final = (
    on_base(
        "file-over-file",
        [entry("f", b"new", mode=0o600)],
        [entry("f", b"new", mode=0o600)],
    ),
    on_base("file-over-directory", [entry("d", b"file")], [entry("d", b"file")], ["d"]),
    on_base(
        "directory-over-file",
        [directory("f"), entry("f/x")],
        [directory("f"), entry("f/x")],
    ),
    on_base("symlink-over-directory", [symlink("d", "f")], [symlink("d", "f")], ["d"]),
    on_base(
        "directory-over-symlink",
        [directory("to-d"), entry("to-d/x")],
        [directory("to-d"), entry("to-d/x")],
    ),
    on_base(
        "symlink-over-symlink",
        [symlink("to-d", "elsewhere")],
        [symlink("to-d", "elsewhere")],
    ),
    on_base("file-over-symlink", [entry("to-f", b"mine")], [entry("to-f", b"mine")]),
    on_base(
        "directory-over-directory",
        [directory("d", 0o700, owner=(1, 2))],
        [directory("d", 0o700, owner=(1, 2))],
    ),
    on_base(
        "file-over-one-link",
        [entry("h1", b"own")],
        [entry("h1", b"own"), entry("h2", b"linked", mtime=OLD)],
    ),
    on_base(
        "fifo-over-file",
        [entry("f", type_=tarfile.FIFOTYPE, mode=0o640)],
        [entry("f", type_=tarfile.FIFOTYPE, mode=0o640)],
    ),
)

TWICE: Final = (
    on_base(
        "file-twice",
        [entry("n", b"1"), entry("n", b"22", mode=0o600)],
        [entry("n", b"22", mode=0o600)],
    ),
    on_base(
        "file-then-directory",
        [entry("n", b"1"), directory("n"), entry("n/x")],
        [directory("n"), entry("n/x")],
    ),
    on_base(
        "directory-then-file",
        [directory("n"), entry("n/x"), entry("n", b"1")],
        [entry("n", b"1")],
    ),
    on_base(
        "directory-then-symlink",
        [directory("n"), entry("n/x"), symlink("n", "d")],
        [symlink("n", "d")],
    ),
    on_base(
        "directory-twice",
        [directory("n", 0o700), entry("n/x"), directory("n", 0o711, mtime=9)],
        [directory("n", 0o711, mtime=9), entry("n/x")],
    ),
    on_base(
        "replaced-after-it-was-linked",
        [entry("n", b"1"), hard_link("m", "n"), entry("n", b"2")],
        [entry("n", b"2"), entry("m", b"1")],
    ),
)

LINKS: Final = (
    on_base(
        "hard-links",
        [
            entry("n", b"n", owner=(3, 4)),
            hard_link("m", "n"),
            directory("e"),
            hard_link("e/o", "m"),
        ],
        [
            entry("n", b"n", owner=(3, 4)),
            hard_link("m", "n"),
            directory("e"),
            hard_link("e/o", "n"),
        ],
    ),
    on_base(
        "hard-link-with-an-absolute-name",
        [entry("n", b"n"), hard_link("/m", "/n")],
        [entry("n", b"n"), hard_link("m", "n")],
    ),
    on_base(
        "hard-link-to-a-symlink",
        [symlink("n", "f"), hard_link("m", "n")],
        [symlink("n", "f"), hard_link("m", "n")],
    ),
    on_base(
        "hard-link-through-an-own-symlink",
        [directory("e"), entry("e/n", b"n"), symlink("s", "e"), hard_link("m", "s/n")],
        [directory("e"), entry("e/n", b"n"), symlink("s", "e"), hard_link("m", "e/n")],
    ),
    on_base(
        "hard-link-to-a-lower-file",
        [hard_link("m", "d/old")],
        [entry("m", b"old", mode=0o640, owner=(7, 8), mtime="1500000000.123456789")],
    ),
    on_base(
        "two-hard-links-to-a-lower-file",
        [hard_link("m", "f"), hard_link("n", "f")],
        [
            entry("m", b"base", mtime=OLD, xattrs={"user.base": b"f"}),
            hard_link("n", "m"),
        ],
    ),
    refused("hard-link-to-nothing", [hard_link("m", "never")], "m"),
    refused("hard-link-to-a-directory", [directory("e"), hard_link("m", "e")], "m"),
)

ATTRIBUTES: Final = (
    on_base(
        "owner-setuid-capability",
        [
            entry("n", b"n", mode=0o6755, owner=(1000, 1001)),
            entry(
                "c",
                b"c",
                mode=0o755,
                owner=(1000, 0),
                xattrs={"security.capability": CAPABILITY},
            ),
            directory("t", 0o3777, owner=(5, 5)),
        ],
        [
            entry("n", b"n", mode=0o6755, owner=(1000, 1001)),
            entry(
                "c",
                b"c",
                mode=0o755,
                owner=(1000, 0),
                xattrs={"security.capability": CAPABILITY},
            ),
            directory("t", 0o3777, owner=(5, 5)),
        ],
    ),
    on_base(
        "access-lists",
        [
            entry("n", b"n", mode=0o750, xattrs={"system.posix_acl_access": ACL}),
            directory(
                "e",
                0o750,
                xattrs={
                    "system.posix_acl_access": ACL,
                    "system.posix_acl_default": ACL,
                },
            ),
            entry("e/plain", mode=0o604),
            directory("e/sub", 0o705),
        ],
        [
            entry("n", b"n", mode=0o750, xattrs={"system.posix_acl_access": ACL}),
            directory(
                "e",
                0o750,
                xattrs={
                    "system.posix_acl_access": ACL,
                    "system.posix_acl_default": ACL,
                },
            ),
            entry("e/plain", mode=0o604),
            directory("e/sub", 0o705),
        ],
    ),
    on_base(
        "xattrs",
        [
            entry(
                "n",
                b"n",
                mode=0o400,
                xattrs={"user.binary": b"\xff\x00\n=", "user.long": b"x" * 900},
            ),
            directory("e", 0o500, xattrs={"user.on-directory": b"1"}),
        ],
        [
            entry(
                "n",
                b"n",
                mode=0o400,
                xattrs={"user.binary": b"\xff\x00\n=", "user.long": b"x" * 900},
            ),
            directory("e", 0o500, xattrs={"user.on-directory": b"1"}),
        ],
    ),
    on_base(
        "xattrs-of-the-host-are-left-out",
        [entry("n", xattrs={"trusted.mine": b"1", "security.ima": b"1"})],
        [entry("n")],
    ),
    on_base(
        "xattrs-are-replaced-with-the-file",
        [entry("f", b"new", xattrs={"user.own": b"1"})],
        [entry("f", b"new", xattrs={"user.own": b"1"})],
    ),
    on_base(
        "times",
        [
            entry("ns", mtime="1600000000.123456789"),
            entry("early", mtime=-1),
            entry("epoch", mtime=0),
            entry("late", mtime=5_000_000_000),
            symlink("s", "ns", mtime="1600000001.5"),
            directory("e", mtime="1600000002.25"),
            entry("e/x"),
        ],
        [
            entry("ns", mtime="1600000000.123456789"),
            entry("early", mtime=-1),
            entry("epoch", mtime=0),
            entry("late", mtime=5_000_000_000),
            symlink("s", "ns", mtime="1600000001.5"),
            directory("e", mtime="1600000002.25"),
            entry("e/x"),
        ],
    ),
    on_base(
        "devices",
        [
            entry("null", type_=tarfile.CHRTYPE, mode=0o666, device=(1, 3)),
            entry(
                "loop", type_=tarfile.BLKTYPE, mode=0o660, device=(7, 300), owner=(0, 6)
            ),
            entry("pipe", type_=tarfile.FIFOTYPE, mode=0o622),
        ],
        [
            entry("null", type_=tarfile.CHRTYPE, mode=0o666, device=(1, 3)),
            entry(
                "loop", type_=tarfile.BLKTYPE, mode=0o660, device=(7, 300), owner=(0, 6)
            ),
            entry("pipe", type_=tarfile.FIFOTYPE, mode=0o622),
        ],
    ),
    refused("device-0-0", [entry("n", type_=tarfile.CHRTYPE)], "0:0"),
    on_base(
        "mode-with-a-file-type", [entry("n", mode=0o100644)], [entry("n", mode=0o644)]
    ),
    on_base(
        "attributes-of-a-directory-alone",
        [directory("d/sub", 0o711, owner=(9, 9))],
        [directory("d/sub", 0o711, owner=(9, 9))],
    ),
    on_base(
        "attributes-of-the-root",
        [directory("./", 0o700, owner=(1, 1))],
        [directory(".", 0o700, owner=(1, 1))],
    ),
    on_base(
        "implied-directories-are-as-below", [entry("d/sub/new")], [entry("d/sub/new")]
    ),
    on_base(
        "implied-directories-that-are-new",
        [entry("p/q/new")],
        [directory("p", mtime=0), directory("p/q", mtime=0), entry("p/q/new")],
    ),
    Case(
        "implied-directories-of-two-layers",
        (BASE, (directory("d", 0o711),), (entry("d/sub/new"), entry(".wh.f"))),
        changed(BASE, [directory("d", 0o711), entry("d/sub/new")], ["f"]),
    ),
)
