"""Random layers for the differential fuzzer, written down as changes.

Names come from one small pool, so that layers meet: directories merge, files hide
directories and the reverse, whiteouts and opaque marks have something to hide.
"""

from __future__ import annotations

import os
import random
import stat
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from support.tree_changes import (
    Change,
    Device,
    Directory,
    Fifo,
    File,
    HardLink,
    Mode,
    ModifiedAt,
    Overwrite,
    Owner,
    Symlink,
    Xattr,
)

PLAIN_NAMES: Final = (b"a", b"b", b"c", b"d", b"e", b"lib", b"etc", b"file", b"x.y")
ODD_NAMES: Final = (
    b"\xff\xfe",
    b"new\nline",
    b" ",
    b"-rf",
    b"comma,colon:back\\slash",
    "\u00fc\u4e2d".encode(),
    b"n" * 255,
    b".wh.a",
    b"#1",
    b"...",
)
UIDS: Final = (0, 0, 1000, 1001)
GIDS: Final = (0, 0, 1000, 1001, 2000)
DIRECTORY_MODES: Final = (0o755, 0o755, 0o777, 0o777, 0o1777, 0o2775, 0o700, 0o3777)
FILE_MODES: Final = (0o644, 0o644, 0o666, 0o600, 0o755, 0o4755, 0o2755, 0o2644, 0o000)
DEVICES: Final = (
    (stat.S_IFCHR, os.makedev(1, 3)),  # null
    (stat.S_IFCHR, os.makedev(1, 7)),  # full
    (stat.S_IFCHR, os.makedev(250, 77)),  # local use: nothing answers
    (stat.S_IFBLK, os.makedev(240, 9)),
)
# 2001 to 2017, with odd nanoseconds: before any run, so never taken for "now".
_EPOCH_NS: Final = 10**18
_EPOCH_SPAN_NS: Final = 5 * 10**17
SIZES: Final = (0, 1, 100, 4095, 4096, 4097, 20_000, 131_072, 300_001)
_BIG: Final = 1_500_000
_SPARSE_END: Final = 1 << 22

ACL_ACCESS: Final = b"system.posix_acl_access"
ACL_DEFAULT: Final = b"system.posix_acl_default"
CAPABILITY: Final = b"security.capability"
# struct vfs_cap_data, revision 2, effective: cap_net_bind_service.
CAPABILITY_VALUE: Final = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
_ACL_TAGS: Final = ((0x01, 7), (0x04, 5), (0x10, 7), (0x20, 4))


def acl(chosen: random.Random) -> bytes:
    """Return a random valid POSIX ACL as its xattr stores it (posix_acl_xattr.h)."""
    entries = [
        (tag, chosen.choice((most, 4, 6)), 0xFFFFFFFF) for tag, most in _ACL_TAGS
    ]
    entries.insert(1, (0x02, chosen.randrange(8), chosen.choice((1000, 1001))))
    if chosen.random() < 0.5:
        entries.insert(3, (0x08, chosen.randrange(8), 2000))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)


def old_time(chosen: random.Random) -> int:
    """Return a time that lies well before any run of the fuzzer."""
    return _EPOCH_NS + chosen.randrange(_EPOCH_SPAN_NS)


def some_name(chosen: random.Random) -> bytes:
    """Return a name: mostly one of few, sometimes an odd one."""
    return chosen.choice(ODD_NAMES if chosen.random() < 0.06 else PLAIN_NAMES)


class LayerMaker:
    """Makes a stack of layers from the lowest up; each knows what lies below it.

    Attributes:
        is_upper: Whether the next is the upper.
    """

    def __init__(self, chosen: random.Random, prefix: str) -> None:
        self._chosen = chosen
        self._opaque = f"{prefix}.overlay.opaque"
        self._below: dict[bytes, str] = {}
        self.is_upper = False

    def layer(self, entries: int) -> list[Change]:
        """Return the changes that fill one empty directory, the next layer up."""
        self._mine: dict[bytes, str] = {}
        self._pure: set[bytes] = set()
        changes: list[Change] = []
        for _ in range(entries):
            changes += self._entry()
        changes += self._finish()
        self._below = dict(self._union())
        return changes

    def _entry(self) -> list[Change]:
        parents = [b"", *(p for p, kind in self._mine.items() if kind == "directory")]
        parent = self._chosen.choice(parents)
        names = [some_name(self._chosen)]
        if self._is_merged(parent):
            names += [os.path.basename(path) for path in self._children_below(parent)]
        path = os.path.join(parent, self._chosen.choice(names))
        if path in self._mine or path.count(b"/") > 5:
            return []
        kind = self._kind(path)
        self._mine[path] = kind
        return self._changes(path, kind)

    def _kind(self, path: bytes) -> str:
        chosen = self._chosen
        if self._below.get(path) == "directory" and chosen.random() < 0.6:
            return "directory"
        kinds = ["file"] * 7 + ["directory"] * 6 + ["symlink"] * 2
        kinds += ["fifo", "device", "hard link", "sparse"]
        if self._is_merged(os.path.dirname(path)):
            # Elsewhere the kernel shows a whiteout in listings: overlayfs has no
            # reason to look for one in a directory that is not merged.
            kinds += ["whiteout"] * (4 if path in self._below else 1)
        return chosen.choice(kinds)

    def _changes(self, path: bytes, kind: str) -> list[Change]:
        name = os.fsdecode(path)
        if kind == "directory":
            return [Directory(name), *self._marks(path, name)]
        makers = {
            "file": self._file,
            "sparse": self._sparse,
            "symlink": self._symlink,
            "device": self._device,
            "hard link": self._hard_link,
        }
        if kind in makers:
            return makers[kind](path, name)
        return [Device(name, 0, 0)] if kind == "whiteout" else [Fifo(name)]

    def _marks(self, path: bytes, name: str) -> list[Change]:
        if (
            not self._is_merged(os.path.dirname(path))
            or self._below.get(path) != "directory"
        ):
            self._pure.add(path)
        elif self._chosen.random() < 0.2:
            self._pure.add(path)
            return [Xattr(name, self._opaque, b"y")]
        return []

    def _file(self, path: bytes, name: str) -> list[Change]:
        chosen = self._chosen
        size = _BIG if chosen.random() < 0.03 else chosen.choice(SIZES)
        content = random.Random(chosen.randrange(1 << 30)).randbytes(size)
        return [File(name, content)]

    def _sparse(self, path: bytes, name: str) -> list[Change]:
        chosen = self._chosen
        places = sorted(chosen.randrange(_SPARSE_END) for _ in range(2))
        return [File(name), *(Overwrite(name, b"island", place) for place in places)]

    def _symlink(self, path: bytes, name: str) -> list[Change]:
        return [Symlink(name, os.fsdecode(symlink_target(self._chosen, self._mine)))]

    def _device(self, path: bytes, name: str) -> list[Change]:
        kind, number = self._chosen.choice(DEVICES)
        return [Device(name, os.major(number), os.minor(number), kind)]

    def _hard_link(self, path: bytes, name: str) -> list[Change]:
        linkable = [p for p, kind in self._mine.items() if kind in ("file", "symlink")]
        if not linkable:
            self._mine[path] = "fifo"
            return [Fifo(name)]
        existing = self._chosen.choice(linkable)
        self._mine[path] = self._mine[existing]
        return [HardLink(name, os.fsdecode(existing))]

    def _finish(self) -> Iterator[Change]:
        """Owners, modes and xattrs of all, then times: deepest first, root last."""
        for path, kind in self._mine.items():
            if kind != "whiteout":
                yield from self._attributes(path, kind)
        yield Mode(".", 0o777)
        for path in sorted(self._mine, key=lambda p: -p.count(b"/")):
            yield ModifiedAt(os.fsdecode(path), old_time(self._chosen))
        yield ModifiedAt(".", old_time(self._chosen))

    def _attributes(self, path: bytes, kind: str) -> Iterator[Change]:
        chosen, name = self._chosen, os.fsdecode(path)
        yield Owner(name, chosen.choice(UIDS), chosen.choice(GIDS))
        if kind != "symlink":
            modes = DIRECTORY_MODES if kind == "directory" else FILE_MODES
            yield Mode(name, chosen.choice(modes))
        if kind in ("file", "directory", "sparse") and chosen.random() < 0.3:
            yield Xattr(name, "user.origin", b"layer %d" % chosen.randrange(100))
        if chosen.random() < 0.1:
            yield Xattr(name, "trusted.note", bytes(range(chosen.randrange(20))))
        if kind == "file" and chosen.random() < 0.1:
            yield Xattr(name, CAPABILITY.decode(), CAPABILITY_VALUE)
        if kind in ("file", "directory") and chosen.random() < 0.12:
            yield Xattr(name, ACL_ACCESS.decode(), acl(chosen))
        if kind == "directory" and chosen.random() < 0.12:
            yield Xattr(name, ACL_DEFAULT.decode(), acl(chosen))

    def _is_merged(self, path: bytes) -> bool:
        return bool(self._below) and (path == b"" or path not in self._pure)

    def _children_below(self, parent: bytes) -> list[bytes]:
        return [path for path in self._below if os.path.dirname(path) == parent]

    def _union(self) -> Iterator[tuple[bytes, str]]:
        """Yield what the layers up to this one show."""
        hidden = self._pure | {
            p for p, kind in self._mine.items() if kind != "directory"
        }
        for path, kind in self._below.items():
            parts = path.split(b"/")
            ancestors = {b"/".join(parts[: i + 1]) for i in range(len(parts))}
            if path not in self._mine and not ancestors & hidden:
                yield path, kind
        for path, kind in self._mine.items():
            if kind != "whiteout":
                yield path, kind


def symlink_target(
    chosen: random.Random, known: Sequence[bytes] | dict[bytes, str]
) -> bytes:
    """Return where a symlink leads: to something, to nothing, round and round."""
    paths: list[bytes] = [*known, b"nowhere", b".", b"..", some_name(chosen)]
    path = chosen.choice(paths)
    prefix = chosen.choice((b"", b"/", b"../", b"../../"))
    return bytes(prefix + path)


def make_layers(chosen: random.Random, maker: LayerMaker) -> list[list[Change]]:
    """Return 1 to 4 lower layers, lowest first, and last what the upper begins with.

    The upper begins empty as often as not.
    """
    layers = [
        maker.layer(chosen.randrange(12, 40)) for _ in range(chosen.randint(1, 4))
    ]
    maker.is_upper = True
    starts_empty = chosen.random() < 0.5
    layers.append([Mode(".", 0o777)] if starts_empty else maker.layer(15))
    return layers
