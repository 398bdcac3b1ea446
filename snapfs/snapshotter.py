"""The contracts of a store: ``Snapshotter``, ``StoreAdmin`` and ``LayerStore``.

Vocabulary. ``key`` names an active snapshot or a view, ``name`` a committed
snapshot; both live in one key space. ``parent`` is the name of the committed
snapshot below. ``kind`` is active, view or committed.

Life of a snapshot. ``prepare`` makes an active snapshot on a parent (or on
nothing) and says how to mount it; the caller mounts, writes, unmounts. ``commit``
freezes it under a name: from then on it never changes and can be a parent.
``view`` makes a read-only snapshot that can never be committed. ``remove`` drops
any of them, children first.

A layer by layer unpack thus reads::

    mounts = snapshots.prepare("extract-1", parent="sha256:aa")
    ...                                   # mount, apply the layer, unmount
    snapshots.commit("sha256:bb", "extract-1")

The rules and the error of each are those of containerd: ``core/snapshots/
snapshotter.go`` (the contract), ``core/snapshots/storage/bolt.go`` (the checks and
their order) and ``api/services/snapshots/v1/snapshots.proto`` (the wire).

Every method is safe to call from several threads. A call either does all that it
says or raises and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from snapfs.light_typing import Protocol
from snapfs.model import (
    NO_LABELS,
    Durability,
    Finding,
    Garbage,
    Info,
    Mount,
    NewLayer,
    SnapshotDetails,
    StoreStatus,
    Usage,
)


class Snapshotter(Protocol):
    """containerd's snapshotter contract, verb by verb."""

    def prepare(
        self, key: str, parent: str = "", labels: Mapping[str, str] = NO_LABELS
    ) -> list[Mount]:
        """Make the active snapshot ``key`` on top of the committed ``parent``.

        Returns at least one mount; mounted in order they show the parent's
        content and take writes. Labels with an empty value are dropped.

        Raises:
            NotFoundError: ``parent`` is given and does not exist.
            InvalidArgumentError: ``parent`` is not committed, ``key`` is empty, or
                a label is longer than 4,096 bytes (key and value together) or
                cannot be read (identity mappings).
            AlreadyExistsError: ``key`` is taken, by a snapshot of any kind.
            ResourceExhaustedError: The chain is too long to be mounted, or the
                disk is full, or nearly so and a layer is to be unpacked.
            FailedPreconditionError: A limit is wanted that this host cannot give.
        """
        ...

    def view(
        self, key: str, parent: str = "", labels: Mapping[str, str] = NO_LABELS
    ) -> list[Mount]:
        """Make the read-only snapshot ``key`` of the committed ``parent``.

        Like :meth:`prepare`, with the same errors, but its mounts are read-only
        and it can never be committed.
        """
        ...

    def mounts(self, key: str) -> list[Mount]:
        """Return what ``prepare`` or ``view`` returned for ``key``.

        The answer is the same after a restart of the store.

        Raises:
            NotFoundError: There is no snapshot ``key``.
            FailedPreconditionError: ``key`` is committed.
        """
        ...

    def commit(
        self,
        name: str,
        key: str,
        labels: Mapping[str, str] = NO_LABELS,
        parent: str = "",
    ) -> None:
        """Freeze the active snapshot ``key`` as the committed snapshot ``name``.

        Afterwards ``key`` is gone and ``name`` has the parent that ``key`` had;
        its labels are exactly ``labels`` (nothing is inherited), and it was
        created and updated now. Its data is on disk as the store's durability
        mode promises. ``parent`` rebases a snapshot that was prepared on nothing.
        This is one transaction: on any error both are as they were.

        Raises:
            AlreadyExistsError: ``name`` is taken.
            NotFoundError: There is no snapshot ``key``, or no ``parent``.
            FailedPreconditionError: ``key`` is not active, or ``parent`` is not
                committed.
            InvalidArgumentError: ``parent`` differs from the parent that ``key``
                has already, ``name`` is empty, or a label is too long.
        """
        ...

    def remove(self, key: str) -> None:
        """Drop the snapshot ``key``; its name can be used again at once.

        Its files are reclaimed later. Works on every kind.

        Raises:
            NotFoundError: There is no snapshot ``key``.
            FailedPreconditionError: It has children; the message says "cannot
                remove". No other error is ever raised here, because any other
                would end containerd's garbage collection.
        """
        ...

    def stat(self, key: str) -> Info:
        """Return the info of the snapshot ``key``, of whatever kind.

        Raises:
            NotFoundError: There is no snapshot ``key``.
        """
        ...

    def update(self, info: Info, fieldpaths: Sequence[str] = ()) -> Info:
        """Change labels of the snapshot ``info.name``; return the new info.

        No ``fieldpaths`` or the path "labels": the labels become ``info.labels``.
        A path "labels.K": only label K is set, or deleted where ``info.labels``
        has none or "". Only ``updated_ns`` changes besides; all else in ``info``
        is ignored.

        Raises:
            NotFoundError: There is no snapshot ``info.name``.
            InvalidArgumentError: Another path is named, or a label is too long;
                nothing has been applied.
        """
        ...

    def usage(self, key: str) -> Usage:
        """Return what ``key`` itself occupies, without its parents.

        Active: as it is now. Committed: fixed. View: nothing.

        Raises:
            NotFoundError: There is no snapshot ``key``.
        """
        ...

    def walk(self, filters: Sequence[str] = ()) -> Iterator[Info]:
        """Yield every snapshot that matches any of ``filters`` (all if none).

        The filters are containerd's (``pkg/filters``) over ``name``, ``parent``,
        ``kind`` and ``labels``. The listing is the state at the call; other calls
        may go on meanwhile.

        Raises:
            InvalidArgumentError: A filter does not parse; raised at the call, not
                at the first item.
        """
        ...

    def cleanup(self) -> None:
        """Start to reclaim the directories of removed snapshots; do not wait."""
        ...

    def close(self) -> None:
        """Release the store; a second call does nothing."""
        ...


class StoreAdmin(Protocol):
    """What the people who run a store ask beyond the contract.

    Unlike containerd's calls, these see the snapshots of every owner.
    """

    def details(self, key: str) -> SnapshotDetails:
        """Return all that the store knows of ``key``.

        Raises:
            NotFoundError: There is no snapshot ``key``.
        """
        ...

    def list_details(self, filters: Sequence[str] = ()) -> Iterator[SnapshotDetails]:
        """Yield details of every snapshot that matches, as :meth:`Snapshotter.walk`.

        Raises:
            InvalidArgumentError: A filter does not parse.
        """
        ...

    def browse_mounts(
        self, key: str, *, upperdir: str = "", workdir: str = ""
    ) -> list[Mount]:
        """Return mounts that show the content of ``key``, of whatever kind.

        They are read-only unless an ``upperdir`` and a ``workdir`` (absolute, on
        one filesystem) take the changes. Nothing is recorded: remove ``key`` only
        after unmounting.

        Raises:
            NotFoundError: There is no snapshot ``key``.
            InvalidArgumentError: Only one of ``upperdir`` and ``workdir`` is given.
        """
        ...

    def force_remove(self, key: str) -> None:
        """Remove ``key`` even if it is containerd's.

        :meth:`Snapshotter.remove` refuses snapshots that containerd owns with
        ``FailedPreconditionError``, since containerd still counts on them.

        Raises:
            NotFoundError: There is no snapshot ``key``.
            FailedPreconditionError: It has children.
        """
        ...

    def reclaim(self, *, dry_run: bool = False) -> list[Garbage]:
        """Remove every directory that no snapshot needs; return what it was.

        Waits until the files are gone, unless ``dry_run``, which only measures.
        """
        ...

    def check(self) -> list[Finding]:
        """Compare the metadata with itself and with the disk; change nothing.

        An empty list means that every invariant in ``docs/on-disk.md`` holds.
        """
        ...

    def status(self) -> StoreStatus:
        """Say who serves this store and how."""
        ...


class LayerStore(Protocol):
    """Committed snapshots that are made whole, outside of any active snapshot.

    Whoever has a layer makes ``staging/N`` in the root of the store, holds it with
    a lock (``snapfs.state.staged``) and fills its ``fs``. It takes the rights of
    the store's owner to do that, not its process.
    """

    def stage(self, count: int) -> list[int]:
        """Return ``count`` numbers for directories under ``staging``.

        Nobody else gets them, ever. One that is not used costs nothing.

        Raises:
            InvalidArgumentError: More are wanted than any image has layers.
            ResourceExhaustedError: Little space is left on the disk.
        """
        ...

    def publish(
        self, layers: Sequence[NewLayer], durability: Durability | None = None
    ) -> None:
        """Make staged directories committed snapshots: all of them, or none.

        Unless ``durability`` (the store's, if None) is ``none``, everything that
        was written is on disk before the first of them exists: one sync for all.
        On an error the directories stay as they are, for the caller to remove.

        Raises:
            AlreadyExistsError: A name is taken; the message says which.
            NotFoundError: A parent, a staged directory or the snapshot whose content
                is to be shared does not exist.
            InvalidArgumentError: A parent is not committed, a number is not one
                that :meth:`stage` returned, a label is too long, or a chain would
                have the same content twice, which overlayfs does not mount.
            ResourceExhaustedError: The disk is full, or a chain would be too long.
        """
        ...


class LayerTargets(Protocol):
    """Active snapshots that layers are applied to, for the process that owns them."""

    def active_in(self, directory: str) -> SnapshotDetails | None:
        """Return the active snapshot whose numbered directory this is, of any owner.

        None where there is none.
        """
        ...

    def hide_below(self, key: str) -> None:
        """Have an active snapshot show nothing of what lies below it, for good.

        Raises:
            NotFoundError: There is no snapshot ``key``.
        """
        ...

    def note_usage(self, target: SnapshotDetails, usage: Usage | None) -> None:
        """Say what an active snapshot holds now that its layer is complete.

        Once it is committed, that is its usage, and nobody walks its files for it.
        Whoever asks for its mounts before may change them: then it counts no more.
        None: somebody else writes to it.
        """
        ...


class Store(Snapshotter, StoreAdmin, LayerStore, Protocol):
    """A snapshot store: the contract and its administration in one object."""
