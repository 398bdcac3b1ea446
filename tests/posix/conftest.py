"""Each case runs seven times: on a plain directory, and on three unions and layers."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import pytest

from support.fuse_mounts import mounted_union
from support.posix_objects import Builder
from support.posix_place import SETTINGS, MountUnion, Place, mounted_overlay, places

MakePlace: TypeAlias = Callable[[str, str, Sequence[Builder]], Place]


_DRIVERS: Final[Mapping[str, MountUnion]] = {
    "kernel": mounted_overlay,
    "fuse": mounted_union,
    "io": functools.partial(mounted_union, options=("mode=io",)),
}


def _marks(setting: str) -> list[pytest.MarkDecorator]:
    # Owners, devices, trusted attributes: the oracle too is for root only.
    is_fuse = setting.startswith(("fuse", "io"))
    return [pytest.mark.root, *([pytest.mark.fuse] if is_fuse else [])]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "placed(*builders): what the case starts with")


@pytest.fixture(scope="module")
def make_place(request: pytest.FixtureRequest) -> Iterator[MakePlace]:
    """The module's mounts: one of each driver, with all that lies below."""
    below: dict[str, dict[str, Sequence[Builder]]] = {it: {} for it in _DRIVERS}
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.module is request.module:
            driver, _, layer = _setting(item).partition("-")
            if layer == "lower":
                below[driver][_case(item)] = _builders(item)
    with places(_DRIVERS, below) as make:
        yield make


@pytest.fixture(params=[pytest.param(it, marks=_marks(it)) for it in SETTINGS])
def place(request: pytest.FixtureRequest, make_place: MakePlace) -> Place:
    """The case's directory, with what ``placed`` asked for."""
    item = request.node
    return make_place(_case(item), request.param, _builders(item))


def _setting(item: pytest.Function) -> str:
    return str(item.callspec.params.get("place", "plain"))


def _case(item: pytest.Item) -> str:
    """Return a directory's name for the case: short, and its own in the module."""
    return hashlib.blake2b(item.nodeid.encode(), digest_size=8).hexdigest()


def _builders(item: pytest.Item) -> Sequence[Builder]:
    marks = reversed(list(item.iter_markers("placed")))  # the module's first
    return [build for mark in marks for build in mark.args]
