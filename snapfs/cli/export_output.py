"""Where an exported image goes, by ``-o`` and ``--format``."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import click

from snapfs.cli.layer_settings import telling_full
from snapfs.compression.blob_writer import WrittenBlob
from snapfs.export.archive import ArchivePlace
from snapfs.export.directory import DirectoryPlace
from snapfs.export.image import Exported
from snapfs.export.output_file import OutputFile
from snapfs.export.place import BlobProducer, ImagePlace
from snapfs.image.registry.name import parse_name
from snapfs.layer.bodies import write_all
from snapfs.stopping import Stop

FORMATS: Final = ("oci-archive", "docker-archive", "oci")
STANDARD_OUTPUT: Final = "-"
REGISTRY: Final = "docker://"

_COPIED_BYTES: Final = 1 << 20

_Completion: TypeAlias = Callable[[Exported], object]


@dataclass(frozen=True, slots=True)
class Output:
    """A place for an image, and how it is made complete; see ImagePlace."""

    place: ImagePlace
    complete: _Completion

    def add_blob(self, produce: BlobProducer) -> WrittenBlob:
        """See :class:`snapfs.export.place.ImagePlace`."""
        return self.place.add_blob(produce)

    def add_file(self, name: str, content: bytes) -> None:
        """See :class:`snapfs.export.place.ImagePlace`."""
        self.place.add_file(name, content)


@contextlib.contextmanager
def exporting(output: str, format_: str, stop: Stop) -> Iterator[Output]:
    """Yield a place for an image; it appears by ``complete``, or not at all.

    Raises:
        AlreadyExistsError: There is something at ``output``.
        ResourceExhaustedError: The disk is full.
        click.UsageError: A directory, or a terminal, cannot be the output.
    """
    if output == STANDARD_OUTPUT and format_ == "oci":
        raise click.UsageError("'-o -' takes an archive; 'oci' is a directory")
    if output.startswith(REGISTRY):
        with _pushing(output.removeprefix(REGISTRY), stop) as pushing:
            yield pushing
        return
    with telling_full(output):
        if format_ == "oci":
            with DirectoryPlace(output) as directory:
                yield Output(directory, lambda _: directory.publish())
            return
        with opened_output(output) as (fd, publish):
            archive = ArchivePlace(fd)

            def complete(_: Exported) -> None:
                archive.finish()
                publish()

            yield Output(archive, complete)


@contextlib.contextmanager
def opened_output(output: str) -> Iterator[tuple[int, Callable[[], None]]]:
    """Yield a file to be written, and what makes it show as ``output``.

    What goes to standard output is gathered in a temporary file before.

    Raises:
        AlreadyExistsError: There is something at ``output``.
        click.UsageError: Standard output is a terminal.
    """
    if output != STANDARD_OUTPUT:
        with OutputFile(output) as file:
            yield file.fd, file.publish
        return
    if sys.stdout.isatty():
        raise click.UsageError("'-o -' is for a pipe or a file, not for a terminal")
    with tempfile.TemporaryFile() as gathered:
        yield gathered.fileno(), lambda: _copy_out(gathered.fileno())


def _copy_out(fd: int) -> None:
    os.lseek(fd, 0, os.SEEK_SET)
    while piece := os.read(fd, _COPIED_BYTES):
        write_all(sys.stdout.fileno(), memoryview(piece))


@contextlib.contextmanager
def _pushing(name: str, stop: Stop) -> Iterator[Output]:
    # Here: HTTP takes a while to load, and most images go to files.
    from snapfs.cli.image_sources import registry_settings
    from snapfs.export.push import push_image
    from snapfs.image.registry.push import RegistryTarget

    with (
        RegistryTarget(parse_name(name), registry_settings()) as target,
        tempfile.TemporaryDirectory(prefix="snapfs-push-") as directory,
        telling_full(directory),
        DirectoryPlace(os.path.join(directory, "image")) as place,
    ):
        yield Output(
            place, lambda exported: push_image(target, place.path, exported, stop)
        )
