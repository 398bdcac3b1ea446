"""The worker's side: answer requests until the input ends."""

from __future__ import annotations

import errno
import json
import sys
from typing import Any, Final

from snapfs.worker.measuring import measure_tree
from snapfs.worker.priority import give_way
from snapfs.worker.removal import Removal, remove_trees


def _answer(line: str) -> dict[str, object]:
    request = json.loads(line)
    try:
        return _OPERATIONS[request["op"]](request)
    except OSError as error:
        text = error.strerror or str(error)
        where = f" ({error.filename})" if error.filename else ""
        return {"error": text + where, "errno": error.errno or errno.EIO}


def _measure(request: dict[str, Any]) -> dict[str, object]:
    usage = measure_tree(request["path"])
    return {"size_bytes": usage.size_bytes, "inodes": usage.inodes}


def _remove(request: dict[str, Any]) -> dict[str, object]:
    removals = remove_trees(
        request["path"], request["names"], measured=request["measured"]
    )
    return {"removals": [_fields(removal) for removal in removals]}


def _fields(removal: Removal) -> tuple[object, ...]:
    """Return what became of a tree; without an error its number is 0."""
    usage, error = removal.usage, removal.error
    if error is None:
        return usage.size_bytes, usage.inodes, 0, "", ""
    number = error.errno or errno.EIO
    return usage.size_bytes, usage.inodes, number, error.strerror, error.filename


_OPERATIONS: Final = {"measure": _measure, "remove": _remove}


def main() -> None:
    """Answer one request a line, at the lowest priority."""
    give_way()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
