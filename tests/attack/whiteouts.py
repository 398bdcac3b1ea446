"""Whiteouts, opaque marks, and what tries to pass for one of overlayfs's own."""

from __future__ import annotations

from typing import Final

from support.hostile_layers import (
    Attack,
    Piece,
    contained,
    device,
    directory,
    file,
    hard_link,
    refused,
    symlink,
    xattr,
)

_NAMES: Final = (
    refused("whiteout of no name", file(b".wh."), says="'.wh.'"),
    refused("whiteout of a dot", file(b".wh.."), says="'.wh..'"),
    refused("whiteout of dot dot", file(b".wh..."), says="'.wh...'"),
    refused("whiteout of no name below", file(b"d/.wh."), says="'d/.wh.'"),
    refused("whiteout of dot dot below", file(b"d/.wh..."), says="'d/.wh...'"),
    refused(
        "whiteout of dot dot as a directory", directory(b".wh.../"), says="'.wh.../'"
    ),
    contained(
        "whiteout of four dots",
        file(b".wh....."),
        shows={".": "directory overlay:origin=", "....": "whiteout"},
    ),
    contained(
        "whiteout of a whiteout's name",
        file(b".wh.a.wh.b"),
        shows={".": "directory overlay:origin=", "a.wh.b": "whiteout"},
    ),
    contained(
        "prefix of a whiteout without its dot",
        file(b".wh", b"in"),
        shows={".wh": "file in"},
    ),
    contained(
        "whiteout's name as a directory on the way",
        file(b".wh.etc/f", b"in"),
        shows={".wh.etc": "directory", ".wh.etc/f": "file in"},
    ),
)

_KINDS: Final = (
    contained(
        "whiteout with a body",
        file(b".wh.x", b"evil"),
        shows={".": "directory overlay:origin=", "x": "whiteout"},
    ),
    contained(
        "whiteout as a directory",
        directory(b".wh.x"),
        shows={".": "directory overlay:origin=", "x": "whiteout"},
    ),
    contained(
        "whiteout as a symlink",
        symlink(b".wh.x", b"@HOST/file"),
        shows={".": "directory overlay:origin=", "x": "whiteout"},
    ),
    contained(
        "whiteout as a hard link",
        hard_link(b".wh.x", b"@HOST/file"),
        shows={".": "directory overlay:origin=", "x": "whiteout"},
    ),
    contained(
        "whiteout as a device",
        device(b".wh.x", b"4", 8, 0),
        shows={".": "directory overlay:origin=", "x": "whiteout"},
    ),
    contained(
        "mark as a symlink",
        symlink(b"d/.wh..wh..opq", b"@HOST"),
        shows={"d": "directory overlay:opaque=y"},
    ),
)

_MARKS: Final = (
    contained(
        "mark in a missing directory",
        file(b"a/b/.wh..wh..opq"),
        shows={"a": "directory", "a/b": "directory overlay:opaque=y"},
    ),
    contained(
        "mark of the root",
        file(b".wh..wh..opq"),
        file(b"f", b"in"),
        shows={"f": "file in"},
    ),
    contained(
        "mark below a whiteout",
        file(b".wh.d"),
        file(b"d/.wh..wh..opq"),
        shows={".": "directory overlay:origin=", "d": "whiteout"},
    ),
    refused(
        "mark below a file",
        file(b"f"),
        file(b"f/.wh..wh..opq"),
        says="'f/.wh..wh..opq'",
    ),
    refused("whiteout below a file", file(b"f"), file(b"f/.wh.x"), says="'f/.wh.x'"),
    refused(
        "mark below a looping symlink",
        symlink(b"l", b"l"),
        file(b"l/.wh..wh..opq"),
        says="'l/.wh..wh..opq'",
    ),
    contained(
        "AUFS's pool",
        directory(b".wh..wh.plnk"),
        file(b".wh..wh.plnk/1.2", b"in"),
        file(b".wh..wh.aufs"),
        directory(b".wh..wh.orph"),
        shows={},
    ),
    contained("unknown mark of AUFS", file(b"d/.wh..wh.evil"), shows={}),
    contained(
        "AUFS's prefix on the way to a canary",
        file(b".wh..wh.x/@HOST/f", b"in"),
        shows={},
    ),
)

_OWN: Final = (
    contained(
        "whiteout of what follows",
        file(b".wh.f"),
        file(b"f", b"in"),
        shows={"f": "file in"},
    ),
    contained(
        "whiteout of what came before",
        file(b"f", b"in"),
        file(b".wh.f"),
        shows={"f": "file in"},
    ),
    contained(
        "whiteout of a directory that follows",
        file(b".wh.d"),
        directory(b"d"),
        file(b"d/f", b"in"),
        shows={"d": "directory overlay:opaque=y", "d/f": "file in"},
    ),
    contained(
        "nested whiteouts",
        file(b".wh.foo"),
        file(b"foo/.wh.bar"),
        shows={".": "directory overlay:origin=", "foo": "whiteout"},
    ),
    contained(
        "nested whiteouts, the other way",
        file(b"foo/.wh.bar"),
        file(b".wh.foo"),
        shows={".": "directory overlay:origin=", "foo": "whiteout"},
    ),
    contained(
        "whiteout of a symlink that is followed",
        symlink(b"l", b"@HOST"),
        file(b".wh.l"),
        shows={"l": "symlink @HOST"},
    ),
    contained(
        "whiteout in an opaque directory",
        file(b"d/.wh..wh..opq"),
        file(b"d/.wh.x"),
        shows={"d": "directory overlay:opaque=y"},
    ),
)

_FAKES: Final = (
    refused("char 0:0", device(b"x", b"3", 0, 0), says="'x'"),
    refused("char 0:0 over a file", file(b"x"), device(b"x", b"3", 0, 0), says="'x'"),
    refused(
        "char 0:0 by PAX",
        Piece(
            b"x",
            b"3",
            device=(1, 3),
            pax=((b"SCHILY.devmajor", b"0"), (b"SCHILY.devminor", b"0")),
        ),
        says="'x'",
    ),
    contained(
        "block 0:0",
        device(b"x", b"4", 0, 0),
        shows={"x": "block 0:0 0666"},
        needs_root=True,
    ),
)

# Each as trusted and as user attribute. The store's own prefix is escaped, so that
# overlayfs shows it as data; what belongs to the other prefix is left out.
_ATTRIBUTES: Final = (
    (b"opaque", b"y"),
    (b"opaque", b"x"),
    (b"redirect", b"/etc"),
    (b"redirect", b"../../canaries"),
    (b"metacopy", b""),
    (b"origin", b"\0\xfb\x1d"),
    (b"whiteout", b""),
    (b"upper", b"y"),
    (b"nlink", b"U+1"),
    (b"impure", b"y"),
    (b"protattr", b"i"),
    (b"uuid", b"0" * 16),
    (b"verity", b""),
    (b"xwhiteouts", b"x"),
    (b"overlay.opaque", b"y"),
    (b"overlay.whiteout", b""),
)

# Attributes are in ``PREFIXED``: what is on disk depends on the store's prefix.
PREFIXED: Final[tuple[tuple[bytes, bytes], ...]] = _ATTRIBUTES

WHITEOUTS: Final[tuple[Attack, ...]] = (*_NAMES, *_KINDS, *_MARKS, *_OWN, *_FAKES)


def attributed(prefix: bytes, name: bytes, value: bytes, *, is_own: bool) -> Attack:
    """Return a layer that smuggles a mark of overlayfs, on a directory and a file."""
    key = prefix + b"overlay." + name
    mark = (xattr(key, value),)
    shown = ""
    if is_own:
        text = value.decode("utf-8", "surrogateescape")
        shown = f" overlay:overlay.{name.decode()}={text}"
    return contained(
        f"{key.decode()}={value!r}",
        directory(b"d", pax=mark),
        file(b"f", b"in", pax=mark),
        shows={"d": "directory" + shown, "f": "file in" + shown},
    )
