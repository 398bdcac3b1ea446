"""What a disk takes: the bytes of the plain tars, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from snapfs.benchmarks import programs
from snapfs.benchmarks.images import BenchImage
from snapfs.benchmarks.protocols import NO_COUNTS
from snapfs.benchmarks.targets.unpackers import UnpackCommand
from snapfs.compression import open_plain
from snapfs.layer.limits import Limits

_BLOCK: Final = "1M"


class WrittenBytes(UnpackCommand):
    """``dd`` of each plain tar into one file, which it syncs: a floor, no unpacker.

    That every byte arrived is checked like that of others, from the copies.
    """

    name = "dd-fsync"
    summary = f"dd bs={_BLOCK} conv=fsync of the plain tars: a floor for disks"
    program = "dd"
    notes = "neither decompresses nor makes the files; the plain tars are cached"

    def __init__(self) -> None:
        super().__init__()
        self._plain: dict[Path, Path] = {}

    @property
    def durability(self) -> str:
        """See :attr:`UnpackCommand.durability`."""
        return "each copy is synced"

    def version(self) -> str:
        """See :meth:`UnpackCommand.version`."""
        return programs.run("dd", "--version").splitlines()[0].split()[-1]

    def load(self, image: BenchImage) -> None:
        """Decompress the layers; they are kept from run to run."""
        for layer in image.layers:
            if layer not in self._plain:
                path = self.home / f"plain-{len(self._plain)}.tar"
                _decompress(layer, path)
                self._plain[layer] = path

    def unpack(self, image: BenchImage) -> Mapping[str, int]:
        """See :meth:`snapfs.benchmarks.protocols.UnpackTarget.unpack`."""
        self.place.mkdir()
        for layer in image.layers:
            plain = self._plain[layer]
            programs.run(
                *("dd", f"if={plain}", f"of={self.place / plain.name}"),
                *(f"bs={_BLOCK}", "conv=fsync", "status=none"),
            )
        return NO_COUNTS

    def contents(self, image: BenchImage) -> Sequence[Path]:
        """Return what the copies hold, unpacked by tar: nobody times that."""
        tree = self.home / "tree"
        if not tree.exists():
            tree.mkdir()
            for copy in sorted(self.place.iterdir()):
                programs.run("tar", "-xf", str(copy), "-C", str(tree))
        return [tree]

    def discard(self, image: BenchImage) -> None:
        """See :meth:`snapfs.benchmarks.protocols.UnpackTarget.discard`."""
        super().discard(image)
        shutil.rmtree(self.home / "tree", ignore_errors=True)


def _decompress(layer: Path, plain: Path) -> None:
    window_bytes = Limits().zstd_window_bytes
    with layer.open("rb") as stored, plain.open("wb") as out:
        reader = open_plain(stored, zstd_window_bytes=window_bytes)
        while block := reader.read_block():
            out.write(block)
        reader.close()
