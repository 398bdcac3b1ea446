"""The other door of the command: python -m snapfs."""
