"""The snapshot manager: the contract over metadata, directories and a driver."""

from snapfs.manager.core import SnapshotManager
from snapfs.manager.parts import ManagerParts

__all__ = ["ManagerParts", "SnapshotManager"]
