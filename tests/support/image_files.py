"""Small images as files in memory, to be changed and written in any form."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from demo.make_image import (
    Layer,
    as_json,
    digest,
    directory,
    image_config,
    make_layer,
    make_tar,
    text,
    write_image,
)

NAME: Final = "snapfs.test/small:latest"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"

Files = dict[str, bytes]


def small_layers() -> list[Layer]:
    """Return two layers of a few bytes, base first."""
    return [
        make_layer("ADD base /", [directory("etc"), text("etc/motd", "base")]),
        make_layer("RUN change", [directory("etc"), text("etc/issue", "changed")]),
    ]


def layout_files(
    directory_for_build: Path, layers: Sequence[Layer] | None = None, name: str = NAME
) -> Files:
    """Return the files of an OCI layout, with Docker's manifest.json beside it."""
    archive = directory_for_build / "build.tar"
    write_image(archive, layers or small_layers(), name)
    with tarfile.open(archive) as opened:
        files = {
            member.name: stream.read()
            for member in opened
            if (stream := opened.extractfile(member)) is not None
        }
    archive.unlink()
    return files


def pure_layout_files(directory_for_build: Path, name: str = NAME) -> Files:
    """Return the files of an OCI layout alone."""
    files = layout_files(directory_for_build, name=name)
    del files["manifest.json"]
    return files


def classic_files(layers: Sequence[Layer], name: str = NAME) -> Files:
    """Return the files of a ``docker save`` archive in skopeo's form: HEX.tar."""
    config = image_config(layers, ["/bin/sh"])
    tars = {layer.diff_id: plain(layer) for layer in layers}
    paths = {diff_id: f"{diff_id.partition(':')[2]}.tar" for diff_id in tars}
    config_path = digest(config).partition(":")[2] + ".json"
    listing = [
        {
            "Config": config_path,
            "RepoTags": [name],
            "Layers": [paths[layer.diff_id] for layer in layers],
        }
    ]
    files = {config_path: config, "manifest.json": as_json(listing)}
    return files | {paths[diff_id]: content for diff_id, content in tars.items()}


def plain(layer: Layer) -> bytes:
    """Return the layer's tar."""
    return gzip.decompress(layer.blob)


def blob_path(content: bytes) -> str:
    """Return where a layout keeps ``content``."""
    return "blobs/" + digest(content).replace(":", "/")


def entry(content: bytes, media_type: str, **more: object) -> dict[str, object]:
    """Return a descriptor of ``content``, as in JSON."""
    return {
        "mediaType": media_type,
        "digest": digest(content),
        "size": len(content),
        **more,
    }


def add_blob(
    files: Files, document: object, media_type: str, **more: object
) -> dict[str, object]:
    """Add a document to a layout's blobs and return its descriptor."""
    content = document if isinstance(document, bytes) else as_json(document)
    files[blob_path(content)] = content
    return entry(content, media_type, **more)


def set_images(files: Files, *images: Mapping[str, object]) -> None:
    """Make ``images`` the entries of the layout's ``index.json``."""
    files["index.json"] = as_json({"schemaVersion": 2, "manifests": images})


def load(content: bytes) -> dict[str, object]:
    """Return a JSON object."""
    document = json.loads(content)
    assert isinstance(document, dict)
    return document


def write_directory(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write ``files`` below the new directory ``path`` and return it."""
    path.mkdir()
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def write_tar(
    path: Path,
    files: Mapping[str, bytes],
    links: Mapping[str, str] | None = None,
    *,
    prefix: str = "",
    form: int = tarfile.PAX_FORMAT,
) -> Path:
    """Write ``files`` and symlinks to the tar ``path`` and return it."""
    with tarfile.open(path, "w", format=form) as archive:
        for name, target in (links or {}).items():
            link = tarfile.TarInfo(prefix + name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
        for name, content in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


__all__ = [
    "CONFIG",
    "INDEX",
    "MANIFEST",
    "NAME",
    "Files",
    "Layer",
    "add_blob",
    "as_json",
    "blob_path",
    "classic_files",
    "digest",
    "entry",
    "layout_files",
    "load",
    "make_tar",
    "plain",
    "pure_layout_files",
    "set_images",
    "small_layers",
    "text",
    "write_directory",
    "write_tar",
]
