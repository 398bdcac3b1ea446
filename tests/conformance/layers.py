"""Layers with content: mount a snapshot, change it, commit it, look at it."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from snapfs.assembly.mounting import mount_all, unmount
from snapfs.model import Mount
from snapfs.snapshotter import Snapshotter
from support.tree_changes import Change, apply_changes
from support.trees import differences


class Workbench:
    """A directory in which snapshots of one store are mounted."""

    def __init__(self, snapshots: Snapshotter, directory: Path) -> None:
        self.snapshots = snapshots
        self._directory = directory
        self._numbers = itertools.count(1)

    @contextlib.contextmanager
    def mounted(self, mounts: Sequence[Mount]) -> Iterator[Path]:
        """Mount ``mounts`` on a new directory; unmount them in the end."""
        target = Path(tempfile.mkdtemp(prefix="merged-", dir=self._directory))
        mount_all(list(mounts), str(target))
        try:
            yield target
        finally:
            unmount(str(target))
            target.rmdir()  # refuses if a mount or a file were left behind

    def plain_directory(self) -> Path:
        """Make a directory that looks as the root of an empty snapshot does."""
        path = Path(tempfile.mkdtemp(prefix="plain-", dir=self._directory))
        path.chmod(0o755)
        return path

    def commit_layer(self, name: str, parent: str, changes: Sequence[Change]) -> None:
        """Commit ``changes`` on top of ``parent`` as the snapshot ``name``."""
        key = f"{name}-active-{next(self._numbers)}"
        with self.mounted(self.snapshots.prepare(key, parent)) as merged:
            apply_changes(merged, changes)
        self.snapshots.commit(name, key)

    def differences_from(self, name: str, expected: Path) -> list[str]:
        """Compare what a view of ``name`` shows with the directory ``expected``."""
        key = f"{name}-view-{next(self._numbers)}"
        with self.mounted(self.snapshots.view(key, name)) as merged:
            found = differences(merged, expected)
        self.snapshots.remove(key)
        return found

    def assert_layers_add_up(self, *layers: Sequence[Change]) -> None:
        """Commit ``layers`` one on another; each must show all changes so far."""
        plain, parent = self.plain_directory(), ""
        for changes in layers:
            name = f"layer-{next(self._numbers)}"
            self.commit_layer(name, parent, changes)
            apply_changes(plain, changes)
            assert self.differences_from(name, plain) == []
            parent = name
