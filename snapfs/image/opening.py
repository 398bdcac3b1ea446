"""From a reference to files to the source that reads them."""

from __future__ import annotations

from snapfs.image.files import FilesSource
from snapfs.image.recognise import Scheme
from snapfs.image.reference import FileReference


def open_source(
    reference: FileReference, temporary_directory: str | None = None
) -> FilesSource:
    """Open the image's files; whoever calls closes the source.

    A compressed archive is decompressed to an unnamed file in
    ``temporary_directory``, by default the system's.

    Raises:
        NotFoundError: There is nothing at the path.
        InvalidArgumentError: It is a file where a directory belongs, or the reverse.
        DataLossError: It is an archive, and damaged.
        UnsafeLayerError: It is an archive that breaks a limit.
        UnimplementedError: It is compressed in a way that is not ours.
    """
    # Imported here: each form has readers of its own, and an image has one form.
    name, path, tag = str(reference), reference.path, reference.tag
    match reference.scheme:
        case Scheme.OCI:
            from snapfs.image.layout import open_layout

            return open_layout(name, path, tag)
        case Scheme.OCI_ARCHIVE:
            from snapfs.image.oci_archive import open_oci_archive

            return open_oci_archive(name, path, tag, temporary_directory)
        case Scheme.DOCKER_ARCHIVE:
            from snapfs.image.archive_index import ArchiveFiles
            from snapfs.image.docker_archive import DockerArchiveSource

            archive = ArchiveFiles(path, temporary_directory)
            return DockerArchiveSource(name, archive, tag)
        case Scheme.TAR:
            from snapfs.image.plain_tar import open_tar

            return open_tar(name, path)
        case Scheme.SKOPEO_DIRECTORY:
            from snapfs.image.directory import open_skopeo_directory

            return open_skopeo_directory(name, path)
