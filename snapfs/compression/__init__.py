"""Compressed streams: what a blob is by its content, and its plain bytes."""
