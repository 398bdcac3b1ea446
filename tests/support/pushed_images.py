"""Images of a few layers, as an OCI layout and pushed to a registry."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from demo.make_image import Layer, directory, image_config, make_layer, text
from snapfs.digest import Digest
from snapfs.image.descriptor import Descriptor
from snapfs.image.platform import host_platform
from snapfs.image.registry.name import parse_name
from snapfs.image.registry.push import RegistryTarget
from snapfs.image.registry.settings import RegistrySettings
from snapfs.image.verified import MemoryReader
from support.image_files import (
    CONFIG,
    INDEX,
    MANIFEST,
    Files,
    add_blob,
    blob_path,
    set_images,
    write_directory,
)

REPOSITORY: Final = "team/app"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"


def pushed_layers() -> list[Layer]:
    """Return three layers: two of a few bytes, one of a mebibyte that is noise."""
    noise = random.Random(7).randbytes(1 << 19).hex()
    return [
        make_layer("ADD base /", [directory("etc"), text("etc/motd", "base")]),
        make_layer("ADD noise /", [directory("opt"), text("opt/noise", noise)]),
        make_layer("RUN rm", [directory("etc"), text("etc/.wh.motd", "")]),
    ]


class PushedImage:
    """An index with an image for this machine and one for another.

    Attributes:
        layout: The OCI layout directory that has the same.
        index: The index, as a descriptor in JSON.
        manifest: This machine's image, likewise.
        layers: Its layers.
    """

    def __init__(self, folder: Path) -> None:
        self.layers = pushed_layers()
        self._files: Files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
        other = "arm64" if host_platform().architecture != "arm64" else "amd64"
        self.manifest = self._add_image(self.layers, host_platform().architecture)
        images = [self._add_image(self.layers[:1], other), self.manifest]
        self.other_platform = f"linux/{other}"
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": images}
        self.index = add_blob(self._files, document, INDEX)
        set_images(self._files, self.index)
        self.layout = write_directory(folder, self._files)

    @property
    def digest(self) -> str:
        """The digest of this machine's image."""
        return str(self.manifest["digest"])

    def push(self, host: str, settings: RegistrySettings | None = None) -> None:
        """Push it: the index under ``multi``, this machine's image under ``v1``."""
        name = parse_name(f"{host}/{REPOSITORY}:v1")
        with RegistryTarget(name, settings or RegistrySettings()) as target:
            for path, content in self._files.items():
                if path.startswith("blobs/"):
                    _push_blob(target, path, content)
            manifests: Any = json.loads(self._content(self.index))["manifests"]
            for image in manifests:
                target.push_manifest(self._content(image), MANIFEST, image["digest"])
            target.push_manifest(self._content(self.manifest), MANIFEST, "v1")
            target.push_manifest(self._content(self.index), INDEX, "multi")

    def stored_layer(self, registry: Path, number: int) -> Path:
        """Return where a registry in ``registry`` stores one of the layers."""
        digest = Digest(blob_path(self.layers[number].blob)[6:].replace("/", ":"))
        blobs = registry / "storage/docker/registry/v2/blobs"
        return blobs / digest.algorithm / digest.hex[:2] / digest.hex / "data"

    def _content(self, descriptor: Mapping[str, object]) -> bytes:
        return self._files["blobs/" + str(descriptor["digest"]).replace(":", "/")]

    def _add_image(self, layers: list[Layer], architecture: str) -> dict[str, object]:
        config = json.loads(image_config(layers, ["/bin/sh"]))
        config["architecture"] = architecture
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": add_blob(self._files, config, CONFIG),
            "layers": [add_blob(self._files, layer.blob, LAYER) for layer in layers],
        }
        platform = {"os": "linux", "architecture": architecture}
        return add_blob(self._files, document, MANIFEST, platform=platform)


def _push_blob(target: RegistryTarget, path: str, content: bytes) -> None:
    digest = Digest(path.removeprefix("blobs/").replace("/", ":"))
    descriptor = Descriptor("", digest, len(content))
    target.push_blob(descriptor, lambda offset: MemoryReader(content, offset))


def push_layout(layout: Path, host: str, name: str) -> None:
    """Push the one image of a layout as ``name``, which has a tag."""
    blobs = layout / "blobs/sha256"
    index: Any = json.loads((layout / "index.json").read_text())
    manifest = index["manifests"][0]["digest"]
    full = parse_name(f"{host}/{name}")
    with RegistryTarget(full, RegistrySettings()) as target:
        for blob in sorted(blobs.iterdir()):
            path = f"blobs/sha256/{blob.name}"
            _push_blob(target, path, blob.read_bytes())
        content = (blobs / manifest.removeprefix("sha256:")).read_bytes()
        target.push_manifest(content, MANIFEST, full.tag or "latest")
