"""Types, modes, owners and extended attributes that nobody should take as they come."""

from __future__ import annotations

import os
import struct
from typing import Final

from snapfs.errors import DataLossError
from snapfs.layer.limits import DevicePolicy, Policy, SetuidPolicy
from support import tar_blocks
from support.hostile_layers import (
    Attack,
    Piece,
    contained,
    device,
    directory,
    fifo,
    file,
    hard_link,
    refused,
    symlink,
    xattr,
)

# vfs_cap_data of version 3 with the root of a user namespace, linux/capability.h.
_CAPABILITY: Final = struct.pack("<IIIIII", 0x03000001, 1 << 13, 0, 0, 0, 1000)
# An ACL that gives user 7 everything: version, then tag, permissions, id.
_ACL: Final = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, permissions, identity)
    for tag, permissions, identity in (
        (0x01, 7, 0xFFFFFFFF),
        (0x02, 7, 7),
        (0x04, 0, 0xFFFFFFFF),
        (0x10, 7, 0xFFFFFFFF),
        (0x20, 0, 0xFFFFFFFF),
    )
)


def _numbered(major: bytes, minor: bytes) -> bytes:
    return tar_blocks.header(b"x", b"3", device=major + minor)


def _many_xattrs(count: int) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(xattr(b"user.n%d" % number, b"") for number in range(count))


_DEVICES: Final = (
    contained(
        "disk",
        device(b"sda", b"4", 8, 0),
        shows={"sda": "block 8:0 0666"},
        needs_root=True,
    ),
    contained(
        "memory",
        device(b"mem", b"3", 1, 1),
        shows={"mem": "char 1:1 0666"},
        needs_root=True,
    ),
    contained(
        "devices left out",
        device(b"sda", b"4", 8, 0),
        hard_link(b"l", b"sda"),
        file(b"sda", b"in"),
        policy=Policy(devices=DevicePolicy.SKIP),
        shows={"sda": "file in"},
    ),
    contained(
        "devices as empty files",
        device(b"sdb", b"4", 8, 0),
        policy=Policy(devices=DevicePolicy.PLACEHOLDER),
        shows={"sdb": "file 0666"},
    ),
    refused(
        "char 0:0 left out by the policy is refused all the same",
        device(b"x", b"3", 0, 0),
        policy=Policy(devices=DevicePolicy.SKIP),
        says="'x'",
    ),
    refused(
        "major number beyond Linux",
        _numbered(b"0010000\0", b"0000000\0"),
        error=DataLossError,
        says="'x'",
    ),
    refused(
        "minor number beyond Linux",
        _numbered(b"0000001\0", b"7777777\0"),
        error=DataLossError,
        says="'x'",
    ),
    refused(
        "negative major number",
        _numbered(b"\xff" * 8, b"0000000\0"),
        error=DataLossError,
        says="'x'",
    ),
    refused(
        "major number beyond 2^32",
        _numbered(b"\x80\0\0\1\0\0\0\0", b"0000000\0"),
        error=DataLossError,
        says="'x'",
    ),
    refused(
        "major number beyond 2^32 in PAX",
        Piece(b"x", b"3", pax=((b"SCHILY.devmajor", b"4294967296"),)),
        error=DataLossError,
        says="header at byte 0",
    ),
    contained(
        "FIFO", fifo(b"p"), file(b"f", b"in"), shows={"p": "fifo", "f": "file in"}
    ),
    contained(
        "file over a FIFO", fifo(b"p"), file(b"p", b"in"), shows={"p": "file in"}
    ),
    contained(
        "directory over a FIFO",
        fifo(b"p"),
        directory(b"p"),
        file(b"p/f", b"in"),
        shows={"p": "directory", "p/f": "file in"},
    ),
    refused("socket", Piece(b"x", b"s"), error=DataLossError, says="'x'"),
    refused("unknown type", Piece(b"x", b"Z"), error=DataLossError, says="'x'"),
    refused(
        "another volume's rest", Piece(b"x", b"M"), error=DataLossError, says="'x'"
    ),
)

_MODES: Final = (
    contained(
        "setuid root",
        file(b"su", b"in", mode=0o4755),
        directory(b"d", 0o3777),
        shows={"su": "file in 4755", "d": "directory 3777"},
    ),
    contained(
        "setuid root, stripped",
        file(b"su", b"in", mode=0o6755),
        fifo(b"p", mode=0o6644),
        directory(b"d", 0o2755),
        policy=Policy(setuid=SetuidPolicy.STRIP),
        shows={"su": "file in 0755", "p": "fifo", "d": "directory 2755"},
    ),
    contained(
        "file type in the mode",
        file(b"f", b"in", mode=0o060644),
        directory(b"d", 0o120755),
        shows={"f": "file in", "d": "directory"},
    ),
    contained(
        "children of a directory without rights",
        directory(b"d", 0),
        file(b"d/e/f", b"in"),
        shows={"d": "directory 0000", "d/e": "directory", "d/e/f": "file in"},
        needs_root=True,  # to read it
    ),
    refused(
        "owner that means unchanged",
        file(b"x", pax=((b"uid", b"4294967295"),)),
        error=DataLossError,
        says="header at byte 0",
    ),
    refused(
        "negative owner",
        tar_blocks.header(b"x", uid=b"\xff" * 8),
        error=DataLossError,
        says="header at byte 0",
    ),
    refused(
        "negative owner in PAX",
        file(b"x", pax=((b"uid", b"-1"),)),
        error=DataLossError,
        says="header at byte 0",
    ),
    contained(
        "time beyond time",
        file(b"x", b"in", pax=((b"mtime", b"99999999999999999999"),)),
        shows={"x": "file in"},
    ),
    contained(
        "time long before time",
        file(b"x", b"in", pax=((b"mtime", b"-9999999999"),)),
        shows={"x": "file in"},
    ),
    refused(
        "time that is no number",
        file(b"x", pax=((b"mtime", b"1e999999999"),)),
        error=DataLossError,
        says="header at byte 0",
    ),
)

_XATTRS: Final = (
    contained(
        "capability for another user namespace",
        file(b"f", b"in", pax=(xattr(b"security.capability", _CAPABILITY),)),
        shows={"f": "file in security.capability=" + os.fsdecode(_CAPABILITY)},
        needs_root=True,
    ),
    refused(
        "malformed capability",
        file(b"f", pax=(xattr(b"security.capability", b"x"),)),
        error=DataLossError,
        says="'f'",
        needs_root=True,
    ),
    contained(
        "labels of security modules",
        file(
            b"f",
            b"in",
            pax=tuple(
                xattr(b"security." + name, b"evil")
                for name in (b"selinux", b"ima", b"evm", b"apparmor", b"SMACK64")
            ),
        ),
        shows={"f": "file in"},
    ),
    contained(
        "other trusted attributes",
        file(
            b"f",
            b"in",
            pax=(xattr(b"trusted.evil", b"1"), xattr(b"system.nfs4_acl", b"1")),
        ),
        shows={"f": "file in"},
    ),
    contained(
        "default ACL reaches no child",
        directory(b"d", pax=(xattr(b"system.posix_acl_default", _ACL),)),
        file(b"d/f", b"in", mode=0o600),
        directory(b"d/e", 0o700),
        shows={
            "d": "directory system.posix_acl_default=" + os.fsdecode(_ACL),
            "d/f": "file in 0600",
            "d/e": "directory 0700",
        },
    ),
    refused(
        "malformed ACL",
        directory(b"d", pax=(xattr(b"system.posix_acl_default", _ACL[:-1]),)),
        error=DataLossError,
        says="'d'",
    ),
    refused(
        "xattr of more than 64 KiB",
        file(b"f", pax=(xattr(b"user.big", bytes(65537)),)),
        says="'f'",
    ),
    refused("257 xattrs", file(b"f", pax=_many_xattrs(257)), says="'f'"),
    refused("20000 xattrs", file(b"f", pax=_many_xattrs(20_000)), says="'f'"),
    refused(
        "10^5 xattrs",
        file(b"f", pax=_many_xattrs(100_000)),
        says="header at byte 0",
    ),
    refused(
        "xattrs on a symlink",
        symlink(b"l", b"x", pax=_many_xattrs(257)),
        says="'l'",
    ),
    refused(
        "xattrs of the root",
        directory(b"./", pax=_many_xattrs(257)),
        says="'./'",
    ),
    refused(
        "xattr name of 256 bytes",
        file(b"f", pax=(xattr(b"user." + b"n" * 251, b""),)),
        says="'f'",
    ),
    refused(
        "xattr without a name",
        file(b"f", pax=(xattr(b"", b"x"),)),
        error=DataLossError,
        says="header at byte 0",
    ),
    refused(
        "xattr with a broken base64 value",
        file(b"f", pax=((b"LIBARCHIVE.xattr.user.x", b"*"),)),
        error=DataLossError,
        says="header at byte 0",
    ),
    contained(
        "mark of overlayfs in libarchive's form",
        file(b"f", b"in", pax=((b"LIBARCHIVE.xattr.security.selinux", b"eQ"),)),
        shows={"f": "file in"},
    ),
)

KINDS: Final[tuple[Attack, ...]] = (*_DEVICES, *_MODES, *_XATTRS)
