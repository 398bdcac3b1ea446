"""The mount table, as /proc tells it."""
