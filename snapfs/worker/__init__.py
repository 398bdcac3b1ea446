"""The worker process: tree walks and removals away from the process that answers.

One busy Python thread would add milliseconds to every call of the service, so the
owner of a store runs ``python -m snapfs.worker`` at low priority and talks to it in
lines of JSON. A request is ``{"op": "measure", "path": ...}`` or ``{"op": "remove",
"path": ..., "names": [...], "measured": ...}``; the answer ``{"size_bytes",
"inodes"}``, ``{"removals": [[size_bytes, inodes, errno, error, path], ...]}`` or
``{"error", "errno"}``. It ends when its input does, and so never outlives its owner
for long.
"""
