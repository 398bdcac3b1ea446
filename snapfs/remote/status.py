"""Statuses to errors: the reverse of ``service/status.py``, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from snapfs.api.codes import Code, without_class_text
from snapfs.errors import (
    AlreadyExistsError,
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    SnapfsError,
    UnavailableError,
    UnimplementedError,
    UnsafeLayerError,
)

ERRORS: Final[Mapping[Code, type[SnapfsError]]] = MappingProxyType(
    {
        Code.INVALID_ARGUMENT: InvalidArgumentError,
        Code.NOT_FOUND: NotFoundError,
        Code.ALREADY_EXISTS: AlreadyExistsError,
        Code.FAILED_PRECONDITION: FailedPreconditionError,
        Code.UNAVAILABLE: UnavailableError,
        Code.PERMISSION_DENIED: PermissionDeniedError,
        Code.RESOURCE_EXHAUSTED: ResourceExhaustedError,
        Code.UNIMPLEMENTED: UnimplementedError,
        Code.OUT_OF_RANGE: UnsafeLayerError,
        Code.DATA_LOSS: DataLossError,
        Code.INTERNAL: SnapfsError,
    }
)

# What our server never sends on purpose, but a transport or another server does.
_FOREIGN: Final[Mapping[Code, type[SnapfsError]]] = MappingProxyType(
    {
        Code.DEADLINE_EXCEEDED: UnavailableError,
        Code.CANCELLED: UnavailableError,
        Code.UNAUTHENTICATED: PermissionDeniedError,
        Code.ABORTED: FailedPreconditionError,
    }
)


def error_of(code: Code, message: str) -> SnapfsError:
    """Return the error that a status stands for, without errdefs's class text."""
    error_class = ERRORS.get(code) or _FOREIGN.get(code, SnapfsError)
    text = without_class_text(code, message)
    return error_class(text or code.name.lower().replace("_", " "))
