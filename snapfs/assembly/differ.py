"""The differ of a service: containerd's content store, and the layer pipeline."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from snapfs.assembly.layer_maker import LayerMaker
from snapfs.assembly.mounted_chain import mounted_chain
from snapfs.closing import Closing
from snapfs.differ import Content, LayerOrder, Settler
from snapfs.layer.limits import Policy
from snapfs.layer.stored_owners import StoredOwners
from snapfs.model import Durability, Mount
from snapfs.overlay_format import XattrPrefix
from snapfs.remote.content_store import ContentStore
from snapfs.state import StatePaths
from snapfs.stopping import Stop
from snapfs.unpack.applying import LayerApplier

if TYPE_CHECKING:
    from snapfs.assembly.settings import ServeSettings
    from snapfs.manager import SnapshotManager


class StoreDiffer(Closing):
    """Implements :class:`snapfs.differ.Differ` for one store."""

    def __init__(self, store: SnapshotManager, settings: ServeSettings) -> None:
        status = store.status()
        self._store = store
        self._content = ContentStore(
            settings.containerd_address, settings.containerd_root
        )
        self._applier = LayerApplier(
            store,
            status.root,
            XattrPrefix(status.xattr_prefix),
            self._content.open_blob,
            is_durable=status.durability is not Durability.NONE,
            policy=Policy(clamp=settings.clamps_unsafe),
        )
        self._maker = LayerMaker(
            settings.containerd_address, XattrPrefix(status.xattr_prefix)
        )
        self._snapshots = StatePaths(status.root).snapshots

    def apply(
        self,
        content: Content,
        mounts: Sequence[Mount],
        namespace: str,
        *,
        is_synced: bool,
        stop: Stop,
    ) -> Content:
        """See :meth:`snapfs.differ.Differ.apply`."""
        return self._applier.apply(
            content, mounts, namespace, is_synced=is_synced, stop=stop
        )

    @property
    def settler(self) -> Settler:
        """What finishes layers when they are committed."""
        return self._applier.rebaser

    def diff(
        self,
        before: Sequence[Mount],
        after: Sequence[Mount],
        order: LayerOrder,
        *,
        stop: Stop,
    ) -> Content:
        """See :meth:`snapfs.differ.Differ.diff`."""
        chain = mounted_chain(after, self._snapshots)
        return self._maker.make(
            mounted_chain(before, self._snapshots),
            chain,
            order,
            stop,
            self._owners(chain[0]),
        )

    def _owners(self, upper: str) -> StoredOwners | None:
        snapshot = self._store.snapshot_in(os.path.dirname(upper))
        return None if snapshot is None else StoredOwners.of_snapshot(snapshot)

    def close(self) -> None:
        """Let go of containerd; a second call does nothing."""
        self._applier.close()
        self._content.close()
