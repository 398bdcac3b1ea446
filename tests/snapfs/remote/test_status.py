"""Statuses become the errors that they were made of."""

from __future__ import annotations

import pytest

from snapfs.api.codes import CLASS_TEXTS, Code
from snapfs.errors import (
    FailedPreconditionError,
    NotFoundError,
    PermissionDeniedError,
    SnapfsError,
    UnavailableError,
)
from snapfs.remote.status import ERRORS, error_of
from snapfs.service.status import CODES, status_of


def test_the_two_tables_invert_each_other() -> None:
    assert {code: error_class for error_class, code in CODES.items()} == ERRORS
    assert len(ERRORS) == len(CODES)


@pytest.mark.parametrize("error_class", list(CODES), ids=lambda cls: cls.__name__)
def test_error_comes_back_with_its_class_and_text(
    error_class: type[SnapfsError],
) -> None:
    status = status_of(error_class("snapshot 'a' is odd"))

    error = error_of(status.code, status.message)

    assert type(error) is error_class
    assert str(error) == "snapshot 'a' is odd"


@pytest.mark.parametrize(
    ("code", "error_class"),
    [
        pytest.param(Code.DEADLINE_EXCEEDED, UnavailableError, id="too late"),
        pytest.param(Code.CANCELLED, UnavailableError, id="server stops"),
        pytest.param(Code.UNAUTHENTICATED, PermissionDeniedError, id="who are you"),
        pytest.param(Code.ABORTED, FailedPreconditionError, id="aborted"),
        pytest.param(Code.UNKNOWN, SnapfsError, id="unknown"),
    ],
)
def test_codes_of_other_servers_have_an_error_too(
    code: Code, error_class: type[SnapfsError]
) -> None:
    assert type(error_of(code, "x")) is error_class


def test_text_of_a_bare_class_is_its_name() -> None:
    assert str(error_of(Code.NOT_FOUND, "not found")) == "not found"
    assert str(error_of(Code.UNKNOWN, "")) == "unknown"


def test_only_the_text_of_its_own_class_comes_off() -> None:
    message = f"mount failed: {CLASS_TEXTS[Code.NOT_FOUND]}"

    assert str(error_of(Code.INTERNAL, message)) == message
    assert isinstance(error_of(Code.NOT_FOUND, message), NotFoundError)
