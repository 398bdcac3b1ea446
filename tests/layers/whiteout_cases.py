"""Whiteouts and opaque directories: image-spec ``layer.md``, and where others err."""

from __future__ import annotations

from typing import Final

from layers.case import BASE, OLD, Case, changed, on_base

from support.applied_layers import directory, entry, hard_link, symlink

_D: Final = directory("d")
"""The directory of the base, with other attributes."""

_OLD_D: Final = BASE[1]

# image-spec layer.md, "Opaque Whiteout": the two orders of the same layer.
_SPEC_LOWER: Final = (
    directory("./"),
    directory("a/"),
    directory("a/b/"),
    directory("a/b/c/"),
    entry("a/b/c/bar"),
)
_SPEC_UPPER: Final = (
    directory("a/"),
    entry("a/.wh..wh..opq"),
    directory("a/b/"),
    directory("a/b/c/"),
    entry("a/b/c/foo"),
)
_SPEC_VIEW: Final = (
    directory("./"),
    directory("a/"),
    directory("a/b/"),
    directory("a/b/c/"),
    entry("a/b/c/foo"),
)
# The same page, "Creating Layers" and "Whiteouts".
_SPEC_CONFIG: Final = (
    directory("./"),
    directory("./etc/"),
    entry("./etc/my-app-config", b"1"),
    directory("./bin/"),
    entry("./bin/my-app-tools", b"1", mode=0o755),
    entry("./bin/my-app-binary", b"1", mode=0o755),
)
_SPEC_BIN: Final = (
    directory("./"),
    directory("bin/"),
    entry("bin/my-app-binary"),
    entry("bin/my-app-tools"),
    directory("bin/tools/"),
    entry("bin/tools/my-app-tool-one"),
)

SPECIFICATION: Final = (
    Case(
        "spec-change-set",
        (
            _SPEC_CONFIG,
            (
                directory("./etc/my-app.d/"),
                entry("./etc/my-app.d/default.cfg", b"2"),
                entry("./bin/my-app-tools", b"2", mode=0o755),
                entry("./etc/.wh.my-app-config"),
            ),
        ),
        (
            directory("./"),
            directory("etc"),
            directory("etc/my-app.d"),
            entry("etc/my-app.d/default.cfg", b"2"),
            directory("bin"),
            entry("bin/my-app-tools", b"2", mode=0o755),
            entry("bin/my-app-binary", b"1", mode=0o755),
        ),
    ),
    Case("spec-opaque-first", (_SPEC_LOWER, _SPEC_UPPER), _SPEC_VIEW),
    Case(
        "spec-opaque-last",
        (_SPEC_LOWER, (*_SPEC_UPPER[:1], *_SPEC_UPPER[2:], _SPEC_UPPER[1])),
        _SPEC_VIEW,
    ),
    Case(
        "spec-explicit-whiteouts",
        (
            _SPEC_BIN,
            (
                directory("bin/"),
                entry("bin/.wh.my-app-binary"),
                entry("bin/.wh.my-app-tools"),
                entry("bin/.wh.tools"),
            ),
        ),
        (directory("./"), directory("bin/")),
    ),
    Case(
        "spec-opaque-whiteout",
        (_SPEC_BIN, (directory("bin/"), entry("bin/.wh..wh..opq"))),
        (directory("./"), directory("bin/")),
    ),
)

WHITEOUTS: Final = (
    on_base("whiteout-of-a-file", [_D, entry("d/.wh.old")], [_D], ["d/old"]),
    on_base("whiteout-of-a-directory", [entry(".wh.d")], [], ["d"]),
    on_base("whiteout-of-a-symlink", [entry(".wh.to-d")], [], ["to-d"]),
    on_base(
        "whiteout-of-one-link",
        [entry(".wh.h1")],
        [entry("h2", b"linked", mtime=OLD)],
        ["h1"],
    ),
    on_base("whiteout-of-nothing", [_D, entry("d/.wh.never")], [_D]),
    on_base(
        "whiteout-of-nothing-in-a-new-directory",
        [directory("new"), entry("new/.wh.never"), entry("new/f")],
        [directory("new"), entry("new/f")],
    ),
    on_base("whiteout-in-an-implied-directory", [entry("d/.wh.old")], [], ["d/old"]),
    on_base(
        "whiteout-that-is-no-file",
        [symlink(".wh.f", "f"), directory(".wh.d")],
        [],
        ["f", "d"],
    ),
    on_base(
        "whiteout-then-file", [entry(".wh.f"), entry("f", b"new")], [entry("f", b"new")]
    ),
    on_base(
        "file-then-whiteout", [entry("f", b"new"), entry(".wh.f")], [entry("f", b"new")]
    ),
    on_base(
        "whiteout-then-directory",
        [entry(".wh.d"), _D, entry("d/new")],
        [_D, entry("d/new")],
        ["d"],
    ),
    on_base(
        "directory-then-whiteout",
        [_D, entry("d/new"), entry(".wh.d")],
        [_D, entry("d/new")],
        ["d"],
    ),
    on_base(
        "whiteout-then-child-without-directory",
        [entry(".wh.d"), entry("d/new")],
        [directory("d", mtime=0), entry("d/new")],
        ["d"],
    ),
    on_base(
        "whiteout-of-a-directory-that-holds-whiteouts",
        [entry(".wh.d"), entry("d/.wh.old")],
        [],
        ["d"],
    ),
    on_base(
        "whiteout-of-a-file-then-directory",
        [entry(".wh.f"), directory("f"), entry("f/x")],
        [directory("f"), entry("f/x")],
    ),
    on_base(
        "whiteout-then-symlink",
        [entry(".wh.d"), symlink("d", "f")],
        [symlink("d", "f")],
        ["d"],
    ),
    on_base(
        "whiteout-then-hard-link",
        [entry("g", b"g"), entry(".wh.f"), hard_link("f", "g")],
        [entry("g", b"g"), hard_link("f", "g")],
    ),
    on_base(
        "directory-named-like-a-whiteout",
        [entry(".wh.d/x")],
        [directory(".wh.d", mtime=0), entry(".wh.d/x")],
    ),
    on_base(
        "leftovers-of-aufs",
        [
            directory(".wh..wh.plnk"),
            entry(".wh..wh.plnk/123.456", b"linked"),
            entry(".wh..wh.aufs"),
            directory(".wh..wh.orph"),
            entry("new"),
        ],
        [entry("new")],
    ),
    Case(
        "deleted-and-made-again",
        (
            BASE,
            (entry(".wh.d"), entry(".wh.f")),
            (_D, entry("d/new"), entry("f", b"again")),
        ),
        changed(BASE, [_D, entry("d/new"), entry("f", b"again")], ["d"]),
    ),
    Case(
        "deleted-twice",
        (BASE, (entry(".wh.f"),), (entry(".wh.f"), entry("new"))),
        changed(BASE, [entry("new")], ["f"]),
    ),
    Case(
        "deleted-in-the-lowest-layer",
        ((directory("./"), entry(".wh.never"), directory("d"), entry("d/.wh.x")),),
        (directory("./"), directory("d")),
    ),
)

OPAQUE: Final = (
    on_base(
        "opaque-directory",
        [_D, entry("d/.wh..wh..opq"), entry("d/new")],
        [_D, entry("d/new")],
        ["d"],
    ),
    on_base(
        "opaque-mark-last",
        [_D, entry("d/new"), entry("d/.wh..wh..opq")],
        [_D, entry("d/new")],
        ["d"],
    ),
    on_base(
        "opaque-directory-with-old-name",
        [_D, entry("d/old", b"new"), entry("d/.wh..wh..opq")],
        [_D, entry("d/old", b"new")],
        ["d"],
    ),
    on_base(
        "opaque-directory-with-whiteouts",
        [_D, entry("d/.wh..wh..opq"), entry("d/.wh.old"), entry("d/.wh.never")],
        [_D],
        ["d"],
    ),
    on_base(
        "whiteouts-below-an-opaque-directory",
        [_D, entry("d/.wh..wh..opq"), directory("d/sub"), entry("d/sub/.wh.deep")],
        [_D, directory("d/sub")],
        ["d"],
    ),
    on_base(
        "opaque-mark-without-directory",
        [entry("d/.wh..wh..opq"), entry("d/new")],
        [_OLD_D, entry("d/new")],
        ["d"],
    ),
    on_base("opaque-mark-alone", [entry("d/.wh..wh..opq")], [_OLD_D], ["d"]),
    on_base(
        "opaque-mark-and-whiteout-without-directory",
        [entry("d/.wh..wh..opq"), entry(".wh.d"), entry("d/new")],
        [directory("d", mtime=0), entry("d/new")],
        ["d"],
    ),
    on_base(
        "opaque-directory-that-is-new",
        [directory("new"), entry("new/.wh..wh..opq"), entry("new/f")],
        [directory("new"), entry("new/f")],
    ),
    on_base(
        "opaque-directory-over-a-file",
        [directory("f"), entry("f/.wh..wh..opq"), entry("f/x")],
        [directory("f"), entry("f/x")],
    ),
    on_base(
        "opaque-and-whiteout-of-the-same",
        [entry(".wh.d"), _D, entry("d/.wh..wh..opq")],
        [_D],
        ["d"],
    ),
    Case(
        "opaque-root",
        (BASE, (directory("./"), entry(".wh..wh..opq"), entry("only"))),
        (directory("./"), entry("only")),
    ),
    Case(
        "opaque-root-without-entry",
        (
            (directory("./", 0o711, owner=(4, 4)), entry("old")),
            (entry(".wh..wh..opq"),),
        ),
        (directory("./", 0o711, owner=(4, 4)),),
    ),
    Case(
        "opaque-root-last",
        (
            BASE,
            (
                directory("./"),
                directory("d"),
                entry("d/only"),
                entry("d/.wh.old"),
                entry(".wh..wh..opq"),
            ),
        ),
        (directory("./"), directory("d"), entry("d/only")),
    ),
    Case(
        "layer-on-an-opaque-root",
        (
            BASE,
            (directory("./"), entry(".wh..wh..opq"), entry("only")),
            (directory("d"), entry("d/.wh.old"), entry(".wh.f"), entry("more")),
        ),
        (directory("./"), directory("d"), entry("only"), entry("more")),
    ),
    Case(
        "opaque-in-the-middle",
        (BASE, (_D, entry("d/.wh..wh..opq"), entry("d/two")), (_D, entry("d/three"))),
        changed(BASE, [_D, entry("d/two"), entry("d/three")], ["d"]),
    ),
)
