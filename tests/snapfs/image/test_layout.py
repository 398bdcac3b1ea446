from __future__ import annotations

import os
from pathlib import Path

import pytest

from snapfs.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    UnimplementedError,
    UnsafeLayerError,
)
from snapfs.image.descriptor import Descriptor, Platform
from snapfs.image.layout import open_layout
from snapfs.image.oci_archive import open_oci_archive
from snapfs.image.resolve import open_image
from support.image_files import (
    INDEX,
    MANIFEST,
    Files,
    add_blob,
    as_json,
    load,
    pure_layout_files,
    set_images,
    write_directory,
    write_tar,
)

_REF = "org.opencontainers.image.ref.name"
_FULL = "io.containerd.image.name"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return pure_layout_files(tmp_path)


def _root(path: Path, tag: str = "") -> Descriptor:
    with open_layout("oci:image", str(path), tag) as source:
        return source.root()


def _named(files: Files, *names: str, key: str = _REF) -> list[dict[str, object]]:
    entries = []
    for name in names:
        document = {"schemaVersion": 2, "manifests": [], "annotations": {"n": name}}
        entry = add_blob(files, document, INDEX)
        entries.append(entry | ({"annotations": {key: name}} if name else {}))
    set_images(files, *entries)
    return entries


@pytest.mark.parametrize(
    "tag", ["latest", "snapfs.test/small:latest", "snapfs.test/small"]
)
def test_an_image_is_found_by_its_tag_and_by_its_name(
    tmp_path: Path, files: Files, tag: str
) -> None:
    path = write_directory(tmp_path / "layout", files)

    assert _root(path, tag) == _root(path)


def test_an_image_is_found_by_its_digest(tmp_path: Path, files: Files) -> None:
    entries = _named(files, "a", "b")
    path = write_directory(tmp_path / "layout", files)

    root = _root(path, str(entries[1]["digest"]))

    assert str(root.digest) == entries[1]["digest"]


def test_a_short_docker_name_finds_the_full_one(tmp_path: Path, files: Files) -> None:
    entries = _named(
        files, "docker.io/library/demo:latest", "docker.io/library/demo:1", key=_FULL
    )
    path = write_directory(tmp_path / "layout", files)

    assert str(_root(path, "demo").digest) == entries[0]["digest"]
    assert str(_root(path, "demo:1").digest) == entries[1]["digest"]


def test_a_tag_that_is_not_there_lists_those_that_are(
    tmp_path: Path, files: Files
) -> None:
    _named(files, "two", "one")

    with pytest.raises(
        NotFoundError, match=r"^oci:image: there is no image 'three'; it has: one, two$"
    ):
        _root(write_directory(tmp_path / "layout", files), "three")


def test_two_images_without_a_tag_are_listed(tmp_path: Path, files: Files) -> None:
    _named(files, "two", "one")

    with pytest.raises(InvalidArgumentError, match="2 images, say which: it has: one"):
        _root(write_directory(tmp_path / "layout", files))


def test_one_image_under_two_names_needs_no_tag(tmp_path: Path, files: Files) -> None:
    entry, _ = _named(files, "a", "b")
    set_images(files, entry, entry | {"annotations": {_REF: "c"}})

    root = _root(write_directory(tmp_path / "layout", files))

    assert str(root.digest) == entry["digest"]


def test_one_name_for_several_platforms_is_one_image(
    tmp_path: Path, files: Files
) -> None:
    index = load(files["index.json"])
    manifests = index["manifests"]
    assert isinstance(manifests, list)
    entry = manifests[0]
    other = add_blob(files, {"schemaVersion": 2}, MANIFEST)
    platform = {"os": "linux", "architecture": "riscv64"}
    other |= {"annotations": entry["annotations"], "platform": platform}
    set_images(files, other, entry | {"platform": {"os": "linux", "architecture": "s"}})

    path = write_directory(tmp_path / "layout", files)

    assert _root(path, "latest").media_type == INDEX
    with (
        open_layout("oci:image", str(path)) as source,
        pytest.raises(NotFoundError, match=r"it has: linux/riscv64, linux/s$"),
    ):
        open_image(source, Platform("linux", "x"))


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        pytest.param(
            "oci-layout", None, InvalidArgumentError, "no OCI image layout", id="none"
        ),
        pytest.param(
            "oci-layout", b"{}", DataLossError, "imageLayout", id="no-version"
        ),
        pytest.param(
            "oci-layout",
            as_json({"imageLayoutVersion": "2.0.0"}),
            UnimplementedError,
            "version '2.0.0' is not supported",
            id="version-2",
        ),
        pytest.param(
            "oci-layout", b" " * (1 << 17), UnsafeLayerError, "131072", id="huge"
        ),
        pytest.param("index.json", None, NotFoundError, "'index.json'", id="no-index"),
        pytest.param("index.json", b"{", DataLossError, "index.json", id="not-json"),
        pytest.param(
            "index.json", b" " * (5 << 20), UnsafeLayerError, "at most", id="huge-index"
        ),
        pytest.param(
            "index.json",
            as_json({"schemaVersion": 2, "manifests": []}),
            NotFoundError,
            "has no images",
            id="empty",
        ),
    ],
)
def test_a_bad_layout_is_refused_by_name(
    tmp_path: Path,
    files: Files,
    name: str,
    content: bytes | None,
    error: type[Exception],
    message: str,
) -> None:
    del files[name]
    if content is not None:
        files[name] = content

    with pytest.raises(error, match=f"^oci:image.*{message}"):
        _root(write_directory(tmp_path / "layout", files))


def test_a_missing_blob_is_named(tmp_path: Path, files: Files) -> None:
    path = write_directory(tmp_path / "layout", files)
    root = _root(path)
    (path / "blobs" / "sha256" / root.digest.hex).unlink()

    with (
        open_layout("oci:image", str(path)) as source,
        pytest.raises(NotFoundError, match=f"oci:image: blob {root.digest} is missing"),
    ):
        open_image(source)


def test_a_pipe_in_the_place_of_a_blob_is_refused(tmp_path: Path, files: Files) -> None:
    path = write_directory(tmp_path / "layout", files)
    blob = path / "blobs" / "sha256" / _root(path).digest.hex
    blob.unlink()
    os.mkfifo(blob)

    with (
        open_layout("oci:image", str(path)) as source,
        pytest.raises(InvalidArgumentError, match="is not a file"),
    ):
        open_image(source)


def test_blobs_may_be_symlinks(tmp_path: Path, files: Files) -> None:
    path = write_directory(tmp_path / "layout", files)
    (path / "blobs").rename(tmp_path / "shared")
    (path / "blobs").symlink_to(tmp_path / "shared")

    with open_layout("oci:image", str(path)) as source:
        assert len(open_image(source).layers) == 2


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no directory '.*nowhere'"):
        open_layout("oci:image", str(tmp_path / "nowhere"))


def test_a_closed_source_leaves_its_open_readers_alone(
    tmp_path: Path, files: Files
) -> None:
    path = write_directory(tmp_path / "layout", files)
    with open_layout("oci:image", str(path)) as source:
        image = open_image(source)
        reader = source.open_blob(image.layers[0].descriptor, 2)
    before = len(os.listdir("/proc/self/fd"))

    rest = reader.read(1 << 20)
    reader.close()
    reader.close()

    assert len(rest) == image.layers[0].descriptor.size_bytes - 2
    assert len(os.listdir("/proc/self/fd")) == before - 1


@pytest.mark.parametrize("prefix", ["", "./", "/"])
def test_an_archive_of_a_layout_is_the_same_image(
    tmp_path: Path, files: Files, prefix: str
) -> None:
    last_first = dict(sorted(files.items()))
    path = write_tar(tmp_path / "image.tar", last_first, prefix=prefix)

    with open_oci_archive("oci-archive:image", str(path), "latest") as source:
        image = open_image(source)

    with open_layout(
        "oci:image", str(write_directory(tmp_path / "layout", files))
    ) as source:
        assert open_image(source).layers == image.layers
