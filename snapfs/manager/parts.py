"""What a manager is made of."""

from __future__ import annotations

from collections.abc import Mapping

from snapfs.driver import Driver
from snapfs.errors import (
    InvalidArgumentError,
    ResourceExhaustedError,
    UnavailableError,
)
from snapfs.light_typing import TYPE_CHECKING
from snapfs.metadata import MetadataStore, Row
from snapfs.model import Durability, Mount, Owner, Stack
from snapfs.state import SnapshotDirectories, StatePaths, StoreIdentity
from snapfs.values import dataclass

if TYPE_CHECKING:
    from snapfs.manager.space import SpaceGuard


@dataclass(frozen=True, slots=True)
class ManagerParts:
    """The parts of one store; ``assembly`` wires them.

    Attributes:
        drivers: By the name that is stored with each snapshot.
        driver: The name of the one for new snapshots.
        min_free_percent: What of the filesystem new layers leave free.
    """

    paths: StatePaths
    identity: StoreIdentity
    metadata: MetadataStore
    directories: SnapshotDirectories
    drivers: Mapping[str, Driver]
    driver: str
    durability: Durability
    min_free_percent: int = 0

    @property
    def space(self) -> SpaceGuard:
        """What refuses new layers where little space is left."""
        from snapfs.manager.space import SpaceGuard

        return SpaceGuard(self.paths.root, self.min_free_percent)

    def mounts(self, row: Row, stack: Stack, owner: Owner) -> list[Mount]:
        """Return the mounts of ``stack`` for who will execute them.

        containerd takes one string of options that must fit its page. Our own
        mounting can take layers one by one, which older tools cannot: it gets that
        form only where the other one does not do.

        Raises:
            UnavailableError: This host lacks the snapshot's driver.
            SnapfsError: As :meth:`snapfs.driver.Driver.mounts`.
        """
        driver = self.drivers.get(row.driver)
        if driver is None:
            raise UnavailableError(
                f"snapshot {row.key!r} was prepared with the driver {row.driver!r},"
                " which this host does not have; run `snapfs doctor`"
            )
        try:
            return driver.mounts(stack)
        except (InvalidArgumentError, ResourceExhaustedError):
            if owner is Owner.CONTAINERD:
                raise
            return driver.local_mounts(stack)
