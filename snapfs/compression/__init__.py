"""Compressed streams: what a blob is by its content, and its plain bytes."""

from snapfs.compression.background import Background
from snapfs.compression.detection import Compression, detect
from snapfs.compression.opening import open_plain
from snapfs.compression.stored import ByteSource, PlainReader

__all__ = [
    "Background",
    "ByteSource",
    "Compression",
    "PlainReader",
    "detect",
    "open_plain",
]
