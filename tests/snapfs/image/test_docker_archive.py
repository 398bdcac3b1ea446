from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from snapfs.errors import (
    DataLossError,
    DigestMismatchError,
    InvalidArgumentError,
    NotFoundError,
    UnsafeLayerError,
)
from snapfs.image.archive_index import ArchiveFiles
from snapfs.image.docker_archive import DockerArchiveSource
from snapfs.image.resolve import Image, open_image
from snapfs.image.verified import open_verified
from support.image_files import (
    CONFIG,
    INDEX,
    MANIFEST,
    NAME,
    Files,
    add_blob,
    as_json,
    classic_files,
    digest,
    layout_files,
    plain,
    set_images,
    small_layers,
    write_tar,
)


def _open(path: Path, tag: str = "") -> tuple[Image, list[bytes]]:
    """Return the image and its layers' verified blobs."""
    files = ArchiveFiles(str(path))
    with DockerArchiveSource("docker-archive:image", files, tag) as source:
        image = open_image(source)
        blobs = []
        for layer in image.layers:
            reader = open_verified(source, layer.descriptor)
            blobs.append(b"".join(iter(lambda r=reader: r.read(999), b"")))  # type: ignore[misc]
            reader.close()
    return image, blobs


def _listing(files: Files) -> list[dict[str, object]]:
    listing = json.loads(files["manifest.json"])
    assert isinstance(listing, list)
    return listing


def _layers_of(files: Files) -> Sequence[str]:
    layers = _listing(files)[0]["Layers"]
    assert isinstance(layers, list)
    return layers


@pytest.fixture
def classic() -> Files:
    return classic_files(small_layers())


@pytest.fixture
def modern(tmp_path: Path) -> Files:
    return layout_files(tmp_path)


def test_a_classic_archive_is_an_image_of_plain_layers(
    tmp_path: Path, classic: Files
) -> None:
    layers = small_layers()

    image, blobs = _open(write_tar(tmp_path / "a.tar", classic))

    assert blobs == [plain(layer) for layer in layers]
    assert [str(layer.diff_id) for layer in image.layers] == [
        layer.diff_id for layer in layers
    ]
    assert [layer.descriptor.digest for layer in image.layers] == [
        layer.diff_id for layer in image.layers
    ]
    assert [layer.command for layer in image.layers] == ["ADD base /", "RUN change"]


@pytest.mark.parametrize(
    "tag", ["", "latest", NAME, "snapfs.test/small", "docker.io/x:1"]
)
def test_an_image_is_found_by_any_of_its_names(
    tmp_path: Path, classic: Files, tag: str
) -> None:
    listing = _listing(classic)
    listing[0]["RepoTags"] = [NAME, "x:1"]
    classic["manifest.json"] = as_json(listing)

    image, _ = _open(
        write_tar(tmp_path / "a.tar", classic), tag.replace("x:1", "library/x:1")
    )

    assert len(image.layers) == 2


def test_layers_that_are_symlinks_are_read_through_them(
    tmp_path: Path, classic: Files
) -> None:
    listing = _listing(classic)
    links = {
        f"id{number}/layer.tar": f"../{path}"
        for number, path in enumerate(_layers_of(classic))
    }
    listing[0]["Layers"] = list(links)
    classic["manifest.json"] = as_json(listing)

    _, blobs = _open(write_tar(tmp_path / "a.tar", classic, links))

    assert blobs == [plain(layer) for layer in small_layers()]


def test_a_layer_symlink_out_of_the_archive_is_refused(
    tmp_path: Path, classic: Files
) -> None:
    listing = _listing(classic)
    listing[0]["Layers"] = ["id/layer.tar", _layers_of(classic)[1]]
    classic["manifest.json"] = as_json(listing)
    links = {"id/layer.tar": "../../../../etc/passwd"}

    with pytest.raises(UnsafeLayerError, match=r"'id/layer\.tar' leads out"):
        _open(write_tar(tmp_path / "a.tar", classic, links))


def test_one_layer_twice_is_stored_once(tmp_path: Path) -> None:
    base = small_layers()[0]

    image, blobs = _open(write_tar(tmp_path / "a.tar", classic_files([base, base])))

    assert blobs == [plain(base)] * 2
    assert image.layers[0].chain_id != image.layers[1].chain_id


def test_compressed_layers_of_an_old_archive_get_their_own_digest(
    tmp_path: Path, classic: Files
) -> None:
    layers = small_layers()
    for path, layer in zip(_layers_of(classic), layers, strict=True):
        classic[path] = layer.blob

    image, blobs = _open(write_tar(tmp_path / "a.tar", classic))

    assert blobs == [layer.blob for layer in layers]
    assert [str(layer.descriptor.digest) for layer in image.layers] == [
        digest(layer.blob) for layer in layers
    ]
    assert image.layers[0].descriptor.media_type.endswith("tar.gzip")


def test_a_compressed_archive_is_the_same_image(tmp_path: Path, classic: Files) -> None:
    path = write_tar(tmp_path / "a.tar", classic)
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))

    assert _open(packed)[0].layers == _open(path)[0].layers


def test_a_plain_layer_that_changed_is_found_when_it_is_read(
    tmp_path: Path, classic: Files
) -> None:
    path = _layers_of(classic)[0]
    classic[path] = classic[path][:-1] + b"\1"

    with pytest.raises(DigestMismatchError):
        _open(write_tar(tmp_path / "a.tar", classic))


def test_a_config_that_is_not_what_its_name_says_is_refused(
    tmp_path: Path, classic: Files
) -> None:
    path = _listing(classic)[0]["Config"]
    assert isinstance(path, str)
    classic[path] += b" "

    with pytest.raises(DigestMismatchError, match=f"config '{path}' has the digest"):
        _open(write_tar(tmp_path / "a.tar", classic))


def test_a_layer_count_that_differs_is_refused(tmp_path: Path, classic: Files) -> None:
    listing = _listing(classic)
    listing[0]["Layers"] = _layers_of(classic)[:1]
    classic["manifest.json"] = as_json(listing)

    with pytest.raises(DataLossError, match="has 1 layers and the config 2 diff IDs"):
        _open(write_tar(tmp_path / "a.tar", classic))


def test_a_missing_layer_is_named(tmp_path: Path, classic: Files) -> None:
    path = _layers_of(classic)[1]
    del classic[path]

    with pytest.raises(NotFoundError, match=f"layer '{path}' is missing"):
        _open(write_tar(tmp_path / "a.tar", classic))


def test_two_images_need_a_tag(tmp_path: Path, classic: Files) -> None:
    other = classic_files(small_layers()[:1], "other:1")
    both = classic | other
    both["manifest.json"] = as_json(_listing(classic) + _listing(other))
    path = write_tar(tmp_path / "a.tar", both)

    assert len(_open(path, "other:1")[0].layers) == 1
    with pytest.raises(InvalidArgumentError, match=r"2 images.*other:1, snapfs\.test"):
        _open(path)
    with pytest.raises(NotFoundError, match=r"no image 'third'; it has: other:1"):
        _open(path, "third")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        pytest.param(b"{}", DataLossError, "Expected `array`", id="an-object"),
        pytest.param(b"[{}]", DataLossError, "`Config`", id="no-config"),
        pytest.param(b"[]", NotFoundError, "has no images", id="empty"),
        pytest.param(
            b'[{"Config": "a", "Config": "b"}]', DataLossError, "twice", id="duplicate"
        ),
        pytest.param(
            b'[{"Config": "../../etc/passwd"}]', NotFoundError, "no file", id="path"
        ),
        pytest.param(b" " * (1 << 21), UnsafeLayerError, "at most 1048576", id="huge"),
    ],
)
def test_a_bad_list_of_images_is_refused(
    tmp_path: Path, classic: Files, content: bytes, error: type[Exception], message: str
) -> None:
    classic["manifest.json"] = content

    with pytest.raises(error, match=f"^docker-archive:image.*{message}"):
        _open(write_tar(tmp_path / "a.tar", classic))


def test_an_archive_without_a_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"it has no manifest\.json"):
        _open(write_tar(tmp_path / "a.tar", {"etc/passwd": b""}))


def test_the_layout_of_a_modern_archive_is_preferred(
    tmp_path: Path, modern: Files
) -> None:
    image, blobs = _open(write_tar(tmp_path / "a.tar", modern), NAME)

    assert image.manifest.media_type == MANIFEST
    assert blobs == [layer.blob for layer in small_layers()]


def test_a_nested_index_with_one_platform_held_is_complete(
    tmp_path: Path, modern: Files
) -> None:
    # What Docker's containerd store saves: the index of all platforms, the blobs
    # of one.
    held = json.loads(modern["index.json"])["manifests"][0]
    held["platform"] = {"os": "linux", "architecture": "amd64"}
    absent = held | {
        "digest": digest(b"absent"),
        "platform": {"os": "linux", "architecture": "s390x"},
    }
    index = {"schemaVersion": 2, "manifests": [absent, held]}
    set_images(modern, add_blob(modern, index, INDEX))
    files = ArchiveFiles(str(write_tar(tmp_path / "a.tar", modern)))

    with DockerArchiveSource("docker-archive:image", files) as source:
        root = source.root()

    assert root.media_type == INDEX


@pytest.mark.parametrize("gone", ["manifest", "config", "nothing-but-layers-unlisted"])
def test_dockers_list_is_used_where_the_layout_is_not_complete(
    tmp_path: Path, gone: str
) -> None:
    layers = small_layers()
    classic = classic_files(layers)
    files = dict(classic) | {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
    config = add_blob(files, b'{"rootfs": {"type": "layers", "diff_ids": []}}', CONFIG)
    # moby#47065: manifests without layers.
    manifest = add_blob(
        files, {"schemaVersion": 2, "config": config, "layers": []}, MANIFEST
    )
    set_images(files, manifest)
    entry = {"manifest": manifest, "config": config}.get(gone)
    if entry is not None:
        del files["blobs/" + str(entry["digest"]).replace(":", "/")]

    _, blobs = _open(write_tar(tmp_path / "a.tar", files))

    assert blobs == [plain(layer) for layer in layers]


def test_a_blob_named_by_another_digest_is_refused(
    tmp_path: Path, modern: Files
) -> None:
    # Docker's list alone, as with the classic store of Docker 25.
    del modern["oci-layout"]
    path = _layers_of(modern)[0]
    modern[path] = modern[path][:-1] + b"\1"

    with pytest.raises(DigestMismatchError, match="blob sha256:"):
        _open(write_tar(tmp_path / "a.tar", modern))
