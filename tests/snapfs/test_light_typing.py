"""What stands for ``typing`` has its names, and makes the classes that it makes."""

from __future__ import annotations

import pickle
import typing
from types import ModuleType
from typing import Any

import pytest

from snapfs import light_typing


def size_of(module: ModuleType) -> type[Any]:
    class Size(module.NamedTuple):  # type: ignore[misc,name-defined]  # of either
        """What a tree occupies."""

        files: int
        inodes: int = 1
        names: tuple[str, ...] = ()

        @property
        def total(self) -> int:
            return self.files + self.inodes

        def __str__(self) -> str:
            return f"{self.files} files"

    return Size


class Place(light_typing.NamedTuple):
    """In a module, where pickle finds it."""

    layer: int
    path: str = "/"


@pytest.mark.parametrize("module", [typing, light_typing], ids=["theirs", "ours"])
def test_named_tuples_are_made_alike(module: ModuleType) -> None:
    size = size_of(module)

    value = size(3, names=("a",))

    assert value == (3, 1, ("a",))
    assert repr(value) == "Size(files=3, inodes=1, names=('a',))"
    assert (str(value), value.total) == ("3 files", 4)
    assert value._replace(files=4)._asdict()["files"] == 4
    assert size._fields == size.__match_args__ == ("files", "inodes", "names")
    assert size._field_defaults == {"inodes": 1, "names": ()}
    assert size.__mro__[1:] == (tuple, object)
    assert size.__doc__ == "What a tree occupies."
    assert (size.__module__, size.__qualname__) == (__name__, "size_of.<locals>.Size")
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        size()
    with pytest.raises(AttributeError):
        value.files = 5


def test_a_named_tuple_survives_pickle() -> None:
    value = pickle.loads(pickle.dumps(Place(2)))

    assert type(value) is Place
    assert value == Place(2, "/")


def test_a_class_with_slots_and_such_bases_has_no_dictionary() -> None:
    kind = light_typing.TypeVar("kind")

    class Caller(light_typing.Protocol):
        __slots__ = ()

    class Held(Caller, light_typing.Generic[kind]):
        __slots__ = ("value",)

    assert not hasattr(Held(), "__dict__")


def test_its_names_are_those_of_typing() -> None:
    assert set(light_typing.__all__) <= set(typing.__all__)
    assert not light_typing.TYPE_CHECKING
