from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from snapfs.errors import (
    DataLossError,
    DigestMismatchError,
    InvalidArgumentError,
    NotFoundError,
    UnimplementedError,
    UnsafeLayerError,
)
from snapfs.image.layout import open_layout
from snapfs.image.platform import parse_platform
from snapfs.image.resolve import Image, open_image
from snapfs.image.verified import open_verified
from support.image_files import (
    CONFIG,
    INDEX,
    MANIFEST,
    Files,
    add_blob,
    as_json,
    blob_path,
    digest,
    load,
    pure_layout_files,
    set_images,
    small_layers,
    write_directory,
)

_ARTIFACT = "application/vnd.cncf.helm.config.v1+json"


def _open(path: Path, platform: str = "", tag: str = "") -> Image:
    with open_layout("oci:image", str(path), tag) as source:
        return open_image(source, parse_platform(platform) if platform else None)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return pure_layout_files(tmp_path)


def _manifest(files: Files) -> dict[str, object]:
    index = json.loads(files["index.json"])
    return load(files["blobs/" + index["manifests"][0]["digest"].replace(":", "/")])


def _config(files: Files) -> dict[str, object]:
    manifest = json.loads(json.dumps(_manifest(files)))
    return load(files["blobs/" + manifest["config"]["digest"].replace(":", "/")])


def _image_for(
    files: Files,
    architecture: str,
    variant: str = "",
    platform: dict[str, str] | None = None,
) -> dict[str, object]:
    """Add an image for a platform and return its entry for an index."""
    config = _config(files) | {"architecture": architecture, "variant": variant}
    manifest = _manifest(files) | {"config": add_blob(files, config, CONFIG)}
    platform = platform or {
        "os": "linux",
        "architecture": architecture,
        "variant": variant,
    }
    return add_blob(files, manifest, MANIFEST, platform=platform)


def _with_manifest(files: Files, **changes: object) -> Files:
    set_images(files, add_blob(files, _manifest(files) | changes, MANIFEST))
    return files


def _with_config(files: Files, **changes: object) -> Files:
    config = add_blob(files, _config(files) | changes, CONFIG)
    return _with_manifest(files, config=config)


def test_an_image_has_its_layers_with_chain_ids_and_commands(
    tmp_path: Path, files: Files
) -> None:
    base, change = small_layers()
    path = write_directory(tmp_path / "layout", files)

    image = _open(path)

    chain = digest(f"{base.diff_id} {change.diff_id}".encode())
    assert [str(layer.diff_id) for layer in image.layers] == [
        base.diff_id,
        change.diff_id,
    ]
    assert [str(layer.chain_id) for layer in image.layers] == [base.diff_id, chain]
    assert [layer.command for layer in image.layers] == ["ADD base /", "RUN change"]
    assert [layer.descriptor.size_bytes for layer in image.layers] == [
        len(base.blob),
        len(change.blob),
    ]
    assert str(image.image_id) == digest(image.config_content)


def test_layers_are_read_back_verified(tmp_path: Path, files: Files) -> None:
    path = write_directory(tmp_path / "layout", files)

    with open_layout("oci:image", str(path)) as source:
        image = open_image(source)
        blobs = []
        for layer in image.layers:
            reader = open_verified(source, layer.descriptor)
            blobs.append(reader.read(1 << 20))
            reader.finish()
            reader.close()

    assert blobs == [layer.blob for layer in small_layers()]


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("linux/arm64", "linux/arm64"),
        ("linux/arm/v7", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v5"),
        ("linux/amd64", "linux/amd64"),
        ("linux/amd64/v4", "linux/amd64/v3"),
    ],
)
def test_the_best_platform_of_an_index_is_chosen(
    tmp_path: Path, files: Files, wanted: str, chosen: str
) -> None:
    images = [
        _image_for(files, "386"),
        _image_for(files, "amd64"),
        _image_for(files, "amd64", "v3"),
        _image_for(files, "arm", "v5"),
        _image_for(files, "arm", "v7"),
        _image_for(files, "arm64", "v8"),
    ]
    index = {"schemaVersion": 2, "manifests": images}
    set_images(files, add_blob(files, index, INDEX))

    image = _open(write_directory(tmp_path / "layout", files), wanted)

    found = image.config.platform
    assert str(parse_platform(str(found))) == chosen


def test_the_first_of_several_for_one_platform_is_chosen(
    tmp_path: Path, files: Files
) -> None:
    first = _image_for(files, "arm64")
    second = add_blob(
        files,
        _manifest(files) | {"annotations": {"second": "yes"}},
        MANIFEST,
        platform={"os": "linux", "architecture": "arm64"},
    )
    index = {"schemaVersion": 2, "manifests": [first, second]}
    set_images(files, add_blob(files, index, INDEX))

    image = _open(write_directory(tmp_path / "layout", files), "arm64")

    assert str(image.descriptor.digest) == first["digest"]


def test_nested_indexes_attestations_and_entries_without_platform_are_understood(
    tmp_path: Path, files: Files
) -> None:
    attestation = _image_for(
        files, "s390x", platform={"os": "unknown", "architecture": "unknown"}
    )
    artifact = add_blob(files, b"any bytes", "application/vnd.example.thing")
    bare = _image_for(files, "riscv64")
    del bare["platform"]
    inner = {"schemaVersion": 2, "manifests": [attestation, artifact, bare]}
    outer = {"schemaVersion": 2, "manifests": [add_blob(files, inner, INDEX)]}
    set_images(files, add_blob(files, outer, INDEX))

    path = write_directory(tmp_path / "layout", files)

    assert _open(path, "riscv64").config.platform.architecture == "riscv64"
    with pytest.raises(NotFoundError, match=r"linux/s390x; it has: linux/riscv64$"):
        _open(path, "s390x")


def test_a_listed_image_that_is_not_held_is_named(tmp_path: Path, files: Files) -> None:
    image = _image_for(files, "arm64")
    index = {"schemaVersion": 2, "manifests": [image]}
    set_images(files, add_blob(files, index, INDEX))
    del files["blobs/" + str(image["digest"]).replace(":", "/")]

    with pytest.raises(NotFoundError, match="lists an image for linux/arm64 but does"):
        _open(write_directory(tmp_path / "layout", files), "arm64")


def test_indexes_without_end_are_refused(tmp_path: Path, files: Files) -> None:
    entry = _image_for(files, "arm64")
    for level in range(20):
        index = {
            "schemaVersion": 2,
            "manifests": [entry],
            "annotations": {"level": str(level)},
        }
        entry = add_blob(files, index, INDEX)
    set_images(files, entry)

    with pytest.raises(InvalidArgumentError, match="indexes more than 8 deep"):
        _open(write_directory(tmp_path / "layout", files))


def test_an_index_that_multiplies_is_refused(tmp_path: Path, files: Files) -> None:
    entry = _image_for(files, "arm64")
    for level in range(4):
        index = {
            "schemaVersion": 2,
            "manifests": [entry] * 20,
            "annotations": {"level": str(level)},
        }
        entry = add_blob(files, index, INDEX)
    set_images(files, entry)

    with pytest.raises(InvalidArgumentError, match="more than 1000 documents"):
        _open(write_directory(tmp_path / "layout", files))


def test_an_image_alone_is_taken_unless_another_platform_is_asked_for(
    tmp_path: Path, files: Files
) -> None:
    set_images(files, _image_for(files, "s390x"))
    path = write_directory(tmp_path / "layout", files)

    assert _open(path).config.platform.architecture == "s390x"
    assert _open(path, "s390x").config.platform.architecture == "s390x"
    with pytest.raises(NotFoundError, match="linux/arm64; it has: linux/s390x"):
        _open(path, "arm64")


@pytest.mark.parametrize("extra", [-1, 1])
def test_a_layer_count_that_differs_is_refused(
    tmp_path: Path, files: Files, extra: int
) -> None:
    diff_ids = [layer.diff_id for layer in small_layers()]
    diff_ids = diff_ids[:-1] if extra < 0 else [*diff_ids, digest(b"")]
    _with_config(files, rootfs={"type": "layers", "diff_ids": diff_ids})

    with pytest.raises(DataLossError, match=f"has 2 layers and its config {2 + extra}"):
        _open(write_directory(tmp_path / "layout", files))


def test_missing_diff_ids_are_refused(tmp_path: Path, files: Files) -> None:
    _with_config(files, rootfs={"type": "layers"})

    with pytest.raises(DataLossError, match=r"config sha256:.* rootfs has no diff_ids"):
        _open(write_directory(tmp_path / "layout", files))


def test_an_old_config_without_platform_is_accepted(
    tmp_path: Path, files: Files
) -> None:
    _with_config(files, os=None, architecture=None, history=None, config=None)

    image = _open(write_directory(tmp_path / "layout", files), "arm64")

    assert [layer.command for layer in image.layers] == ["", ""]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"artifactType": "application/vnd.example"},
            "an artifact of type 'application/vnd.example'.*oras",
            id="artifact-type",
        ),
        pytest.param(
            {"config": {"mediaType": _ARTIFACT, "digest": digest(b"{}"), "size": 2}},
            f"an artifact of type '{re.escape(_ARTIFACT)}'",
            id="config-type",
        ),
        pytest.param(
            {"layers": [{"mediaType": "text/x", "digest": digest(b""), "size": 0}]},
            "has the media type 'text/x', which is no tar layer's",
            id="no-layer",
        ),
    ],
)
@pytest.mark.parametrize("platform", ["", "arm64"])
def test_what_is_no_image_is_refused_with_the_way_out(
    tmp_path: Path,
    files: Files,
    changes: dict[str, object],
    message: str,
    platform: str,
) -> None:
    files[blob_path(b"{}")] = b"{}"
    _with_config(files, architecture="arm64")
    _with_manifest(files, **changes)

    with pytest.raises(InvalidArgumentError, match=message):
        _open(write_directory(tmp_path / "layout", files), platform)


def test_an_encrypted_layer_is_for_somebody_else(tmp_path: Path, files: Files) -> None:
    encrypted = "application/vnd.oci.image.layer.v1.tar+encrypted"
    layer = {"mediaType": encrypted, "digest": digest(b""), "size": 0}
    _with_manifest(files, layers=[layer])

    with pytest.raises(UnimplementedError, match=r"layers\[0\] .* is encrypted; dec"):
        _open(write_directory(tmp_path / "layout", files))


def test_a_foreign_layer_is_an_ordinary_layer(tmp_path: Path, files: Files) -> None:
    manifest = json.loads(json.dumps(_manifest(files)))
    for layer in manifest["layers"]:
        layer["mediaType"] = (
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        )
        layer["urls"] = ["https://example.com/layer"]
    _with_manifest(files, layers=manifest["layers"])

    image = _open(write_directory(tmp_path / "layout", files))

    assert image.layers[0].descriptor.urls == ("https://example.com/layer",)


def test_a_config_of_100_mb_is_refused_before_it_is_read(
    tmp_path: Path, files: Files
) -> None:
    config = {"mediaType": CONFIG, "digest": digest(b"x"), "size": 100 << 20}
    _with_manifest(files, config=config)

    with pytest.raises(UnsafeLayerError, match="104857600 bytes; at most 4194304"):
        _open(write_directory(tmp_path / "layout", files))


@pytest.mark.parametrize("change", [-1, 1])
def test_a_size_that_is_off_by_one_is_refused(
    tmp_path: Path, files: Files, change: int
) -> None:
    manifest = json.loads(json.dumps(_manifest(files)))
    config = manifest["config"]
    config["size"] += change
    _with_manifest(files, config=config)

    with pytest.raises(DataLossError, match=r"longer|ends after"):
        _open(write_directory(tmp_path / "layout", files))


def test_a_config_changed_in_its_last_byte_is_refused(
    tmp_path: Path, files: Files
) -> None:
    manifest = json.loads(json.dumps(_manifest(files)))
    path = "blobs/" + manifest["config"]["digest"].replace(":", "/")
    files[path] = files[path][:-1] + b" "

    with pytest.raises(DigestMismatchError, match="has the digest sha256:"):
        _open(write_directory(tmp_path / "layout", files))


def test_a_manifest_that_is_also_an_index_is_refused(
    tmp_path: Path, files: Files
) -> None:
    _with_manifest(files, manifests=[])

    with pytest.raises(DataLossError, match="ambiguous"):
        _open(write_directory(tmp_path / "layout", files))


def test_a_manifest_listed_as_an_index_is_refused(tmp_path: Path, files: Files) -> None:
    set_images(files, add_blob(files, as_json(_manifest(files)), INDEX))

    with pytest.raises(DataLossError, match="ambiguous"):
        _open(write_directory(tmp_path / "layout", files))
