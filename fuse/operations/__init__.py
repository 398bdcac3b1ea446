"""What each FUSE message means for the union."""

from snapfs.fuse.operations.context import Context
from snapfs.fuse.operations.table import handlers_of

__all__ = ["Context", "handlers_of"]
