"""From an image to a chain of committed snapshots."""
