r"""The grammar of one filter, containerd's ``pkg/filters/parser.go``.

.. code-block:: text

    filter    := selector ("," selector)*           every selector must match
    selector  := fieldpath [operator value]         no operator: is it there?
    fieldpath := field ("." field)*
    field     := name | "..."                       name: [A-Za-z0-9_]+
    operator  := "==" | "!=" | "~="
    value     := plain | "..." | /.../ | |...|      the last two for ~= only

White space may stand before any field, operator or value, but not before a comma
or a dot that follows one, nor at the end: containerd looks for those without
skipping it.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Final

from snapfs.errors import InvalidArgumentError
from snapfs.metadata.filter_errors import filter_error
from snapfs.metadata.filter_scanner import Scanner, Token, TokenKind


class Operator(enum.StrEnum):
    """How a selector compares; the values are as written."""

    PRESENT = ""
    EQUAL = "=="
    NOT_EQUAL = "!="
    MATCHES = "~="


_OPERATORS: Final = {str(operator): operator for operator in Operator if operator}


@dataclasses.dataclass(frozen=True, slots=True)
class Selector:
    """One condition of a filter.

    Attributes:
        fieldpath: The names between the dots, unquoted; at least one.
        operator: How to compare.
        value: What to compare with, unquoted; "" for a presence test.
    """

    fieldpath: tuple[str, ...]
    operator: Operator = Operator.PRESENT
    value: str = ""


def parse_selectors(text: str) -> tuple[Selector, ...]:
    """Return the selectors of one filter, all of which must match.

    Raises:
        InvalidArgumentError: ``text`` is not a filter; "" is not one here.
    """
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._scanner = Scanner(text)

    def parse(self) -> tuple[Selector, ...]:
        selectors = [self._parse_selector()]
        while self._scanner.peek() == ",":
            self._scanner.scan()
            selectors.append(self._parse_selector())
        if rest := self._scanner.peek():
            raise filter_error(
                self._text,
                self._scanner.position,
                f"unexpected {rest!r}; only a comma or the end may follow a value",
            )
        return tuple(selectors)

    def _parse_selector(self) -> Selector:
        fieldpath = self._parse_fieldpath()
        if self._scanner.peek() in ("", ","):
            return Selector(fieldpath)
        operator = self._parse_operator()
        return Selector(fieldpath, operator, self._parse_value(operator))

    def _parse_fieldpath(self) -> tuple[str, ...]:
        fields = [self._parse_field()]
        while self._scanner.peek() == ".":
            self._scanner.scan()
            fields.append(self._parse_field())
        return tuple(fields)

    def _parse_field(self) -> str:
        token = self._scanner.scan()
        if token.kind is TokenKind.FIELD or token.quote == '"':
            return token.text
        if token.quote:
            raise self._error(token, f'{token.quote} cannot quote a field; use "')
        raise self._error(token, "expected a field name or a quoted one")

    def _parse_operator(self) -> Operator:
        token = self._scanner.scan()
        if token.kind is not TokenKind.OPERATOR:
            fault = "expected an operator (== or != or ~=)"
            if token.kind is TokenKind.OTHER:
                fault += f"; a name that holds {token.text!r} needs double quotes"
            raise self._error(token, fault)
        if token.text not in _OPERATORS:
            fault = f"no operator {token.text!r}; there are == and != and ~="
            raise self._error(token, fault)
        return _OPERATORS[token.text]

    def _parse_value(self, operator: Operator) -> str:
        token = self._scanner.scan()
        if token.kind not in (TokenKind.VALUE, TokenKind.QUOTED):
            raise self._error(token, "expected a value or a quoted one")
        if token.quote in ("/", "|") and operator is not Operator.MATCHES:
            fault = f'{token.quote} quotes regular expressions, after ~= only; use "'
            raise self._error(token, fault)
        return token.text

    def _error(self, token: Token, fault: str) -> InvalidArgumentError:
        return filter_error(self._text, token.position, fault)
