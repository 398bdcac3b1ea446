"""Applying one hostile layer, and holding the outcome against its table."""

from __future__ import annotations

import dataclasses
import io
import os
from pathlib import Path
from typing import Final

from attack.canaries import Surroundings
from attack.index_check import index_differences
from attack.on_disk import found_below, in_words

from snapfs.errors import (
    DataLossError,
    SnapfsError,
    UnimplementedError,
    UnsafeLayerError,
)
from snapfs.layer.apply import Applied, apply_layer
from snapfs.layer.form import OverlayForm
from snapfs.layer.limits import Limits, Policy
from snapfs.overlay_format import XattrPrefix
from snapfs.tar.reader import TarReader
from support.applied_layers import opened
from support.hostile_layers import HOST, UP, Attack, upwards

# Odd, so that headers and bodies cross the blocks of the stream.
_BLOCK_BYTES: Final = 10_007

_SHORT: Final = 2000
_OF_LAYERS: Final = (UnsafeLayerError, DataLossError, UnimplementedError)


def apply_plain(
    tar: bytes, staging: int, form: OverlayForm, limits: Limits, policy: Policy
) -> Applied:
    """Apply a plain tar to an open, empty directory."""
    stream = io.BytesIO(tar)
    reader = TarReader(
        lambda: stream.read(_BLOCK_BYTES), extension_bytes=limits.extension_bytes
    )
    return apply_layer(reader, staging, form, limits, policy)


def as_caller(policy: Policy) -> Policy:
    """Return the policy as it can be kept: owners take privileges."""
    return dataclasses.replace(
        policy, keep_owners=policy.keep_owners and not os.geteuid()
    )


def outcome_of(
    attack: Attack, place: Surroundings, prefix: XattrPrefix
) -> SnapfsError | dict[str, str]:
    """Apply the layer in ``place``; return its error, or what is on disk, in words.

    Raises:
        AssertionError: The disk is not what the layer's index says.
    """
    policy = as_caller(attack.policy)
    with opened(place.staging) as staging:
        try:
            applied = apply_plain(
                attack.tar(place.canaries),
                staging,
                OverlayForm(prefix),
                attack.limits,
                policy,
            )
        except SnapfsError as error:
            return error
        found = found_below(staging)
    index = applied.tree.index()
    if policy.devices == Policy().devices:
        assert index_differences(found, index, policy, prefix) == []
    return {
        path: unaimed(text, place.canaries)
        for path, text in in_words(found, prefix).items()
    }


def unaimed(text: str, canaries: Path) -> str:
    """Put the words back that stand for the canaries."""
    text = text.replace(os.fsdecode(upwards(canaries)), os.fsdecode(UP))
    return text.replace(str(canaries), os.fsdecode(HOST))


def check_outcome(attack: Attack, outcome: SnapfsError | dict[str, str]) -> None:
    """Hold an outcome against the table."""
    if attack.error is None:
        assert outcome == attack.shows
    else:
        assert type(outcome) is attack.error, outcome
        check_error(outcome)
        assert attack.says in str(outcome)


def check_error(error: SnapfsError) -> None:
    """An error is one of those that a layer can cause, and one short line."""
    assert isinstance(error, _OF_LAYERS), repr(error)
    assert str(error).isprintable()
    assert len(str(error)) < _SHORT
