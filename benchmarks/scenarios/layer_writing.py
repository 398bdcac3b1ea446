"""How long it takes to write what was changed in an image as a layer."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from snapfs.benchmarks.images import make_image
from snapfs.benchmarks.protocols import (
    Cell,
    Family,
    InvalidResultError,
    LayerTarget,
    Outcome,
    Profile,
    Target,
    Trial,
    Workspace,
)

_MIB: Final = 1 << 20
_CHANGES: Final = 100

# Files of the image, mebibytes.
_ASKED: Final = {
    Profile.QUICK: ((2_000, 32),),
    Profile.STANDARD: ((500, 8), (2_000, 32), (4_000, 64)),
    Profile.FULL: ((2_000, 32), (20_000, 320), (100_000, 1024)),
}
_CONTENT: Final = b"changed"
_PREFIX: Final = ".wh."
_NEW: Final = "new-files"


class LayerWriting:
    """A whole command, to a gzip layer, after 100 changes among so many files.

    A third are new files, a third are changed, a third removed. What reads only the
    changes is done when they are read; what compares trees looks at all files.
    """

    name = "layer_writing"
    question = "How long does it take to write what was changed as a layer?"
    family = Family.UNPACKER
    operation = "layer"
    baselines: Sequence[str] = ("containerd-1-unpack", "umoci-unpack", "snapfs-unpack")

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        return [
            Cell(
                {"files": files, "size_mib": size, "changes": _CHANGES},
                runs=1,
                warmups=1,
                expected_s=1.0 + files * 50e-6,
            )
            for files, size in _ASKED[profile]
        ]

    def refuses(self, target: Target) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.refuses`."""
        return "" if isinstance(target, LayerTarget) else "it writes no layers"

    def open(
        self, target: Target, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.open`."""
        del seed  # the image is kept between runs: it has its own seed
        assert isinstance(target, LayerTarget)
        return _Trial(target, cell, workspace)


class _Trial(Trial):
    def __init__(self, target: LayerTarget, cell: Cell, workspace: Workspace) -> None:
        self._target = target
        files, size = (int(cell.parameters[name]) for name in ("files", "size_mib"))
        self._share = int(cell.parameters["changes"]) // 3
        self._image = make_image(files, size * _MIB, 1, seed=1)
        self._layer = workspace.directory / "layer.tar.gz"
        self._expected: set[str] = set()
        self._names = _spread_names(self._image.layers[0], 2 * self._share)
        target.load(self._image)
        try:
            target.unpack(self._image)
        except BaseException:
            target.discard(self._image)
            raise

    def set_up(self) -> None:
        with self._target.open_changes(self._image) as root:
            self._expected = _change(root, self._names, self._share)

    def run_once(self) -> Outcome:
        counts = self._target.write_layer(self._image, self._layer)
        return Outcome(operations=1, counts=counts)

    def validate(self, outcome: Outcome) -> None:
        """Read the layer with another reader: exactly the changes are in it."""
        with tarfile.open(self._layer) as tar:
            found = {
                member.name.removeprefix("./") for member in tar if not member.isdir()
            }
        if found != self._expected:
            wrong = sorted(found ^ self._expected)
            raise InvalidResultError(
                f"the layer has {len(found)} of {len(self._expected)} changes, and"
                f" differs in {wrong[0]}"
            )

    def tear_down(self) -> None:
        self._layer.unlink(missing_ok=True)
        self._target.drop_changes(self._image)

    def close(self) -> None:
        self._target.discard(self._image)


def _spread_names(layer: Path, count: int) -> Sequence[str]:
    """Return so many names of regular files of a layer, from all over it."""
    with tarfile.open(layer) as tar:
        names = [member.name.removeprefix("./") for member in tar if member.isreg()]
    return names[:: len(names) // count][:count]


def _change(root: Path, names: Sequence[str], share: int) -> set[str]:
    """Make the changes, the same each time; return what a layer calls them."""
    changed, removed = names[:share], names[share : 2 * share]
    new = [f"{_NEW}/n{number:04d}" for number in range(share)]
    (root / _NEW).mkdir(exist_ok=True)
    for name in (*changed, *new):
        (root / name).write_bytes(_CONTENT)
    for name in removed:
        (root / name).unlink(missing_ok=True)  # a bundle keeps the last run's changes
    whiteouts = [
        str(Path(name).with_name(f"{_PREFIX}{Path(name).name}")) for name in removed
    ]
    return {*changed, *new, *whiteouts}
