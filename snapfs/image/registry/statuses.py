"""A registry's refusals, as errors of ours with the registry's own words."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from snapfs.errors import (
    DataLossError,
    DigestMismatchError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    SnapfsError,
    UnavailableError,
    UnimplementedError,
)
from snapfs.image.registry.response import Response

# What is read of an error's body, and what of it is shown.
_LARGEST_BODY: Final = 64 << 10
_LONGEST_MESSAGE: Final = 300

_ERROR_CLASSES: Final[dict[int, type[SnapfsError]]] = {
    401: PermissionDeniedError,
    403: PermissionDeniedError,
    404: NotFoundError,
    405: UnimplementedError,
    407: PermissionDeniedError,
    410: NotFoundError,
    413: ResourceExhaustedError,
    429: ResourceExhaustedError,
    451: PermissionDeniedError,
}

# Distribution-spec, "Error codes": more exact than the status 400 they come with.
_CODE_CLASSES: Final[dict[str, type[SnapfsError]]] = {
    "DIGEST_INVALID": DigestMismatchError,
    "SIZE_INVALID": DataLossError,
    "NAME_INVALID": InvalidArgumentError,
    "MANIFEST_INVALID": InvalidArgumentError,
    "MANIFEST_BLOB_UNKNOWN": FailedPreconditionError,
}

_ADVICE: Final = {
    401: "it may not exist, or needs other credentials: log in to the registry",
    403: "it may not exist, or needs other credentials: log in to the registry",
    407: "the proxy wants a login: HTTP_PROXY takes http://USER:PASSWORD@HOST:PORT",
    429: "too many requests; wait, or log in for a higher limit",
}

# Nothing of a server's text may steer the terminal it is shown on.
_UNPRINTABLE: Final = re.compile(r"[^ -~\u00a1-\u1fff\u3001-\ud7ff]+")


def refusal(response: Response, host: str, what: str) -> SnapfsError:
    """Return the error for an unwanted status, and close the answer.

    Args:
        response: Its body is read, as far as it is short.
        host: What messages call the host.
        what: The object that was asked for, such as ``tag 'v1' of 'a/b'``.
    """
    faults = _server_faults(response)
    words = _words(faults)
    parts = [f"{what} at {host!r}: HTTP status {response.status}"]
    parts += [f"({words})"] if words else []
    message = " ".join(parts)
    if advice := _ADVICE.get(response.status):
        message = f"{message}; {advice}"
    if response.status >= 500:
        return UnavailableError(message)
    if response.status == 400 and faults.errors:
        kind = _CODE_CLASSES.get(faults.errors[0].code, FailedPreconditionError)
        return kind(message)
    return _ERROR_CLASSES.get(response.status, FailedPreconditionError)(message)


class _Fault(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Faults(msgspec.Struct):
    # Distribution-spec, "Error codes"; token services answer with details.
    errors: list[_Fault] = []
    details: str = ""


def _server_faults(response: Response) -> _Faults:
    try:
        body = response.read_document(_LARGEST_BODY)
        return msgspec.json.decode(body, type=_Faults)
    except (SnapfsError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Faults()  # the status says enough; often the body is a proxy's HTML


def _words(faults: _Faults) -> str:
    words = [f"{one.code}: {one.message}".strip(": ") for one in faults.errors[:3]]
    return shown("; ".join(filter(None, words)) or faults.details)


def shown(text: str) -> str:
    """Return a server's text for a message: short, and of printable characters."""
    return _UNPRINTABLE.sub(" ", text).strip()[:_LONGEST_MESSAGE]
