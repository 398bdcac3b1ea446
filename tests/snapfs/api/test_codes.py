"""The words at the end of a message."""

from __future__ import annotations

import grpc
import pytest

from snapfs.api.codes import (
    CLASS_TEXTS,
    Code,
    has_class_text,
    with_class_text,
    without_class_text,
)


def test_codes_are_those_of_grpc() -> None:
    assert {code.name: code.value for code in Code} == {
        code.name: code.value[0] for code in grpc.StatusCode
    }


def test_every_failure_but_those_of_the_transport_has_a_class_text() -> None:
    without = set(Code) - set(CLASS_TEXTS)

    assert without == {Code.OK, Code.CANCELLED, Code.DEADLINE_EXCEEDED}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param("snapshot 'a'", "snapshot 'a': not found", id="added"),
        pytest.param("snapshot 'a': not found", "snapshot 'a': not found", id="kept"),
        pytest.param("", "not found", id="empty"),
        pytest.param("not found", "not found", id="alone"),
        pytest.param("key was not found", "key was not found: not found", id="inside"),
    ],
)
def test_class_text_ends_a_message_exactly_once(message: str, expected: str) -> None:
    assert with_class_text(Code.NOT_FOUND, message) == expected


@pytest.mark.parametrize("code", list(Code), ids=lambda code: code.name)
def test_class_text_comes_off_again(code: Code) -> None:
    message = with_class_text(code, "disk of 'a'")

    assert without_class_text(code, message) == "disk of 'a'"
    assert has_class_text(code, message) == (code in CLASS_TEXTS)
