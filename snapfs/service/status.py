"""Errors to statuses: the one table, and what a client reads.

Look-up is by MRO, so a subclass needs no row of its own. A message is one line that
ends with the text of containerd's error class exactly once (see ``api/codes.py``),
and short enough for an HTTP/2 header.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from snapfs.api.codes import Code, with_class_text
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
from snapfs.rpc import RpcError

CODES: Final[Mapping[type[SnapfsError], Code]] = MappingProxyType(
    {
        InvalidArgumentError: Code.INVALID_ARGUMENT,
        NotFoundError: Code.NOT_FOUND,
        AlreadyExistsError: Code.ALREADY_EXISTS,
        FailedPreconditionError: Code.FAILED_PRECONDITION,
        UnavailableError: Code.UNAVAILABLE,
        PermissionDeniedError: Code.PERMISSION_DENIED,
        ResourceExhaustedError: Code.RESOURCE_EXHAUSTED,
        UnimplementedError: Code.UNIMPLEMENTED,
        UnsafeLayerError: Code.OUT_OF_RANGE,
        DataLossError: Code.DATA_LOSS,
        SnapfsError: Code.INTERNAL,
    }
)

_ERRNO_CODES: Final[Mapping[int, Code]] = MappingProxyType(
    {
        errno.ENOSPC: Code.RESOURCE_EXHAUSTED,
        errno.EDQUOT: Code.RESOURCE_EXHAUSTED,
        errno.EACCES: Code.PERMISSION_DENIED,
        errno.EPERM: Code.PERMISSION_DENIED,
    }
)

# What containerd's collection survives: anything but these two and OK ends the
# whole pass (core/metadata/snapshot.go), and the disk fills.
_REMOVE_CODES: Final = frozenset((Code.NOT_FOUND, Code.FAILED_PRECONDITION))

# A status travels in an HTTP/2 header that grpc drops above 8 KiB, percent-encoded:
# up to three bytes for each one. The end of a message says what is wrong, so a long
# key is cut in the middle.
_HEAD_BYTES: Final = 1500
_TAIL_BYTES: Final = 500


class StatusError(RpcError):
    """How a call failed, ready to be sent.

    Attributes:
        code: The status.
        message: What the client reads.
    """

    code: Code


def status_of(error: Exception) -> StatusError:
    """Return what a client is told about ``error``."""
    code = _code_of(error)
    return StatusError(code, with_class_text(code, _shortened(_text_of(error))))


def removal_status_of(error: Exception) -> StatusError:
    """Return what a client of Remove is told: NOT_FOUND or FAILED_PRECONDITION."""
    status = status_of(error)
    if status.code in _REMOVE_CODES:
        return status
    code = Code.FAILED_PRECONDITION
    text = f"cannot remove now: {_text_of(error)}"
    return StatusError(code, with_class_text(code, _shortened(text)))


def _code_of(error: Exception) -> Code:
    if isinstance(error, OSError):
        return _ERRNO_CODES.get(error.errno or 0, Code.INTERNAL)
    for cls in type(error).__mro__:
        code = CODES.get(cls)
        if code is not None:
            return code
    return Code.INTERNAL


def _text_of(error: Exception) -> str:
    if isinstance(error, SnapfsError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        named = f"{error.filename}: " if error.filename is not None else ""
        return f"{named}{error.strerror}"
    return f"unexpected {type(error).__name__}: {error}"


def _shortened(text: str) -> str:
    """Return ``text`` as one line of valid UTF-8 that fits into a header."""
    raw = " ".join(text.splitlines()).encode("utf-8", "backslashreplace")
    if len(raw) > _HEAD_BYTES + _TAIL_BYTES:
        raw = raw[:_HEAD_BYTES] + b" ... " + raw[-_TAIL_BYTES:]
    return raw.decode("utf-8", "ignore")
