"""Labels of unpacked snapshots that others read."""

from __future__ import annotations

from typing import Final

COMMAND_LABEL: Final = "snapfs.io/command"
"""What made the layer, by the first image that brought it, as far as a label holds."""
