"""Build a real container image from the programs of this machine, without a network.

The image has three layers, as an image built by three steps would:

1. ``base``: a shell, the core utilities and the shared libraries they need;
2. ``application``: a small program, its data and a cache below ``/srv``;
3. ``update``: changes one file, deletes another (a whiteout, ``.wh.NAME``) and
   replaces the contents of a directory (an opaque mark, ``.wh..wh..opq``).

The archive is an OCI image layout and a ``docker save`` archive in one tar, as
Docker writes since version 25, so containerd, Docker, Podman and skopeo all load
it. The same machine always yields the same bytes.

Usage: ``python3 make_image.py OUTPUT.tar [IMAGE-NAME]``
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

DEFAULT_NAME: Final = "snapfs.test/demo:latest"
# Every time in the image, so that two builds are equal: 2024-01-01T00:00:00Z.
EPOCH_S: Final = 1_704_067_200
CREATED: Final = "2024-01-01T00:00:00Z"
GZIP_LEVEL: Final = 6

PROGRAMS: Final = (
    *("sh", "cat", "chmod", "chown", "cp", "date", "dd", "df", "du", "echo", "env"),
    *("head", "id", "ln", "ls", "mkdir", "mkfifo", "mv", "pwd", "readlink", "rm"),
    *("rmdir", "seq", "sha256sum", "sleep", "sort", "stat", "tail", "touch", "tr"),
    *("true", "uname", "wc"),
)

# What `uname -m` says, in the words of image configurations (GOARCH).
ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """One layer: what made it, its compressed blob, and the digest of its plain tar."""

    created_by: str
    blob: bytes
    diff_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One file, directory or link of a layer.

    ``kind`` is a type of :mod:`tarfile`; ``link`` the target of a link.
    """

    name: str
    content: bytes = b""
    mode: int = 0o644
    kind: bytes = tarfile.REGTYPE
    link: str = ""


def directory(name: str, mode: int = 0o755) -> Entry:
    """Return the entry of a directory."""
    return Entry(name, mode=mode, kind=tarfile.DIRTYPE)


def text(name: str, content: str, mode: int = 0o644) -> Entry:
    """Return the entry of a file that holds ``content`` and a newline."""
    return Entry(name, f"{content}\n".encode(), mode)


def whiteout(name: str) -> Entry:
    """Return the entry that deletes ``name`` of the layers below.

    A name that ends in a slash stays, but shows nothing of the layers below.
    """
    parent, _, last = name.rpartition("/")
    marker = f".wh.{last}" if last else ".wh..wh..opq"
    return Entry(f"{parent}/{marker}" if parent else marker)


def make_tar(entries: Iterable[Entry]) -> bytes:
    """Pack ``entries``, in their order."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            member = tarfile.TarInfo(entry.name)
            member.type = entry.kind
            member.mode = entry.mode
            member.mtime = EPOCH_S
            member.linkname = entry.link
            member.size = len(entry.content)
            archive.addfile(member, io.BytesIO(entry.content))
    return output.getvalue()


def make_layer(created_by: str, entries: Iterable[Entry]) -> Layer:
    """Pack ``entries`` into a gzip layer."""
    tar = make_tar(entries)
    return Layer(created_by, gzip.compress(tar, GZIP_LEVEL, mtime=0), digest(tar))


def digest(data: bytes) -> str:
    """Return the digest of ``data`` as registries write it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def shared_libraries(program: str) -> list[str]:
    """Return the paths of the libraries that ``program`` loads, by ``ldd``."""
    listing = subprocess.run(  # noqa: S603 - the program is one of PROGRAMS
        ["ldd", program],  # noqa: S607 - wherever this distribution keeps it
        capture_output=True,
        text=True,
        check=False,
    )
    # "libc.so.6 => /lib/.../libc.so.6 (0x...)" or "/lib64/ld-linux... (0x...)";
    # a static program lists nothing.
    return re.findall(r"(/\S+) \(0x", listing.stdout)


def host_files() -> dict[str, str]:
    """Map each path of the base layer to the file of this machine it is copied from."""
    files: dict[str, str] = {}
    for name in PROGRAMS:
        program = shutil.which(name)
        if program is None:
            raise SystemExit(f"make_image: this machine has no program {name!r}")
        files[f"bin/{name}"] = os.path.realpath(program)
        for library in shared_libraries(program):
            files[library.lstrip("/")] = os.path.realpath(library)
    return files


def parents_of(names: Iterable[str]) -> list[Entry]:
    """Return entries for every directory above ``names``, parents first."""
    found = {
        str(parent) for name in names for parent in Path(name).parents if parent.name
    }
    return [directory(name) for name in sorted(found)]


def base_layer() -> Layer:
    """Return the layer with a shell, the core utilities and their libraries."""
    files = host_files()
    entries = parents_of(files)
    first_name: dict[str, str] = {}  # one copy, then hard links, where files are one
    for name, source in sorted(files.items()):
        if source in first_name:
            entries.append(
                Entry(name, kind=tarfile.LNKTYPE, link=first_name[source], mode=0o755)
            )
        else:
            first_name[source] = name
            entries.append(Entry(name, Path(source).read_bytes(), mode=0o755))
    entries += [
        directory("dev"),
        directory("etc"),
        text("etc/group", "root:x:0:"),
        text("etc/motd", "Welcome to the base layer."),
        text("etc/passwd", "root:x:0:0:root:/root:/bin/sh"),
        directory("proc"),
        directory("root", 0o700),
        directory("run"),
        directory("sys"),
        directory("tmp", 0o1777),
    ]
    return make_layer("COPY the programs of this machine /", entries)


def application_layer() -> Layer:
    """Return the layer that adds a program, its data and a cache."""
    return make_layer(
        "COPY application /srv",
        [
            directory("srv"),
            directory("srv/app"),
            text("srv/app/hello", '#!/bin/sh\ncat "${0%/*}/message"', 0o755),
            text("srv/app/message", "Hello from layer 2."),
            text("srv/app/obsolete", "Layer 3 deletes this file."),
            Entry("srv/app/data", bytes(range(256)) * 1024),
            Entry("srv/app/latest", kind=tarfile.SYMTYPE, link="message", mode=0o777),
            directory("srv/cache"),
            text("srv/cache/one", "Layer 3 hides this file"),
            text("srv/cache/two", "and this one, by making the directory opaque."),
        ],
    )


def update_layer() -> Layer:
    """Return the layer that changes, deletes and replaces."""
    return make_layer(
        "RUN update",
        [
            directory("srv"),
            directory("srv/app"),
            whiteout("srv/app/obsolete"),
            text("srv/app/message", "Hello from layer 3."),
            directory("srv/cache"),
            whiteout("srv/cache/"),
            text("srv/cache/three", "All that is left of the cache."),
        ],
    )


def image_config(layers: Sequence[Layer], command: Sequence[str]) -> bytes:
    """Return the image configuration (OCI image-spec, ``config.md``)."""
    machine = platform.machine()
    return as_json(
        {
            "architecture": ARCHITECTURES.get(machine, machine),
            "config": {
                "Cmd": list(command),
                "Env": ["PATH=/bin"],
                "WorkingDir": "/",
            },
            "created": CREATED,
            "history": [
                {"created": CREATED, "created_by": layer.created_by} for layer in layers
            ],
            "os": "linux",
            "rootfs": {
                "diff_ids": [layer.diff_id for layer in layers],
                "type": "layers",
            },
        }
    )


def as_json(document: object) -> bytes:
    """Return ``document`` as JSON, the same bytes each time."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def blob_path(blob: bytes) -> str:
    """Return where an OCI image layout keeps ``blob``."""
    return "blobs/" + digest(blob).replace(":", "/")


def descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    """Return the OCI descriptor of ``blob``."""
    return {
        "mediaType": f"application/vnd.oci.image.{media_type}",
        "digest": digest(blob),
        "size": len(blob),
    }


def write_image(
    output: Path,
    layers: Sequence[Layer],
    name: str = DEFAULT_NAME,
    command: Sequence[str] = ("/srv/app/hello",),
) -> None:
    """Write the image ``name`` of ``layers``, base first, to the archive ``output``."""
    config = image_config(layers, command)
    manifest = as_json(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("config.v1+json", config),
            "layers": [descriptor("layer.v1.tar+gzip", layer.blob) for layer in layers],
        }
    )
    named = descriptor("manifest.v1+json", manifest)
    named["annotations"] = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
    }
    members = {
        "oci-layout": as_json({"imageLayoutVersion": "1.0.0"}),
        "index.json": as_json({"schemaVersion": 2, "manifests": [named]}),
        # Docker's own index, for `docker load` before version 25.
        "manifest.json": as_json(
            [
                {
                    "Config": blob_path(config),
                    "RepoTags": [name],
                    "Layers": [blob_path(layer.blob) for layer in layers],
                }
            ]
        ),
    }
    blobs = [manifest, config, *(layer.blob for layer in layers)]
    members |= {blob_path(blob): blob for blob in blobs}
    output.write_bytes(make_tar(Entry(*member) for member in members.items()))


def main(arguments: Sequence[str]) -> None:
    """Write the three-layer image to the path that the command line names."""
    if len(arguments) not in (1, 2):
        raise SystemExit("usage: make_image.py OUTPUT.tar [IMAGE-NAME]")
    layers = [base_layer(), application_layer(), update_layer()]
    name = arguments[1] if len(arguments) > 1 else DEFAULT_NAME
    write_image(Path(arguments[0]), layers, name)
    for number, layer in enumerate(layers, 1):
        size = f"{len(layer.blob):>9,} bytes"
        sys.stdout.write(f"layer {number}: {size}  {layer.created_by}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
