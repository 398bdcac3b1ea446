"""Hostile layers in images, unpacked into a store: nothing is left of what fails."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Final

import pytest
from attack.applying import check_outcome
from attack.breakouts import BREAKOUTS
from attack.catalogue import LAYERS
from attack.unpacking import Unpacking, layer_of

from snapfs.errors import SnapfsError
from support.hostile_layers import Attack

# What depends on layers below, of which these images have none, is left out.
_NAMES: Final = frozenset(
    {
        "dot dot to the canaries",
        "dot dot clamped",
        "1024 deep",
        "10^5 deep",
        "root as a symlink",
        "root without any rights",
        "file through an absolute symlink",
        "directory swapped for a symlink, and back",
        "chain of 41",
        "link up and out",
        "link to a symlink is the symlink",
        "mark of the root",
        "whiteout as a hard link",
        "char 0:0",
        "disk",
        "unknown type",
        "257 xattrs",
        "size of 2^63-1",
        "PAX of 1 GiB",
        "PAX size more than the header's",
        "body cut short",
        "no tar at all",
        "second tar after the end",
        "sparse map without an end",
    }
)
# Links into lower layers: these images have none.
_WITHOUT_LOWER: Final = frozenset(
    {
        "link to an absolute path of the host is a lower file's",
        "link through a parent that leads out",
        "link to nothing of this layer",
        "link before its target",
    }
)


def _as_lowest_layer(shows: Mapping[str, str]) -> dict[str, str]:
    """Take the marks of overlayfs away: nothing is below that they could hide."""
    plain = {
        path: text.replace(" overlay:origin=", "").replace(" overlay:opaque=y", "")
        for path, text in shows.items()
        if text != "whiteout"
    }
    if plain.get(".") == "directory":
        del plain["."]
    return plain


def _parameters(
    attacks: Iterable[Attack], *marks: pytest.MarkDecorator
) -> list[object]:
    return [
        pytest.param(
            item, id=item.id, marks=(*marks, *[pytest.mark.root] * item.needs_root)
        )
        for item in attacks
        if item.id not in _WITHOUT_LOWER
    ]


_QUICK: Final = (
    *(attack for attack in LAYERS if attack.id in _NAMES),
    *BREAKOUTS,
)
_OTHERS: Final = [attack for attack in LAYERS if attack not in _QUICK]


@pytest.mark.parametrize(
    "attack", _parameters(_QUICK) + _parameters(_OTHERS, pytest.mark.full)
)
def test_a_hostile_image_is_refused_or_contained(
    attack: Attack, attacked: Unpacking
) -> None:
    layer = layer_of(attack.tar(attacked.canaries))

    outcome = attacked.layers(layer, limits=attack.limits, policy=attack.policy)

    shows = _as_lowest_layer(attack.shows)
    check_outcome(dataclasses.replace(attack, shows=shows), outcome)
    if isinstance(outcome, SnapfsError):
        assert re.match(r"evil: layer sha256:[0-9a-f]{64}: ", str(outcome))
