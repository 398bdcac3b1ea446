"""How a filter is cut into words, and where it is said to be wrong."""

from __future__ import annotations

import pytest

from snapfs.errors import InvalidArgumentError
from snapfs.metadata.filter_parser import Operator, Selector, parse_selectors
from snapfs.metadata.filter_quotes import read_quoted
from snapfs.metadata.filter_scanner import Scanner, TokenKind
from snapfs.metadata.filters import parse_filters


def scan_all(text: str) -> list[tuple[int, str, str]]:
    scanner, words = Scanner(text), []
    while (token := scanner.scan()).kind is not TokenKind.END:
        words.append((token.position, token.kind.value, token.text))
    return words


def fault_in(text: str) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_filters([text])
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("_n4me", [(0, "field", "_n4me")], id="field"),
        pytest.param("12", [(0, "field", "12")], id="a field may begin with a digit"),
        pytest.param(
            "a==b,c",
            [
                (0, "field", "a"),
                (1, "operator", "=="),
                (3, "value", "b"),
                (4, "separator", ","),
                (5, "field", "c"),
            ],
            id="a value ends at a comma and a field follows",
        ),
        pytest.param(
            "a.b~=[x]+\\.y",
            [
                (0, "field", "a"),
                (1, "separator", "."),
                (2, "field", "b"),
                (3, "operator", "~="),
                (5, "value", "[x]+\\.y"),
            ],
            id="a value may hold dots and backslashes",
        ),
        pytest.param(
            'a==b"/|=!~.牛',
            [(0, "field", "a"), (1, "operator", "=="), (3, "value", 'b"/|=!~.牛')],
            id="a value may hold what it cannot begin with",
        ),
        pytest.param(
            "a==\x01b\x01",
            [
                (0, "field", "a"),
                (1, "operator", "=="),
                (3, "value", "\x01b"),
                (5, "other", "\x01"),
            ],
            id="a control character may begin a value but not go on",
        ),
        pytest.param(
            " a\t=\u3000b\xa0c ",
            [
                (1, "field", "a"),
                (3, "operator", "="),
                (5, "value", "b"),
                (7, "field", "c"),
            ],
            id="white space ends a value and is skipped",
        ),
        pytest.param("a\x1c", [(0, "field", "a"), (1, "other", "\x1c")], id="no space"),
        pytest.param("=!~", [(0, "operator", "=!~")], id="operators run together"),
        pytest.param(
            '"x y".|z|',
            [(0, "quoted", "x y"), (5, "separator", "."), (6, "quoted", "z")],
            id="quoted",
        ),
    ],
)
def test_scanner_cuts_a_filter_into_words(
    text: str, expected: list[tuple[int, str, str]]
) -> None:
    assert scan_all(text) == expected


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        pytest.param('""', "", id="empty"),
        pytest.param('"/|,\'"', "/|,'", id="other quotes"),
        pytest.param(r'"\a\b\f\n\r\t\v\\\""', '\a\b\f\n\r\t\v\\"', id="letters"),
        pytest.param(r"/\//", "/", id="escaped slash"),
        pytest.param(r"|\||", "|", id="escaped bar"),
        pytest.param(r'"\101\000\377"', "A\0\udcff", id="octal bytes"),
        pytest.param(r'"\x41\xC3\xa9\xff"', "Aé\udcff", id="hexadecimal bytes"),
        pytest.param(r'"\u00e9\U0001F600"', "é😀", id="Unicode"),
        pytest.param(r'"\ud83d\ude00"', "\ufffd\ufffd", id="surrogates do not pair"),
        pytest.param(r'"\UFFFFFF41"', "A", id="negative in an int32"),
        pytest.param(r'"\x411"', "A1", id="two digits, not more"),
    ],
)
def test_literals_read_as_in_go(literal: str, expected: str) -> None:
    assert read_quoted(f"{literal}tail", 0) == (expected, len(literal))


@pytest.mark.parametrize(
    ("literal", "position", "fault"),
    [
        pytest.param('"a', 1, "not closed", id="end of text"),
        pytest.param('"a\nb"', 1, "not closed", id="end of line"),
        pytest.param('"a\\"', 1, "not closed", id="only an escaped quote"),
        pytest.param(r'"a\g"', 3, "no such escape", id="unknown letter"),
        pytest.param(r'"\/"', 2, "no such escape", id="another quote"),
        pytest.param(r'"\'"', 2, "no such escape", id="single quote"),
        pytest.param(r"/\d/", 2, "no such escape", id="a class of regexps"),
        pytest.param(r'"\8"', 2, "no such escape", id="not octal"),
        pytest.param(r'"\12"', 3, "3 digits", id="short octal"),
        pytest.param(r'"\400"', 2, "one byte", id="large octal"),
        pytest.param(r'"\x4"', 4, "2 digits", id="short byte"),
        pytest.param(r'"\xaz"', 4, "2 digits", id="not hexadecimal"),
        pytest.param(r'"\u123"', 4, "4 digits", id="short Unicode"),
        pytest.param(r'"\U0011_000"', 4, "8 digits", id="underscore"),
        pytest.param(r'"\U00110000"', 2, "no such Unicode", id="above Unicode"),
        pytest.param('"a\0"', 3, "null", id="null"),
        pytest.param('"\ufffd"', 2, "not valid UTF-8", id="replacement character"),
        pytest.param('"\udcff"', 2, "not valid UTF-8", id="surrogate"),
    ],
)
def test_broken_literals_are_refused_where_they_break(
    literal: str, position: int, fault: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=fault) as caught:
        read_quoted(literal, 0)

    assert f"at character {position}:" in str(caught.value)


def test_parser_keeps_the_fields_the_operator_and_the_value() -> None:
    assert parse_selectors('a."b.c"!=d,e~=/f,g/,h') == (
        Selector(("a", "b.c"), Operator.NOT_EQUAL, "d"),
        Selector(("e",), Operator.MATCHES, "f,g"),
        Selector(("h",), Operator.PRESENT),
    )


@pytest.mark.parametrize(
    ("text", "place", "fault"),
    [
        pytest.param(" ", "at its end", "expected a field", id="only a space"),
        pytest.param(",", "at character 1", "expected a field", id="only a comma"),
        pytest.param("name==foo,", "at its end", "expected a field", id="last comma"),
        pytest.param("labels.", "at its end", "expected a field", id="last dot"),
        pytest.param(
            'labels.?"a"', "at character 8", "expected a field", id="no field"
        ),
        pytest.param("name foo", "at character 6", "expected an operator", id="two"),
        pytest.param("name ", "at its end", "expected an operator", id="last space"),
        pytest.param("name ,a", "at character 6", "expected an operator", id="space ,"),
        pytest.param(
            "labels .a", "at character 8", "expected an operator", id="space ."
        ),
        pytest.param("labels.a-b", "at character 9", "double quotes", id="dash"),
        pytest.param("name=foo", "at character 5", "no operator '='", id="single ="),
        pytest.param("name===a", "at character 5", "no operator '==='", id="triple ="),
        pytest.param("name==", "at its end", "expected a value", id="no value"),
        pytest.param("a~=,b", "at character 4", "expected a value", id="comma"),
        pytest.param("a==.b", "at character 4", "expected a value", id="dot first"),
        pytest.param("a== =b", "at character 5", "expected a value", id="operator"),
        pytest.param("a==b c", "at character 5", "only a comma", id="second value"),
        pytest.param("a==b ", "at character 5", "only a comma", id="space at the end"),
        pytest.param('a=="b"c', "at character 7", "only a comma", id="behind a quote"),
        pytest.param("a.|b|", "at character 3", "cannot quote a field", id="bar field"),
        pytest.param("a==/b/", "at character 4", "after ~= only", id="slashed value"),
        pytest.param("a\0b", "at character 2", "null", id="null"),
        pytest.param(
            "labels.containerd.io/gc.root==1",
            "at character 21",
            "holds / needs double quotes",
            id="label without quotes",
        ),
    ],
)
def test_broken_filters_are_refused_where_they_break(
    text: str, place: str, fault: str
) -> None:
    message = fault_in(text)

    assert message.startswith(f"filter {text!r}, {place}: ")
    assert fault in message


def test_the_error_for_a_huge_filter_shows_the_place_only() -> None:
    message = fault_in("name==" + "x" * 100_000 + " ?" + "y" * 100_000)

    assert "at character 100007:" in message
    assert "xxx ?yyy" in message
    assert len(message) < 300


def test_the_error_for_a_filter_of_many_lines_is_one_line() -> None:
    assert "\n" not in fault_in("name==a\n\nname==b")
