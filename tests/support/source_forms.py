"""The one image of an OCI layout, written in each form that a file of images has.

What the forms are is taken from what ``skopeo``, ``podman save`` and ``docker save``
write: Docker's own up to 24 has a directory for each layer, since 25 it is a layout.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from support.image_files import Files, as_json, write_tar
from support.layouts import archive_of

NAME: Final = "snapfs.test/case:latest"


def oci(layout: Path) -> str:
    """Return the layout itself as a SOURCE."""
    return f"oci:{layout}"


def oci_archive(layout: Path) -> str:
    """Return the layout in one tar."""
    return f"oci-archive:{archive_of(layout)}"


def skopeo_archive(layout: Path) -> str:
    """Return the image as skopeo and Podman write it: ``HEX.tar`` for each layer."""
    config, layers = _parts(layout)
    files = {f"{hexadecimal}.tar": tar for hexadecimal, tar in layers.items()}
    return _docker_archive(layout, "skopeo", config, files, files)


def legacy_archive(layout: Path) -> str:
    """Return the image as Docker wrote it before 25: ``ID/layer.tar``, ``ID/json``."""
    config, layers = _parts(layout)
    tars = {f"{hexadecimal}/layer.tar": tar for hexadecimal, tar in layers.items()}
    files = dict(tars)
    for hexadecimal in layers:
        files[f"{hexadecimal}/VERSION"] = b"1.0"
        files[f"{hexadecimal}/json"] = as_json({"id": hexadecimal})
    files["repositories"] = as_json({NAME.partition(":")[0]: {"latest": hexadecimal}})
    return _docker_archive(layout, "legacy", config, tars, files)


def modern_archive(layout: Path) -> str:
    """Return the image as Docker 25 and later: a layout, and their list beside it."""
    manifest = _manifest(layout)
    files = {
        str(path.relative_to(layout)): path.read_bytes()
        for path in sorted(layout.rglob("*"))
        if path.is_file()
    }
    listing = {
        "Config": _path(manifest["config"]),
        "RepoTags": [NAME],
        "Layers": [_path(layer) for layer in manifest["layers"]],
    }
    files["manifest.json"] = as_json([listing])
    archive = write_tar(layout.with_name(f"{layout.name}.modern.tar"), files)
    return f"docker-archive:{archive}"


FORMS: Final[Mapping[str, Callable[[Path], str]]] = {
    "oci": oci,
    "oci-archive": oci_archive,
    "docker-skopeo": skopeo_archive,
    "docker-legacy": legacy_archive,
    "docker-25": modern_archive,
}


def _docker_archive(
    layout: Path, form: str, config: bytes, layers: Files, files: Files
) -> str:
    name = _path(_manifest(layout)["config"]).rpartition("/")[2] + ".json"
    listing = {"Config": name, "RepoTags": [NAME], "Layers": list(layers)}
    every = {**files, name: config, "manifest.json": as_json([listing])}
    archive = write_tar(layout.with_name(f"{layout.name}.{form}.tar"), every)
    return f"docker-archive:{archive}"


def _parts(layout: Path) -> tuple[bytes, Files]:
    """Return the config, and the plain layers by the digits of their diff IDs."""
    manifest = _manifest(layout)
    config = (layout / _path(manifest["config"])).read_bytes()
    diff_ids = json.loads(config)["rootfs"]["diff_ids"]
    blobs = [(layout / _path(layer)).read_bytes() for layer in manifest["layers"]]
    return config, {
        diff_id.partition(":")[2]: blob if blob[:2] != b"\x1f\x8b" else _plain(blob)
        for diff_id, blob in zip(diff_ids, blobs, strict=True)
    }


def _plain(blob: bytes) -> bytes:
    return gzip.decompress(blob)


def _manifest(layout: Path) -> Any:  # noqa: ANN401 - whatever JSON holds
    index = json.loads((layout / "index.json").read_text())
    return json.loads((layout / _path(index["manifests"][0])).read_text())


def _path(descriptor: Mapping[str, Any]) -> str:
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")
