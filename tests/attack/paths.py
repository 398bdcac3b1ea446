"""Names of entries: out of the root, odd, too long, too deep; and the root itself."""

from __future__ import annotations

from typing import Final

from snapfs.errors import DataLossError
from snapfs.layer.limits import Limits, Policy
from support.hostile_layers import (
    Attack,
    contained,
    device,
    directory,
    fifo,
    file,
    hard_link,
    refused,
    symlink,
)

_CLAMP: Final = Policy(clamp=True)
_DEEP: Final = b"/".join([b"d"] * 1023)
_LONG: Final = b"/".join([b"n" * 255] * 20)

_PARENTS: Final = (
    refused("dot dot", file(b"../x", b"evil"), says="'../x'"),
    refused("dot dot inside", file(b"a/../../x", b"evil"), says="'a/../../x'"),
    refused("dot dot that stays", file(b"a/../x", b"evil"), says="'a/../x'"),
    refused("dot dot to the canaries", file(b"@UP/new", b"evil"), says="new'"),
    refused("dot dot over a canary", file(b"@UP/file", b"evil"), says="file'"),
    refused("dot dot alone", directory(b".."), says="'..'"),
    refused("dot dot as the end", directory(b"a/.."), says="'a/..'"),
    refused("dot dot after a slash", file(b"/../x", b"evil"), says="'/../x'"),
    refused("dot dot of a whiteout", file(b"../.wh.x"), says="'../.wh.x'"),
    refused("dot dot of a mark", file(b"../.wh..wh..opq"), says="'../.wh..wh..opq'"),
    refused("dot dot of a symlink", symlink(b"../x", b"a"), says="'../x'"),
    refused("dot dot of a directory", directory(b"@UP/directory"), says="directory'"),
    refused("dot dot of a FIFO", fifo(b"../x"), says="'../x'"),
    refused("dot dot in PAX", file(b"x", pax=((b"path", b"../x"),)), says="'../x'"),
    refused(
        "dot dot after entries that are fine",
        directory(b"a"),
        file(b"a/b", b"fine"),
        file(b"a/b/../../../c", b"evil"),
        says="'a/b/../../../c'",
    ),
    contained(
        "dot dot clamped",
        file(b"../../x", b"in"),
        file(b"a/../../../y", b"in"),
        policy=_CLAMP,
        shows={"x": "file in", "y": "file in"},
    ),
    contained(
        "dot dot to the canaries, clamped",
        file(b"../../passwd", b"in"),
        directory(b".."),
        policy=_CLAMP,
        shows={"passwd": "file in"},
    ),
)

_SPELLINGS: Final = (
    contained("absolute", file(b"/abs", b"in"), shows={"abs": "file in"}),
    contained("two slashes", file(b"//x", b"in"), shows={"x": "file in"}),
    contained(
        "slashes inside",
        file(b"a//b", b"in"),
        shows={"a": "directory", "a/b": "file in"},
    ),
    contained("dots alone", directory(b"./././"), shows={}),
    contained(
        "dots inside",
        file(b"./a/./b", b"in"),
        shows={"a": "directory", "a/b": "file in"},
    ),
    contained("dot", directory(b"."), shows={}),
    contained("slash", directory(b"/"), shows={}),
    contained("empty name of a directory", directory(b""), shows={}),
    contained("slash after a file", file(b"f/", b"in"), shows={"f": "file in"}),
    contained("backslashes", file(b"..\\..\\x", b"in"), shows={"..\\..\\x": "file in"}),
    contained(
        "three dots",
        file(b".../x", b"in"),
        shows={"...": "directory", ".../x": "file in"},
    ),
    contained(
        "dots and a blank",
        file(b".. /x", b"in"),
        shows={".. ": "directory", ".. /x": "file in"},
    ),
    contained(
        "bytes that are no text",
        file(b"\xff\xfe", b"in"),
        shows={"\udcff\udcfe": "file in"},
    ),
    contained(
        "overlong dots",
        file(b"\xc0\xae\xc0\xae/x", b"in"),
        shows={
            "\udcc0\udcae\udcc0\udcae": "directory",
            "\udcc0\udcae\udcc0\udcae/x": "file in",
        },
    ),
    contained(
        "newline and escape", file(b"\n\x1b[2J", b"in"), shows={"\n\x1b[2J": "file in"}
    ),
    contained(
        "format characters", file(b"%s%n{0}", b"in"), shows={"%s%n{0}": "file in"}
    ),
    contained("blank", file(b" ", b"in"), shows={" ": "file in"}),
    contained(
        "NUL ends a header's name", file(b"a\0/../../x", b"in"), shows={"a": "file in"}
    ),
    refused(
        "NUL in a PAX path",
        file(b"x", pax=((b"path", b"a\0b"),)),
        error=DataLossError,
        says="b'path' holds a NUL",
    ),
    contained(
        "proc",
        file(b"/proc/self/root/x", b"in"),
        shows={
            "proc": "directory",
            "proc/self": "directory",
            "proc/self/root": "directory",
            "proc/self/root/x": "file in",
        },
    ),
    contained(
        "our own probe's name",
        file(b".new", b"in"),
        file(b".whiteout", b"in"),
        shows={".new": "file in", ".whiteout": "file in"},
    ),
)

_LENGTHS: Final = (
    contained("component of 255 bytes", file(b"n" * 255), shows={"n" * 255: "file"}),
    refused("component of 256 bytes", file(b"n" * 256), says="'nnnn"),
    refused("directory of 256 bytes", file(b"a/" + b"n" * 256 + b"/b"), says="'a/nnn"),
    refused("whiteout of 256 bytes", file(b".wh." + b"n" * 256), says="'.wh.nnn"),
    contained(
        "path of 5119 bytes",
        file(_LONG, b"in"),
        shows={"/".join(["n" * 255] * n): "directory" for n in range(1, 20)}
        | {_LONG.decode(): "file in"},
    ),
    refused("path beyond the limit", file(b"/".join([b"n" * 255] * 300)), says="'nnn"),
    contained(
        "1024 deep",
        file(_DEEP + b"/f", b"in"),
        shows={"/".join("d" * n): "directory" for n in range(1, 1024)}
        | {_DEEP.decode() + "/f": "file in"},
    ),
    refused("1025 deep", file(_DEEP + b"/d/f"), says="1025 components"),
    refused("10^5 deep", file(b"a/" * 100_000 + b"f"), says="'a/a/a"),
    refused(
        "1025 deep through a symlink",
        directory(_DEEP),
        symlink(b"l", _DEEP),
        file(b"l/x/y", b"evil"),
        says="'l/x/y'",
    ),
    refused(
        "more entries than allowed",
        *(file(b"f%d" % number) for number in range(11)),
        limits=Limits(entries=10),
        says="more than 10 entries",
    ),
    refused(
        "more implied directories than allowed",
        file(b"a/b/c/d/e/f"),
        limits=Limits(entries=4),
        says="more than 4 entries",
    ),
)

_ROOTS: Final = (
    refused("root as a symlink", symlink(b"./", b"@HOST"), says="'./'"),
    refused("root as a symlink, as a dot", symlink(b".", b"@HOST"), says="'.'"),
    refused("root as a symlink, as a slash", symlink(b"/", b"@HOST"), says="'/'"),
    refused("root as a symlink, empty", symlink(b"", b"@HOST"), says="''"),
    refused("root as a file", file(b"./", b"evil"), says="'./'"),
    refused("root as a FIFO", fifo(b"."), says="'.'"),
    refused("root as a device", device(b"/", b"3", 1, 3), says="'/'"),
    refused("root as a hard link", hard_link(b"./", b"a"), says="'./'"),
    refused(
        "root as a hard link to a canary", hard_link(b".", b"@HOST/file"), says="'.'"
    ),
    refused("root linked to", hard_link(b"a", b"/"), says="'a'"),
    refused("root linked to as a dot", hard_link(b"a", b"./."), says="'a'"),
    refused(
        "root as a symlink after entries",
        directory(b"./"),
        file(b"a", b"fine"),
        symlink(b"./", b"@HOST"),
        file(b"passwd", b"evil"),
        says="'./'",
    ),
    contained(
        "root without any rights",
        directory(b"./", 0),
        file(b"a", b"in"),
        shows={".": "directory 0000", "a": "file in"},
    ),
    contained(
        "root with all rights",
        directory(b"./", 0o7777),
        directory(b"d"),
        shows={".": "directory 7777", "d": "directory"},
    ),
    contained(
        "root whited out by its own name",
        directory(b"./"),
        file(b".wh.x"),
        shows={".": "directory overlay:origin=", "x": "whiteout"},
    ),
    contained("nothing at all", shows={}),
)

PATHS: Final[tuple[Attack, ...]] = (*_PARENTS, *_SPELLINGS, *_LENGTHS, *_ROOTS)
