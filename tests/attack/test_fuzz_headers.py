"""Valid tars with some bytes changed, applied to a real directory beside canaries."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest
from attack.applying import apply_plain, as_caller, check_error
from attack.canaries import Surroundings
from attack.index_check import index_differences
from attack.on_disk import found_below
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapfs.errors import SnapfsError
from snapfs.layer.form import OverlayForm
from snapfs.layer.limits import Limits, Policy
from snapfs.layer.removal import discard_tree
from snapfs.overlay_format import fitting_prefix
from support import tar_blocks
from support.applied_layers import opened
from support.hostile_layers import (
    Attack,
    Piece,
    contained,
    directory,
    fifo,
    file,
    hard_link,
    symlink,
    xattr,
)
from support.tar_blocks import GNU, V7, header, padded, with_checksum

_PREFIX: Final = fitting_prefix()
_BLOCK: Final = 512
_LIMITS: Final = Limits(entries=100)

# Each dialect and each extension, short: most of what is changed matters.
_SPARSE: Final = header(
    b"sparse",
    b"S",
    size=8,
    magic=GNU,
    tail=(b"%011o\0%011o\0" % (64, 8)).ljust(96, b"\0")
    + b"\0"
    + b"%011o\0" % 4096
    + bytes(17),
) + padded(b"in holes")
_SEEDS: Final[tuple[Attack, ...]] = (
    contained(
        "links",
        directory(b"d"),
        symlink(b"l", b"@HOST"),
        file(b"d/f", b"in"),
        hard_link(b"d/g", b"d/f"),
        shows={},
    ),
    contained(
        "whiteouts",
        directory(b"d"),
        file(b"d/.wh.x"),
        file(b"e/.wh..wh..opq"),
        shows={},
    ),
    contained(
        "pax",
        file(
            b"f", b"in", pax=((b"path", b"d/long"), (b"mtime", b"1.5"), (b"size", b"2"))
        ),
        file(b"g", b"in", pax=(xattr(b"user.note", b"1"),)),
        shows={},
    ),
    contained(
        "gnu",
        tar_blocks.member(b"L", b"a/long/name\0", b"L"),
        tar_blocks.member(b"K", b"@HOST/file\0", b"K"),
        header(b"x", b"2", magic=GNU),
        shows={},
    ),
    contained("sparse", _SPARSE, file(b"after", b"in"), shows={}),
    contained(
        "pax sparse",
        file(
            b"s",
            b"1\n0\n4\n".ljust(512, b"\0") + b"data",
            pax=(
                (b"GNU.sparse.major", b"1"),
                (b"GNU.sparse.minor", b"0"),
                (b"GNU.sparse.realsize", b"9000"),
            ),
        ),
        file(b"after"),
        shows={},
    ),
    contained(
        "v7",
        header(b"d/", magic=V7),
        header(b"d/f", size=2, magic=V7) + padded(b"in"),
        shows={},
    ),
    contained(
        "kinds",
        fifo(b"p"),
        Piece(b"c", b"3", device=(1, 3)),
        Piece(b"b", b"4", device=(8, 0)),
        file(b"su", b"in", mode=0o4755),
        shows={},
    ),
)

# Bytes with a meaning somewhere, more often than any others.
_BYTE: Final = st.one_of(
    st.sampled_from(b"\0\xff\x80 /.0123456789SLKxgVD7\n=-@"), st.integers(0, 255)
)
_FIELDS: Final = (0, 1, 100, 108, 116, 124, 135, 136, 148, 156, 157, 257, 329, 345, 386)


def _set_byte(tar: bytearray, at: int, value: int) -> None:
    if tar:
        tar[at % len(tar)] = value


def _set_field(tar: bytearray, at: int, value: int) -> None:
    if tar:
        block = at // len(_FIELDS) * _BLOCK
        tar[(block + _FIELDS[at % len(_FIELDS)]) % len(tar)] = value


def _cut(tar: bytearray, at: int, _: int) -> None:
    if tar:
        del tar[at % len(tar) :]


def _repeat_block(tar: bytearray, at: int, times: int) -> None:
    start = at % (len(tar) + 1) // _BLOCK * _BLOCK
    tar[start:start] = tar[start : start + _BLOCK] * (times % 3)


def _drop_block(tar: bytearray, at: int, _: int) -> None:
    start = at % (len(tar) + 1) // _BLOCK * _BLOCK
    del tar[start : start + _BLOCK]


def _repair(tar: bytearray, at: int, _: int) -> None:
    """Make the checksum of one block right, so that what is in it is believed."""
    start = at % (len(tar) + 1) // _BLOCK * _BLOCK
    if start + _BLOCK <= len(tar):
        tar[start : start + _BLOCK] = with_checksum(bytes(tar[start : start + _BLOCK]))


def _repair_all(tar: bytearray, _: int, __: int) -> None:
    for start in range(0, len(tar), _BLOCK):
        if tar[start + 257 : start + 262] == b"ustar":
            _repair(tar, start, 0)


_Mutation = tuple[Callable[[bytearray, int, int], None], int, int]
_CHANGES: Final = (
    *(_set_byte, _set_field, _set_field, _set_field),
    *(_cut, _repeat_block, _drop_block, _repair),
)
_MUTATION: Final = st.tuples(st.sampled_from(_CHANGES), st.integers(0, 8191), _BYTE)
_MUTATIONS: Final = st.lists(_MUTATION, min_size=1, max_size=6)


def _check(seed: Attack, mutations: Sequence[_Mutation], *, repaired: bool) -> None:
    policy = as_caller(Policy())
    with tempfile.TemporaryDirectory(prefix="snapfs-test-") as name:
        place = Surroundings(Path(name) / "place")
        tar = bytearray(seed.tar(place.canaries))
        for change, at, value in mutations:
            change(tar, at, value)
        if repaired:
            _repair_all(tar, 0, 0)
        before = place.photograph()

        with opened(place.staging) as fd:
            try:
                applied = apply_plain(
                    bytes(tar), fd, OverlayForm(_PREFIX), _LIMITS, policy
                )
            except SnapfsError as error:
                check_error(error)
            else:
                index = applied.tree.index()
                found = found_below(fd)
                assert index_differences(found, index, policy, _PREFIX) == []
            discard_tree(fd)

        assert place.photograph() == before


@pytest.mark.root
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(_SEEDS), _MUTATIONS, st.booleans())
def test_a_damaged_tar_is_refused_or_contained(
    seed: Attack, mutations: list[_Mutation], repaired: bool
) -> None:
    _check(seed, mutations, repaired=repaired)


@pytest.mark.full
@pytest.mark.root
@settings(
    max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(st.sampled_from(_SEEDS), _MUTATIONS, st.booleans())
def test_many_damaged_tars_are_refused_or_contained(
    seed: Attack, mutations: list[_Mutation], repaired: bool
) -> None:
    _check(seed, mutations, repaired=repaired)
