"""What a registry asks for when it says 401: ``WWW-Authenticate``, read.

Grammar: RFC 9110, section 11; the meaning of Bearer's parameters: distribution's
docs, "Token Authentication Specification".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

# Far above any real one; the parser's work is linear in it.
_LONGEST_HEADER: Final = 8192

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - a grammar
_SCHEME: Final = re.compile(rf"[ \t,]*({_TOKEN})(?:[ \t]+|$|(?=,))")
_PARAMETER: Final = re.compile(
    rf'[ \t,]*({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))'
)
_TOKEN68: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)")
_ESCAPED: Final = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to log in; scheme and parameters' names in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Return the challenges of all ``WWW-Authenticate`` headers, in order.

    What is not in the grammar ends the reading of its header; what came before it
    counts.
    """
    return [found for header in headers for found in _parse(header[:_LONGEST_HEADER])]


def _parse(header: str) -> list[Challenge]:
    found: list[Challenge] = []
    position = 0
    while match := _SCHEME.match(header, position):
        position = match.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, position):
            name, quoted, plain = parameter.groups()
            value = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
            parameters.setdefault(name.lower(), value)
            position = parameter.end()
        if not parameters and (credentials := _TOKEN68.match(header, position)):
            position = credentials.end()  # such as Negotiate's; not for us
        found.append(Challenge(match.group(1).lower(), parameters))
    return found
