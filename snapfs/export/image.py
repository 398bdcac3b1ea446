"""Exporting an image: its layers, its config, its manifest, and who finds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from snapfs.compression.blob_writer import WrittenBlob
from snapfs.digest import Digest, chain_ids, sha256
from snapfs.export.config import encode_config
from snapfs.export.layer_blob import (
    Tell,
    WrittenLayer,
    tell_nobody,
    write_layer_blob,
)
from snapfs.export.layer_source import LayerSource
from snapfs.export.place import LAYOUT_MARKER, ImagePlace, blob_path
from snapfs.export.settings import COMPRESSOR_ANNOTATION, ExportSettings
from snapfs.image import media_types
from snapfs.image.descriptor import Descriptor
from snapfs.image.made import encode_index, encode_manifest
from snapfs.image.registry.name import RegistryName
from snapfs.stopping import Stop

_LAYOUT_VERSION: Final = b'{"imageLayoutVersion":"1.0.0"}'

# As `docker save` names images: the whole name for containerd and Docker, the tag in
# OCI's own place.
_FULL_NAME: Final = "io.containerd.image.name"
_REF_NAME: Final = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True)
class ExportedLayer:
    """One layer of an exported image."""

    label: str
    written: WrittenLayer
    descriptor: Descriptor
    chain_id: Digest


@dataclass(frozen=True, slots=True)
class Exported:
    """An exported image.

    Attributes:
        manifest: Its manifest.
        manifest_content: The bytes of that.
        config: Its config; its digest is the image's ID.
        layers: Lowest first.
    """

    manifest: Descriptor
    manifest_content: bytes
    config: Descriptor
    layers: tuple[ExportedLayer, ...]


def export_image(
    sources: Sequence[LayerSource],
    base_config: bytes | None,
    place: ImagePlace,
    settings: ExportSettings,
    stop: Stop,
    *,
    has_base_layers: bool = True,
    tell: Tell = tell_nobody,
) -> Exported:
    """Write an image of these layers, lowest first, as an OCI layout.

    ``base_config`` is that of the image that this one is made from, if there is one;
    ``has_base_layers`` says that the lowest layers are the layers of that. The same
    layers and settings give the same bytes.

    Raises:
        InvalidArgumentError: Images have no layers of the compression.
        SnapfsError: Something cannot be a layer, or changed meanwhile.
        UnavailableError: It was stopped.
        OSError: From reading or writing.
    """
    media_type = settings.media_type
    place.add_file(LAYOUT_MARKER, _LAYOUT_VERSION)
    written = [_add_layer(one, place, settings, stop, tell) for one in sources]
    diff_ids = [layer.blob.diff_id for layer in written]
    layers = tuple(
        ExportedLayer(source.label, layer, _layer_descriptor(layer, media_type), chain)
        for source, layer, chain in zip(
            sources, written, chain_ids(diff_ids), strict=True
        )
    )
    steps = [source.step for source in sources]
    content = encode_config(
        diff_ids,
        steps,
        base_config,
        settings.form.latest_s,
        has_base_layers=has_base_layers,
    )
    config = _add_document(place, content, media_types.OCI_CONFIG)
    manifest_content = encode_manifest(
        media_types.OCI_MANIFEST, config, [layer.descriptor for layer in layers]
    )
    manifest = _add_document(place, manifest_content, media_types.OCI_MANIFEST)
    exported = Exported(manifest, manifest_content, config, layers)
    stop.check()
    _add_names(place, exported, settings)
    return exported


def _add_layer(
    source: LayerSource,
    place: ImagePlace,
    settings: ExportSettings,
    stop: Stop,
    tell: Tell,
) -> WrittenLayer:
    found: list[WrittenLayer] = []

    def produce(write: Callable[[bytes], object]) -> WrittenBlob:
        found.append(write_layer_blob(source, settings, write, stop, tell))
        return found[0].blob

    place.add_blob(produce)
    return found[0]


def _layer_descriptor(layer: WrittenLayer, media_type: str) -> Descriptor:
    blob = layer.blob
    made_by = {COMPRESSOR_ANNOTATION: blob.compressor}
    return Descriptor(media_type, blob.digest, blob.size_bytes, made_by)


def _add_document(place: ImagePlace, content: bytes, media_type: str) -> Descriptor:
    descriptor = Descriptor(media_type, sha256(content), len(content))
    place.add_file(blob_path(descriptor.digest), content)
    return descriptor


def _add_names(place: ImagePlace, exported: Exported, settings: ExportSettings) -> None:
    """Write what other tools find the image by."""
    found = exported.manifest
    named = Descriptor(
        found.media_type,
        found.digest,
        found.size_bytes,
        _annotations(settings.name) if settings.name else {},
    )
    place.add_file("index.json", encode_index(media_types.OCI_INDEX, [named]))
    if settings.for_docker:
        entry = {
            "Config": blob_path(exported.config.digest),
            "RepoTags": [str(settings.name)] if settings.name else None,
            "Layers": [blob_path(layer.descriptor.digest) for layer in exported.layers],
        }
        place.add_file("manifest.json", msgspec.json.encode([entry]))


def _annotations(name: RegistryName) -> dict[str, str]:
    return {_FULL_NAME: str(name), _REF_NAME: name.tag or str(name)}
