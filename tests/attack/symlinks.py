"""Symbolic links: out of the root, in circles, and written through."""

from __future__ import annotations

from typing import Final

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
_CHAIN: Final = tuple(symlink(b"l%d" % n, b"l%d" % (n + 1)) for n in range(300))

_THROUGH: Final = (
    refused(
        "symlink to a deep place outside, up too far",
        symlink(b"l", b"../" * 2000 + b"x"),
        says="'l'",
    ),
    contained(
        "file through an absolute symlink",
        symlink(b"l", b"/outside"),
        file(b"l/file", b"in"),
        shows={
            "l": "symlink /outside",
            "outside": "directory",
            "outside/file": "file in",
        },
    ),
    contained(
        "file through a symlink up and out",
        symlink(b"l", b"../../../outside"),
        file(b"l/file", b"in"),
        shows={
            "l": "symlink ../../../outside",
            "outside": "directory",
            "outside/file": "file in",
        },
    ),
    contained(
        "symlinks in the middle of a path",
        directory(b"a"),
        symlink(b"a/up", b".."),
        file(b"a/up/a/up/x", b"in"),
        shows={"a": "directory", "a/up": "symlink ..", "x": "file in"},
    ),
    contained(
        "dangling parent",
        symlink(b"l", b"nowhere/at/all"),
        file(b"l/f", b"in"),
        shows={
            "l": "symlink nowhere/at/all",
            "nowhere": "directory",
            "nowhere/at": "directory",
            "nowhere/at/all": "directory",
            "nowhere/at/all/f": "file in",
        },
    ),
    contained(
        "symlink to proc's root",
        symlink(b"l", b"/proc/self/root"),
        file(b"l/f", b"in"),
        shows={
            "l": "symlink /proc/self/root",
            "proc": "directory",
            "proc/self": "directory",
            "proc/self/root": "directory",
            "proc/self/root/f": "file in",
        },
    ),
    contained(
        "symlink to an open descriptor",
        symlink(b"l", b"/proc/self/fd/1"),
        file(b"l/f", b"in"),
        shows={
            "l": "symlink /proc/self/fd/1",
            "proc": "directory",
            "proc/self": "directory",
            "proc/self/fd": "directory",
            "proc/self/fd/1": "directory",
            "proc/self/fd/1/f": "file in",
        },
    ),
    contained(
        "file over a symlink",
        symlink(b"l", b"@HOST/file"),
        file(b"l", b"in"),
        shows={"l": "file in"},
    ),
    contained(
        "file over a symlink to a device",
        symlink(b"l", b"/dev/null"),
        file(b"l", b"in", mode=0o600),
        shows={"l": "file in 0600"},
    ),
    contained(
        "directory over a symlink",
        symlink(b"l", b"@HOST/directory"),
        directory(b"l", 0o700),
        file(b"l/below", b"in"),
        shows={"l": "directory 0700", "l/below": "file in"},
    ),
    contained(
        "directory swapped for a symlink, and back",
        directory(b"d"),
        file(b"d/f", b"first"),
        symlink(b"d", b"/"),
        file(b"d/f", b"second"),
        directory(b"d"),
        file(b"d/f", b"third"),
        shows={"d": "directory", "d/f": "file third", "f": "file second"},
    ),
    contained(
        "parent swapped while it is remembered",
        directory(b"a/b"),
        file(b"a/b/one", b"in"),
        symlink(b"a", b"@HOST/directory"),
        directory(b"a"),
        file(b"a/b/two", b"in"),
        shows={"a": "directory", "a/b": "directory", "a/b/two": "file in"},
    ),
    contained(
        "parent swapped twice in turn",
        *(
            piece
            for turn in (b"1", b"2")
            for piece in (
                directory(b"a"),
                file(b"a/f", turn),
                symlink(b"a", b"b"),
                file(b"a/f", turn),
            )
        ),
        shows={"a": "symlink b", "b": "directory", "b/f": "file 2"},
    ),
    refused(
        "file below a file",
        file(b"a", b"fine"),
        file(b"a/b", b"evil"),
        says="'a/b'",
    ),
    refused(
        "file below a symlink to a file",
        file(b"a", b"fine"),
        symlink(b"l", b"a"),
        file(b"l/b", b"evil"),
        says="'l/b'",
    ),
    refused(
        "file below a device",
        device(b"null", b"3", 1, 3),
        file(b"null/b", b"evil"),
        says="'null/b'",
        needs_root=True,
    ),
    refused("self loop", symlink(b"l", b"l"), file(b"l/x"), says="'l/x'"),
    refused(
        "loop of two",
        symlink(b"a", b"b"),
        symlink(b"b", b"a"),
        file(b"a/x"),
        says="'a/x'",
    ),
    refused("chain of 300", *_CHAIN, file(b"l0/x"), says="'l0/x'"),
    refused("chain of 41", *_CHAIN[:41], file(b"l0/x"), says="'l0/x'"),
    contained(
        "chain of 40",
        *_CHAIN[:40],
        file(b"l0/x", b"in"),
        shows={f"l{n}": f"symlink l{n + 1}" for n in range(40)}
        | {"l40": "directory", "l40/x": "file in"},
    ),
    refused(
        "symlink that doubles a path",
        symlink(b"l", b"l/l"),
        file(b"l/x"),
        says="'l/x'",
    ),
)

_TARGETS: Final = (
    contained(
        "absolute target",
        symlink(b"l", b"@HOST/file"),
        shows={"l": "symlink @HOST/file"},
    ),
    contained(
        "target up and out", symlink(b"l", b"@UP/file"), shows={"l": "symlink @UP/file"}
    ),
    contained("target to itself", symlink(b"l", b"."), shows={"l": "symlink ."}),
    contained("target that loops", symlink(b"l", b"l"), shows={"l": "symlink l"}),
    refused("empty target", symlink(b"l", b""), says="'l'"),
    contained(
        "target of 4095 bytes",
        symlink(b"l", b"t" * 4095),
        shows={"l": "symlink " + "t" * 4095},
    ),
    refused("target of 4096 bytes", symlink(b"l", b"t" * 4096), says="'l'"),
    contained(
        "target that is no text", symlink(b"l", b"\xff"), shows={"l": "symlink \udcff"}
    ),
    contained(
        "setuid symlink",
        symlink(b"l", b"@HOST/file", owner=(0, 0)),
        file(b"x", b"in"),
        shows={"l": "symlink @HOST/file", "x": "file in"},
    ),
    contained(
        "xattrs of a symlink",
        symlink(b"l", b"@HOST/file", pax=_NOTE),
        shows={"l": "symlink @HOST/file"},
    ),
)

_ON_TARGETS: Final = (
    contained(
        "whiteout through a symlink",
        symlink(b"l", b"/etc"),
        file(b"l/.wh.passwd"),
        shows={
            "l": "symlink /etc",
            "etc": "directory overlay:origin=",
            "etc/passwd": "whiteout",
        },
    ),
    contained(
        "opaque mark through a symlink",
        directory(b"etc"),
        symlink(b"l", b"/etc"),
        file(b"l/.wh..wh..opq"),
        shows={"l": "symlink /etc", "etc": "directory overlay:opaque=y"},
    ),
    contained(
        "opaque mark through a symlink outside",
        symlink(b"l", b"../../out"),
        file(b"l/.wh..wh..opq"),
        shows={"l": "symlink ../../out", "out": "directory overlay:opaque=y"},
    ),
    contained(
        "hard link through a symlink",
        symlink(b"l", b"/d"),
        file(b"d/f", b"in"),
        hard_link(b"l/g", b"l/f"),
        shows={
            "l": "symlink /d",
            "d": "directory",
            "d/f": "file in",
            "d/g": "file in =d/f",
        },
    ),
    contained(
        "mode and xattrs over a symlink",
        symlink(b"l", b"@HOST/file"),
        directory(b"l", 0o700, pax=_NOTE),
        shows={"l": "directory 0700 user.note=evil"},
    ),
    contained(
        "times and mode through a symlink to a directory",
        directory(b"d"),
        symlink(b"l", b"d"),
        directory(b"l/x", 0o711),
        shows={"d": "directory", "l": "symlink d", "d/x": "directory 0711"},
    ),
    contained(
        "device through a symlink",
        symlink(b"l", b"/dev"),
        device(b"l/null", b"3", 1, 3),
        shows={"l": "symlink /dev", "dev": "directory", "dev/null": "char 1:3 0666"},
        needs_root=True,
    ),
)

SYMLINKS: Final[tuple[Attack, ...]] = (*_THROUGH, *_TARGETS, *_ON_TARGETS)
