"""Chains of layers that a mount wrote, one after the other, and what they show."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from snapfs.overlay_format import XattrPrefix, is_whiteout
from snapfs.syscalls import MS_RDONLY, mount, umount2
from support.engine_tree import EngineTree
from support.kernel_tree import Change, KernelTree, result_of
from support.written_unions import OLD_NS

_RECENT_NS = 1_600_000_000 * 10**9


class LayerStack:
    """Layers below one directory, the lowest first, each with an upperdir's content.

    Args:
        root: Where to make them.
        options: Of the kernel's mount, besides the directories.
        prefix: Where the layers have their marks.
    """

    def __init__(
        self,
        root: Path,
        options: str = "redirect_dir=on",
        prefix: XattrPrefix = XattrPrefix.TRUSTED,
    ) -> None:
        self.root = root
        self.options = options
        self.prefix = prefix
        self.layers: list[Path] = []
        self._clock_ns = OLD_NS
        self._merged = root / "merged"
        self._merged.mkdir(parents=True)

    def add(self) -> Path:
        """Add an empty layer on top."""
        layer = self.root / f"layer{len(self.layers)}"
        layer.mkdir()
        layer.chmod(0o755)
        self.layers.append(layer)
        return layer

    def branch(self, chain: Sequence[Path]) -> LayerStack:
        """Return a stack on the same layers, which goes on by itself."""
        root = self.root / f"branch{len(self.layers)}"
        other = LayerStack(root, self.options, self.prefix)
        other.layers = list(reversed(chain))
        other._clock_ns = self._clock_ns + 10**8
        return other

    def drop(self) -> None:
        """Forget the highest layer."""
        work = self.root / f"work{len(self.layers)}"
        shutil.rmtree(self.layers.pop())
        shutil.rmtree(work, ignore_errors=True)

    def chain(self, height: int | None = None) -> list[Path]:
        """Return the lowest ``height`` layers, highest first; all by default."""
        return list(reversed(self.layers[:height]))

    def settle(self) -> None:
        """Give all that was written in the highest layer a time of its own.

        The kernel's clock goes in steps of milliseconds: files of one size that two
        layers wrote one after the other could have one time, and pass for equal.
        """
        for path in (self.layers[-1], *sorted(self.layers[-1].rglob("*"))):
            status = path.lstat()
            is_new = not OLD_NS < status.st_mtime_ns < _RECENT_NS
            is_whole = not status.st_mtime_ns % 10**9
            if is_new and not is_whole and not is_whiteout(status):
                self._clock_ns += 1
                times = (self._clock_ns, self._clock_ns)
                os.utime(path, ns=times, follow_symlinks=False)

    @contextlib.contextmanager
    def written(self) -> Iterator[Path]:
        """Mount what there is, with a new layer that takes the changes."""
        chain = self.chain()
        upper = self.add()
        work = self.root / f"work{len(self.layers)}"
        work.mkdir()
        words = f"upperdir={upper},workdir={work},lowerdir={_joined(chain)}"
        with self._mounted(0, words) as merged:
            yield merged

    @contextlib.contextmanager
    def shown(self, chain: Sequence[Path]) -> Iterator[Path]:
        """Mount layers, highest first, to be read."""
        empty = self.root / "empty"
        empty.mkdir(exist_ok=True)
        words = f"lowerdir={_joined(chain)}"
        # A mount takes two lowers at least; an empty one below is no difference.
        with self._mounted(MS_RDONLY, f"{words}:{empty}") as merged:
            yield merged

    def write(self, changes: Sequence[Change], *, by_engine: bool = False) -> None:
        """Make changes, which may fail, through a mount or our engine: one layer."""
        if not by_engine:
            with self.written() as merged:
                tree = KernelTree(merged)
                for change in changes:
                    result_of(tree, change)
            self.settle()
            return
        chain = self.chain()
        upper = self.add()
        work = self.root / f"work{len(self.layers)}"
        work.mkdir()
        engine = EngineTree(upper, work, chain, self.prefix)
        try:
            for change in changes:
                result_of(engine, change)
        finally:
            engine.close()
        self.settle()

    @contextlib.contextmanager
    def _mounted(self, flags: int, words: str) -> Iterator[Path]:
        data = f"{words},index=off,xino=off,{self.options}"
        mount("overlay", self._merged, "overlay", flags, data.encode())
        try:
            yield self._merged
        finally:
            umount2(self._merged)


def _joined(chain: Sequence[Path]) -> str:
    return ":".join(map(str, chain))
