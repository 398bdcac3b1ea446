"""What a run of each call needs before, does, must have left, and undoes."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from snapfs.benchmarks.protocols import InvalidResultError
from snapfs.benchmarks.scenarios.population import LISTED_FILTER, Population
from snapfs.benchmarks.scenarios.snapshot_calls import Answer, Call

# What a snapshot must be after a run: its kind and parent; None for gone.
Expected = tuple[str, str] | None


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """One run.

    Attributes:
        timed: The calls whose times are the result.
        before: Calls that make what the timed ones need.
        after: Calls that undo the run.
        leaves: What must be there after the timed calls, by key.
        check: Looks at what the timed calls returned.
    """

    timed: Sequence[Call]
    before: Sequence[Call] = ()
    after: Sequence[Call] = ()
    leaves: Mapping[str, Expected] = dataclasses.field(default_factory=dict)
    check: Callable[[Answer], None] = lambda _answer: None


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """What a plan is made of: the population, fresh keys and reproducible chance."""

    population: Population
    keys: Sequence[str]
    chance: random.Random

    def some(self, names: Sequence[str]) -> list[str]:
        """Choose a name for each key, with repetition."""
        return self.chance.choices(names, k=len(self.keys))


def plan(operation: str, run: Run) -> Plan:
    """Return the plan of a run of ``operation``, one of :data:`OPERATIONS`."""
    return _PLANS[operation](run)


def _noop(run: Run) -> Plan:
    return Plan([Call("noop") for _ in run.keys])


def _stat(run: Run) -> Plan:
    chosen = run.some(tuple(run.population.parents))

    def check(answer: Answer) -> None:
        for name, info in zip(chosen, answer.results, strict=True):
            expected = (name, run.population.parents[name])
            _require((info["name"], info["parent"]) == expected, f"Stat of {name}")

    return Plan([Call("stat", name) for name in chosen], check=check)


def _mounts(run: Run) -> Plan:
    chosen = run.some(run.population.containers)
    timed = [Call("mounts", name) for name in chosen]
    return Plan(timed, check=_check_overlays)


def _prepare(run: Run) -> Plan:
    tops = run.some(run.population.tops)
    pairs = list(zip(run.keys, tops, strict=True))
    return Plan(
        [Call("prepare", key, top) for key, top in pairs],
        after=[Call("remove", key) for key in run.keys],
        leaves={key: ("Active", top) for key, top in pairs},
        check=_check_overlays,
    )


def _view(run: Run) -> Plan:
    tops = run.some(run.population.tops)
    pairs = list(zip(run.keys, tops, strict=True))
    return Plan(
        [Call("view", key, top) for key, top in pairs],
        after=[Call("remove", key) for key in run.keys],
        leaves={key: ("View", top) for key, top in pairs},
        check=_check_overlays,
    )


def _commit(run: Run) -> Plan:
    prepared = _prepare(run)
    names = [f"{key}-committed" for key in run.keys]
    leaves: dict[str, Expected] = dict.fromkeys(run.keys)
    for name, call in zip(names, prepared.timed, strict=True):
        leaves[name] = ("Committed", call.other)
    return Plan(
        [Call("commit", key, name) for key, name in zip(run.keys, names, strict=True)],
        before=prepared.timed,
        after=[Call("remove", name) for name in names],
        leaves=leaves,
    )


def _update(run: Run) -> Plan:
    chosen = run.some(run.population.containers)
    value = run.keys[0]

    def check(answer: Answer) -> None:
        for name, info in zip(chosen, answer.results, strict=True):
            _require(value in info["labels"].values(), f"Update of {name}")

    return Plan([Call("update", name, value) for name in chosen], check=check)


def _remove(run: Run) -> Plan:
    prepared = _prepare(run)
    return Plan(prepared.after, before=prepared.timed, leaves=dict.fromkeys(run.keys))


def _list_all(run: Run) -> Plan:
    return _list(run, "", run.population.parents)


def _list_some(run: Run) -> Plan:
    return _list(run, LISTED_FILTER, run.population.listed)


def _list(run: Run, filter_text: str, names: Sequence[str] | Mapping[str, str]) -> Plan:
    expected = set(names)

    def check(answer: Answer) -> None:
        for listed in answer.results:
            complete = len(listed) == len(expected) and set(listed) == expected
            _require(complete, f"List, which gave {len(listed)} of {len(expected)},")

    return Plan([Call("list", filter_text) for _ in run.keys], check=check)


def _check_overlays(answer: Answer) -> None:
    for mounts in answer.results:
        mount: Mapping[str, Any] = mounts[0] if mounts else {}
        layered = any(word.startswith("lowerdir=") for word in mount.get("options", ()))
        _require(layered, f"mounts {mounts}")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise InvalidResultError(f"{what} is not what was asked for")


_PLANS: Final[Mapping[str, Callable[[Run], Plan]]] = MappingProxyType(
    {
        "noop": _noop,
        "prepare": _prepare,
        "view": _view,
        "mounts": _mounts,
        "stat": _stat,
        "commit": _commit,
        "update": _update,
        "remove": _remove,
        "list": _list_all,
        "list-tenth": _list_some,
    }
)
OPERATIONS: Final = tuple(_PLANS)
LISTS: Final = ("list", "list-tenth")
