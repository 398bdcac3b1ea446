"""The names of :mod:`typing` that a quick start can have.

``typing`` takes as long to load as Python itself takes to start, and brings ``re``.
What starts often (``--help``, ``mount``, ``snapfs-fuse``) takes its names from here.
Type checkers see those of ``typing``. At run time most stand for nothing, since nobody
evaluates an annotation; the classes among them do what is needed of them:

- ``NamedTuple`` makes the same classes, without looking at the types.
- ``Protocol`` and ``Generic`` are plain bases: what inherits from them is no protocol
  for ``isinstance``.

``ClassVar`` is not here: ``dataclasses`` asks for the true one.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it to be true

if TYPE_CHECKING:
    from typing import (
        IO,
        Any,
        Concatenate,
        Final,
        Generic,
        Literal,
        NamedTuple,
        NoReturn,
        ParamSpec,
        Protocol,
        Self,
        TextIO,
        TypeAlias,
        TypeVar,
    )
else:

    class _Nothing:
        """What no one reads at run time."""

        def __init__(self, *_: object, **__: object) -> None:
            pass

        def __class_getitem__(cls, _types: object) -> type:
            return cls

    IO = Any = Concatenate = Final = Literal = NoReturn = Self = TextIO = _Nothing
    ParamSpec = TypeAlias = TypeVar = _Nothing

    class Protocol:
        """A base that says what its classes have to offer."""

        __slots__ = ()

    class Generic:
        """A base of classes that hold values of any one type."""

        __slots__ = ()
        __class_getitem__ = classmethod(lambda cls, _types: cls)

    class _NamedTupleMaker(type):
        """Makes a named tuple of a class's body."""

        def __new__(
            cls, name: str, _bases: tuple[type, ...], body: dict[str, object]
        ) -> type:
            from collections import namedtuple  # here: some load this module first

            fields = tuple(body.get("__annotations__", ()))
            made = namedtuple(
                name,
                fields,
                defaults=[body[field] for field in fields if field in body],
                module=body["__module__"],
            )
            for word, value in body.items():
                if word not in fields and word != "__module__":
                    setattr(made, word, value)
            return made

    NamedTuple = type.__new__(_NamedTupleMaker, "NamedTuple", (), {})

__all__ = [
    "IO",
    "TYPE_CHECKING",
    "Any",
    "Concatenate",
    "Final",
    "Generic",
    "Literal",
    "NamedTuple",
    "NoReturn",
    "ParamSpec",
    "Protocol",
    "Self",
    "TextIO",
    "TypeAlias",
    "TypeVar",
]
