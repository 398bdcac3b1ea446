"""Names, and the symlinks that they lead through."""

from __future__ import annotations

from typing import Final

from layers.case import Case, on_base, refused

from support.applied_layers import directory, entry, symlink, tar_of

_PARTS: Final = [f"directory-{number:03}" for number in range(30)]
_LONG: Final = ["/".join(_PARTS[: number + 1]) for number in range(30)]
_ODD: Final = (
    "with space",
    "new\nline",
    "back\\slash",
    "quote\"'",
    "latin-\udce9",
    "utf-8-é",
    "-dash",
    "a,b:c",
    "n" * 255,
    "...",
    ".whatever",
    "wh.x",
)

PATHS: Final = (
    on_base(
        "spellings",
        [
            entry("/absolute"),
            entry("./dotted"),
            entry("d//slashed"),
            directory("d/./e/"),
            entry(".//d/./e/./f"),
        ],
        [
            entry("absolute"),
            entry("dotted"),
            entry("d/slashed"),
            directory("d/e"),
            entry("d/e/f"),
        ],
    ),
    on_base(
        "odd-names", [entry(name) for name in _ODD], [entry(name) for name in _ODD]
    ),
    on_base(
        "long-paths",
        [
            *map(directory, _LONG),
            entry(f"{_LONG[-1]}/file", b"deep"),
        ],
        [
            *map(directory, _LONG),
            entry(f"{_LONG[-1]}/file", b"deep"),
        ],
    ),
    on_base("root-spelled-slash", [directory("/", 0o711)], [directory(".", 0o711)]),
    on_base(
        "symlinks-that-lead-out",
        [symlink("n", "../../../etc"), symlink("m", "/etc/passwd")],
        [symlink("n", "../../../etc"), symlink("m", "/etc/passwd")],
    ),
    on_base(
        "through-an-own-symlink",
        [directory("e"), symlink("s", "e"), entry("s/x")],
        [directory("e"), symlink("s", "e"), entry("e/x")],
    ),
    on_base(
        "through-an-own-absolute-symlink",
        [directory("e"), symlink("s", "/e"), entry("s/x")],
        [directory("e"), symlink("s", "/e"), entry("e/x")],
    ),
    on_base(
        "through-a-lower-symlink",
        [entry("to-d/x")],
        [directory("to-d", mtime=0), entry("to-d/x")],
    ),
    on_base(
        "whiteout-through-a-lower-symlink",
        [entry("to-d/.wh.old")],
        [directory("to-d", mtime=0)],
    ),
    on_base("bytes-after-the-end", [entry("n")], [entry("n")], tail=b"junk" * 300),
    on_base("zeros-after-the-end", [entry("n")], [entry("n")], tail=bytes(40960)),
    on_base("tar-after-the-end", [entry("n")], [entry("n")], tail=tar_of([entry("m")])),
    Case(
        "empty-layer",
        ((directory("./"), entry("n")), (), (entry("m"),)),
        (directory("./"), entry("n"), entry("m")),
    ),
    refused("whiteout-of-an-empty-name", [entry(".wh.")], "wh."),
    refused("whiteout-of-a-dot", [entry("d/.wh..")], "wh.."),
    refused("whiteout-of-two-dots", [entry("d/.wh...")], "wh..."),
    refused("path-with-two-dots", [entry("../x")], r"\.\."),
    refused("path-with-two-dots-inside", [entry("d/../x")], r"\.\."),
    refused("below-an-own-file", [entry("n"), entry("n/x")], "n/x"),
    refused("root-that-is-a-symlink", [symlink("./", "/")], "root|/"),
)
