"""What outlives a server: the memory that its successor goes on from."""

from snapfs.fuse.recovery.memory import SharedMemory

__all__ = ["SharedMemory"]
