"""What lies at a path, by its content."""

from __future__ import annotations

import os
from contextlib import closing
from enum import StrEnum

from snapfs.errors import InvalidArgumentError, NotFoundError


class Scheme(StrEnum):
    """The forms of an image, or of one layer, in files: the schemes of SOURCE."""

    OCI = "oci"
    OCI_ARCHIVE = "oci-archive"
    DOCKER_ARCHIVE = "docker-archive"
    TAR = "tar"
    SKOPEO_DIRECTORY = "dir"


def recognise(path: str) -> Scheme | None:
    """Tell what ``path`` is by what it holds, never by its name.

    None stands for a directory of unpacked files.

    Raises:
        NotFoundError: There is nothing.
        InvalidArgumentError: It is neither a file nor a directory.
        DataLossError: It is a file and no tar archive, or a damaged one.
        UnsafeLayerError: It is an archive that breaks a limit.
        UnimplementedError: It is compressed in a way that is not ours.
    """
    if os.path.isdir(path):
        return _directory_form(path)
    if not os.path.exists(path):
        raise NotFoundError(f"there is nothing at {path!r}")
    if not os.path.isfile(path):
        # A pipe could be read once: to look into it, or to use it.
        raise InvalidArgumentError(
            f"{path!r} is not a file; say what comes out of it, as in"
            f" docker-archive:{path}"
        )
    # Here and below: a SOURCE with a scheme needs nothing of it.
    from snapfs.image.archive_index import ArchiveFiles

    with closing(ArchiveFiles(path)) as archive:
        # Docker's list first: its archives may be layouts too, and complete only
        # with the list.
        if archive.size("manifest.json") is not None:
            return Scheme.DOCKER_ARCHIVE
        if archive.size("oci-layout") is not None:
            return Scheme.OCI_ARCHIVE
    return Scheme.TAR


def _directory_form(path: str) -> Scheme | None:
    from snapfs.image.directory import is_skopeo_directory
    from snapfs.image.files import DirectoryFiles

    with closing(DirectoryFiles(path)) as files:
        if is_skopeo_directory(files):
            return Scheme.SKOPEO_DIRECTORY
        is_layout = files.size("oci-layout") is not None
        if is_layout and files.size("index.json") is not None:
            return Scheme.OCI
    return None
