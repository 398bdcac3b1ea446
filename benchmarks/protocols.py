"""The contracts of the suite: ``Target``, ``Scenario`` and ``Trial``.

A target is what is measured: a way to present trees, or a snapshotter. A scenario is
one question about it. A trial is one target at one cell (one set of parameters) of a
scenario; the runner times its runs. Life of a comparison, for each cell::

    target.start(workspace)                    # per target; the baseline twice (A/A)
    trial = scenario.open(target, cell, own_workspace, seed)
    for block in shuffled blocks:
        for each target, in random order:      # interleaved: drift hits all alike
            trial.begin_block(number)
            cell.warmups discarded runs, then cell.runs timed runs; a run is:
                trial.set_up()
                <the runner produces cell.cache>
                outcome = trial.run_once()     # the only timed call
                trial.validate(outcome)
                trial.tear_down()
    trial.close()
    target.stop()

Nothing here measures, prints or reads the environment. Everything is called from one
thread. An error anywhere ends the target's part of the comparison: it is reported as
rejected, with the message, and never as slow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

from snapfs.benchmarks.images import BenchImage
from snapfs.benchmarks.values import (
    NO_COUNTS,
    CacheState,
    Cell,
    Fairness,
    Family,
    InvalidResultError,
    Outcome,
    Profile,
    Workspace,
)
from snapfs.snapshotter import Snapshotter

__all__ = [
    "NO_COUNTS",
    "CacheState",
    "Cell",
    "Fairness",
    "Family",
    "InvalidResultError",
    "LayerTarget",
    "Outcome",
    "PackTarget",
    "Profile",
    "Scenario",
    "SnapshotterTarget",
    "Target",
    "TreeTarget",
    "Trial",
    "UnpackTarget",
    "Workspace",
]


class Target(Protocol):
    """Something that is measured. Each instance is started and stopped once.

    Two instances may run at a time (the baseline and its A/A control), so nothing
    outside the workspace may be shared or have a fixed name.
    """

    @property
    def name(self) -> str:
        """The name on the command line and in results: ``kernel-overlayfs``."""
        ...

    @property
    def summary(self) -> str:
        """One line that says what it is."""
        ...

    @property
    def family(self) -> Family:
        """What it can be asked."""
        ...

    def fairness(self) -> Fairness:
        """Say what a reader must know; also callable before ``start``."""
        ...

    def unavailable(self) -> str:
        """Say why it cannot run on this host; "" if it can. Cheap, no traces."""
        ...

    def start(self, workspace: Workspace) -> None:
        """Start what there is to start; on return it serves.

        On an error nothing is left behind, as after ``stop``.
        """
        ...

    def stop(self) -> None:
        """End every process and mount; also after a failure, and twice."""
        ...

    def processes(self) -> Sequence[int]:
        """Return the processes that do its work now, without the calling one.

        The runner pins them to CPUs and accounts their CPU time, memory, system
        calls and bytes.
        """
        ...

    def forget_caches(self) -> None:
        """Drop every cache that the target itself keeps, as a restart would.

        What has been presented stays presented: a FUSE target unmounts and mounts
        again. A target without caches of its own does nothing.
        """
        ...

    def counts(self) -> Mapping[str, int]:
        """Return exact counts since ``start`` that only the target knows.

        Such as ``fuse_requests``. The runner takes differences. ``NO_COUNTS`` if
        there are none.
        """
        ...


@runtime_checkable
class TreeTarget(Target, Protocol):
    """A target that shows read-only directories as one writable tree.

    The semantics gate (``semantics/tree.py``) tries that writes do not reach the lower
    directories, that removed names stay hidden, that data survives.
    """

    def present(self, lowerdirs: Sequence[Path], name: str) -> Path:
        """Show ``lowerdirs`` (highest first) merged, as the writable tree ``name``.

        Returns the root of the tree, live and complete. ``lowerdirs`` lie on the
        backing filesystem, belong to the caller and must never change; there is at
        least one. ``name`` is one path component, unused so far.
        """
        ...

    def dismiss(self, name: str) -> None:
        """Take the tree ``name`` away with all that was written to it."""
        ...


@runtime_checkable
class SnapshotterTarget(Target, Protocol):
    """A target that serves containerd's snapshots API on a unix socket.

    The semantics gate (``semantics/snapshotter.py``) tries the copy-on-write contract
    through ``connect`` and, as root, through the mounts it returns.
    """

    @property
    def address(self) -> str:
        """The path of the socket; valid between ``start`` and ``stop``."""
        ...

    def connect(self) -> Snapshotter:
        """Return a new client of ``address``; the caller closes it."""
        ...


@runtime_checkable
class UnpackTarget(Target, Protocol):
    """A target that unpacks OCI images: files on disk when the command returns.

    The semantics gate (``semantics/unpacker.py``) tries that every file is there, and
    whether damage is noticed.
    """

    def load(self, image: BenchImage) -> None:
        """Do what must come before an unpack and is not part of it."""
        ...

    def unpack(self, image: BenchImage) -> Mapping[str, int]:
        """Unpack all of the image; return exact counts of it, ``NO_COUNTS`` if none.

        Raises:
            Exception: Whatever shows that the image was refused.
        """
        ...

    def contents(self, image: BenchImage) -> Sequence[Path]:
        """Return the directories that hold the unpacked layers, in any order.

        One for all of them where the target has no layers on disk.
        """
        ...

    def discard(self, image: BenchImage) -> None:
        """Undo ``load`` and ``unpack``, also where they failed."""
        ...


@runtime_checkable
class LayerTarget(UnpackTarget, Protocol):
    """A target that writes what was changed in an unpacked image as a layer.

    ``open_changes``, ``write_layer`` and ``drop_changes`` follow each other, between
    ``unpack`` and ``discard``; several times.
    """

    def open_changes(self, image: BenchImage) -> AbstractContextManager[Path]:
        """Show the image as a tree to be changed; afterwards it is not shown."""
        ...

    def write_layer(self, image: BenchImage, layer: Path) -> Mapping[str, int]:
        """Write the changes as a compressed layer; ``layer`` is it, or a link to it.

        Return exact counts of that, ``NO_COUNTS`` if none.
        """
        ...

    def drop_changes(self, image: BenchImage) -> None:
        """Undo ``write_layer``; changes that are made again may stay."""
        ...


@runtime_checkable
class PackTarget(Target, Protocol):
    """A target that writes a whole tree of files as one gzip layer.

    ``stage``, ``pack`` and ``unstage`` follow each other; several times.
    """

    def stage(self, tree: Path) -> None:
        """Do what must come before and is not part of it; ``tree`` stays as it is."""
        ...

    def pack(self, layer: Path, *, is_fast: bool) -> Mapping[str, int]:
        """Write what was staged to ``layer``; return exact counts of that.

        At level 6, or as its like elsewhere; with ``is_fast`` as fast as it can.
        """
        ...

    def unstage(self) -> None:
        """Undo ``stage``."""
        ...


class Trial(Protocol):
    """One target at one cell. Subclass it: every method but one has a default."""

    def begin_block(self, number: int) -> None:
        """Prepare a block, untimed. ``number`` counts from 0 and may repeat (redo)."""
        return

    def set_up(self) -> None:
        """Make what one run needs, untimed."""
        return

    def run_once(self) -> Outcome:
        """Do ``cell.operations`` operations. Timed: no checks, no preparations."""
        ...

    def validate(self, outcome: Outcome) -> None:
        """Check, untimed, that the run did all it says, by another way than it did.

        Raises:
            InvalidResultError: Something is missing, wrong or unfinished.
        """
        return

    def tear_down(self) -> None:
        """Undo one run, untimed; called if ``set_up`` returned, also on failure."""
        return

    def processes(self) -> Sequence[int]:
        """Return client processes other than the calling one, to pin and account."""
        return ()

    def close(self) -> None:
        """Undo what ``Scenario.open`` and ``begin_block`` made."""
        return


class Scenario(Protocol):
    """One question. Stateless: state lives in its trials."""

    @property
    def name(self) -> str:
        """The question's name: ``copy_up_latency``."""
        ...

    @property
    def question(self) -> str:
        """The question in one sentence."""
        ...

    @property
    def family(self) -> Family:
        """The family of targets that it asks."""
        ...

    @property
    def operation(self) -> str:
        """What one operation is, as the unit of the times: ``create``, ``mount``."""
        ...

    @property
    def baselines(self) -> Sequence[str]:
        """Names of targets to compare with; the first available one is used."""
        ...

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """Return the cells to measure, at least one."""
        ...

    def refuses(self, target: Target) -> str:
        """Say why the question makes no sense for ``target``; "" if it does."""
        ...

    def open(
        self, target: Target, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """Prepare ``target``, which is started, for ``cell`` and return the trial.

        ``workspace`` is the trial's own, on the same filesystem as the target's;
        lower directories and other inputs go there. The runner removes what is left
        in it after ``close``. ``seed`` is the same for every target of the cell:
        equal inputs. On an error nothing but files in ``workspace`` is left behind.
        """
        ...
