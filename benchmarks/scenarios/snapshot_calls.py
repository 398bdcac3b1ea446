"""Calls of the snapshots API as values, and what comes back of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from snapfs.model import NO_LABELS


class Call(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call, as the load client reads it (``benchmarks/go/load/batch.go``).

    Attributes:
        op: noop (a method that no server has), stat, mounts, usage, list, prepare,
            view, commit, update, remove or cleanup.
        key: The snapshot; for list, a filter.
        other: The parent for prepare and view, the name for commit, the value of a
            label for update.
        labels: For prepare, view and commit.
    """

    op: str
    key: str = ""
    other: str = ""
    labels: Mapping[str, str] = NO_LABELS


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a sequence of calls came to.

    Attributes:
        durations_ns: The time of each call.
        results: What each returned, if it was wanted: for stat and update an object
            with ``name``, ``parent``, ``kind`` and ``labels``; for mounts, prepare
            and view a list of objects with ``type``, ``source`` and ``options``; for
            list the names; None for the others.
    """

    durations_ns: Sequence[int]
    results: Sequence[Any]
