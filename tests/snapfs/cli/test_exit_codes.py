from __future__ import annotations

import errno
import inspect

import click
import pytest

from snapfs import errors
from snapfs.cli.exit_codes import EXIT_CODES, exit_code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(errors.InvalidArgumentError("x"), 2, id="invalid argument"),
        pytest.param(errors.NotFoundError("x"), 3, id="not found"),
        pytest.param(errors.AlreadyExistsError("x"), 4, id="already exists"),
        pytest.param(errors.FailedPreconditionError("x"), 5, id="precondition"),
        pytest.param(errors.UnavailableError("x"), 6, id="unavailable"),
        pytest.param(errors.UnimplementedError("x"), 6, id="unimplemented"),
        pytest.param(errors.DataLossError("x"), 7, id="data loss"),
        pytest.param(errors.UnsafeLayerError("x"), 7, id="unsafe layer"),
        pytest.param(errors.PermissionDeniedError("x"), 1, id="permission"),
        pytest.param(errors.ResourceExhaustedError("x"), 1, id="resources"),
        pytest.param(errors.SnapfsError("x"), 1, id="any other of snapfs"),
        pytest.param(OSError(errno.ENOENT, "x"), 3, id="missing file"),
        pytest.param(OSError(errno.EEXIST, "x"), 4, id="existing file"),
        pytest.param(OSError(errno.EIO, "x"), 1, id="any other of the system"),
        pytest.param(click.UsageError("x"), 2, id="usage"),
        pytest.param(KeyboardInterrupt(), 130, id="interrupt"),
        pytest.param(click.Abort(), 130, id="abort"),
        pytest.param(ZeroDivisionError(), 1, id="a fault of ours"),
    ],
)
def test_each_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


def test_a_class_without_an_entry_takes_that_of_its_nearest_base() -> None:
    assert errors.DigestMismatchError not in EXIT_CODES

    assert exit_code(errors.DigestMismatchError("x")) == 7


def test_every_direct_subclass_of_snapfs_error_has_an_entry() -> None:
    classes = [
        found
        for _, found in inspect.getmembers(errors, inspect.isclass)
        if errors.SnapfsError in found.__bases__
    ]

    assert classes
    assert [found for found in classes if found not in EXIT_CODES] == []
