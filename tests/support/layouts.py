"""OCI image layouts, written layer by layer and never held in memory."""

from __future__ import annotations

import enum
import gzip
import hashlib
import os
import platform
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Final

import zstandard

from demo.make_image import (
    ARCHITECTURES,
    CREATED,
    as_json,
    blob_path,
    descriptor,
    digest,
)

_PIECE_BYTES: Final = 1 << 20


class Packing(enum.StrEnum):
    """How a layer is stored: the end of its media type."""

    NONE = ""
    GZIP = "+gzip"
    ZSTD = "+zstd"


class LayoutWriter:
    """Writes one image with the tag ``tag`` into the new directory ``path``."""

    def __init__(self, path: Path, name: str = "snapfs.test/case:latest") -> None:
        self.path = path
        self.name = name
        self._layers: list[dict[str, Any]] = []
        self._diff_ids: list[str] = []
        (path / "blobs/sha256").mkdir(parents=True)

    def add_layer(
        self,
        pieces: Iterable[bytes],
        packing: Packing = Packing.GZIP,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """Store one more layer, on top of those before, from its plain tar."""
        plain = hashlib.sha256()
        unnamed = self.path / "blobs/layer"
        with unnamed.open("wb") as file, _compressing(file, packing) as packed:
            for piece in pieces:
                plain.update(piece)
                packed.write(piece)
        with unnamed.open("rb") as written:
            stored = hashlib.file_digest(written, "sha256").hexdigest()
        size = unnamed.stat().st_size
        unnamed.rename(self.path / "blobs/sha256" / stored)
        self._diff_ids.append(f"sha256:{plain.hexdigest()}")
        self._layers.append(
            {
                "mediaType": f"application/vnd.oci.image.layer.v1.tar{packing}",
                "digest": f"sha256:{stored}",
                "size": size,
                **({"annotations": annotations} if annotations else {}),
            }
        )

    def claim_diff_id(self, number: int, diff_id: str) -> None:
        """Have the config say another diff ID of the layer ``number``."""
        self._diff_ids[number] = diff_id

    def add_tar(self, tar: Path, packing: Packing = Packing.GZIP) -> None:
        """Store the tar file ``tar`` as one more layer."""
        with tar.open("rb") as file:
            self.add_layer(iter(lambda: file.read(_PIECE_BYTES), b""), packing)

    def finish(self, **config: object) -> Path:
        """Write the documents; return the layout's path."""
        machine = platform.machine()
        document = as_json(
            {
                "architecture": ARCHITECTURES.get(machine, machine),
                "config": config,
                "created": CREATED,
                "history": [
                    {"created": CREATED, "created_by": f"layer {number}"}
                    for number in range(len(self._layers))
                ],
                "os": "linux",
                "rootfs": {"diff_ids": self._diff_ids, "type": "layers"},
            }
        )
        manifest = as_json(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": descriptor("config.v1+json", document),
                "layers": self._layers,
            }
        )
        named = descriptor("manifest.v1+json", manifest)
        named["annotations"] = {
            "io.containerd.image.name": self.name,
            "org.opencontainers.image.ref.name": "latest",
        }
        for blob in (document, manifest):
            (self.path / blob_path(blob)).write_bytes(blob)
        index = as_json({"schemaVersion": 2, "manifests": [named]})
        (self.path / "index.json").write_bytes(index)
        marker = as_json({"imageLayoutVersion": "1.0.0"})
        (self.path / "oci-layout").write_bytes(marker)
        return self.path

    @property
    def chain_id(self) -> str:
        """The name of the whole chain (OCI image-spec, config.md)."""
        return self.chain_ids[-1]

    @property
    def chain_ids(self) -> list[str]:
        """The names of the layers, lowest first."""
        chain: list[str] = []
        for diff_id in self._diff_ids:
            both = f"{chain[-1]} {diff_id}" if chain else ""
            chain.append(digest(both.encode()) if chain else diff_id)
        return chain

    @property
    def blobs(self) -> list[str]:
        """The digests of the stored layers, lowest first."""
        return [layer["digest"] for layer in self._layers]

    @property
    def diff_ids(self) -> list[str]:
        """What the config says of the layers, lowest first."""
        return list(self._diff_ids)


def archive_of(layout: Path) -> Path:
    """Return the layout as one tar beside it, the form that ``ctr`` imports."""
    archive = layout.with_name(f"{layout.name}.tar")
    with tarfile.open(archive, "w") as tar:
        for name in sorted(os.listdir(layout)):
            tar.add(layout / name, name)
    return archive


def _compressing(file: IO[bytes], packing: Packing) -> IO[bytes]:
    if packing is Packing.GZIP:
        return gzip.GzipFile("", "wb", 1, file, 0)  # type: ignore[return-value]  # written to and closed alone
    if packing is Packing.ZSTD:
        return zstandard.ZstdCompressor().stream_writer(file, closefd=False)
    return open(os.dup(file.fileno()), "wb")
