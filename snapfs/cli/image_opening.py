"""From SOURCE to an inspection: what every ``image`` command begins with."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import click

from snapfs.cli.image_progress import CountedSource, ReadingProgress
from snapfs.cli.image_sources import (
    open_image_source,
    read_source,
    suggesting_files,
)
from snapfs.cli.session import Session, suggesting
from snapfs.errors import InvalidArgumentError, NotFoundError
from snapfs.image.platform import parse_platform
from snapfs.image.reference import SnapshotReference, TreeReference
from snapfs.image.resolve import Image, open_image
from snapfs.image.source import ImageSource
from snapfs.inspect.contents import BlobContents, DirectoryContents
from snapfs.inspect.directory_index import directory_index
from snapfs.inspect.inspection import Inspection, Layer
from snapfs.layer.index_cache import IndexCache
from snapfs.layer.limits import Limits
from snapfs.model import Kind
from snapfs.overlay_format import XattrPrefix, fitting_prefix
from snapfs.state.paths import StatePaths
from snapfs.unpack.indexes import layer_index

_Function = TypeVar("_Function", bound=Callable[..., object])


def platform_option(function: _Function) -> _Function:
    """Add ``--platform`` to a command that looks at an image."""
    return click.option(
        "--platform",
        metavar="OS/ARCH",
        help="The image to take of several. Default: this machine's.",
    )(function)


@contextlib.contextmanager
def inspecting(
    session: Session,
    source: str,
    platform: str | None = None,
    reading: ReadingProgress | None = None,
) -> Iterator[Inspection]:
    """Yield the image that ``source`` names, with the index of each layer.

    ``reading`` is told of what is read of its contents.

    Raises:
        SnapfsError: It cannot be opened or read; the message says why.
    """
    reference = read_source(session, source)
    if isinstance(reference, TreeReference):
        yield _directories(source, reference.paths, fitting_prefix())
    elif isinstance(reference, SnapshotReference):
        yield _snapshot(session, source, reference.key)
    else:
        wanted = parse_platform(platform) if platform else None
        with open_image_source(reference) as opened:
            image = open_image(opened, wanted)
            contents: ImageSource = opened
            if reading is not None:
                contents = CountedSource(opened, reading.advance)
            yield _image(session, opened, image, contents)


def _directories(
    name: str, paths: tuple[str, ...], prefix: XattrPrefix, first_label: str = ""
) -> Inspection:
    """Return an inspection of directories, given highest first."""
    layers = []
    for number, path in enumerate(reversed(paths), 1):
        if not os.path.lexists(path):
            with suggesting_files(path):
                raise NotFoundError(f"directory {path!r} does not exist")
        if not os.path.isdir(path):
            raise InvalidArgumentError(f"{path!r} is not a directory")
        index = directory_index(path, prefix)
        contents = DirectoryContents(path)
        layers.append(Layer(number, "", "", "", 0, path, index, contents))
    return Inspection(name, layers)


def _snapshot(session: Session, name: str, key: str) -> Inspection:
    with session.store() as store, suggesting(store, key):
        details = store.details(key)
        prefix = XattrPrefix(store.status().xattr_prefix)
    below = details.lowerdirs
    has_own = details.info.kind is not Kind.VIEW or not below
    paths = (details.content, *below) if has_own else tuple(below)
    return _directories(name, paths, prefix)


def _image(
    session: Session, source: ImageSource, image: Image, contents: ImageSource
) -> Inspection:
    """Return an inspection; ``contents`` is the source as its files are read."""
    cache = IndexCache(_cache_directory(session))
    layers = []
    total = sum(layer.descriptor.size_bytes for layer in image.layers)
    with ReadingProgress(session.output, "reading layers", total) as progress:
        counted = CountedSource(source, progress.advance)
        for number, layer in enumerate(image.layers, 1):
            index = layer_index(counted, layer, cache, Limits())
            layers.append(
                Layer(
                    number,
                    str(layer.descriptor.digest),
                    str(layer.diff_id),
                    str(layer.chain_id),
                    layer.descriptor.size_bytes,
                    layer.command,
                    index,
                    BlobContents(contents, layer),
                )
            )
    return Inspection(source.name, layers, image, source)


def _cache_directory(session: Session) -> str:
    """Return where indexes are kept: in the store, or without one with the user."""
    is_store = os.path.exists(StatePaths(session.root).identity)
    if is_store and os.access(session.root, os.W_OK):
        return session.root
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(home, "snapfs")
