"""From snapshots back to images that other tools load."""
