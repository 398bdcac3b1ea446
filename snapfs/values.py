"""Frozen, slotted dataclasses that cost little to define.

The ``dataclasses`` module compiles seven functions for each class and loads
``inspect`` first: half a millisecond a class, which was a quarter of the time of a
short command. :func:`dataclass` makes classes that behave alike, and that type checkers
take for such ones; it compiles one function, and that only for those of which more
than a few values are made.

They have no base with fields, and no fields but arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

from snapfs.light_typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from dataclasses import dataclass, field, replace
else:

    def dataclass(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        """Return a decorator, as :func:`dataclasses.dataclass` with these words."""
        assert frozen, "there are no others here"
        assert slots, "there are no others here"
        return _made

    def field(*, default_factory: Callable[[], object]) -> object:
        """Say what makes the default of a field."""
        return _Factory(default_factory)

    def replace(value: object, /, **changes: object) -> object:
        """Return a value with other fields, as :func:`dataclasses.replace`."""
        names = type(value).__match_args__
        return type(value)(**{name: getattr(value, name) for name in names} | changes)


__all__ = ["dataclass", "field", "replace"]

# To set the fields of so many values one by one takes less time than to compile what
# sets them: a tenth of a millisecond.
_FEW: Final = 3


class _Factory:
    """The default of a field that is made anew for each value."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], object]) -> None:
        self.make = make


class _Standard:
    """What only those ask for who look at fields: made when they do."""

    __slots__ = ("_name", "_plain")

    def __init__(self, name: str, plain: type) -> None:
        self._name = name
        self._plain = plain

    def __get__(self, _value: object, _owner: type) -> object:
        import dataclasses

        plain = self._plain
        if "__dataclass_fields__" not in plain.__dict__:
            for name, default in list(plain.__dict__.items()):
                if isinstance(default, _Factory):
                    made = dataclasses.field(default_factory=default.make)
                    setattr(plain, name, made)
            dataclasses.dataclass(frozen=True)(plain)
        return plain.__dict__[self._name]


def _made(plain: type) -> type:
    """Return the class that a definition stands for."""
    given = plain.__dict__
    names = tuple(
        name
        for name, kind in given.get("__annotations__", {}).items()
        if not str(kind).startswith(("ClassVar", "typing.ClassVar"))
    )
    defaults = {name: given[name] for name in names if name in given}
    methods = _methods(names)
    body: dict[str, Any] = {
        **methods,
        **{
            name: value
            for name, value in given.items()
            if name not in names and name not in ("__dict__", "__weakref__")
        },
        "__slots__": names,
        "__match_args__": names,
        "__dataclass_fields__": _Standard("__dataclass_fields__", plain),
        "__dataclass_params__": _Standard("__dataclass_params__", plain),
    }
    if given.get("__hash__") is None:  # an __eq__ of its own has put that there
        body["__hash__"] = methods["__hash__"]

    left = _FEW

    def __init__(self: object, *args: object, **words: object) -> None:  # noqa: N807
        nonlocal left
        left -= 1
        if left >= 0 and _is_set(self, names, defaults, args, words):
            return
        compiled = _compiled(made, names, defaults)
        made.__init__ = compiled  # type: ignore[misc]  # this is what takes its place
        compiled(self, *args, **words)

    body["__init__"] = __init__
    made = type(plain)(plain.__name__, plain.__bases__, body)
    made.__qualname__ = plain.__qualname__
    return made


def _is_set(
    value: object,
    names: tuple[str, ...],
    defaults: dict[str, object],
    args: tuple[object, ...],
    words: dict[str, object],
) -> bool:
    """Set all fields of a value, if these are the arguments that it takes."""
    given = {**dict(zip(names, args, strict=False)), **words}
    known = {**defaults, **given}
    if len(given) != len(args) + len(words) or known.keys() != set(names):
        return False  # the compiled function says what is wrong
    for name in names:
        one = known[name]
        object.__setattr__(value, name, one.make() if type(one) is _Factory else one)
    if hasattr(value, "__post_init__"):
        value.__post_init__()
    return True


def _compiled(
    made: type, names: tuple[str, ...], defaults: dict[str, object]
) -> Callable[..., None]:
    """Return the ``__init__`` of a class, compiled."""
    scope: dict[str, Any] = {"_missing": _Factory}
    words, lines = ["self"], []
    for name in names:
        scope[f"_set_{name}"] = made.__dict__[name].__set__
        given = name
        if name in defaults:
            default = defaults[name]
            if isinstance(default, _Factory):
                scope[f"_make_{name}"], default = default.make, _Factory
                given = f"_make_{name}() if {name} is _missing else {name}"
            scope[f"_default_{name}"] = default
        words.append(f"{name}=_default_{name}" if name in defaults else name)
        lines.append(f"_set_{name}(self, {given})")
    if hasattr(made, "__post_init__"):
        lines.append("self.__post_init__()")
    text = f"def __init__({', '.join(words)}):\n  " + "\n  ".join(lines or ["pass"])
    exec(text, scope)  # noqa: S102 - of the names of a class in the source
    compiled: Callable[..., None] = scope["__init__"]
    compiled.__qualname__ = f"{made.__qualname__}.__init__"
    return compiled


def _methods(names: tuple[str, ...]) -> dict[str, Callable[..., Any]]:
    """Return what every class has, for its fields."""
    fields: Callable[[object], tuple[object, ...]]
    if len(names) > 1:
        fields = attrgetter(*names)
    else:  # attrgetter would not make a tuple

        def few(value: object) -> tuple[object, ...]:
            return tuple([getattr(value, name) for name in names])

        fields = few

    def __eq__(self: object, other: object) -> bool:  # noqa: N807
        if other.__class__ is self.__class__:
            return bool(fields(self) == fields(other))
        return NotImplemented

    def __hash__(self: object) -> int:  # noqa: N807
        return hash(fields(self))

    def __repr__(self: object) -> str:  # noqa: N807
        shown = (f"{name}={getattr(self, name)!r}" for name in names)
        return f"{self.__class__.__qualname__}({', '.join(shown)})"

    def __reduce__(self: object) -> tuple[type, tuple[object, ...]]:  # noqa: N807
        return self.__class__, fields(self)

    def __setattr__(_self: object, name: str, _value: object) -> None:  # noqa: N807
        raise _frozen(f"cannot assign to field {name!r}")

    def __delattr__(_self: object, name: str) -> None:  # noqa: N807
        raise _frozen(f"cannot delete field {name!r}")

    every = (__eq__, __hash__, __repr__, __reduce__, __setattr__, __delattr__)
    return {method.__name__: method for method in every}


def _frozen(text: str) -> Exception:
    from dataclasses import FrozenInstanceError

    return FrozenInstanceError(text)
