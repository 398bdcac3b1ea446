"""What is shown while layers are read, and the source that tells of each piece."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Final

from snapfs.cli.output import Output
from snapfs.closing import Closing
from snapfs.image.descriptor import Descriptor
from snapfs.image.source import BlobReader, ImageSource

SILENT_S: Final = 0.5
"""How long reading takes before anything is shown of it."""


class ReadingProgress(Closing):
    """A bar on standard error, for a person, once reading has taken half a second.

    Args:
        output: Tells whether the user wants none.
        title: What is done.
        total: How many bytes there are to read; None if that is not known.
    """

    def __init__(self, output: Output, title: str, total: int | None) -> None:
        self._is_wanted = sys.stderr.isatty() and not output.is_quiet
        self._title = title
        self._total = total
        self._begun_s: float | None = None
        self._done = 0
        self._held = contextlib.ExitStack()
        self._update: Callable[[int], None] | None = None

    def advance(self, size_bytes: int) -> None:
        """Note that stored bytes were read."""
        self._done += size_bytes
        if not self._is_wanted:
            return
        if self._update is None:
            now_s = time.monotonic()
            if self._begun_s is None:
                self._begun_s = now_s
            if now_s - self._begun_s < SILENT_S:
                return
            self._update = self._show()
        self._update(self._done)

    def _show(self) -> Callable[[int], None]:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        bar = Progress(
            self._title,
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._held.enter_context(bar)
        task = bar.add_task("", total=self._total)
        return lambda done: bar.update(task, completed=done)

    def close(self) -> None:
        """Take it away."""
        self._held.close()


class CountedSource(Closing):
    """A source that tells how many bytes were read; not its own to close."""

    def __init__(self, source: ImageSource, tell: Callable[[int], None]) -> None:
        self._source = source
        self._tell = tell
        self.name = source.name

    def root(self) -> Descriptor:
        """See :class:`ImageSource`."""
        return self._source.root()

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BlobReader:
        """See :class:`ImageSource`."""
        return _CountedReader(self._source.open_blob(descriptor, offset), self._tell)

    def close(self) -> None:
        """Leave the source open."""


class _CountedReader:
    def __init__(self, reader: BlobReader, tell: Callable[[int], None]) -> None:
        self._reader = reader
        self._tell = tell

    def read(self, size_bytes: int, /) -> bytes:
        piece = self._reader.read(size_bytes)
        self._tell(len(piece))
        return piece

    def close(self) -> None:
        self._reader.close()
