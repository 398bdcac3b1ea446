"""JSON as it may come from anyone: typed, without duplicate keys, not too deep.

Two readers that disagree about one document are a security hole
(CVE-2021-41190), so whatever another reader could take in another way is refused:
duplicate keys, NaN, bytes after the end, text that is not UTF-8.
"""

from __future__ import annotations

import json
from typing import Final, NoReturn, TypeVar

import msgspec

from snapfs.errors import DataLossError

T = TypeVar("T")

# Values of a document shown in a message, at most.
_SHOWN: Final = 100


def decode(content: bytes, shape: type[T], what: str) -> tuple[T, object]:
    """Return ``content`` as a ``shape``, and as the plain values it is made of.

    ``what`` names the document in messages. The caller has limited its size.

    Raises:
        DataLossError: It is not JSON, or not of this shape; the message names the
            field as a path below ``$``, the document itself.
    """
    try:
        typed = msgspec.json.decode(content, type=shape)
        plain = json.loads(
            content, object_pairs_hook=_object, parse_constant=_no_constant
        )
    except RecursionError:
        raise DataLossError(f"{what}: the JSON is nested too deeply") from None
    except _DuplicateKeyError as error:
        raise DataLossError(f"{what}: the key {error} occurs twice") from None
    except msgspec.ValidationError as error:
        raise DataLossError(f"{what}: {error}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise DataLossError(f"{what} is not JSON: {error}") from error
    return typed, plain


class _DuplicateKeyError(Exception):
    """An object has the same key twice; the argument is how to show it."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKeyError(shown(key))
            seen.add(key)
    return result


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


def shown(text: str) -> str:
    """Return ``text`` for a message: quoted, escaped, and not too long."""
    if len(text) > _SHOWN:
        text = text[:_SHOWN] + "..."
    return ascii(text)
