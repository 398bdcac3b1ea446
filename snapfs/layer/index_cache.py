"""Indexes of layers on disk, by diff ID; any of them may vanish at any time."""

from __future__ import annotations

import contextlib
import os
from typing import Final

from snapfs.digest import Digest
from snapfs.errors import DataLossError, SnapfsError
from snapfs.layer import index_file
from snapfs.layer.index import LayerIndex

_NEW_FILE: Final = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class IndexCache:
    """The files ``indexes/ALGORITHM/HEX`` below a directory.

    A file is complete or not there: it is written under another name and renamed.
    Nothing is synced; what a crash damages is ignored and made anew.
    """

    def __init__(self, directory: str) -> None:
        self._directory: Final = os.path.join(directory, "indexes")

    def path(self, diff_id: Digest) -> str:
        """Return where the index of a layer is or would be."""
        return os.path.join(self._directory, diff_id.algorithm, diff_id.hex)

    def diff_ids(self) -> list[Digest]:
        """Return the layers that there is an index of, sound or not."""
        found = []
        for algorithm in ("sha256", "sha512"):
            with contextlib.suppress(FileNotFoundError):
                names = os.listdir(os.path.join(self._directory, algorithm))
                for name in sorted(names):
                    with contextlib.suppress(SnapfsError):  # one that is being written
                        found.append(Digest(f"{algorithm}:{name}"))
        return found

    def load(self, diff_id: Digest) -> LayerIndex | None:
        """Return the index of a layer; None if there is no sound one.

        An index with ``is_clamped`` is of use only where the policy clamps: others
        must refuse the layer.

        Raises:
            OSError: The file is there and cannot be read.
        """
        try:
            with open(self.path(diff_id), "rb") as file:
                content = file.read()
        except FileNotFoundError:
            return None
        try:
            return index_file.load(content, diff_id)
        except DataLossError:  # a cache: whoever asked makes it anew
            return None

    def save(self, diff_id: Digest, index: LayerIndex) -> None:
        """Keep the index of a layer, in place of an older one.

        Raises:
            OSError: It cannot be written; what was there before still is.
        """
        path = self.path(diff_id)
        parent = os.path.dirname(path)
        os.makedirs(parent, mode=0o700, exist_ok=True)
        # As mkstemp(3) does it; Python's tempfile takes milliseconds to load.
        temporary = os.path.join(parent, f".new-{os.urandom(8).hex()}")
        descriptor = os.open(temporary, _NEW_FILE, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(index_file.dump(index, diff_id))
            os.rename(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):  # it was renamed
                os.unlink(temporary)
            raise
