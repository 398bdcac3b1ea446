"""snapfs: copy-on-write snapshots for containers."""

from typing import Final

__version__: Final = "0.1.0"
