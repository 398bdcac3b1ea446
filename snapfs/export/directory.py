"""An image layout in a directory (image-spec, image-layout.md)."""

from __future__ import annotations

import os
import shutil
import tempfile

from snapfs import syscalls
from snapfs.closing import Closing
from snapfs.compression.blob_writer import WrittenBlob
from snapfs.errors import AlreadyExistsError
from snapfs.export.place import BlobProducer, blob_path
from snapfs.layer.bodies import write_all

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class DirectoryPlace(Closing):
    """A new directory, which gets its name by :meth:`publish`; see ImagePlace.

    Before that it is called ``.NAME.XXXXXXXX.partial``; without ``publish`` it is
    removed.

    Raises:
        AlreadyExistsError: There is something of that name.
        OSError: It cannot be made.
    """

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)
        if os.path.lexists(self._path):
            raise self._taken()
        parent, name = os.path.split(self._path)
        self.path = tempfile.mkdtemp(".partial", f".{name}.", parent)

    def add_blob(self, produce: BlobProducer) -> WrittenBlob:
        """See :class:`snapfs.export.place.ImagePlace`."""
        temporary = os.path.join(self.path, ".blob")
        fd = os.open(temporary, _NEW, 0o666)
        try:
            written = produce(lambda data: write_all(fd, memoryview(data)))
        finally:
            os.close(fd)
        path = self._at(blob_path(written.digest))
        os.rename(temporary, path)
        return written

    def add_file(self, name: str, content: bytes) -> None:
        """See :class:`snapfs.export.place.ImagePlace`."""
        path = self._at(name)
        if os.path.exists(path):
            return
        fd = os.open(path, _NEW, 0o666)
        try:
            write_all(fd, memoryview(content))
        finally:
            os.close(fd)

    def publish(self) -> None:
        """Give the directory its name, once all of it is on disk.

        Raises:
            AlreadyExistsError: Somebody has made something of that name meanwhile.
            OSError: It cannot be synced or named.
        """
        umask = os.umask(0o077)
        os.umask(umask)
        os.chmod(self.path, 0o777 & ~umask)
        parent = os.open(os.path.dirname(self._path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            syscalls.syncfs(parent)
            try:
                syscalls.renameat2(self.path, self._path, syscalls.RENAME_NOREPLACE)
            except FileExistsError as error:
                raise self._taken() from error
            self.path = ""
            os.fsync(parent)
        finally:
            os.close(parent)

    def close(self) -> None:
        """Remove what was not published; it may be called twice."""
        if self.path:
            shutil.rmtree(self.path)
            self.path = ""

    def _at(self, name: str) -> str:
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def _taken(self) -> AlreadyExistsError:
        return AlreadyExistsError(
            f"{self._path!r} exists; remove it first, or choose another name"
        )
