"""Media types of images: OCI's, Docker's, and those that are no image.

Sources: OCI image-spec, media-types.md; Docker's "Image Manifest V 2, Schema 2".
"""

from __future__ import annotations

from typing import Final

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_EMPTY: Final = "application/vnd.oci.empty.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP: Final = OCI_LAYER + "+gzip"
OCI_LAYER_ZSTD: Final = OCI_LAYER + "+zstd"

DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP: Final = DOCKER_LAYER + ".gzip"

INDEXES: Final = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFESTS: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
CONFIGS: Final = frozenset({OCI_CONFIG, DOCKER_CONFIG})

# Docker's first manifest format. It has neither a config nor diff IDs.
SCHEMA1: Final = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)

_OCI_FOREIGN: Final = "application/vnd.oci.image.layer.nondistributable.v1.tar"
_DOCKER_FOREIGN: Final = "application/vnd.docker.image.rootfs.foreign.diff.tar"

# Each layer type, and the compression that it declares in the words of
# ``snapfs.compression``. The content decides; a difference is worth a warning.
_LAYERS: Final = {
    OCI_LAYER: "none",
    OCI_LAYER_GZIP: "gzip",
    OCI_LAYER_ZSTD: "zstd",
    _OCI_FOREIGN: "none",
    _OCI_FOREIGN + "+gzip": "gzip",
    _OCI_FOREIGN + "+zstd": "zstd",
    DOCKER_LAYER: "none",
    DOCKER_LAYER_GZIP: "gzip",
    DOCKER_LAYER + ".zstd": "zstd",
    _DOCKER_FOREIGN: "none",
    _DOCKER_FOREIGN + ".gzip": "gzip",
    _DOCKER_FOREIGN + ".zstd": "zstd",
}

# ocicrypt appends it to the type of a layer whose content it encrypted.
_ENCRYPTED: Final = "+encrypted"


def is_layer(media_type: str) -> bool:
    """Tell whether blobs of this type are root filesystem layers in tar form."""
    return media_type in _LAYERS


def is_foreign(media_type: str) -> bool:
    """Tell whether the layer may be absent and be fetched from its ``urls``."""
    return media_type.startswith((_OCI_FOREIGN, _DOCKER_FOREIGN))


def is_encrypted(media_type: str) -> bool:
    """Tell whether the layer's content is encrypted."""
    return media_type.endswith(_ENCRYPTED)


def declared_compression(media_type: str) -> str:
    """Return ``none``, ``gzip`` or ``zstd``; "" where the type is no layer's."""
    return _LAYERS.get(media_type, "")
