"""Images like real ones, built offline: for tests and for benchmarks.

    python -m support.real_images NAME DIRECTORY     (from ``tests/``)

writes the image NAME as an OCI layout to the new DIRECTORY; without arguments it
lists the names. ``debian`` needs a Debian archive (apt's configured mirror) and root;
what was downloaded is kept in ``.cache/images`` of the repository. Without one, the
files of this machine take its place.
"""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from demo.make_image import base_layer
from support.applied_layers import Item, directory, entry, hard_link, symlink
from support.debian_images import add_debian_layers
from support.layouts import LayoutWriter
from support.tar_stream import large_file_stream, tar_stream

# cap_net_raw=ep, version 2 of struct vfs_ns_cap_data (linux/capability.h).
_CAPABILITY: Final = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
_ODD_NAMES: Final = (
    "with space",
    "new\nline",
    "tab\tand\\backslash",
    "latin-\udce9\udcfc",
    "utf-8-é-日本",
    "n" * 255,
    "..almost",
)
_FAN_OUT: Final = 12


def mixed_layers(writer: LayoutWriter) -> None:
    """Add layers with all that images hold, in small."""
    writer.add_layer([gzip.decompress(base_layer().blob)])
    writer.add_layer(tar_stream(_objects()))
    with tempfile.TemporaryDirectory(prefix="snapfs-test-") as scratch:
        writer.add_tar(_sparse_tar(Path(scratch), "pax"))
    writer.add_layer(tar_stream(node_modules(150)))
    writer.add_layer(tar_stream(_changes()))


def gnu_sparse_layers(writer: LayoutWriter) -> None:
    """Add a sparse file in the form that other programs refuse: member type S."""
    with tempfile.TemporaryDirectory(prefix="snapfs-test-") as scratch:
        writer.add_tar(_sparse_tar(Path(scratch), "gnu"))
    writer.add_layer(tar_stream([directory("./")]))


def _objects() -> Iterator[Item]:
    yield directory("./", 0o755)
    yield directory("opt", owner=(3, 4), mtime="1600000000.25")
    for name in _ODD_NAMES:
        yield entry(f"opt/{name}", name.encode("utf-8", "surrogateescape"))
    deep = "opt"
    for number in range(20):
        deep += f"/deep-directory-{number}"
        yield directory(deep)
    yield entry(f"{deep}/file", b"deep", mtime="1600000000.987654321")
    yield directory("opt/links")
    yield entry("opt/links/0", b"one file\n" * 500, mode=0o755)
    for number in range(1, 120):
        yield hard_link(f"opt/links/{number}", "opt/links/0", mode=0o755)
    yield directory("opt/devices")
    yield entry("opt/devices/null", type_=tarfile.CHRTYPE, mode=0o666, device=(1, 3))
    yield entry("opt/devices/loop", type_=tarfile.BLKTYPE, mode=0o660, device=(7, 0))
    yield entry("opt/devices/fifo", type_=tarfile.FIFOTYPE, mode=0o622)
    yield entry("opt/su", b"su", mode=0o4755)
    yield entry("opt/wall", b"wall", mode=0o2755, owner=(0, 5))
    capability = {"security.capability": _CAPABILITY}
    yield entry("opt/ping", b"ping", mode=0o755, xattrs=capability)
    yield entry("opt/user", b"", owner=(1000, 1000), xattrs={"user.note": b"\xff\0\n"})
    yield directory("opt/shared", 0o3777)
    yield directory("opt/cache")
    for number in range(50):
        yield entry(f"opt/cache/{number}", b"%d" % number)


def _changes() -> Iterator[Item]:
    """Yield deletions, replacements, and changes of attributes alone."""
    yield directory("./", 0o755)
    yield directory("opt", 0o750, owner=(3, 4))
    yield entry("opt/.wh.su")
    yield entry("opt/.wh.with space")
    yield entry("opt/.wh.deep-directory-0")
    yield directory("opt/cache")
    yield entry("opt/cache/.wh..wh..opq")
    yield entry("opt/cache/new", b"new")
    yield symlink("opt/shared", "cache")  # a directory before
    yield directory("opt/wall")  # a file before
    yield entry("opt/wall/brick", b"brick")
    yield entry("opt/links/7", b"no link any more", mode=0o600)
    yield entry("opt/links/.wh.8")
    yield directory("opt/links")
    yield entry("opt/ping", b"ping", mode=0o700)  # chmod: without its capability
    yield directory("srv")
    yield directory("srv/node_modules", 0o700)


def _sparse_tar(scratch: Path, form: str) -> Path:
    """Return a layer of one sparse file, in GNU tar's own or in the PAX form."""
    root = scratch / form
    root.mkdir()
    with (root / f"sparse-{form}").open("wb") as file:
        for offset in (0, 1 << 20, 5 << 20):
            file.seek(offset)
            file.write(b"data" * 2000)
        file.truncate(9 << 20)
    tar = scratch / f"{form}.tar"
    words = (
        "tar",
        "--create",
        "--sparse",
        f"--format={form}",
        "--owner=0",
        "--group=0",
    )
    options = (f"--file={tar}", "-C", str(root), f"sparse-{form}")
    subprocess.run([*words, *options], check=True)
    return tar


def node_modules(packages: int) -> Iterator[Item]:
    """Yield a tree like npm's: many small files, nested, with links to programs."""
    root = "srv/node_modules"
    yield directory("srv")
    yield directory(root)
    yield directory(f"{root}/.bin")
    for number in range(packages):
        package = f"{root}/package-{number}"
        if number % _FAN_OUT == _FAN_OUT - 1:
            yield directory(f"{root}/package-{number - 1}/node_modules")
            package = f"{root}/package-{number - 1}/node_modules/package-{number}"
        yield directory(package)
        manifest = b'{"name": "package-%d", "version": "1.%d.0"}\n'
        yield entry(f"{package}/package.json", manifest % (number, number))
        yield directory(f"{package}/lib")
        for part in range(_FAN_OUT):
            source = b"module.exports = %d;\n" % part * (1 + number * part % 97)
            yield entry(f"{package}/lib/{part}.js", source)
        if number % _FAN_OUT == 0:
            yield entry(f"{package}/cli.js", b"#!/usr/bin/env node\n", mode=0o755)
            yield symlink(
                f"{root}/.bin/program-{number}", f"../package-{number}/cli.js"
            )


def many_layers(count: int) -> Callable[[LayoutWriter], None]:
    """Return what adds ``count`` layers, each with changes to those below."""

    def add(writer: LayoutWriter) -> None:
        for number in range(count):
            items = [
                directory("./"),
                directory("shared", 0o755),
                entry("shared/last", b"%d" % number),
                entry(f"shared/{number}", b"%d" % number),
                directory(f"own-{number}"),
                entry(f"own-{number}/file", b"%d" % number),
            ]
            if number % 3 == 2:
                items.append(entry(f"shared/.wh.{number - 1}"))
            if number % 5 == 4:
                items.append(entry(f".wh.own-{number - 2}"))
            writer.add_layer(tar_stream(items))

    return add


def crowded_directory(count: int) -> Callable[[LayoutWriter], None]:
    """Return what adds one directory with ``count`` files, and takes some away."""

    def files() -> Iterable[Item]:
        yield directory("./")
        yield directory("crowded")
        for number in range(count):
            yield entry(f"crowded/file-{number:07}", b"%d" % number)

    def deletions() -> Iterable[Item]:
        yield directory("./")
        yield directory("crowded")
        for number in range(0, count, 100):
            yield entry(f"crowded/.wh.file-{number:07}")

    def add(writer: LayoutWriter) -> None:
        writer.add_layer(tar_stream(files()))
        writer.add_layer(tar_stream(deletions()))

    return add


def large_file(size_bytes: int) -> Callable[[LayoutWriter], None]:
    """Return what adds one file of zeros."""

    def add(writer: LayoutWriter) -> None:
        writer.add_layer(large_file_stream("large", size_bytes))
        writer.add_layer(tar_stream([directory("./")]))

    return add


def debian_layers(writer: LayoutWriter) -> None:
    """Add Debian, packages, Python's and Node's libraries, and deletions."""
    add_debian_layers(writer)
    writer.add_layer(tar_stream(node_modules(3000)))


SMALL: Final[Mapping[str, Callable[[LayoutWriter], None]]] = {
    "mixed": mixed_layers,
    "gnu-sparse": gnu_sparse_layers,
    "9-layers": many_layers(9),
    "2000-files": crowded_directory(2000),
    "20-megabytes": large_file(20 << 20),
}
"""Images that are built and unpacked in a second or two."""

LARGE: Final[Mapping[str, Callable[[LayoutWriter], None]]] = {
    "debian": debian_layers,
    "127-layers": many_layers(127),
    "100000-files": crowded_directory(100_000),
    "2-gigabytes": large_file(2 << 30),
}
"""Images of real size."""


def build_image(name: str, layout: Path) -> LayoutWriter:
    """Write the image ``name`` to the new directory ``layout``.

    Raises:
        KeyError: There is none of that name.
    """
    add_layers = {**SMALL, **LARGE}[name]
    writer = LayoutWriter(layout, f"snapfs.test/{name}:latest")
    add_layers(writer)
    writer.finish()
    return writer


def main(arguments: list[str]) -> int:
    """Build one image, or list the names of all."""
    if len(arguments) == 2 and arguments[0] in {**SMALL, **LARGE}:
        build_image(arguments[0], Path(arguments[1]))
        return 0
    sys.stderr.write("usage: real_images NAME DIRECTORY\n")
    sys.stderr.write(f"names: {', '.join((*SMALL, *LARGE))}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
