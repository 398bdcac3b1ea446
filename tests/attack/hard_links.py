"""Hard links: to the host, to what is no file, and to themselves."""

from __future__ import annotations

from typing import Final

from snapfs.errors import UnimplementedError
from snapfs.layer.limits import Policy
from support.hostile_layers import (
    Attack,
    contained,
    device,
    directory,
    file,
    hard_link,
    refused,
    symlink,
    xattr,
)

_NOTE: Final = (xattr(b"user.note", b"evil"),)

HARD_LINKS: Final[tuple[Attack, ...]] = (
    contained(
        "link to an absolute path of the host is a lower file's",
        hard_link(b"l", b"@HOST/file"),
        shows={},
    ),
    refused("link up and out", hard_link(b"l", b"@UP/file"), says="file'"),
    refused("link to dot dot", hard_link(b"l", b"../../.."), says="'../../..'"),
    contained(
        "link up and out, clamped",
        file(b"passwd", b"in"),
        hard_link(b"l", b"../../passwd"),
        policy=Policy(clamp=True),
        shows={"l": "file in", "passwd": "file in =l"},
    ),
    contained(
        "link through a parent that leads out",
        symlink(b"out", b"@HOST"),
        hard_link(b"l", b"out/file"),
        shows={"out": "symlink @HOST"},
    ),
    contained(
        "link to a symlink is the symlink",
        symlink(b"s", b"@HOST/setuid"),
        hard_link(b"l", b"s", mode=0o777, owner=(7, 7), pax=_NOTE),
        shows={"l": "symlink @HOST/setuid", "s": "symlink @HOST/setuid =l"},
    ),
    contained(
        "link to a symlink, then a file of its name",
        symlink(b"s", b"@HOST/file"),
        hard_link(b"l", b"s"),
        file(b"l", b"in"),
        shows={"l": "file in", "s": "symlink @HOST/file"},
    ),
    contained(
        "attributes of a link are not its file's",
        file(b"f", b"in", mode=0o600),
        hard_link(b"l", b"f", mode=0o4777, owner=(7, 7), pax=_NOTE),
        shows={"f": "file in 0600", "l": "file in 0600 =f"},
    ),
    refused("link to a directory", directory(b"d"), hard_link(b"l", b"d"), says="'l'"),
    refused("link to itself", hard_link(b"l", b"l"), says="'l'"),
    refused(
        "link to itself that is there",
        file(b"l", b"in"),
        hard_link(b"l", b"./l"),
        says="'l'",
    ),
    refused(
        "link to itself through a symlink",
        directory(b"d"),
        symlink(b"s", b"d"),
        file(b"d/f"),
        hard_link(b"d/f", b"s/f"),
        says="'d/f'",
    ),
    contained("link to nothing of this layer", hard_link(b"l", b"missing"), shows={}),
    contained(
        "link before its target",
        hard_link(b"l", b"f"),
        file(b"f", b"in"),
        shows={"f": "file in"},
    ),
    refused(
        "link to a whiteout", file(b".wh.f"), hard_link(b"l", b".wh.f"), says="'l'"
    ),
    refused(
        "link to what a whiteout hides",
        file(b".wh.f"),
        hard_link(b"l", b"f"),
        says="'l'",
    ),
    refused(
        "link to what an opaque directory hides",
        file(b"d/.wh..wh..opq"),
        hard_link(b"l", b"d/f"),
        says="'l'",
    ),
    contained(
        "link to a device",
        device(b"null", b"3", 1, 3),
        hard_link(b"l", b"null", mode=0o600),
        shows={"l": "char 1:3 0666", "null": "char 1:3 0666 =l"},
        needs_root=True,
    ),
    contained(
        "link over a directory",
        file(b"f", b"in"),
        directory(b"d"),
        file(b"d/x", b"in"),
        hard_link(b"d", b"f"),
        shows={"d": "file in", "f": "file in =d"},
    ),
    refused(
        "link over the directory that holds its target",
        directory(b"d"),
        file(b"d/f", b"in"),
        hard_link(b"d", b"d/f"),
        says="'d'",
    ),
    refused(
        "link below a file",
        file(b"f"),
        hard_link(b"l", b"f/x"),
        says="'f/x'",
    ),
    refused("link with an empty target", hard_link(b"l", b""), says="'l'"),
    refused(
        "link into the pool of AUFS",
        hard_link(b"l", b"/.wh..wh.plnk/12.34"),
        error=UnimplementedError,
        says="'l'",
    ),
    contained(
        "link with a body's size in its header",
        file(b"f", b"in"),
        hard_link(b"l", b"f", size=1 << 20),
        file(b"g", b"in"),
        shows={"f": "file in", "l": "file in =f", "g": "file in"},
    ),
    contained(
        "target replaced after the link",
        file(b"f", b"first"),
        hard_link(b"l", b"f"),
        symlink(b"f", b"@HOST/file"),
        shows={"f": "symlink @HOST/file", "l": "file first"},
    ),
)
