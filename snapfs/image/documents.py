"""Manifests and indexes: typed, and refused where they could mean two things.

Sources: OCI image-spec, manifest.md, image-index.md and descriptor.md; what makes a
document ambiguous: CVE-2021-41190.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from snapfs.digest import Digest
from snapfs.errors import DataLossError, InvalidArgumentError, SnapfsError
from snapfs.image import media_types
from snapfs.image.descriptor import Descriptor, Platform
from snapfs.image.strict_json import decode, shown
from snapfs.values import dataclass, field

# Of one manifest, index or image config; what registries and other readers allow.
DOCUMENT_BYTES: Final = 4 << 20

# A descriptor's size is an int64 (descriptor.md).
_Size = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image: its config and its layers, the base layer's first."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Index:
    """A choice of images, or of further indexes, in the order of preference."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)


class _Platform(msgspec.Struct):
    os: str | None = None
    architecture: str | None = None
    variant: str | None = None


class _Descriptor(msgspec.Struct, rename="camel"):
    digest: str
    size: _Size
    media_type: str | None = None
    annotations: dict[str, str] | None = None
    platform: _Platform | None = None
    artifact_type: str | None = None
    urls: list[str] | None = None
    data: bytes | None = None


class _Common(msgspec.Struct, rename="camel"):
    schema_version: int | None = None
    media_type: str | None = None
    artifact_type: str | None = None
    subject: _Descriptor | None = None
    annotations: dict[str, str] | None = None


class _Manifest(_Common, rename="camel"):
    config: _Descriptor | None = None
    layers: list[_Descriptor] | None = None


class _Index(_Common, rename="camel"):
    manifests: list[_Descriptor] | None = None


# What only the other kind of document has. Compared without case: Go's readers
# match keys in any case.
_NOT_IN_MANIFEST: Final = ("manifests", "fslayers")
_NOT_IN_INDEX: Final = ("config", "layers", "fslayers")


def _by_folded(names: str) -> dict[str, str]:
    return {name.casefold(): name for name in names.split()}


_FIELDS: Final = _by_folded(
    "schemaVersion mediaType artifactType subject annotations "
    "config layers manifests fsLayers"
)
_DESCRIPTOR_FIELDS: Final = _by_folded(
    "mediaType digest size annotations platform artifactType urls data"
)


def parse_manifest(content: bytes, media_type: str, what: str) -> Manifest:
    """Read the manifest that a descriptor of ``media_type`` points at.

    ``what`` names the document in messages. ``media_type`` may be "" where nothing
    says it; then the document's own counts.

    Raises:
        InvalidArgumentError: It is a manifest that has no layers of its own to
            unpack: Docker's schema 1.
        DataLossError: It is not a manifest, or could also be read as an index.
        UnimplementedError: A digest of an algorithm that is not ours.
    """
    _refuse_schema1(media_type, what)
    wire, plain = decode(content, _Manifest, what)
    _check_keys(plain, "a manifest", _NOT_IN_MANIFEST, what)
    media_type = _check_common(
        wire, media_type, media_types.MANIFESTS, media_types.OCI_MANIFEST, what
    )
    if wire.config is None:
        raise DataLossError(f"{what}: the manifest has no config")
    if wire.layers is None:
        raise DataLossError(f"{what}: the manifest has no layers")
    return Manifest(
        media_type,
        _descriptor(wire.config, f"{what}: config"),
        tuple(
            _descriptor(layer, f"{what}: layers[{number}]")
            for number, layer in enumerate(wire.layers)
        ),
        wire.artifact_type or "",
        _descriptor(wire.subject, f"{what}: subject") if wire.subject else None,
        wire.annotations or {},
    )


def parse_index(content: bytes, media_type: str, what: str) -> Index:
    """Read the index that a descriptor of ``media_type`` points at.

    Arguments and errors are those of :func:`parse_manifest`.
    """
    _refuse_schema1(media_type, what)
    wire, plain = decode(content, _Index, what)
    _check_keys(plain, "an index", _NOT_IN_INDEX, what)
    media_type = _check_common(
        wire, media_type, media_types.INDEXES, media_types.OCI_INDEX, what
    )
    if wire.manifests is None:
        raise DataLossError(f"{what}: the index has no manifests")
    return Index(
        media_type,
        tuple(
            _descriptor(entry, f"{what}: manifests[{number}]")
            for number, entry in enumerate(wire.manifests)
        ),
        wire.artifact_type or "",
        _descriptor(wire.subject, f"{what}: subject") if wire.subject else None,
        wire.annotations or {},
    )


def parse_document(content: bytes, media_type: str, what: str) -> Manifest | Index:
    """Read a manifest or an index, whichever ``media_type`` says.

    Where ``media_type`` is "", the document's own counts; without that, it is an
    index if it has ``manifests``.

    Raises:
        InvalidArgumentError: The type is neither's.
        DataLossError: As for :func:`parse_manifest`.
        UnimplementedError: As for :func:`parse_manifest`.
    """
    kind = media_type or document_type(content, what)
    _refuse_schema1(kind, what)
    if kind in media_types.INDEXES:
        return parse_index(content, media_type, what)
    if kind in media_types.MANIFESTS:
        return parse_manifest(content, media_type, what)
    raise InvalidArgumentError(
        f"{what} has the media type {shown(kind)}, which is no image's"
    )


class _Hint(msgspec.Struct, rename="camel"):
    media_type: str | None = None
    manifests: msgspec.Raw = msgspec.Raw(b"")


def document_type(content: bytes, what: str) -> str:
    """Return the media type that a document gives itself, or OCI's for its form.

    Raises:
        DataLossError: It is not a JSON object.
    """
    hint, _ = decode(content, _Hint, what)
    if hint.media_type:
        return hint.media_type
    return media_types.OCI_INDEX if bytes(hint.manifests) else media_types.OCI_MANIFEST


def _refuse_schema1(media_type: str, what: str) -> None:
    if media_type in media_types.SCHEMA1:
        raise InvalidArgumentError(
            f"{what} is a Docker schema 1 manifest, a format without diff IDs that "
            "Docker gave up; push the image again with a current tool"
        )


def _check_keys(plain: object, kind: str, foreign: tuple[str, ...], what: str) -> None:
    """Refuse the keys that make another reader take the document otherwise."""
    assert isinstance(plain, dict), "the typed decoder took it for an object"
    for key, value in plain.items():
        folded = key.casefold()
        if folded == "fslayers":
            _refuse_schema1(next(iter(media_types.SCHEMA1)), what)
        if folded in foreign:
            raise DataLossError(
                f"{what} is ambiguous: it is said to be {kind} and has the field "
                f"{shown(key)}"
            )
        _check_case(key, _FIELDS, what)
        if folded not in ("config", "subject", "layers", "manifests"):
            continue
        for descriptor in value if isinstance(value, list) else [value]:
            for inner in descriptor or ():
                _check_case(inner, _DESCRIPTOR_FIELDS, f"{what}: {key}")


def _check_case(key: str, fields: Mapping[str, str], what: str) -> None:
    meant = fields.get(key.casefold(), key)
    if meant != key:
        raise DataLossError(
            f"{what} is ambiguous: readers that ignore case take the field "
            f"{shown(key)} for {meant!r}"
        )


def _check_common(
    wire: _Common, media_type: str, allowed: frozenset[str], fallback: str, what: str
) -> str:
    """Return the document's type once everything that states it agrees."""
    if wire.schema_version != 2:
        raise DataLossError(f"{what}: schemaVersion is {wire.schema_version}, not 2")
    own = wire.media_type or ""
    if own and media_type and own != media_type:
        raise DataLossError(
            f"{what} is ambiguous: it is of type {shown(own)} and its descriptor "
            f"says {shown(media_type)}"
        )
    media_type = media_type or own or fallback
    if media_type not in allowed:
        raise DataLossError(f"{what} has the wrong media type {shown(media_type)}")
    return media_type


def _descriptor(wire: _Descriptor, what: str) -> Descriptor:
    if wire.media_type is None:
        raise DataLossError(f"{what}: no mediaType")
    return Descriptor(
        wire.media_type,
        parse_digest(wire.digest, what),
        wire.size,
        wire.annotations or {},
        _platform(wire.platform),
        wire.artifact_type or "",
        tuple(wire.urls or ()),
        wire.data,
    )


def _platform(wire: _Platform | None) -> Platform | None:
    if wire is None or not (wire.os or wire.architecture):
        return None
    return Platform(wire.os or "", wire.architecture or "", wire.variant or "")


def parse_digest(text: str, what: str) -> Digest:
    """Return the digest that the document's field ``what`` holds.

    Raises:
        DataLossError: It is not a digest.
        UnimplementedError: Its algorithm is not ours.
    """
    try:
        return Digest(text)
    except InvalidArgumentError as error:
        raise DataLossError(f"{what}: {error}") from error
    except SnapfsError as error:
        raise type(error)(f"{what}: {error}") from error
