"""What the store knows of its snapshots: SQLite with an index in memory."""

from snapfs.metadata.filters import parse_filters
from snapfs.metadata.labels import checked_labels
from snapfs.metadata.row import Row
from snapfs.metadata.store import MetadataStore

__all__ = ["MetadataStore", "Row", "checked_labels", "parse_filters"]
