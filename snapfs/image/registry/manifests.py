"""Manifests of one host: found by tag or digest, never believed unchecked.

Source: distribution-spec, "Pulling manifests".
"""

from __future__ import annotations

from typing import Final

import msgspec

from snapfs.digest import Digest, sha256
from snapfs.errors import (
    DataLossError,
    DigestMismatchError,
    InvalidArgumentError,
    ResourceExhaustedError,
    UnimplementedError,
)
from snapfs.image import media_types
from snapfs.image.descriptor import Descriptor
from snapfs.image.documents import DOCUMENT_BYTES
from snapfs.image.registry.client import Call, Client
from snapfs.image.registry.response import Response
from snapfs.image.registry.statuses import refusal, shown

_KNOWN: Final = media_types.MANIFESTS | media_types.INDEXES
# What HEAD is refused with where GET may be answered, and is refused with words.
_NO_WORDS: Final = frozenset({401, 403, 404, 405})
# A registry converts to an older format for those who do not accept the newer.
_ACCEPT: Final = ", ".join(sorted(_KNOWN, reverse=True))


def resolve(client: Client, repository: str, reference: str) -> Descriptor:
    """Return the descriptor of a tag's or digest's manifest or index.

    Registries count the downloads of manifests against their users' limits, and
    not the questions: so this asks with HEAD, and with GET only where the answer
    to that lacks something.

    Raises:
        NotFoundError: The host has no such repository or reference.
        DigestMismatchError: The host answers with another digest.
        UnimplementedError: It is of a type that is no image's.
        SnapfsError: As the host's refusal says.
    """
    response = _ask(client, "HEAD", repository, reference)
    try:
        if response.status in _NO_WORDS:
            return fetch(client, repository, reference)[0]
        _expect_success(response, client, repository, reference)
        announced = _announced_digest(response)
        size = response.content_length
        media_type = _media_type(response)
    finally:
        response.close()
    asked = _asked_digest(reference)
    if asked is not None and announced not in (None, asked):
        raise _mismatch(client, repository, reference, str(announced))
    digest = asked or announced
    if digest is None or size is None or media_type not in _KNOWN:
        return fetch(client, repository, reference)[0]
    return Descriptor(media_type, digest, size)


def fetch(client: Client, repository: str, reference: str) -> tuple[Descriptor, bytes]:
    """Return a manifest or index as its bytes, and their descriptor.

    The content has the digest: the one that was asked for, and the one that the
    host announces.

    Raises:
        NotFoundError: The host has no such repository or reference.
        DigestMismatchError: The content has another digest.
        DataLossError: The answer is no manifest.
        ResourceExhaustedError: It is larger than any manifest may be.
        UnimplementedError: It is of a type that is no image's.
        SnapfsError: As the host's refusal says.
    """
    response = _ask(client, "GET", repository, reference)
    _expect_success(response, client, repository, reference)
    what = f"{_named(repository, reference)} at {client.host!r}"
    if (response.content_length or 0) > DOCUMENT_BYTES:
        response.close()
        raise ResourceExhaustedError(
            f"{what} has {response.content_length} bytes; "
            f"at most {DOCUMENT_BYTES} are read"
        )
    content = response.read_document(DOCUMENT_BYTES)
    for expected in (_asked_digest(reference), _announced_digest(response)):
        if expected is not None and not _has_digest(content, expected):
            raise _mismatch(client, repository, reference, f"not {expected}")
    digest = _asked_digest(reference) or _announced_digest(response) or sha256(content)
    media_type = _media_type(response)
    if media_type not in _KNOWN:
        media_type = _declared_type(content, media_type, what)
    return Descriptor(media_type, digest, len(content)), content


def _ask(client: Client, method: str, repository: str, reference: str) -> Response:
    return client.send(
        Call(
            method,
            f"{repository}/manifests/{reference}",
            (f"repository:{repository}:pull",),
            {"Accept": _ACCEPT},
        )
    )


def _expect_success(
    response: Response, client: Client, repository: str, reference: str
) -> None:
    if response.status != 200:
        raise refusal(response, client.host, _named(repository, reference))


def _named(repository: str, reference: str) -> str:
    kind = "manifest" if _asked_digest(reference) else "tag"
    return f"{kind} {reference!r} of {repository!r}"


def _asked_digest(reference: str) -> Digest | None:
    return Digest(reference) if ":" in reference else None


def _announced_digest(response: Response) -> Digest | None:
    text = response.headers.get("Docker-Content-Digest", "")
    try:
        return Digest(text) if text else None
    except (InvalidArgumentError, UnimplementedError):
        return None  # the content is hashed instead


def _media_type(response: Response) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _has_digest(content: bytes, digest: Digest) -> bool:
    hasher = digest.hasher()
    hasher.update(content)
    return hasher.hexdigest() == digest.hex


class _Typed(msgspec.Struct, rename="camel"):
    media_type: str = ""


def _declared_type(content: bytes, header: str, what: str) -> str:
    # A plain web server as a mirror has no idea of types: the document may say.
    if header in media_types.SCHEMA1:
        raise UnimplementedError(
            f"{what} is of Docker's first manifest format (schema 1), which has no "
            "layer digests to verify; push the image again with a newer Docker"
        )
    try:
        declared = msgspec.json.decode(content, type=_Typed).media_type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataLossError(
            f"{what} is not a manifest but {shown(header) or 'of no type'!r}"
        ) from error
    if declared not in _KNOWN:
        kind = shown(declared or header)
        raise UnimplementedError(f"{what} is {kind!r}, not an image or an index")
    return declared


def _mismatch(
    client: Client, repository: str, reference: str, found: str
) -> DigestMismatchError:
    return DigestMismatchError(
        f"{_named(repository, reference)} at {client.host!r}: "
        f"the host answers with content whose digest is {found}"
    )
