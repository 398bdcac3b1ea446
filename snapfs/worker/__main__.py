"""The worker's side: answer requests until the input ends."""

from __future__ import annotations

import errno
import json
import os
import sys
from typing import Final

from snapfs.syscalls import IOPRIO_CLASS_IDLE, set_io_priority
from snapfs.worker.trees import measure_tree, remove_tree

_NICE: Final = 19
_OPERATIONS: Final = {"measure": measure_tree, "remove": remove_tree}


def _answer(line: str) -> dict[str, object]:
    request = json.loads(line)
    try:
        usage = _OPERATIONS[request["op"]](request["path"])
    except OSError as error:
        text = error.strerror or str(error)
        where = f" ({error.filename})" if error.filename else ""
        return {"error": text + where, "errno": error.errno or errno.EIO}
    return {"size_bytes": usage.size_bytes, "inodes": usage.inodes}


def main() -> None:
    """Answer one request a line, at the lowest priority."""
    os.nice(_NICE)
    set_io_priority(IOPRIO_CLASS_IDLE)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
