"""What every unpacker must do, and what readers want to know of one."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from snapfs.benchmarks.images import BenchImage, make_image
from snapfs.benchmarks.protocols import InvalidResultError, UnpackTarget, Workspace

_FILES: Final = 60
_BYTES: Final = 1 << 20
_LAYERS: Final = 2
_SEED: Final = 1


def check_contents(target: UnpackTarget, image: BenchImage) -> None:
    """Check that the unpacked layers hold as many files and bytes as the image.

    Raises:
        InvalidResultError: They do not.
    """
    files = size_bytes = 0
    for content in target.contents(image):
        for folder, _, names in os.walk(content):
            files += len(names)
            size_bytes += sum(os.lstat(f"{folder}/{name}").st_size for name in names)
    if (files, size_bytes) != (image.files, image.content_bytes):
        raise InvalidResultError(
            f"{files} files with {size_bytes} bytes are there, of {image.files} with"
            f" {image.content_bytes}"
        )


def _unpacks_every_byte(target: UnpackTarget, workspace: Workspace) -> None:
    del workspace
    image = _small_image()
    target.load(image)
    target.unpack(image)
    try:
        check_contents(target, image)
        wanted = _hashes_of_tars(image)
        found = {}
        for content in target.contents(image):
            for folder, _, names in os.walk(content):
                for name in names:
                    path = Path(folder, name)
                    found[str(path.relative_to(content))] = _hash(path.read_bytes())
        if wrong := [name for name in wanted if found.get(name) != wanted[name]]:
            raise InvalidResultError(f"{len(wrong)} files differ, such as {wrong[0]}")
    finally:
        target.discard(image)


def _leaves_nothing(target: UnpackTarget, workspace: Workspace) -> None:
    del workspace
    image = _small_image()
    for _ in range(2):  # what the first left would show, or be reused
        target.load(image)
        target.unpack(image)
        contents = list(target.contents(image))
        target.discard(image)
        if any(path.exists() and any(path.iterdir()) for path in contents):
            raise InvalidResultError("files are left after the image was discarded")


def _notices_damage(target: UnpackTarget, workspace: Workspace) -> None:
    """One byte is changed in the middle of a layer's tar, which is gzipped anew."""
    image = _damaged(_small_image(), workspace.directory)
    try:
        target.load(image)
        target.unpack(image)
    except Exception:  # noqa: BLE001 - to refuse it in any words is what is wanted
        return
    finally:
        target.discard(image)
    raise InvalidResultError("a layer with another content was unpacked")


CLAIMS: Final[Sequence[tuple[str, bool, Callable[[UnpackTarget, Workspace], None]]]] = (
    ("unpacks every byte of every layer", True, _unpacks_every_byte),
    ("leaves nothing of an image that is discarded", True, _leaves_nothing),
    ("refuses a layer whose digest is wrong", False, _notices_damage),
)


def _small_image() -> BenchImage:
    return make_image(_FILES, _BYTES, _LAYERS, _SEED)


def _hashes_of_tars(image: BenchImage) -> dict[str, str]:
    hashes = {}
    for layer in image.layers:
        with tarfile.open(layer) as tar:
            for member in tar:
                if (file := tar.extractfile(member)) is not None:
                    hashes[member.name] = _hash(file.read())
    return hashes


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _damaged(image: BenchImage, directory: Path) -> BenchImage:
    copy = directory / "damaged"
    shutil.copytree(image.layout, copy)
    layers = [copy / layer.relative_to(image.layout) for layer in image.layers]
    plain = bytearray(gzip.decompress(layers[0].read_bytes()))
    plain[len(plain) // 2] ^= 1
    layers[0].write_bytes(gzip.compress(plain))
    archive = directory / "damaged.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(copy, arcname=".")
    return dataclasses.replace(
        image, layout=copy, archive=archive, layers=tuple(layers)
    )
