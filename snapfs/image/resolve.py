"""From a source to one image: the manifest for a platform, its config, its layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from snapfs.digest import Digest, chain_ids
from snapfs.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    UnimplementedError,
)
from snapfs.image import media_types
from snapfs.image.config import ImageConfig, parse_config
from snapfs.image.descriptor import Descriptor, Platform
from snapfs.image.documents import Index, Manifest, parse_document
from snapfs.image.platform import candidates, host_platform, is_unknown, normalise
from snapfs.image.source import ImageSource
from snapfs.image.strict_json import shown
from snapfs.image.verified import read_document
from snapfs.values import dataclass

# Indexes within indexes. Builders write two at most; one blob can be listed often
# in each, so that the number of documents read is bounded too.
_DEPTH: Final = 8
_DOCUMENTS: Final = 1000


@dataclass(frozen=True, slots=True)
class ImageLayer:
    """One layer of an image.

    Attributes:
        descriptor: The stored blob; its compression is known by its content alone.
        diff_id: Of the plain tar, to be checked when it is unpacked.
        chain_id: Of this layer on all below it.
        command: What made it, by the image's history; "" where that is not known.
    """

    descriptor: Descriptor
    diff_id: Digest
    chain_id: Digest
    command: str


@dataclass(frozen=True, slots=True)
class Image:
    """One image for one platform; its documents are verified, its layers not yet."""

    source_name: str
    descriptor: Descriptor
    manifest: Manifest
    config: ImageConfig
    config_content: bytes
    layers: tuple[ImageLayer, ...]

    @property
    def image_id(self) -> Digest:
        """Return the digest of the config: what Docker calls the image's ID."""
        return self.manifest.config.digest


def open_image(source: ImageSource, platform: Platform | None = None) -> Image:
    """Read the documents of the image that ``source`` has for ``platform``.

    Without a platform an index is searched for this machine's, and an image that
    stands alone is taken as it is.

    Raises:
        NotFoundError: There is no image, none for the platform (the message lists
            those that there are), or one of its documents is missing.
        InvalidArgumentError: It is not an image that can be unpacked: an artifact, a
            manifest of Docker's schema 1.
        UnsafeLayerError: A document is too large.
        DataLossError: A document is damaged, ambiguous, or contradicts another.
        UnimplementedError: A layer is encrypted, or a digest of an algorithm that is
            not ours.
    """
    descriptor, manifest = _Search(source).find(source.root(), platform)
    what = f"{source.name}: manifest {descriptor.digest}"
    _refuse_artifact(descriptor, manifest, what)
    content = read_document(source, manifest.config)
    config = parse_config(content, f"{source.name}: config {manifest.config.digest}")
    return Image(
        source.name,
        descriptor,
        manifest,
        config,
        content,
        _layers(manifest, config, what),
    )


class _Search:
    """Finds one manifest below an index, reading no more than that takes."""

    __slots__ = ("documents", "source")

    def __init__(self, source: ImageSource) -> None:
        self.source = source
        self.documents = 0

    def find(
        self, root: Descriptor, platform: Platform | None
    ) -> tuple[Descriptor, Manifest]:
        document = self._read(root)
        if isinstance(document, Manifest):
            if platform is not None:
                self._refuse_other_platform(document, platform)
            return root, document
        found = list(self._images(document, 1))
        wanted = platform or host_platform()
        for candidate in candidates(wanted):
            for descriptor, built_for in found:
                if normalise(built_for) == candidate:
                    return descriptor, self._chosen(descriptor, built_for)
        raise NotFoundError(
            f"{self.source.name} has no image for {normalise(wanted)}; "
            f"{_choices([built_for for _, built_for in found])}"
        )

    def _images(
        self, index: Index, depth: int
    ) -> Iterator[tuple[Descriptor, Platform]]:
        """Yield all images below ``index`` with their platforms, in its order."""
        if depth > _DEPTH:
            raise InvalidArgumentError(
                f"{self.source.name}: indexes within indexes more than {_DEPTH} deep"
            )
        for descriptor in index.manifests:
            if is_unknown(descriptor.platform):
                continue
            if descriptor.media_type in media_types.INDEXES:
                nested = self._read(descriptor)
                assert isinstance(nested, Index), "the media type says so"
                yield from self._images(nested, depth + 1)
            elif descriptor.media_type in media_types.MANIFESTS:
                built_for = descriptor.platform or self._platform_of(descriptor)
                if built_for is not None:
                    yield descriptor, built_for

    def _platform_of(self, descriptor: Descriptor) -> Platform | None:
        """Return what the config says; None for what is no image."""
        manifest = self._read(descriptor)
        assert isinstance(manifest, Manifest), "the media type says so"
        if _artifact_type(descriptor, manifest):
            return None
        return self._config(manifest).platform

    def _chosen(self, descriptor: Descriptor, built_for: Platform) -> Manifest:
        try:
            manifest = self._read(descriptor)
        except NotFoundError as error:
            raise NotFoundError(
                f"{self.source.name} lists an image for {built_for} but does not "
                f"hold it: {error}"
            ) from error
        assert isinstance(manifest, Manifest), "the media type says so"
        return manifest

    def _refuse_other_platform(self, manifest: Manifest, platform: Platform) -> None:
        if manifest.config.media_type not in media_types.CONFIGS:
            return  # an artifact; the caller names it
        found = self._config(manifest).platform
        # Images of old, and layers that stand alone, do not say what they run on.
        if found.architecture and normalise(found) not in candidates(platform):
            raise NotFoundError(
                f"{self.source.name} has no image for {normalise(platform)}; "
                f"{_choices([found])}"
            )

    def _config(self, manifest: Manifest) -> ImageConfig:
        content = read_document(self.source, manifest.config)
        what = f"{self.source.name}: config {manifest.config.digest}"
        return parse_config(content, what)

    def _read(self, descriptor: Descriptor) -> Manifest | Index:
        self.documents += 1
        if self.documents > _DOCUMENTS:
            raise InvalidArgumentError(
                f"{self.source.name}: the index leads to more than {_DOCUMENTS} "
                "documents"
            )
        what = f"{self.source.name}: document {descriptor.digest}"
        if descriptor.media_type not in _DOCUMENT_TYPES:
            raise InvalidArgumentError(
                f"{what} has the media type {shown(descriptor.media_type)}, which is "
                "no image's"
            )
        content = read_document(self.source, descriptor)
        return parse_document(content, descriptor.media_type, what)


_DOCUMENT_TYPES: Final = (
    media_types.INDEXES | media_types.MANIFESTS | media_types.SCHEMA1
)


def _choices(platforms: list[Platform]) -> str:
    if not platforms:
        return "it has no images at all"
    names = sorted({ascii(str(normalise(platform)))[1:-1] for platform in platforms})
    return f"it has: {', '.join(names)}"


def _artifact_type(descriptor: Descriptor, manifest: Manifest) -> str:
    """Return what sort of artifact this is; "" for an image."""
    if manifest.config.media_type not in media_types.CONFIGS:
        return manifest.artifact_type or manifest.config.media_type
    return manifest.artifact_type or descriptor.artifact_type


def _refuse_artifact(descriptor: Descriptor, manifest: Manifest, what: str) -> None:
    kind = _artifact_type(descriptor, manifest)
    if kind:
        raise InvalidArgumentError(
            f"{what} is an artifact of type {shown(kind)}, not an image: its blobs "
            "are no root filesystem; fetch them with a tool for artifacts (oras, "
            "helm, cosign)"
        )
    for number, layer in enumerate(manifest.layers):
        if media_types.is_encrypted(layer.media_type):
            # As for a compression that is not ours: the image is good, and a host
            # with the keys and a program for them can have it.
            raise UnimplementedError(
                f"{what}: layers[{number}] {layer.digest} is encrypted; decrypt the "
                "image first (skopeo copy --decryption-key)"
            )
        if not media_types.is_layer(layer.media_type):
            raise InvalidArgumentError(
                f"{what}: layers[{number}] {layer.digest} has the media type "
                f"{shown(layer.media_type)}, which is no tar layer's"
            )


def _layers(
    manifest: Manifest, config: ImageConfig, what: str
) -> tuple[ImageLayer, ...]:
    if len(manifest.layers) != len(config.diff_ids):
        raise DataLossError(
            f"{what} has {len(manifest.layers)} layers and its config "
            f"{len(config.diff_ids)} diff IDs"
        )
    return tuple(
        ImageLayer(*parts)
        for parts in zip(
            manifest.layers,
            config.diff_ids,
            chain_ids(config.diff_ids),
            config.commands(),
            strict=True,
        )
    )
