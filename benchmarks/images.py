"""Images to unpack: made from a seed, equal for every target, kept between runs."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import os
import random
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

import zstandard
from zlib_ng import zlib_ng

from snapfs.benchmarks.write_back import write_back
from snapfs.digest import Digest, chain_ids
from snapfs.image.platform import host_platform

TAG: Final = "bench"

GZIP: Final = "gzip"
ZSTD: Final = "zstd"

# As docker build and most registries have it.
_GZIP_LEVEL: Final = 6
_GZIP_WBITS: Final = 31
# As buildkit has it by default.
_ZSTD_LEVEL: Final = 3

# Text of random words shrinks to about a third, as the layers of real images do.
_POOL_BYTES: Final = 8 << 20
_WORDS: Final = 4096

# Sizes of files in images are spread about like this (ln bytes): most are small, a
# few hold most of the bytes.
_SPREAD: Final = 2.0
_FILES_A_DIRECTORY: Final = 40


@dataclasses.dataclass(frozen=True, slots=True)
class BenchImage:
    """An image on disk, as a layout and as an archive of it.

    Attributes:
        layout: The OCI layout directory; its tag is :data:`TAG`.
        archive: The same as one tar, for tools that import nothing else.
        layers: Paths of the stored layers, lowest first.
        manifest: The digest of the manifest.
        chain: The chain IDs of the layers.
        files: Regular files in all layers.
        plain_bytes: Of all plain tars.
        content_bytes: Of all files.
    """

    layout: Path
    archive: Path
    layers: tuple[Path, ...]
    manifest: str
    chain: tuple[str, ...]
    files: int
    plain_bytes: int
    content_bytes: int


def make_image(
    files: int, size_bytes: int, layers: int, seed: int, compression: str = GZIP
) -> BenchImage:
    """Return the image of these parameters; it is made when it is not there yet.

    It stays in the system's directory for temporary files. ``compression`` is
    :data:`GZIP` or :data:`ZSTD`.
    """
    name = f"image-{files}-{size_bytes}-{layers}-{seed}-{compression}"
    home = Path(tempfile.gettempdir()) / f"snapfs-bench-images-{os.geteuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    if home.lstat().st_uid != os.geteuid() or home.is_symlink():
        raise PermissionError(f"{home} belongs to somebody else")
    place = home / name
    if not (place / "facts.json").exists():
        with tempfile.TemporaryDirectory(dir=home) as directory:
            made = Path(directory) / "image"
            _write_image(made, files, size_bytes, layers, seed, compression)
            write_back(home)  # else the kernel does so while something is measured
            shutil.rmtree(place, ignore_errors=True)
            made.rename(place)
    facts = json.loads((place / "facts.json").read_text())
    blobs = place / "layout" / "blobs" / "sha256"
    return BenchImage(
        layout=place / "layout",
        archive=place / "image.tar",
        layers=tuple(blobs / digest for digest in facts.pop("layers")),
        chain=tuple(facts.pop("chain")),
        **facts,
    )


def _write_image(
    place: Path, files: int, size_bytes: int, layers: int, seed: int, compression: str
) -> None:
    chooser = random.Random(seed)  # noqa: S311 - equal inputs, no secret
    layout = place / "layout"
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    pool = _pool(chooser)
    sizes = _sizes(chooser, files, size_bytes)
    stored, diff_ids, plain_bytes = [], [], 0
    for number in range(layers):
        writer = _LayerWriter(blobs, compression)
        with tarfile.open(fileobj=writer, mode="w|", format=tarfile.GNU_FORMAT) as tar:
            for member, content in _members(
                number, sizes[number::layers], pool, chooser
            ):
                tar.addfile(member, io.BytesIO(content) if content else None)
        digest, diff_id = writer.finish()
        stored.append(digest)
        diff_ids.append(diff_id)
        plain_bytes += writer.plain_bytes
    manifest = _write_documents(layout, stored, diff_ids, compression)
    with tarfile.open(place / "image.tar", "w") as tar:
        tar.add(layout, arcname=".")
    facts = {
        "layers": stored,
        "manifest": manifest,
        "chain": [str(chain_id) for chain_id in chain_ids(map(Digest, diff_ids))],
        "files": files,
        "plain_bytes": plain_bytes,
        "content_bytes": sum(sizes),
    }
    (place / "facts.json").write_text(json.dumps(facts))


def _pool(chooser: random.Random) -> bytes:
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = [
        "".join(chooser.choices(letters, k=chooser.randint(2, 11)))
        for _ in range(_WORDS)
    ]
    weights = [1 / rank for rank in range(1, _WORDS + 1)]
    text = " ".join(chooser.choices(words, weights, k=_POOL_BYTES // 5))
    return text.encode()


def _sizes(chooser: random.Random, files: int, size_bytes: int) -> list[int]:
    raw = [math.exp(chooser.gauss(0, _SPREAD)) for _ in range(files)]
    scale = size_bytes / sum(raw)
    return [int(size * scale) for size in raw]


def _members(
    layer: int, sizes: list[int], pool: bytes, chooser: random.Random
) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Yield directories and files, named as packages have them."""
    for number, size in enumerate(sizes):
        folder = f"opt/layer{layer}/package{number // _FILES_A_DIRECTORY:05d}"
        if not number % _FILES_A_DIRECTORY:
            directory = tarfile.TarInfo(folder)
            directory.type, directory.mode, directory.mtime = tarfile.DIRTYPE, 0o755, 1
            yield directory, b""
        file = tarfile.TarInfo(f"{folder}/module_{number:06d}.py")
        file.size, file.mode, file.mtime = size, 0o644, 1_700_000_000
        start = chooser.randrange(len(pool) // 2)
        content = pool[start : start + size]
        while len(content) < size:
            content += pool[: size - len(content)]
        yield file, content


class _Compressor(Protocol):
    """What the compressors of both libraries can do."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


_COMPRESSORS: Final[Mapping[str, Callable[[], _Compressor]]] = MappingProxyType(
    {
        GZIP: lambda: zlib_ng.compressobj(_GZIP_LEVEL, wbits=_GZIP_WBITS),
        ZSTD: lambda: zstandard.ZstdCompressor(_ZSTD_LEVEL).compressobj(),
    }
)


class _LayerWriter(io.RawIOBase):
    """Compresses and hashes a tar while it is written."""

    def __init__(self, blobs: Path, compression: str) -> None:
        self.plain_bytes = 0
        self._blobs = blobs
        self._plain = hashlib.sha256()
        self._stored = hashlib.sha256()
        self._compressor = _COMPRESSORS[compression]()
        self._file = (blobs / "new").open("wb")

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override] # bytes are all that tarfile writes
        self._plain.update(data)
        self.plain_bytes += len(data)
        self._keep(self._compressor.compress(data))
        return len(data)

    def finish(self) -> tuple[str, str]:
        """Return the hex of the blob's digest, and the diff ID."""
        self._keep(self._compressor.flush())
        self._file.close()
        digest = self._stored.hexdigest()
        (self._blobs / "new").rename(self._blobs / digest)
        return digest, f"sha256:{self._plain.hexdigest()}"

    def _keep(self, piece: bytes) -> None:
        self._stored.update(piece)
        self._file.write(piece)


def _write_documents(
    layout: Path, stored: list[str], diff_ids: list[str], compression: str
) -> str:
    config = {
        "architecture": host_platform().architecture,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    oci = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{oci}.manifest.v1+json",
        "config": _blob(layout, f"{oci}.config.v1+json", config),
        "layers": [
            {
                "mediaType": f"{oci}.layer.v1.tar+{compression}",
                "digest": f"sha256:{digest}",
                "size": (layout / "blobs" / "sha256" / digest).stat().st_size,
            }
            for digest in stored
        ],
    }
    entry = _blob(layout, f"{oci}.manifest.v1+json", manifest)
    entry["annotations"] = {"org.opencontainers.image.ref.name": TAG}
    index = {"schemaVersion": 2, "manifests": [entry]}
    (layout / "index.json").write_text(json.dumps(index))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return str(entry["digest"])


def _blob(layout: Path, media_type: str, document: object) -> dict[str, object]:
    content = json.dumps(document).encode()
    digest = hashlib.sha256(content).hexdigest()
    (layout / "blobs" / "sha256" / digest).write_bytes(content)
    return {
        "mediaType": media_type,
        "digest": f"sha256:{digest}",
        "size": len(content),
    }
