"""What a person sees while an image is unpacked: bars, on a terminal only."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from snapfs.cli.output import Output
from snapfs.cli.wording import counted
from snapfs.unpack.settings import NoObserver, UnpackObserver

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from snapfs.image.resolve import Image, ImageLayer
    from snapfs.unpack.messages import Applied, Progress

_DIGITS = 12  # of a digest, as Docker shows them


@contextlib.contextmanager
def progress_of(output: Output, image: Image) -> Iterator[UnpackObserver]:
    """Yield an observer of the unpack of ``image`` that shows how far it is.

    On standard error, if that is a terminal that can move its cursor and nobody asked
    for silence.
    """
    is_dumb = os.environ.get("TERM", "dumb") in ("dumb", "unknown")
    if output.is_quiet or is_dumb or not sys.stderr.isatty():
        yield NoObserver()
        return
    with _bars() as bars:
        yield ProgressBars(bars, image)


def short_digest(digest: object) -> str:
    """Return what a person needs of a digest to find the layer."""
    algorithm, _, value = str(digest).partition(":")
    return f"{algorithm}:{value[:_DIGITS]}"


def _bars() -> Bars:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        DownloadColumn(binary_units=True),
        TextColumn("{task.fields[files]}", justify="right"),
        TimeElapsedColumn(),
        console=Console(stderr=True, highlight=False, emoji=False),
        transient=True,
    )


class ProgressBars:
    """One bar for the image, and one for each layer at work; an UnpackObserver.

    A layer that is complete has no bar: an image can have more layers than a terminal
    has lines.
    """

    def __init__(self, bars: Bars, image: Image) -> None:
        self._bars = bars
        self._lock = threading.Lock()
        self._numbers = {layer.chain_id: n for n, layer in enumerate(image.layers, 1)}
        self._tasks: dict[object, TaskID] = {}
        self._done = 0
        total = sum(layer.descriptor.size_bytes for layer in image.layers)
        self._image = bars.add_task(self._title(), total=total, files="")

    def layer_reused(self, layer: ImageLayer) -> None:
        """Count the layer as done."""
        self._finish(layer)

    def layer_started(self, layer: ImageLayer) -> None:
        """Show a bar for the layer."""
        number = self._numbers[layer.chain_id]
        title = f"layer {number} {short_digest(layer.descriptor.digest)}"
        size_bytes = layer.descriptor.size_bytes
        with self._lock:
            task = self._bars.add_task(title, total=size_bytes, files="")
            self._tasks[layer.chain_id] = task

    def layer_progress(self, layer: ImageLayer, progress: Progress) -> None:
        """Move the layer's bar."""
        self._bars.update(
            self._tasks[layer.chain_id],
            completed=progress.stored_bytes,
            files=counted(progress.entries, "file"),
        )

    def layer_applied(self, layer: ImageLayer, applied: Applied) -> None:
        """Take the layer's bar away."""
        del applied
        self._finish(layer)

    def publishing(self) -> None:
        """Say what is going on while nothing moves."""
        self._bars.update(self._image, description="writing to disk")

    def _finish(self, layer: ImageLayer) -> None:
        with self._lock:
            self._done += 1
            task = self._tasks.pop(layer.chain_id, None)
            if task is not None:
                self._bars.remove_task(task)
            self._bars.update(
                self._image,
                advance=layer.descriptor.size_bytes,
                description=self._title(),
            )

    def _title(self) -> str:
        return f"{self._done} of {counted(len(self._numbers), 'layer')}"
