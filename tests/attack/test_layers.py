"""Every hostile layer, applied to a staging directory beside canaries."""

from __future__ import annotations

import os
from typing import Final

import pytest
from attack.applying import check_outcome, outcome_of
from attack.canaries import Surroundings
from attack.catalogue import LAYERS, smuggled_marks

from snapfs.overlay_format import fitting_prefix
from support.hostile_layers import Attack

_PREFIX: Final = fitting_prefix()
_ALL: Final = (*LAYERS, *smuggled_marks(_PREFIX))


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(item, id=item.id, marks=[pytest.mark.root] * item.needs_root)
        for item in _ALL
    ],
)
def test_a_hostile_layer_is_refused_or_contained(
    attack: Attack, place: Surroundings
) -> None:
    before = place.photograph()
    descriptors = len(os.listdir("/proc/self/fd"))

    outcome = outcome_of(attack, place, _PREFIX)

    assert place.photograph() == before
    assert len(os.listdir("/proc/self/fd")) == descriptors
    check_outcome(attack, outcome)


def test_no_two_attacks_have_one_name() -> None:
    names = [attack.id for attack in _ALL]

    assert sorted(names) == sorted(set(names))
