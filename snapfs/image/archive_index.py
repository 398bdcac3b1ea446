"""An archive as files: indexed once, read in place, never extracted."""

from __future__ import annotations

import os
import posixpath
from typing import Final

from snapfs.errors import DataLossError, NotFoundError, UnsafeLayerError
from snapfs.image.files import RangeReader
from snapfs.image.outer_file import open_plain_file
from snapfs.image.outer_tar import OuterMember, outer_members
from snapfs.image.source import BlobReader
from snapfs.image.strict_json import shown

# Tables of contents. Of two with one name, readers would choose differently.
_UNIQUE: Final = frozenset({"index.json", "oci-layout", "manifest.json"})

# As many links in a row as the kernel follows (path_resolution(7)).
_LINKS: Final = 40


class ArchiveFiles:
    """The files of a tar archive, compressed or not; a ``Files``.

    Names are taken as paths from the archive's root. Links are followed inside the
    archive only, by its index: nothing of it touches a file system.

    Raises:
        NotFoundError: There is no such file.
        InvalidArgumentError: It is not a file.
        DataLossError: It is no tar archive, or damaged.
        UnsafeLayerError: It breaks a limit.
        UnimplementedError: It is compressed in a way that is not ours.
    """

    def __init__(self, path: str, temporary_directory: str | None = None) -> None:
        self._what = repr(path)
        self._descriptor = open_plain_file(path, temporary_directory)
        try:
            self._members = self._index()
        except BaseException:
            self.close()
            raise

    def _index(self) -> dict[str, OuterMember]:
        members: dict[str, OuterMember] = {}
        for member in outer_members(self._descriptor, self._what):
            name = _normal(member.name)
            if name in _UNIQUE and name in members:
                raise DataLossError(f"{self._what} is ambiguous: it has {name!r} twice")
            members[name] = member
        return members

    def size(self, path: str) -> int | None:
        """Return the size in bytes, or None where there is no such file."""
        member = self.find(path)
        return None if member is None else member.size_bytes

    def open(self, path: str, offset: int = 0) -> BlobReader:
        """Open a file for reading from ``offset`` on."""
        member = self.find(path)
        if member is None:
            raise NotFoundError(f"{self._what}: there is no file {shown(path)}")
        end = member.offset + member.size_bytes
        return RangeReader(self._descriptor, member.offset + offset, end)

    def find(self, path: str) -> OuterMember | None:
        """Return the file that ``path`` leads to; None where there is none.

        Raises:
            UnsafeLayerError: A link on the way leads out of the archive, or in a
                circle.
        """
        name = _normal(path)
        for _ in range(_LINKS):
            member = self._members.get(name)
            if member is None or member.target is None:
                return member
            name = self._follow(name, member)
        raise UnsafeLayerError(
            f"{self._what}: {shown(path)} leads through more than {_LINKS} links"
        )

    def _follow(self, name: str, member: OuterMember) -> str:
        target = member.target or ""
        if member.is_symlink:
            if target.startswith("/"):
                raise self._escape(name, target)
            target = posixpath.join(posixpath.dirname(name), target)
        target = _normal(target)
        if target == ".." or target.startswith("../"):
            raise self._escape(name, member.target or "")
        return target

    def _escape(self, name: str, target: str) -> UnsafeLayerError:
        return UnsafeLayerError(
            f"{self._what}: the link {shown(name)} leads out of the archive, to "
            f"{shown(target)}"
        )

    def head(self, path: str, size_bytes: int) -> bytes:
        """Return the first bytes of a file; fewer where it is shorter."""
        reader = self.open(path)
        try:
            return reader.read(size_bytes)
        finally:
            reader.close()

    def close(self) -> None:
        """Close the archive; it may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _normal(name: str) -> str:
    return posixpath.normpath(name.lstrip("/")) if name else ""
