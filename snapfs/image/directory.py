"""Directories that skopeo wrote (``skopeo copy ... dir:DIR``).

A file ``manifest.json`` and a file for each blob, named by the hex digits of its
digest; ``version`` tells such a directory from any other.
"""

from __future__ import annotations

from typing import Final

from snapfs.errors import UnimplementedError
from snapfs.image.descriptor import Descriptor
from snapfs.image.documents import DOCUMENT_BYTES, document_type
from snapfs.image.files import DirectoryFiles, Files, FilesSource, read_file
from snapfs.image.strict_json import shown

_VERSION: Final = "version"
_VERSION_BYTES: Final = 64 << 10
_VERSION_HEAD: Final = b"Directory Transport Version: "
_MAJOR: Final = b"1"


class SkopeoDirectorySource(FilesSource):
    """A directory of skopeo's ``dir:`` transport, as an ImageSource."""

    def root(self) -> Descriptor:
        """Return the descriptor of ``manifest.json``, which may be an index.

        Raises:
            DataLossError: It is no JSON object.
            UnimplementedError: The directory's form is newer than this program.
        """
        version = read_file(self._files, _VERSION, _VERSION_BYTES, self._name)
        number = version.removeprefix(_VERSION_HEAD).strip()
        if number.partition(b".")[0] != _MAJOR:
            raise UnimplementedError(
                f"{self._name}: version {shown(ascii(number)[2:-1])} of skopeo's "
                "directories is not supported; 1.1 is"
            )
        content = read_file(self._files, "manifest.json", DOCUMENT_BYTES, self._name)
        media_type = document_type(content, f"{self._name}: manifest.json")
        return self._make(media_type, content)

    def _path_of(self, descriptor: Descriptor) -> str | None:
        digest = descriptor.digest
        # Names of sha256 blobs have no algorithm. Manifests of an index end so.
        for path in (
            digest.hex,
            f"{digest.hex}.manifest.json",
            f"{digest.algorithm}-{digest.hex}",
            f"{digest.algorithm}-{digest.hex}.manifest.json",
        ):
            if self._files.size(path) is not None:
                return path
        return None


def is_skopeo_directory(files: Files) -> bool:
    """Tell whether a directory is an image in skopeo's form."""
    if files.size("manifest.json") is None or files.size(_VERSION) is None:
        return False
    reader = files.open(_VERSION)
    try:
        return reader.read(len(_VERSION_HEAD)) == _VERSION_HEAD
    finally:
        reader.close()


def open_skopeo_directory(name: str, path: str) -> SkopeoDirectorySource:
    """Open the directory ``path``; ``name`` is what messages call it.

    Raises:
        NotFoundError: There is no such directory.
        InvalidArgumentError: It is not a directory.
    """
    return SkopeoDirectorySource(name, DirectoryFiles(path))
