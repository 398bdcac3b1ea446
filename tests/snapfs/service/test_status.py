"""What a client is told about an error."""

from __future__ import annotations

import errno
import os

import pytest

from snapfs import errors
from snapfs.api.codes import CLASS_TEXTS, Code
from snapfs.service.status import CODES, removal_status_of, status_of


def subclasses(cls: type[errors.SnapfsError]) -> set[type[errors.SnapfsError]]:
    direct = set(cls.__subclasses__())
    return direct.union(*map(subclasses, direct))


@pytest.mark.parametrize(
    ("error_class", "code"),
    [
        pytest.param(errors.InvalidArgumentError, Code.INVALID_ARGUMENT),
        pytest.param(errors.NotFoundError, Code.NOT_FOUND),
        pytest.param(errors.AlreadyExistsError, Code.ALREADY_EXISTS),
        pytest.param(errors.FailedPreconditionError, Code.FAILED_PRECONDITION),
        pytest.param(errors.UnavailableError, Code.UNAVAILABLE),
        pytest.param(errors.PermissionDeniedError, Code.PERMISSION_DENIED),
        pytest.param(errors.ResourceExhaustedError, Code.RESOURCE_EXHAUSTED),
        pytest.param(errors.UnimplementedError, Code.UNIMPLEMENTED),
        pytest.param(errors.UnsafeLayerError, Code.OUT_OF_RANGE),
        pytest.param(errors.DataLossError, Code.DATA_LOSS),
        pytest.param(errors.DigestMismatchError, Code.DATA_LOSS, id="by MRO"),
        pytest.param(errors.SnapfsError, Code.INTERNAL),
    ],
)
def test_each_class_has_its_code(
    error_class: type[errors.SnapfsError], code: Code
) -> None:
    status = status_of(error_class("snapshot 'a' is odd"))

    assert status.code is code
    assert status.message == f"snapshot 'a' is odd: {CLASS_TEXTS[code]}"


def test_only_a_subclass_by_mro_is_missing_in_the_table() -> None:
    missing = subclasses(errors.SnapfsError) - set(CODES)

    assert missing == {errors.DigestMismatchError}


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(errno.ENOSPC, Code.RESOURCE_EXHAUSTED, id="ENOSPC"),
        pytest.param(errno.EDQUOT, Code.RESOURCE_EXHAUSTED, id="EDQUOT"),
        pytest.param(errno.EACCES, Code.PERMISSION_DENIED, id="EACCES"),
        pytest.param(errno.EPERM, Code.PERMISSION_DENIED, id="EPERM"),
        pytest.param(errno.EIO, Code.INTERNAL, id="EIO"),
    ],
)
def test_operating_system_errors_have_a_code_by_errno(number: int, code: Code) -> None:
    status = status_of(OSError(number, os.strerror(number), "/store/x"))

    assert status.code is code
    assert status.message == f"/store/x: {os.strerror(number)}: {CLASS_TEXTS[code]}"


def test_an_operating_system_error_without_errno_is_internal() -> None:
    assert status_of(OSError("odd")).code is Code.INTERNAL


def test_an_unexpected_error_is_internal_and_one_line() -> None:
    status = status_of(KeyError("one\ntwo"))

    assert status.code is Code.INTERNAL
    assert status.message == "unexpected KeyError: 'one\\ntwo': internal"


def test_a_message_of_several_lines_becomes_one() -> None:
    status = status_of(errors.NotFoundError("one\ntwo\r\nthree"))

    assert status.message == "one two three: not found"


def test_a_long_key_is_cut_in_the_middle() -> None:
    message = f"snapshot {'ü' * 100_000!r} does not exist"

    status = status_of(errors.NotFoundError(message))

    assert len(status.message.encode()) < 2100
    assert status.message.startswith("snapshot 'ü")
    assert status.message.endswith("ü' does not exist: not found")


def test_a_file_name_that_is_not_utf8_can_be_sent() -> None:
    status = status_of(OSError(errno.EIO, "broken", "/store/\udcff"))

    assert status.message.encode() == b"/store/\\udcff: broken: internal"


def test_the_class_text_stands_there_exactly_once() -> None:
    status = status_of(errors.NotFoundError("snapshot 'a': not found"))

    assert status.message == "snapshot 'a': not found"


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(errors.InvalidArgumentError("no key"), id="invalid argument"),
        pytest.param(errors.DataLossError("bad row"), id="data loss"),
        pytest.param(errors.UnavailableError("closed"), id="unavailable"),
        pytest.param(OSError(errno.EIO, "broken"), id="EIO"),
        pytest.param(OSError(errno.ENOSPC, "full"), id="ENOSPC"),
        pytest.param(ZeroDivisionError("odd"), id="unexpected"),
    ],
)
def test_removal_tells_any_other_error_as_a_failed_precondition(
    error: Exception,
) -> None:
    status = removal_status_of(error)

    assert status.code is Code.FAILED_PRECONDITION
    assert status.message.startswith("cannot remove now: ")
    assert status.message.endswith(": failed precondition")


@pytest.mark.parametrize(
    "error",
    [errors.NotFoundError("no 'a'"), errors.FailedPreconditionError("cannot remove")],
)
def test_removal_tells_its_own_errors_as_they_are(error: errors.SnapfsError) -> None:
    removal, usual = removal_status_of(error), status_of(error)

    assert (removal.code, removal.message) == (usual.code, usual.message)
