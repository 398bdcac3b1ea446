"""The words of a filter, as containerd's ``pkg/filters/scanner.go`` cuts them.

The cut depends on what came before: behind an operator, any run of printable
characters is one value (``sha256:12/34``), elsewhere only a name of letters, digits
and underscores is a word. Quotes, separators and operators win over both, so a
plain value cannot begin with ``" / | . , = ! ~``, though it may hold them all but
the comma.
"""

from __future__ import annotations

import dataclasses
import enum
import string
import unicodedata
from collections.abc import Callable
from typing import Final

from snapfs.metadata.filter_errors import filter_error
from snapfs.metadata.filter_quotes import find_illegal_character, read_quoted

_QUOTES: Final = frozenset('"/|')
_SEPARATORS: Final = frozenset(",.")
_OPERATOR_CHARACTERS: Final = frozenset("=!~")
_FIELD_CHARACTERS: Final = frozenset(string.ascii_letters + string.digits + "_")

# Unicode's White_Space property, which Go's unicode.IsSpace tests. str.isspace()
# would add the separators U+001C to U+001F.
_SPACES: Final = frozenset(
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
    "\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
# Letters, marks, numbers, punctuation and symbols: Go's unicode.IsGraphic but for
# the spaces. A character newer than this Python's Unicode is in none of them.
_GRAPHIC_CATEGORIES: Final = frozenset("LMNPS")


class TokenKind(enum.Enum):
    """What a word of a filter is."""

    FIELD = "field"
    VALUE = "value"
    QUOTED = "quoted"
    SEPARATOR = "separator"
    OPERATOR = "operator"
    OTHER = "other"
    END = "end"


@dataclasses.dataclass(frozen=True, slots=True)
class Token:
    """One word of a filter.

    Attributes:
        kind: What it is.
        position: The index of its first character.
        text: The word; of a quoted one, what it stands for; "" at the end.
        quote: The quote that encloses it; "" for none.
    """

    kind: TokenKind
    position: int
    text: str = ""
    quote: str = ""


class Scanner:
    """Reads one filter from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._expects_value = False

    @property
    def position(self) -> int:
        """The index of the character that :meth:`peek` returns."""
        return self._at

    def peek(self) -> str:
        """Return the next character, a space too; "" at the end."""
        return self._text[self._at : self._at + 1]

    def scan(self) -> Token:
        """Skip white space and return the next token.

        Raises:
            InvalidArgumentError: A quoted part is broken, or the next character may
                stand nowhere in a filter.
        """
        self._skip(_SPACES.__contains__)
        start = self._at
        character = self.peek()
        if not character:
            return Token(TokenKind.END, start)
        if fault := find_illegal_character(character):
            raise filter_error(self._text, start, fault)
        if character in _QUOTES:
            value, self._at = read_quoted(self._text, start)
            return Token(TokenKind.QUOTED, start, value, quote=character)
        kind = self._skip_word(character)
        return Token(kind, start, self._text[start : self._at])

    def _skip_word(self, character: str) -> TokenKind:
        # The first character belongs to the word whatever it is: containerd takes
        # even a control character as the first of a value.
        self._at += 1
        if character in _SEPARATORS:
            self._expects_value = False
            return TokenKind.SEPARATOR
        if character in _OPERATOR_CHARACTERS:
            self._skip(_OPERATOR_CHARACTERS.__contains__)
            self._expects_value = True
            return TokenKind.OPERATOR
        if self._expects_value:
            self._skip(_is_value_character)
            self._expects_value = False
            return TokenKind.VALUE
        if character in _FIELD_CHARACTERS:
            self._skip(_FIELD_CHARACTERS.__contains__)
            return TokenKind.FIELD
        return TokenKind.OTHER

    def _skip(self, belongs: Callable[[str], bool]) -> None:
        while (character := self.peek()) and belongs(character):
            self._at += 1


def _is_value_character(character: str) -> bool:
    if character == "," or find_illegal_character(character):
        return False
    return unicodedata.category(character)[0] in _GRAPHIC_CATEGORIES
