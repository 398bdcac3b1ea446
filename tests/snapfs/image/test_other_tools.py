"""Images written by skopeo and umoci are read as they are."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from snapfs.errors import DigestMismatchError, NotFoundError, UnimplementedError
from snapfs.image.opening import open_source
from snapfs.image.recognise import Scheme
from snapfs.image.reference import FileReference, parse_source
from snapfs.image.resolve import Image, open_image
from snapfs.image.verified import open_verified
from support.image_files import (
    pure_layout_files,
    small_layers,
    write_directory,
)


def _run(program: str, *arguments: str) -> None:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"needs {program}")
    subprocess.run([found, *arguments], check=True, capture_output=True)


def _copy(source: str, target: str, *options: str) -> None:
    _run("skopeo", "--insecure-policy", "copy", "--quiet", *options, source, target)


def _read(text: str) -> Image:
    reference = parse_source(text)
    assert isinstance(reference, FileReference)
    with open_source(reference) as source:
        image = open_image(source)
        for layer in image.layers:
            reader = open_verified(source, layer.descriptor)
            reader.finish()
            reader.close()
    return image


@pytest.fixture
def layout(tmp_path: Path) -> str:
    files = pure_layout_files(tmp_path)
    return f"oci:{write_directory(tmp_path / 'layout', files)}:latest"


@pytest.mark.parametrize(
    "target",
    ["oci:{}:new", "oci-archive:{}:new", "docker-archive:{}:new/name:1", "dir:{}"],
)
def test_every_form_that_skopeo_writes_is_the_same_image(
    tmp_path: Path, layout: str, target: str
) -> None:
    text = target.format(tmp_path / "copy")
    _copy(layout, text)

    copy = _read(text)

    assert [str(layer.diff_id) for layer in copy.layers] == [
        layer.diff_id for layer in small_layers()
    ]
    assert [layer.command for layer in copy.layers] == ["ADD base /", "RUN change"]


def test_what_skopeo_wrote_is_recognised_without_a_scheme(
    tmp_path: Path, layout: str
) -> None:
    found = {}
    for form in ("oci", "oci-archive", "docker-archive", "dir"):
        path = tmp_path / form
        _copy(layout, f"{form}:{path}" + ("" if form == "dir" else ":new:1"))
        reference = parse_source(str(path))
        assert isinstance(reference, FileReference)
        found[form] = reference.scheme

    assert found == {form: Scheme(form) for form in found}


def test_skopeos_archive_of_several_images_needs_a_name(
    tmp_path: Path, layout: str
) -> None:
    path = tmp_path / "archive"
    _copy(layout, f"docker-archive:{path}:new/name:1")

    assert _read(f"docker-archive:{path}:new/name:1").layers
    with pytest.raises(NotFoundError, match=r"it has: docker\.io/new/name:1|new/name"):
        _read(f"docker-archive:{path}:new/name:2")


def test_an_index_in_skopeos_directory_is_resolved(tmp_path: Path, layout: str) -> None:
    _copy(layout, f"dir:{tmp_path / 'copy'}", "--all")

    assert len(_read(f"dir:{tmp_path / 'copy'}").layers) == 2


def test_skopeos_docker_manifest_is_read(tmp_path: Path, layout: str) -> None:
    _copy(layout, f"dir:{tmp_path / 'copy'}", "--format", "v2s2")

    image = _read(f"dir:{tmp_path / 'copy'}")

    assert image.manifest.media_type.startswith("application/vnd.docker.")
    assert len(image.layers) == 2


def test_a_damaged_or_newer_directory_of_skopeo_is_refused(
    tmp_path: Path, layout: str
) -> None:
    copy = tmp_path / "copy"
    _copy(layout, f"dir:{copy}")
    config = _read(f"dir:{copy}").manifest.config.digest.hex
    (copy / config).write_bytes((copy / config).read_bytes()[:-1] + b" ")

    with pytest.raises(DigestMismatchError):
        _read(f"dir:{copy}")

    (copy / config).unlink()
    with pytest.raises(NotFoundError, match=f"blob sha256:{config} is missing"):
        _read(f"dir:{copy}")

    (copy / "version").write_text("Directory Transport Version: 2.0\n")
    with pytest.raises(UnimplementedError, match=r"version '2\.0'"):
        _read(f"dir:{copy}")


def test_a_layout_that_umoci_made_is_read(tmp_path: Path) -> None:
    layout = tmp_path / "umoci"
    (tmp_path / "file").write_text("content")
    _run("umoci", "init", "--layout", str(layout))
    _run("umoci", "new", "--image", f"{layout}:made")
    _run(
        *("umoci", "insert", "--rootless", "--image", f"{layout}:made"),
        *(str(tmp_path / "file"), "/file"),
    )

    image = _read(f"oci:{layout}:made")

    assert len(image.layers) == 1
    assert image.layers[0].command


def test_a_layout_that_umoci_changed_is_read(tmp_path: Path, layout: str) -> None:
    path = layout.removeprefix("oci:").removesuffix(":latest")
    (tmp_path / "file").write_text("content")
    _run(
        *("umoci", "insert", "--rootless", "--image", f"{path}:latest"),
        *("--tag", "more", str(tmp_path / "file"), "/file"),
    )

    assert len(_read(f"oci:{path}:more").layers) == 3
    assert len(_read(f"oci:{path}:latest").layers) == 2
