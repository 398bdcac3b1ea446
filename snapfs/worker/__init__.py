"""The worker process: tree walks and removals away from the process that answers."""
