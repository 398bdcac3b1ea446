"""The images of the examples in ``docs/debugging.md``: a shop, and its next version.

    python -m support.example_images DIRECTORY     (from ``tests/``)

writes them as the OCI layouts ``shop`` and ``shop-2`` into DIRECTORY. They have what
images of this kind have, its mistakes too; every machine makes the same bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from demo.make_image import CREATED, EPOCH_S, as_json, blob_path, digest
from support.applied_layers import Item, directory, entry, symlink, tar_of
from support.layouts import LayoutWriter

_STATUS: Final = "Package: %s\nStatus: install ok installed\nVersion: %s\n\n"
_SHOP: Final = (1000, 1000)
_PROGRAM: Final = b"#!/usr/bin/python3\nrun()\n"

BASE: Final[tuple[Item, ...]] = (
    directory("etc"),
    entry(
        "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nshop:x:1000:1000::/srv:/bin/sh\n"
    ),
    entry("etc/os-release", b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'),
    directory("home", 0o700),
    directory("usr"),
    directory("usr/bin"),
    entry("usr/bin/dash", b"\x7fELF dash" * 15_000, mode=0o755),
    symlink("usr/bin/sh", "dash"),
    entry("usr/bin/su", b"\x7fELF su" * 10_000, mode=0o4755),
    directory("usr/lib"),
    entry("usr/lib/libc.so.6", b"\x7fELF libc" * 200_000, mode=0o755),
    symlink("bin", "usr/bin"),
    symlink("lib", "usr/lib"),
    directory("tmp", 0o1777),
    directory("var"),
    directory("var/lib"),
    directory("var/lib/dpkg"),
    entry("var/lib/dpkg/status", (_STATUS % ("libc6", "2.36-9")).encode()),
)


def _packages(openssl: str) -> tuple[Item, ...]:
    """Return what apt leaves behind, each file with the time of the build."""
    status = _STATUS % ("libc6", "2.36-9")
    for package, version in (
        ("gcc-12", "12.2.0-14"),
        ("openssl", openssl),
        ("python3", "3.11.2-1"),
    ):
        status += _STATUS % (package, version)
    lists = b"Package: a\nDepends: b\n" * 400_000
    files = (
        ("usr/bin/python3.11", b"\x7fELF python" * 600_000, 0o755),
        ("usr/lib/cc1", b"\x7fELF cc1" * 3_000_000, 0o755),
        ("usr/lib/libssl.so.3", f"\x7fELF {openssl}".encode() * 40_000, 0o644),
        ("var/lib/apt/lists/mirror.example_main_Packages", lists, 0o644),
        ("var/lib/dpkg/status", status.encode(), 0o644),
    )
    return (
        directory("usr/bin"),
        symlink("usr/bin/python3", "python3.11"),
        directory("var/lib/apt"),
        directory("var/lib/apt/lists"),
        *(
            entry(name, content, mode=mode, mtime=EPOCH_S - 60 + number)
            for number, (name, content, mode) in enumerate(files)
        ),
    )


def _shop(owner: tuple[int, int]) -> list[Item]:
    return [
        directory("srv"),
        directory("srv/shop", owner=owner),
        entry(
            "srv/shop/app.py", b"#!/usr/bin/python3\nrun()\n", mode=0o755, owner=owner
        ),
        entry("srv/shop/model.bin", b"weights " * 2_000_000, owner=owner),
        entry("srv/shop/settings.ini", b"debug = yes\n", owner=owner),
    ]


def _layers(openssl: str, debug: str) -> dict[str, Sequence[Item]]:
    """Return each layer by what made it."""
    credentials = b"https://builder:s3cret@git.example\n"
    return {
        "FROM debian:12": BASE,
        "RUN apt-get update && apt-get install -y gcc openssl python3": _packages(
            openssl
        ),
        "COPY shop /srv/shop": [
            *_shop((0, 0)),
            directory("home", 0o700),
            entry("home/.git-credentials", credentials, mode=0o600),
        ],
        "RUN chown -R shop /srv/shop": _shop(_SHOP),
        "RUN rm -rf /var/lib/apt/lists/* /home/.git-credentials": [
            directory("home", 0o700),
            entry("home/.wh..git-credentials"),
            directory("var/lib/apt/lists"),
            entry("var/lib/apt/lists/.wh.mirror.example_main_Packages"),
        ],
        "RUN sed -i s/yes/no/ /srv/shop/settings.ini": [
            entry("srv/shop/settings.ini", f"debug = {debug}\n".encode(), owner=_SHOP)
        ],
    }


def _write(path: Path, layers: Mapping[str, Sequence[Item]], **config: Any) -> None:  # noqa: ANN401 - as JSON has it
    writer = LayoutWriter(path)
    for items in layers.values():
        writer.add_layer([tar_of(items)])
    writer.finish(**config)
    _name_steps(path, list(layers))


def _name_steps(layout: Path, commands: list[str]) -> None:
    """Write the history, and anew what points at the config."""
    index = json.loads((layout / "index.json").read_text())
    named = index["manifests"][0]
    manifest = json.loads((layout / _path(named["digest"])).read_text())
    old = layout / _path(manifest["config"]["digest"])
    config = json.loads(old.read_text())
    config["architecture"] = "amd64"  # on every machine
    config["history"] = [{"created": CREATED, "created_by": c} for c in commands]
    for part, document in ((manifest["config"], config), (named, manifest)):
        content = as_json(document)
        (layout / blob_path(content)).write_bytes(content)
        part |= {"digest": digest(content), "size": len(content)}
    (layout / "index.json").write_bytes(as_json(index))


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def write_examples(directory: Path) -> None:
    """Write both images into ``directory``."""
    start: dict[str, Any] = {"User": "shop", "Cmd": ["/srv/shop/app.py"]}
    path = "PATH=/usr/bin"
    _write(directory / "shop", _layers("3.0.11", "no"), Env=[path], **start)
    _write(
        directory / "shop-2",
        _layers("3.0.15", "off"),
        Env=[path, "PORT=8080"],
        ExposedPorts={"8080/tcp": {}},
        **start,
    )


def main(arguments: list[str]) -> int:
    """Write the images to the directory that the command line names."""
    if len(arguments) != 1:
        sys.stderr.write("usage: example_images DIRECTORY\n")
        return 2
    write_examples(Path(arguments[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
