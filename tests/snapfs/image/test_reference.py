from __future__ import annotations

import os
from pathlib import Path

import pytest

from snapfs.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    UnimplementedError,
)
from snapfs.image.opening import open_source
from snapfs.image.recognise import Scheme
from snapfs.image.reference import (
    ContainerdReference,
    FileReference,
    RegistryReference,
    SnapshotReference,
    TreeReference,
    parse_source,
)
from snapfs.image.resolve import open_image
from support.image_files import (
    classic_files,
    layout_files,
    plain,
    pure_layout_files,
    small_layers,
    write_directory,
    write_tar,
)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("oci:/a/b", FileReference(Scheme.OCI, "/a/b")),
        ("oci:b:latest", FileReference(Scheme.OCI, "b", "latest")),
        ("oci:b:host:5000/x:1", FileReference(Scheme.OCI, "b", "host:5000/x:1")),
        ("oci-archive:a.tar:1", FileReference(Scheme.OCI_ARCHIVE, "a.tar", "1")),
        ("docker-archive:a.tar", FileReference(Scheme.DOCKER_ARCHIVE, "a.tar")),
        ("tar:a:b.tar", FileReference(Scheme.TAR, "a:b.tar")),
        ("layers:/a:/b", TreeReference(("/a", "/b"))),
        ("layers:/a\\:b:/c", TreeReference(("/a:b", "/c"))),
        ("containerd:docker.io/x:1", ContainerdReference("docker.io/x:1")),
        ("snapshot:oci:x", SnapshotReference("oci:x")),
    ],
)
def test_a_scheme_decides(text: str, reference: object) -> None:
    assert parse_source(text) == reference
    assert str(parse_source(text)) == text


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("docker://debian", "docker.io/library/debian:latest"),
        ("docker://me/x:1", "docker.io/me/x:1"),
        ("docker://localhost:5000/x", "localhost:5000/x:latest"),
        ("docker://q.io/x@sha256:" + "a" * 64, "q.io/x@sha256:" + "a" * 64),
    ],
)
def test_names_in_registries_are_read_as_by_docker(text: str, full: str) -> None:
    reference = parse_source(text)

    assert isinstance(reference, RegistryReference)
    assert str(reference) == f"docker://{full}"


def test_an_existing_path_with_a_colon_is_taken_whole(tmp_path: Path) -> None:
    path = tmp_path / "a:b"
    path.mkdir()

    assert parse_source(f"oci:{path}") == FileReference(Scheme.OCI, str(path))
    assert parse_source(f"oci:{path}:c:d") == FileReference(
        Scheme.OCI, str(path), "c:d"
    )


def _paths(tmp_path: Path) -> dict[str, Path]:
    layers = small_layers()
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    layer = tmp_path / "layer"
    layer.write_bytes(plain(layers[0]))
    packed = tmp_path / "packed"
    packed.write_bytes(layers[0].blob)
    pure = pure_layout_files(tmp_path)
    return {
        "oci": write_directory(tmp_path / "layout", pure),
        "oci-archive": write_tar(tmp_path / "oci", pure),
        "docker-archive": write_tar(tmp_path / "docker", classic_files(layers)),
        "docker-archive 25": write_tar(tmp_path / "modern", layout_files(tmp_path)),
        "tar": layer,
        "tar packed": packed,
        "tree": tree,
    }


def test_a_path_is_recognised_by_its_content(tmp_path: Path) -> None:
    for form, path in _paths(tmp_path).items():
        reference = parse_source(str(path))

        if form == "tree":
            assert reference == TreeReference((str(path),))
            continue
        assert isinstance(reference, FileReference)
        assert reference == FileReference(Scheme(form.partition(" ")[0]), str(path))
        with open_source(reference) as source:
            assert open_image(source).layers
            assert source.name == str(reference)


def test_a_path_may_have_a_tag(tmp_path: Path) -> None:
    path = _paths(tmp_path)["oci"]

    assert parse_source(f"{path}:latest") == FileReference(
        Scheme.OCI, str(path), "latest"
    )
    with pytest.raises(InvalidArgumentError, match="'latest' says nothing"):
        parse_source(f"{tmp_path}:latest")


def test_a_relative_path_begins_with_a_dot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tree").mkdir()
    monkeypatch.chdir(tmp_path)

    assert parse_source("./tree") == TreeReference(("./tree",))
    assert parse_source(".") == TreeReference((".",))
    with pytest.raises(InvalidArgumentError, match=r"did you mean \./tree or docker:"):
        parse_source("tree")


def test_a_directory_scheme_stands_for_the_directory(tmp_path: Path) -> None:
    path = _paths(tmp_path)["oci"]

    assert parse_source(f"dir:{path}") == TreeReference((str(path),))


def test_a_bare_word_is_an_exact_key_or_name() -> None:
    assert parse_source("build-7", ["build-7"]) == SnapshotReference("build-7")
    assert parse_source("a:b", ["a:b"]) == SnapshotReference("a:b")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("build-8", "did you mean build-7"),
        ("debian", r"docker://debian\?$"),
        ("oci-archiv:x.tar", "oci-archive:x.tar"),
        ("Not A Name", "write one such as oci:DIR"),
        ("\x1b[31m", r"'\\x1b\[31m'"),
        ("", "neither a snapshot nor a SOURCE"),
    ],
)
def test_what_is_no_source_gets_suggestions(text: str, hint: str) -> None:
    with pytest.raises(InvalidArgumentError, match=hint):
        parse_source(text, ["build-7"])


@pytest.mark.parametrize("text", ["oci:", "layers:", "docker://", "layers:/a::/b"])
def test_an_empty_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_source(text)


def test_a_path_where_nothing_is_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is nothing at '.*/nowhere'$"):
        parse_source(f"{tmp_path}/nowhere")
    with pytest.raises(NotFoundError, match="there is nothing at"):
        parse_source(f"dir:{tmp_path}/nowhere")


def test_a_path_that_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "packed.xz").write_bytes(b"\xfd7zXZ\0" + bytes(600))
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(DataLossError, match="no tar archive"):
        parse_source(f"{tmp_path}/text")
    with pytest.raises(UnimplementedError, match="xz"):
        parse_source(f"{tmp_path}/packed.xz")
    with pytest.raises(InvalidArgumentError, match="is not a file"):
        parse_source(f"{tmp_path}/pipe")
