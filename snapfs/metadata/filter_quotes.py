r"""Quoted parts of a filter: Go string literals between ``"``, ``/`` or ``|``.

The rules are those of containerd's ``pkg/filters/quote.go`` together with
``scanner.go``: the escapes of a Go string literal (The Go Programming Language
Specification, "String literals"), and the quote itself escaped. So a regular
expression between slashes doubles its backslashes: ``name~=/v\\d+/``.
"""

from __future__ import annotations

import string
from typing import Final

from snapfs.metadata.filter_errors import filter_error

_LETTERS: Final = {
    "a": b"\a",
    "b": b"\b",
    "f": b"\f",
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
    "v": b"\v",
    "\\": b"\\",
}
_HEX_LENGTHS: Final = {"x": 2, "u": 4, "U": 8}
_MAX_RUNE: Final = 0x10FFFF
_RUNE_ERROR: Final = "\N{REPLACEMENT CHARACTER}".encode()


def find_illegal_character(character: str) -> str:
    """Say why ``character`` may stand nowhere in a filter; "" if it may.

    containerd takes U+FFFD, which Go decodes broken UTF-8 to, for broken UTF-8 even
    where it was written as such. Lone surrogates are how Python writes that.
    """
    if character == "\0":
        return "a null character"
    if character == "\N{REPLACEMENT CHARACTER}" or "\ud800" <= character <= "\udfff":
        return "not valid UTF-8"
    return ""


def read_quoted(text: str, start: int) -> tuple[str, int]:
    """Return the value of the literal at ``start`` and the index behind it.

    ``text[start]`` is the quote, whichever it is. Bytes that are not UTF-8, which
    escapes can write, become lone surrogates as from ``os.fsdecode``.

    Raises:
        InvalidArgumentError: The literal does not end on its line, or an escape or
            a character in it is illegal.
    """
    quote = text[start]
    value = bytearray()
    at = start + 1
    while (character := text[at : at + 1]) != quote:
        if character in ("", "\n"):
            raise filter_error(text, start, _explain_unclosed(quote))
        if fault := find_illegal_character(character):
            raise filter_error(text, at, fault)
        if character == "\\":
            unescaped, at = _read_escape(text, at, quote)
            value += unescaped
        else:
            value += character.encode()
            at += 1
    return value.decode("utf-8", "surrogateescape"), at + 1


def _explain_unclosed(quote: str) -> str:
    fault = f"the quote {quote} that opens here is not closed"
    if quote == '"':
        return fault
    # The usual mistake is labels.containerd.io/gc.root, without quotes.
    return f"{fault}; what begins with or holds {quote} needs double quotes"


def _read_escape(text: str, start: int, quote: str) -> tuple[bytes, int]:
    """Return the bytes that the escape at ``start`` writes, and the index behind it."""
    at = start + 1
    letter = text[at : at + 1]
    if letter == quote:
        return quote.encode(), at + 1
    if letter in _LETTERS:
        return _LETTERS[letter], at + 1
    if letter and letter in string.octdigits:
        return _read_octal(text, start)
    if letter in _HEX_LENGTHS:
        return _read_hexadecimal(text, start, letter)
    raise filter_error(
        text, start, "no such escape; a backslash itself is written \\\\"
    )


def _read_octal(text: str, start: int) -> tuple[bytes, int]:
    byte = int(_read_digits(text, start + 1, 3, string.octdigits), 8)
    if byte > 0xFF:
        raise filter_error(text, start, "an octal escape is one byte, at most \\377")
    return bytes([byte]), start + 4


def _read_hexadecimal(text: str, start: int, letter: str) -> tuple[bytes, int]:
    length = _HEX_LENGTHS[letter]
    end = start + 2 + length
    code = int(_read_digits(text, start + 2, length, string.hexdigits), 16)
    if letter == "x":
        return bytes([code]), end
    if code >= 1 << 31:
        # containerd keeps the code in an int32; a negative one passes its limit,
        # and of a code below 0x80 it writes the low byte.
        return bytes([code & 0xFF]), end
    if code > _MAX_RUNE:
        raise filter_error(text, start, "no such Unicode character")
    if 0xD800 <= code <= 0xDFFF:
        return _RUNE_ERROR, end
    return chr(code).encode(), end


def _read_digits(text: str, at: int, length: int, alphabet: str) -> str:
    digits = text[at : at + length]
    if len(digits) < length or any(digit not in alphabet for digit in digits):
        raise filter_error(text, at, f"the escape needs {length} digits")
    return digits
