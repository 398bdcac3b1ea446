"""Integers with names: classes as those of ``enum``, that cost little to define.

``enum`` takes ten microseconds for each member, and more for each new combination of
flags: a twentieth of the time until a mount is live. Type checkers see its classes. At
run time a member is an integer of the class that knows its name; flags that are joined
stay of their class, and need not be members.
"""

from __future__ import annotations

from snapfs.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import IntEnum, IntFlag
else:

    class _Naming(type):
        """Makes members of the integers in a class's body."""

        def __new__(
            cls, name: str, bases: tuple[type, ...], body: dict[str, object]
        ) -> type:
            words = [
                word  # not Python's own, as __firstlineno__
                for word, value in body.items()
                if type(value) is int and not word.startswith("_")
            ]
            numbers = [body.pop(word) for word in words]
            made = super().__new__(cls, name, bases, body)
            members = {}
            for word, number in zip(words, numbers, strict=True):
                member = members[word] = int.__new__(made, number)
                setattr(made, word, member)
            made.__members__ = members
            made._names = {number: word for word, number in members.items()}
            return made

        def __iter__(cls) -> Iterator[int]:
            """Yield the members."""
            return iter(cls.__members__.values())

        def __len__(cls) -> int:
            """Count the members."""
            return len(cls.__members__)

    class IntEnum(int, metaclass=_Naming):
        """One of some numbers."""

        def __new__(cls, number: int) -> IntEnum:
            """Return the member that is ``number``."""
            name = cls._names.get(number)
            if name is None:
                raise ValueError(f"{number!r} is not a valid {cls.__qualname__}")
            return cls.__members__[name]

        @property
        def name(self) -> str:
            """The name in the class."""
            return self._names[self]

        def __repr__(self) -> str:
            """Name the class, the member and the number."""
            return f"<{type(self).__name__}.{self.name}: {int(self)}>"

        __str__ = int.__repr__

    class IntFlag(int, metaclass=_Naming):
        """Bits, each with a name or without."""

        @property
        def name(self) -> str:
            """The names of its bits, joined by ``|``."""
            named = self.__members__.items()
            return "|".join(word for word, bit in named if bit & self)

        def __repr__(self) -> str:
            """Name the class, the bits and the number."""
            return f"<{type(self).__name__}.{self.name}: {int(self)}>"

        __str__ = int.__repr__

        def __and__(self, other: int) -> IntFlag:
            """Return the bits of both."""
            return type(self)(int(self) & other)

        def __or__(self, other: int) -> IntFlag:
            """Return the bits of either."""
            return type(self)(int(self) | other)

        def __xor__(self, other: int) -> IntFlag:
            """Return the bits of one of the two."""
            return type(self)(int(self) ^ other)

        def __invert__(self) -> IntFlag:
            """Return all bits that have a name but these."""
            return type(self)(sum(self.__members__.values()) & ~int(self))

        __rand__, __ror__, __rxor__ = __and__, __or__, __xor__


__all__ = ["IntEnum", "IntFlag"]
