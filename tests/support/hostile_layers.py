"""Hostile layers, written down in a line each, with what must become of them.

A layer is a row of pieces: members in a few words, or raw blocks for what no writer
writes. Names and targets may hold ``@HOST``, the absolute path of the canaries, and
``@UP``, a relative path to them from anywhere, with more ``..`` than any directory is
deep. The outcome is one of two: an error of ours that names the entry, or a result
that is stated whole, path by path, in the words of ``attack.on_disk``.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from snapfs.errors import SnapfsError, UnsafeLayerError
from snapfs.layer.limits import Limits, Policy
from support import tar_blocks

HOST: Final = b"@HOST"
UP: Final = b"@UP"
_NAME_BYTES: Final = 100
_PARENTS: Final = b"../" * 20


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """One member of a hostile tar.

    Attributes:
        size: What the header says instead of the body's size.
        pax: Records before the member, besides those that long names need.
    """

    name: bytes
    flag: bytes = b"0"
    body: bytes = b""
    link: bytes = b""
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)
    device: tuple[int, int] = (0, 0)
    size: int | bytes | None = None
    pax: tuple[tuple[bytes, bytes], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Attack:
    """One hostile layer and its only right outcome.

    Attributes:
        id: Of the test.
        pieces: What the tar holds; raw bytes as they are.
        error: The class of the error, None for a contained result.
        says: What the error's message holds; it names the entry.
        shows: What is on disk afterwards, if it is contained.
        ends: Whether the two zero blocks follow.
        needs_root: It makes what only root may make.
    """

    id: str
    pieces: tuple[Piece | bytes, ...]
    error: type[SnapfsError] | None
    says: str = ""
    shows: Mapping[str, str] = dataclasses.field(default_factory=dict)
    limits: Limits = dataclasses.field(default_factory=Limits)
    policy: Policy = dataclasses.field(default_factory=Policy)
    ends: bool = True
    needs_root: bool = False

    def tar(self, canaries: Path) -> bytes:
        """Return the plain tar, aimed at the canaries."""
        parts = [
            piece if isinstance(piece, bytes) else _member(_aimed(piece, canaries))
            for piece in self.pieces
        ]
        return b"".join(parts) + (tar_blocks.END if self.ends else b"")


def refused(
    name: str,
    *pieces: Piece | bytes,
    says: str,
    error: type[SnapfsError] = UnsafeLayerError,
    **more: object,
) -> Attack:
    """Return an attack that is an error; ``says`` names the entry."""
    return Attack(name, pieces, error, says, **more)  # type: ignore[arg-type]  # fields of Attack


def contained(
    name: str, *pieces: Piece | bytes, shows: Mapping[str, str], **more: object
) -> Attack:
    """Return an attack that harms nobody; ``shows`` is all that it leaves."""
    return Attack(name, pieces, None, shows=shows, **more)  # type: ignore[arg-type]  # fields of Attack


def file(name: bytes, body: bytes = b"", mode: int = 0o644, **more: object) -> Piece:
    """Return a file, or a whiteout or a mark by its name."""
    return Piece(name, b"0", body, mode=mode, **more)  # type: ignore[arg-type]  # fields of Piece


def directory(name: bytes, mode: int = 0o755, **more: object) -> Piece:
    """Return a directory."""
    return Piece(name, b"5", mode=mode, **more)  # type: ignore[arg-type]  # fields of Piece


def symlink(name: bytes, target: bytes, **more: object) -> Piece:
    """Return a symbolic link."""
    return Piece(name, b"2", link=target, mode=0o777, **more)  # type: ignore[arg-type]  # fields of Piece


def hard_link(name: bytes, target: bytes, **more: object) -> Piece:
    """Return another name of ``target``."""
    return Piece(name, b"1", link=target, **more)  # type: ignore[arg-type]  # fields of Piece


def fifo(name: bytes, **more: object) -> Piece:
    """Return a named pipe."""
    return Piece(name, b"6", **more)  # type: ignore[arg-type]  # fields of Piece


def device(name: bytes, kind: bytes, major: int, minor: int) -> Piece:
    """Return a device node; ``kind`` is the type flag, "3" or "4"."""
    return Piece(name, kind, device=(major, minor), mode=0o666)


def xattr(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """Return the PAX record of an extended attribute."""
    return b"SCHILY.xattr." + name, value


def upwards(canaries: Path) -> bytes:
    """Return what ``@UP`` stands for."""
    return _PARENTS + os.fsencode(canaries).lstrip(b"/")


def aimed(text: bytes, canaries: Path) -> bytes:
    """Return a name or target with its words replaced."""
    return text.replace(UP, upwards(canaries)).replace(HOST, os.fsencode(canaries))


def _aimed(piece: Piece, canaries: Path) -> Piece:
    return dataclasses.replace(
        piece,
        name=aimed(piece.name, canaries),
        link=aimed(piece.link, canaries),
        pax=tuple((key, aimed(value, canaries)) for key, value in piece.pax),
    )


def _member(piece: Piece) -> bytes:
    records = list(piece.pax)
    if len(piece.name) > _NAME_BYTES:
        records.append((b"path", piece.name))
    if len(piece.link) > _NAME_BYTES:
        records.append((b"linkpath", piece.link))
    size = len(piece.body) if piece.size is None else piece.size
    uid, gid = (b"%07o\0" % number for number in piece.owner)
    block = tar_blocks.header(
        piece.name[:_NAME_BYTES],
        piece.flag,
        size=size,
        mode=b"%07o\0" % piece.mode,
        uid=uid,
        gid=gid,
        link=piece.link[:_NAME_BYTES],
        device=b"".join(b"%07o\0" % number for number in piece.device),
    )
    extension = tar_blocks.pax(*records) if records else b""
    return extension + block + tar_blocks.padded(piece.body)
