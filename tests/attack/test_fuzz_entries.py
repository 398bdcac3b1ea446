"""Random sequences of hostile entries, applied to a real directory beside canaries."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from attack.applying import check_error, outcome_of
from attack.canaries import Surroundings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapfs.errors import SnapfsError
from snapfs.layer.limits import Limits, Policy, SetuidPolicy
from snapfs.layer.removal import discard_tree
from snapfs.layer.tree import LayerTree
from snapfs.overlay_format import fitting_prefix
from support.applied_layers import opened
from support.hostile_layers import Attack, Piece, xattr
from support.tar_blocks import reader_of, walk

_PREFIX: Final = fitting_prefix()

# Few names, so that they meet; what gets out is rare, or nothing else would be seen.
_NAMES: Final = st.sampled_from([b"a", b"a", b"b", b"b", b"c", b"l"])
_ODD: Final = st.sampled_from([b"..", b".", b"", b".wh.a", b"\xff", b"a" * 256])
_PART: Final = st.one_of(_NAMES, _NAMES, _NAMES, _NAMES, _ODD)
_LEAF: Final = st.one_of(
    _NAMES,
    _NAMES,
    _PART,
    _NAMES.map(lambda name: b".wh." + name),
    st.just(b".wh..wh..opq"),
)
_PLAIN: Final = st.lists(_NAMES, min_size=1, max_size=3).map(b"/".join)
_PATH: Final = st.one_of(
    _PLAIN,
    st.tuples(st.lists(_NAMES, max_size=3), _LEAF).map(
        lambda parts: b"/".join((*parts[0], parts[1]))
    ),
    st.lists(_PART, max_size=4).map(b"/".join),
)
_TARGET: Final = st.one_of(
    _PLAIN,
    _PLAIN.map(lambda path: b"/" + path),
    _PLAIN.map(lambda path: b"../../" + path),
    st.sampled_from([b"@HOST", b"@UP", b"@HOST/directory", b"..", b".", b"/", b""]),
)
_XATTRS: Final = st.lists(
    st.sampled_from(
        [
            xattr(b"user.note", b"1"),
            xattr(b"trusted.overlay.opaque", b"y"),
            xattr(b"trusted.overlay.redirect", b"/a"),
            xattr(b"user.overlay.whiteout", b""),
            xattr(b"security.selinux", b"x"),
            (b"mtime", b"1700000000.123456789"),
            (b"size", b"3"),
        ]
    ),
    max_size=2,
    unique=True,
).map(tuple)
_MODE: Final = st.sampled_from([0o644, 0o755, 0o700, 0o4755, 0o2770, 0o1777])


@st.composite
def _pieces(draw: st.DrawFn) -> Piece:
    flag = draw(st.sampled_from([b"0", b"0", b"5", b"5", b"2", b"2", b"1", b"6", b"3"]))
    body = draw(st.sampled_from([b"", b"evil", bytes(600)])) if flag == b"0" else b""
    return Piece(
        draw(_PATH),
        flag,
        body,
        draw(st.one_of(_PLAIN, _TARGET)) if flag in (b"1", b"2") else b"",
        draw(_MODE),
        # A number that Linux has; 0:0 would be overlayfs's own.
        device=draw(st.sampled_from([(0, 0), (1, 3)])) if flag == b"3" else (0, 0),
        pax=draw(st.one_of(st.just(()), st.just(()), _XATTRS)),
    )


_LIMITS: Final = Limits(entries=100)
_POLICIES: Final = st.builds(
    Policy,
    clamp=st.booleans(),
    setuid=st.sampled_from(SetuidPolicy),
)


def _check(pieces: Sequence[Piece], policy: Policy) -> None:
    """Apply the pieces as they come, and again without those that are refused."""
    _apply(pieces, policy)
    _apply(_admitted(pieces, policy), policy)


def _apply(pieces: Sequence[Piece], policy: Policy) -> None:
    attack = Attack("random", tuple(pieces), None, limits=_LIMITS, policy=policy)
    with tempfile.TemporaryDirectory(prefix="snapfs-test-") as name:
        place = Surroundings(Path(name) / "place")
        before = place.photograph()

        outcome = outcome_of(attack, place, _PREFIX)  # compares disk and index

        assert place.photograph() == before
        with opened(place.staging) as fd:
            discard_tree(fd)
    if isinstance(outcome, SnapfsError):
        check_error(outcome)


def _admitted(pieces: Sequence[Piece], policy: Policy) -> list[Piece]:
    """Return the pieces that a layer may hold after those before them.

    Long rows of random entries are nearly always refused; these are not.
    """
    kept: list[Piece] = []
    for piece in pieces:
        tree = LayerTree(_LIMITS, policy)
        attack = Attack("random", (*kept, piece), None)
        try:
            for item, _ in walk(reader_of(attack.tar(Path("/canaries")))):
                tree.admit(item)
            tree.settle()
        except SnapfsError:
            continue
        kept.append(piece)
    return kept


@pytest.mark.root
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_pieces(), max_size=12), _POLICIES)
def test_any_sequence_of_entries_is_refused_or_contained(
    pieces: list[Piece], policy: Policy
) -> None:
    _check(pieces, policy)


@pytest.mark.full
@pytest.mark.root
@settings(
    max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(st.lists(_pieces(), max_size=25), _POLICIES)
def test_any_long_sequence_of_entries_is_refused_or_contained(
    pieces: list[Piece], policy: Policy
) -> None:
    _check(pieces, policy)
