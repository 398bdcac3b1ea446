"""What the store knows of its snapshots: SQLite with an index in memory.

:mod:`snapfs.metadata.filters` is for those who filter: its RE2 takes a while to load.
"""

from snapfs.metadata.row import Row, committed_row
from snapfs.metadata.store import MetadataStore

__all__ = ["MetadataStore", "Row", "committed_row"]
