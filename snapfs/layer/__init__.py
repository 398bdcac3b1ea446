"""Layers: the index of what one changes, and its application to a directory."""
