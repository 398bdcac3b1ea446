"""WWW-Authenticate, by the grammar and beyond it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapfs.image.registry.challenges import Challenge, parse_challenges


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param("Basic", [Challenge("basic", {})], id="bare"),
        pytest.param(
            'BEARER Realm="https://a/t",service="s, x",scope="r:a:pull,push"',
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://a/t",
                        "service": "s, x",
                        "scope": "r:a:pull,push",
                    },
                )
            ],
            id="bearer",
        ),
        pytest.param(
            'Negotiate YWJj=, Basic realm="a\\"b" , Bearer realm = plain',
            [
                Challenge("negotiate", {}),
                Challenge("basic", {"realm": 'a"b'}),
                Challenge("bearer", {"realm": "plain"}),
            ],
            id="several",
        ),
        pytest.param('Bearer realm="open', [Challenge("bearer", {})], id="unclosed"),
        pytest.param("", [], id="empty"),
        pytest.param(", ,", [], id="commas"),
        pytest.param("@@@ Basic", [], id="garbage"),
    ],
)
def test_a_header_is_read(header: str, expected: list[Challenge]) -> None:
    assert parse_challenges([header])[: len(expected) or None] == expected


def test_several_headers_count_in_their_order() -> None:
    schemes = [one.scheme for one in parse_challenges(["Basic", "Bearer realm=x"])]

    assert schemes == ["basic", "bearer"]


@given(st.text(alphabet='ab=",\\ \t@é/', max_size=200))
def test_no_header_breaks_the_reader(header: str) -> None:
    for challenge in parse_challenges([header]):
        assert challenge.scheme == challenge.scheme.lower()
