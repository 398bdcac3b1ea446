"""An OCI image layout in one tar: ``oci-archive:FILE[:TAG]``."""

from __future__ import annotations

from snapfs.image.archive_index import ArchiveFiles
from snapfs.image.layout import LayoutSource


def open_oci_archive(
    name: str, path: str, tag: str = "", temporary_directory: str | None = None
) -> LayoutSource:
    """Open the archive ``path``; ``name`` is what messages call it.

    Raises:
        NotFoundError: There is no such file.
        InvalidArgumentError: It is not a file.
        DataLossError: It is no tar archive, or damaged.
        UnsafeLayerError: It breaks a limit.
        UnimplementedError: It is compressed in a way that is not ours.
    """
    return LayoutSource(name, ArchiveFiles(path, temporary_directory), tag)
