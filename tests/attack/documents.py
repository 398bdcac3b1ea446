"""Image documents that lie: what is changed of a sound layout, and the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from snapfs.errors import (
    DataLossError,
    DigestMismatchError,
    InvalidArgumentError,
    NotFoundError,
    SnapfsError,
    UnimplementedError,
    UnsafeLayerError,
)
from support.image_files import (
    CONFIG,
    MANIFEST,
    Files,
    add_blob,
    as_json,
    digest,
    load,
    set_images,
)

_MIB: Final = 1 << 20

Document = Any  # JSON, of any form: that is the point
Change = Callable[[Document], None]
Case = tuple[str, Callable[[Files], None], type[SnapfsError], str]


def _documents(files: Files) -> tuple[Any, Any]:
    """Return the manifest and the config of a layout with one image."""
    index: Any = load(files["index.json"])
    manifest: Any = load(files[_path(index["manifests"][0]["digest"])])
    return manifest, load(files[_path(manifest["config"]["digest"])])


def _path(name: str) -> str:
    return "blobs/" + name.replace(":", "/")


def changed(
    manifest: Change | None = None, config: Change | None = None
) -> Callable[[Files], None]:
    """Return a change of an image whose digests are made right again."""

    def spoil(files: Files) -> None:
        image, settings = _documents(files)
        if config is not None:
            config(settings)
            image["config"] = add_blob(files, settings, CONFIG)
        if manifest is not None:
            manifest(image)
        set_images(files, add_blob(files, image, MANIFEST))

    return spoil


def _raw_manifest(change: Callable[[bytes], bytes]) -> Callable[[Files], None]:
    def spoil(files: Files) -> None:
        image, _ = _documents(files)
        set_images(files, add_blob(files, change(as_json(image)), MANIFEST))

    return spoil


def _raw_config(change: Callable[[bytes], bytes]) -> Callable[[Files], None]:
    def spoil(files: Files) -> None:
        image, settings = _documents(files)
        image["config"] = add_blob(files, change(as_json(settings)), CONFIG)
        set_images(files, add_blob(files, image, MANIFEST))

    return spoil


def _layer(key: str, value: object) -> Callable[[Files], None]:
    def change(manifest: Document) -> None:
        manifest["layers"][0][key] = value

    return changed(change)


def _resized(by: int) -> Callable[[Files], None]:
    def change(manifest: Document) -> None:
        manifest["layers"][0]["size"] += by

    return changed(change)


def _blob(change: Callable[[bytes], bytes]) -> Callable[[Files], None]:
    """Return a change of the stored layer that its name does not know of."""

    def spoil(files: Files) -> None:
        manifest, _ = _documents(files)
        path = _path(manifest["layers"][0]["digest"])
        files[path] = change(files[path])

    return spoil


def _without_blob(files: Files) -> None:
    manifest, _ = _documents(files)
    del files[_path(manifest["layers"][0]["digest"])]


def _swap_config(files: Files) -> None:
    """Store another document under the name of the config."""
    manifest, _ = _documents(files)
    size = manifest["config"]["size"]
    files[_path(manifest["config"]["digest"])] = b"{}".ljust(size)


def _diff_id(value: str) -> Callable[[Files], None]:
    return changed(config=lambda c: c["rootfs"].update(diff_ids=[value]))


HOSTILE_DOCUMENTS: Final[list[Case]] = [
    (
        "last byte",
        _blob(lambda b: b[:-1] + bytes([b[-1] ^ 1])),
        DataLossError,
        "sha256:",
    ),
    (
        "first byte",
        _blob(lambda b: bytes([b[0] ^ 1]) + b[1:]),
        DataLossError,
        "sha256:",
    ),
    ("blob longer", _blob(lambda b: b + b"\0"), DataLossError, "is longer than"),
    ("blob shorter", _blob(lambda b: b[:-1]), DataLossError, "ends after"),
    ("blob empty", _blob(lambda _: b""), DataLossError, "ends after 0 of"),
    ("descriptor one more", _resized(1), DataLossError, "ends after"),
    ("descriptor one less", _resized(-1), DataLossError, "is longer than"),
    ("descriptor negative", _layer("size", -1), DataLossError, "size"),
    ("descriptor of 2^63", _layer("size", 1 << 63), DataLossError, "size"),
    ("descriptor no number", _layer("size", "9"), DataLossError, "size"),
    (
        "digest as a path",
        _layer("digest", "sha256:../../../passwd"),
        DataLossError,
        "digest",
    ),
    ("digest as a host path", _layer("digest", "/etc/passwd"), DataLossError, "digest"),
    ("digest too short", _layer("digest", "sha256:abc"), DataLossError, "digest"),
    (
        "digest in capitals",
        _layer("digest", "sha256:" + "A" * 64),
        DataLossError,
        "digest",
    ),
    ("digest unknown", _layer("digest", "md5:" + "0" * 32), UnimplementedError, "md5"),
    ("blob missing", _without_blob, NotFoundError, "is missing"),
    ("config swapped", _swap_config, DigestMismatchError, "sha256:"),
    ("wrong diff ID", _diff_id(digest(b"other")), DigestMismatchError, "diff ID"),
    ("diff ID as a path", _diff_id("sha256:../../x"), DataLossError, "sha256"),
    (
        "too few diff IDs",
        changed(config=lambda c: c["rootfs"].update(diff_ids=[])),
        DataLossError,
        "diff IDs",
    ),
    (
        "too many diff IDs",
        changed(config=lambda c: c["rootfs"]["diff_ids"].append(digest(b""))),
        DataLossError,
        "diff IDs",
    ),
    (
        "no layers",
        changed(
            lambda m: m.update(layers=[]), lambda c: c["rootfs"].update(diff_ids=[])
        ),
        InvalidArgumentError,
        "no layers",
    ),
    (
        "encrypted",
        _layer("mediaType", "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"),
        UnimplementedError,
        "encrypted",
    ),
    ("no tar", _layer("mediaType", "text/html"), InvalidArgumentError, "text/html"),
    (
        "manifest or index",
        changed(lambda m: m.update(manifests=[])),
        DataLossError,
        "manifests",
    ),
    (
        "manifest of another type",
        changed(
            lambda m: m.update(mediaType="application/vnd.oci.image.index.v1+json")
        ),
        DataLossError,
        "index",
    ),
    (
        "schema 1",
        changed(lambda m: m.update(fsLayers=[])),
        InvalidArgumentError,
        "schema 1",
    ),
    (
        "duplicate key",
        _raw_manifest(lambda b: b.replace(b'"layers":', b'"layers":[],"layers":')),
        DataLossError,
        "layers",
    ),
    (
        "duplicate key in other case",
        _raw_manifest(lambda b: b.replace(b'"layers":', b'"Layers":[],"layers":')),
        DataLossError,
        "ayers",
    ),
    (
        "duplicate key in the config",
        _raw_config(lambda b: b.replace(b'"rootfs":', b'"rootfs":{},"rootfs":')),
        DataLossError,
        "rootfs",
    ),
    (
        "deep nesting",
        _raw_config(
            lambda b: b[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        ),
        DataLossError,
        "config",
    ),
    (
        "deep objects",
        _raw_config(
            lambda b: (
                b[:-1] + b',"x":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}"
            )
        ),
        DataLossError,
        "config",
    ),
    (
        "config of 100 MB",
        _raw_config(lambda b: b.ljust(100 * _MIB)),
        UnsafeLayerError,
        "at most",
    ),
    ("config no JSON", _raw_config(lambda b: b"\xff" + b), DataLossError, "config"),
    ("config a list", _raw_config(lambda _: b"[]"), DataLossError, "config"),
    (
        "numbers without end",
        _raw_manifest(
            lambda b: b.replace(
                b'"schemaVersion":2', b'"schemaVersion":' + b"2" * 10_000
            )
        ),
        DataLossError,
        "schemaVersion",
    ),
    (
        "index no JSON",
        lambda files: files.update({"index.json": b"root:x:0:0"}),
        DataLossError,
        "index.json",
    ),
    (
        "index too large",
        lambda files: files.update({"index.json": b" " * (5 * _MIB)}),
        UnsafeLayerError,
        "index.json",
    ),
    (
        "index in a circle",
        lambda files: set_images(
            files,
            {
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "digest": digest(b""),
                "size": 0,
            },
        ),
        NotFoundError,
        "is missing",
    ),
]
