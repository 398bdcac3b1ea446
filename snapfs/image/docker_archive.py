"""What ``docker save`` writes: ``docker-archive:FILE[:TAG]``.

Three forms are met: the first one (``ID/layer.tar``, often a symlink where layers
are shared), that of skopeo and Podman (``HEX.tar``), and since Docker 25 an OCI
layout with Docker's ``manifest.json`` beside it. The layout is preferred, as by
containerd, if it is complete: some versions of Docker left blobs or layers out.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

import msgspec

from snapfs.compression import Compression, detect
from snapfs.digest import Digest
from snapfs.errors import (
    DataLossError,
    DigestMismatchError,
    InvalidArgumentError,
    NotFoundError,
)
from snapfs.image import media_types
from snapfs.image.archive_index import ArchiveFiles
from snapfs.image.config import parse_config
from snapfs.image.descriptor import Descriptor
from snapfs.image.documents import DOCUMENT_BYTES, Manifest, parse_document
from snapfs.image.files import FilesSource, read_file
from snapfs.image.layout import LayoutSource
from snapfs.image.made import encode_manifest
from snapfs.image.names import list_names, select
from snapfs.image.outer_file import HEAD_BYTES
from snapfs.image.platform import is_unknown
from snapfs.image.source import BlobReader
from snapfs.image.strict_json import decode, shown
from snapfs.image.verified import read_document

# Docker's own list of images; what other readers allow.
MANIFEST_BYTES: Final = 1 << 20

_PIECE_BYTES: Final = 1 << 20
# Where a path names its content, it is held to that.
_BLOB: Final = re.compile(r"blobs/(sha256|sha512)/([0-9a-f]+)")
_CONFIG: Final = re.compile(r"([0-9a-f]{64})(?:\.json)?")

_LAYER_TYPES: Final = {
    Compression.NONE: media_types.DOCKER_LAYER,
    Compression.GZIP: media_types.DOCKER_LAYER_GZIP,
    Compression.ZSTD: media_types.DOCKER_LAYER + ".zstd",
    # There is no type for it; the content decides when it is unpacked.
    Compression.LZ4: media_types.DOCKER_LAYER,
}


class _Entry(msgspec.Struct, rename="pascal"):
    config: str
    layers: list[str] | None = None
    repo_tags: list[str] | None = None


class DockerArchiveSource(FilesSource):
    """An archive of ``docker save``.

    A layer's descriptor is complete also where the archive does not have its
    digest: for a plain layer that is its diff ID, and a compressed layer of an
    old archive is hashed once, when the image is opened.

    Args:
        name: What messages call the source.
        files: The archive; closed with the source.
        tag: The image's name or tag; "" where there is only one image.
    """

    def __init__(self, name: str, files: ArchiveFiles, tag: str = "") -> None:
        super().__init__(name, files)
        self._archive = files
        self._tag = tag
        self._paths: dict[str, str] = {}
        self._layout: LayoutSource | None = None

    def root(self) -> Descriptor:
        """Return the descriptor of the index or manifest that was asked for."""
        has_list = self._files.size("manifest.json") is not None
        if self._files.size("oci-layout") is not None:
            layout = LayoutSource(self._name, self._archive, self._tag)
            try:
                root = layout.root()
                complete = not has_list or _is_complete(layout, root)
            except NotFoundError:
                if not has_list:
                    raise
                complete = False  # Docker's own list may have what is missing
            if complete:
                self._layout = layout
                return root
        return self._from_list()

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BlobReader:
        """Open a blob for reading from ``offset`` on."""
        if self._layout is not None:
            return self._layout.open_blob(descriptor, offset)
        return super().open_blob(descriptor, offset)

    def _path_of(self, descriptor: Descriptor) -> str | None:
        return self._paths.get(str(descriptor.digest))

    def _from_list(self) -> Descriptor:
        """Return a manifest made from ``manifest.json``."""
        entry = self._chosen_entry()
        config = self._read_config(entry.config)
        paths = entry.layers or []
        where = f"{self._name}: config {shown(entry.config)}"
        diff_ids = parse_config(config, where).diff_ids
        if len(paths) != len(diff_ids):
            raise DataLossError(
                f"{self._name}: manifest.json has {len(paths)} layers and the config "
                f"{len(diff_ids)} diff IDs"
            )
        layers = [
            self._layer(path, diff_id)
            for path, diff_id in zip(paths, diff_ids, strict=True)
        ]
        made = self._make(media_types.DOCKER_CONFIG, config)
        return self._make(
            media_types.DOCKER_MANIFEST,
            encode_manifest(media_types.DOCKER_MANIFEST, made, layers),
        )

    def _chosen_entry(self) -> _Entry:
        what = f"{self._name}: manifest.json"
        if self._files.size("manifest.json") is None:
            raise InvalidArgumentError(
                f"{self._name} is no archive of docker save: it has no manifest.json"
            )
        content = read_file(self._files, "manifest.json", MANIFEST_BYTES, self._name)
        entries, _ = decode(content, list[_Entry], what)
        if self._tag:
            named = [(entry.repo_tags or (), entry) for entry in entries]
            entries = select(named, self._tag, self._name)
        if not entries:
            raise NotFoundError(f"{self._name} has no images")
        if len({entry.config for entry in entries}) > 1:
            raise InvalidArgumentError(
                f"{self._name} has {len(entries)} images, say which: "
                + list_names(t for entry in entries for t in entry.repo_tags or ())
            )
        return entries[0]

    def _read_config(self, path: str) -> bytes:
        content = read_file(self._files, path, DOCUMENT_BYTES, self._name)
        match = _BLOB.fullmatch(path)
        promised = f"{match[1]}:{match[2]}" if match else ""
        if match := _CONFIG.fullmatch(path):
            promised = f"sha256:{match[1]}"
        if promised:
            digest = Digest(promised)
            hasher = digest.hasher()
            hasher.update(content)
            if hasher.hexdigest() != digest.hex:
                raise DigestMismatchError(
                    f"{self._name}: the config {shown(path)} has the digest "
                    f"{digest.algorithm}:{hasher.hexdigest()}"
                )
        return content

    def _layer(self, path: str, diff_id: Digest) -> Descriptor:
        size_bytes = self._files.size(path)
        if size_bytes is None:
            raise NotFoundError(f"{self._name}: layer {shown(path)} is missing")
        compression = detect(self._archive.head(path, HEAD_BYTES))
        if match := _BLOB.fullmatch(path):
            digest = Digest(f"{match[1]}:{match[2]}")
        elif compression is Compression.NONE:
            digest = diff_id
        else:
            digest = self._hash(path)
        self._paths[str(digest)] = path
        return Descriptor(_LAYER_TYPES[compression], digest, size_bytes)

    def _hash(self, path: str) -> Digest:
        hasher = hashlib.sha256()
        reader = self._files.open(path)
        try:
            while piece := reader.read(_PIECE_BYTES):
                hasher.update(piece)
        finally:
            reader.close()
        return Digest(f"sha256:{hasher.hexdigest()}")


def _is_complete(layout: LayoutSource, root: Descriptor) -> bool:
    """Tell whether the layout holds any image below ``root`` in full."""
    if not layout.has(root):
        return False
    what = f"{layout.name}: document {root.digest}"
    document = parse_document(read_document(layout, root), root.media_type, what)
    if isinstance(document, Manifest):
        blobs = (document.config, *document.layers)
        return bool(document.layers) and all(map(layout.has, blobs))
    return any(
        _is_complete(layout, image)
        for image in document.manifests
        if not is_unknown(image.platform)
        and image.media_type in media_types.INDEXES | media_types.MANIFESTS
    )
