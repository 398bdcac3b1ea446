"""OCI image layouts (image-spec, image-layout.md): ``oci:DIR[:TAG]``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from snapfs.errors import (
    InvalidArgumentError,
    NotFoundError,
    UnimplementedError,
)
from snapfs.image import media_types
from snapfs.image.descriptor import Descriptor
from snapfs.image.documents import DOCUMENT_BYTES, parse_index
from snapfs.image.files import DirectoryFiles, Files, FilesSource, read_file
from snapfs.image.made import encode_index
from snapfs.image.names import list_names, select
from snapfs.image.platform import is_unknown, normalise
from snapfs.image.strict_json import decode, shown

# ``oci-layout`` holds one version number.
_MARKER_BYTES: Final = 64 << 10

# Where builders write an image's name: OCI's own place (often only the tag), and
# the full name for containerd and Docker.
_NAMES: Final = ("org.opencontainers.image.ref.name", "io.containerd.image.name")


class _Marker(msgspec.Struct, rename="camel"):
    image_layout_version: str


class LayoutSource(FilesSource):
    """An OCI image layout, in a directory or an archive.

    Args:
        name: What messages call the source.
        files: The layout's files; closed with the source.
        tag: The image's name, its tag or its digest; "" where there is only one.
    """

    def __init__(self, name: str, files: Files, tag: str = "") -> None:
        super().__init__(name, files)
        self._tag = tag

    def root(self) -> Descriptor:
        """Return the descriptor of the index or manifest that was asked for."""
        self._check_marker()
        content = read_file(self._files, "index.json", DOCUMENT_BYTES, self._name)
        index = parse_index(content, "", f"{self._name}: index.json")
        images = [image for image in index.manifests if not is_unknown(image.platform)]
        if self._tag:
            images = self._tagged(images)
        return self._one(images)

    def _check_marker(self) -> None:
        if self._files.size("oci-layout") is None:
            raise InvalidArgumentError(
                f"{self._name} is no OCI image layout: it has no file 'oci-layout'"
            )
        content = read_file(self._files, "oci-layout", _MARKER_BYTES, self._name)
        marker, _ = decode(content, _Marker, f"{self._name}: oci-layout")
        if marker.image_layout_version.partition(".")[0] != "1":
            raise UnimplementedError(
                f"{self._name}: image layout version "
                f"{shown(marker.image_layout_version)} is not supported; 1.0.0 is"
            )

    def _tagged(self, images: Sequence[Descriptor]) -> list[Descriptor]:
        by_digest = [image for image in images if str(image.digest) == self._tag]
        if by_digest:
            return by_digest
        return select([(names_of(i), i) for i in images], self._tag, self._name)

    def _one(self, images: Sequence[Descriptor]) -> Descriptor:
        """Return the only image, or an index of one image for many platforms."""
        distinct = list({image.digest: image for image in images}.values())
        if not distinct:
            raise NotFoundError(f"{self._name} has no images")
        if len(distinct) == 1:
            return distinct[0]
        platforms = {normalise(image.platform) for image in distinct if image.platform}
        names = {names_of(image) for image in distinct}
        if len(platforms) == len(distinct) and len(names) == 1:
            content = encode_index(media_types.OCI_INDEX, distinct)
            return self._make(media_types.OCI_INDEX, content)
        raise InvalidArgumentError(
            f"{self._name} has {len(distinct)} images, say which: "
            + list_names(
                name
                for image in distinct
                for name in names_of(image) or (str(image.digest),)
            )
        )

    def _path_of(self, descriptor: Descriptor) -> str | None:
        path = f"blobs/{descriptor.digest.algorithm}/{descriptor.digest.hex}"
        return None if self._files.size(path) is None else path


def names_of(image: Descriptor) -> tuple[str, ...]:
    """Return the names that an entry of ``index.json`` gives its image."""
    names = (image.annotations.get(key, "") for key in _NAMES)
    return tuple(name for name in names if name)


def open_layout(name: str, directory: str, tag: str = "") -> LayoutSource:
    """Open the layout in ``directory``; ``name`` is what messages call it.

    Raises:
        NotFoundError: There is no such directory.
        InvalidArgumentError: It is not a directory.
    """
    return LayoutSource(name, DirectoryFiles(directory), tag)
