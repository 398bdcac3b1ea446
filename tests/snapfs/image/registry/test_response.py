"""What the headers of an answer say."""

from __future__ import annotations

import pytest
import urllib3

from snapfs.image.registry.response import Response


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("0012", 12),
        ("", None),
        ("-1", None),
        ("1, 1", None),
        ("\u0661", None),
    ],
)
def test_a_header_is_a_number_or_none(text: str, number: int | None) -> None:
    response = Response("http://a", urllib3.HTTPResponse(headers={"X": text}))

    assert response.number("X") == number
    assert response.number("Y") is None


def test_a_length_of_thousands_of_digits_is_a_large_one() -> None:
    headers = {"Content-Length": "9" * 5000}
    response = Response("http://a", urllib3.HTTPResponse(headers=headers))

    assert response.content_length is not None
    assert response.content_length > 1 << 64
