"""The status of a call: gRPC's numbers and containerd's words for them."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final


class Code(enum.IntEnum):
    """gRPC's status codes (grpc/doc/statuscodes.md)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


# The text of each error class in containerd's errdefs (errdefs/errors.go). Its
# client strips one ": <text>" from the end of a message before it wraps the class
# around it (errgrpc/grpc.go), so a message ends with it exactly once.
CLASS_TEXTS: Final[Mapping[Code, str]] = MappingProxyType(
    {
        Code.UNKNOWN: "unknown",
        Code.INVALID_ARGUMENT: "invalid argument",
        Code.NOT_FOUND: "not found",
        Code.ALREADY_EXISTS: "already exists",
        Code.PERMISSION_DENIED: "permission denied",
        Code.RESOURCE_EXHAUSTED: "resource exhausted",
        Code.FAILED_PRECONDITION: "failed precondition",
        Code.ABORTED: "aborted",
        Code.OUT_OF_RANGE: "out of range",
        Code.UNIMPLEMENTED: "not implemented",
        Code.INTERNAL: "internal",
        Code.UNAVAILABLE: "unavailable",
        Code.DATA_LOSS: "data loss",
        Code.UNAUTHENTICATED: "unauthorized",
    }
)


def with_class_text(code: Code, message: str) -> str:
    """Return ``message`` ending with the class text of ``code`` exactly once."""
    text = CLASS_TEXTS.get(code)
    if text is None:
        return message
    bare = without_class_text(code, message)
    return f"{bare}: {text}" if bare else text


def without_class_text(code: Code, message: str) -> str:
    """Return ``message`` without the class text of ``code`` at its end, if any."""
    text = CLASS_TEXTS.get(code)
    if text is None:
        return message
    return "" if message == text else message.removesuffix(f": {text}")


def has_class_text(code: Code, message: str) -> bool:
    """Return whether ``message`` ends with the class text of ``code``."""
    return without_class_text(code, message) != message
