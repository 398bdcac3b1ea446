"""One small image, written as every kind of SOURCE that needs no server."""

from __future__ import annotations

from pathlib import Path

from support.command import Command
from support.image_files import (
    classic_files,
    pure_layout_files,
    small_layers,
    write_directory,
    write_tar,
)


def sources_of(directory: Path, command: Command) -> dict[str, str]:
    """Return SOURCEs by kind; the image is unpacked into the command's store."""
    files = pure_layout_files(directory)
    layout = write_directory(directory / "layout", files)
    archive = write_tar(directory / "oci.tar", files)
    docker = write_tar(directory / "docker.tar", classic_files(small_layers()))
    command.ok("unpack", f"oci:{layout}", "--name", "small")
    return {
        "oci": f"oci:{layout}",
        "oci-archive": f"oci-archive:{archive}",
        "docker-archive": f"docker-archive:{docker}",
        "path": str(docker),
        "snapshot": "snapshot:small",
        "name": "small",
    }
