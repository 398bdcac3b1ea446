"""The worker process: tree walks and removals away from the process that answers.

One busy Python thread would add milliseconds to every call of the service, so the
owner of a store runs ``python -m snapfs.worker`` at low priority and talks to it in
lines of JSON: ``{"op": "measure" | "remove", "path": ...}`` in, ``{"size_bytes",
"inodes"}`` or ``{"error", "errno"}`` out. It ends when its input does, and so never
outlives its owner for long.
"""

from snapfs.worker.process import WorkerProcess
from snapfs.worker.trees import measure_tree, remove_tree

__all__ = ["WorkerProcess", "measure_tree", "remove_tree"]
