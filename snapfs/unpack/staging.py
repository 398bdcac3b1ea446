"""The staging directories of one unpack, and their end."""

from __future__ import annotations

from snapfs.closing import Closing
from snapfs.snapshotter import Store
from snapfs.state import StatePaths
from snapfs.state.staged import StagedDirectory
from snapfs.worker.removal import remove_trees


class StagedLayers(Closing):
    """Directories under ``staging``; a context manager that leaves none behind.

    Raises:
        SnapfsError: The store gives no numbers.
        OSError: A directory cannot be made.
    """

    def __init__(self, store: Store, count: int) -> None:
        self._paths = StatePaths(store.status().root)
        self._directories: list[StagedDirectory] = []
        try:
            for number in store.stage(count):
                directory = StagedDirectory.create(self._paths, number)
                self._directories.append(directory)
        except BaseException:
            self.close()
            raise

    def __getitem__(self, index: int) -> StagedDirectory:
        """Return one of the directories."""
        return self._directories[index]

    def content(self, index: int) -> str:
        """Return the path of the content of one."""
        return f"{self._paths.staging}/{self[index].snapshot_id}/fs"

    def close(self) -> None:
        """Remove what was not published: that has another place by now."""
        names = [str(directory.snapshot_id) for directory in self._directories]
        try:
            remove_trees(self._paths.staging, names, measured=False)
        finally:
            # What could not be removed is garbage from here on, for the owner.
            for directory in self._directories:
                directory.release()
