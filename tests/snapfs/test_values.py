"""Values behave as the standard library's frozen, slotted dataclasses do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from types import ModuleType
from typing import Any, ClassVar

import pytest

from snapfs import values


def pair_of(module: ModuleType) -> type[Any]:
    @module.dataclass(frozen=True, slots=True)
    class Pair:
        """Two things."""

        KIND: ClassVar[str] = "pair"
        first: int
        second: tuple[str, ...] = ()
        third: list[int] = module.field(default_factory=list)

        @property
        def size(self) -> int:
            return self.first + len(self.third)

    return Pair


def one_of(module: ModuleType) -> type[Any]:
    @module.dataclass(frozen=True, slots=True)
    class One:
        only: object

        def __str__(self) -> str:
            return "one"

    return One


def none_of(module: ModuleType) -> type[Any]:
    @module.dataclass(frozen=True, slots=True)
    class Empty:
        pass

    return Empty


def special_of(module: ModuleType) -> type[Any]:
    @module.dataclass(frozen=True, slots=True)
    class Special:
        name: str

        def __post_init__(self) -> None:
            if not self.name:
                raise ValueError("no name")

        def __eq__(self, other: object) -> bool:
            return isinstance(other, type(self)) and self.name[0] == other.name[0]

        def __hash__(self) -> int:
            return hash(self.name[0])

        def __repr__(self) -> str:
            return "special"

    return Special


KINDS = [
    pytest.param(pair_of, (1, ("a",), [2]), id="three fields"),
    pytest.param(pair_of, (1,), id="defaults"),
    pytest.param(one_of, ([],), id="one field"),
    pytest.param(none_of, (), id="no field"),
    pytest.param(special_of, ("ab",), id="methods of its own"),
]


@pytest.mark.parametrize(("kind", "arguments"), KINDS)
def test_a_value_is_as_the_standard_one(kind: Any, arguments: Any) -> None:  # noqa: ANN401 - of any type
    ours, standard = kind(values), kind(dataclasses)

    mine, other = ours(*arguments), standard(*arguments)

    assert repr(mine) == repr(other)
    assert str(mine) == str(other)
    assert mine == ours(*arguments)
    assert mine != other
    assert ours.__slots__ == standard.__slots__
    assert ours.__match_args__ == standard.__match_args__
    assert ours.__doc__ is None or ours.__doc__ == standard.__doc__
    assert ours.__qualname__ == standard.__qualname__
    assert ours.__module__ == standard.__module__
    assert not hasattr(mine, "__dict__")
    if not any(isinstance(argument, list) for argument in arguments) and arguments:
        assert (hash_of(mine), hash_of(ours(*arguments))) == (hash_of(other),) * 2


def hash_of(value: object) -> object:
    try:
        return hash(value)
    except TypeError as error:
        return str(error)


@pytest.mark.parametrize("made_before", [0, 9])
def test_words_and_defaults_are_taken_as_in_a_call(made_before: int) -> None:
    pair = pair_of(values)
    for _ in range(made_before):
        pair(1)

    assert pair(first=1, third=[3]) == pair(1, (), [3])
    assert pair(1).third is not pair(1).third
    assert pair.KIND == "pair"
    assert pair(1, third=[1]).size == 2
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        pair()
    with pytest.raises(TypeError, match="unexpected keyword argument 'fourth'"):
        pair(1, fourth=2)
    with pytest.raises(TypeError, match="multiple values for argument 'first'"):
        pair(1, first=2)
    with pytest.raises(TypeError, match="takes from 2 to 4 positional arguments"):
        pair(1, (), [], 4)


def test_a_value_compares_by_its_fields_and_its_class() -> None:
    one = one_of(values)

    assert one(1) != one(2)
    assert one(1) != 1
    assert {one(1), one(1), one(2)} == {one(1), one(2)}
    assert special_of(values)("ab").__eq__(1) is False
    assert one_of(values)(1) != one_of(values)(1)


def test_a_value_cannot_be_changed() -> None:
    made = pair_of(values)(1)

    with pytest.raises(dataclasses.FrozenInstanceError, match="assign to field"):
        made.first = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="delete field 'first'"):
        del made.first
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.another = 2


@pytest.mark.parametrize("made_before", [0, 9])
def test_what_its_own_check_refuses_is_not_made(made_before: int) -> None:
    special = special_of(values)
    for _ in range(made_before):
        special("a")

    with pytest.raises(ValueError, match="no name"):
        special("")


def test_the_standard_functions_know_it() -> None:
    pair = pair_of(values)
    made = pair(1, ("a",), [2])

    fields = dataclasses.fields(pair)

    assert [field.name for field in fields] == ["first", "second", "third"]
    assert fields[2].default_factory is list
    assert dataclasses.asdict(made) == {"first": 1, "second": ("a",), "third": [2]}
    assert dataclasses.replace(made, first=2) == pair(2, ("a",), [2])
    assert values.replace(made, first=2) == pair(2, ("a",), [2])
    assert dataclasses.is_dataclass(made)


@values.dataclass(frozen=True, slots=True)
class Stored:
    """A value that can be found by its name."""

    first: int
    second: str = "b"


def test_a_value_can_be_copied_and_stored() -> None:
    assert copy.copy(Stored(1)) == Stored(1)
    assert copy.deepcopy(Stored(1)) == Stored(1)
    assert pickle.loads(pickle.dumps(Stored(1, "c"))) == Stored(1, "c")


def test_a_value_is_matched_by_position() -> None:
    match Stored(1, "c"):
        case Stored(first, second):
            assert (first, second) == (1, "c")
