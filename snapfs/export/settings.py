"""How layers and images are exported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from snapfs.compression import Compression
from snapfs.errors import InvalidArgumentError
from snapfs.image import media_types
from snapfs.image.registry.name import RegistryName
from snapfs.layer.writing import LayerForm

COMPRESSOR_ANNOTATION: Final = "io.snapfs.layer.compressor"
"""What made the stored bytes of a layer: program, version, settings."""

_MEDIA_TYPES: Final = {
    Compression.NONE: media_types.OCI_LAYER,
    Compression.GZIP: media_types.OCI_LAYER_GZIP,
    Compression.ZSTD: media_types.OCI_LAYER_ZSTD,
}


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """How an image is exported.

    Attributes:
        form: Of its layers.
        compression: Of its layers.
        fast: Compressed in less time, to more bytes.
        threads: That compress, 1 at least; they do not change the bytes.
        name: Of the image; None for none.
        for_docker: Docker's own index is written, too, for ``docker load``.
    """

    form: LayerForm = field(default_factory=LayerForm)
    compression: Compression = Compression.GZIP
    fast: bool = False
    threads: int = 1
    name: RegistryName | None = None
    for_docker: bool = False

    @property
    def media_type(self) -> str:
        """Return the media type of the layers.

        Raises:
            InvalidArgumentError: Images have no layers of this compression.
        """
        found = _MEDIA_TYPES.get(self.compression)
        if found is None:
            raise InvalidArgumentError(
                f"an image cannot have layers in {self.compression}: there is no media"
                " type for it; take gzip, zstd or none"
            )
        return found
