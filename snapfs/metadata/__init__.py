"""What the store knows of its snapshots: SQLite with an index in memory."""
