"""Who keeps a mount busy: processes with something open, and mounts below."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    """One process that uses a mounted tree.

    Attributes:
        pid: Its process id.
        name: Of its program.
        uses: What it has there: "working directory", "root", an open path ...
    """

    pid: int
    name: str
    uses: tuple[str, ...]

    def __str__(self) -> str:
        """Return one phrase for a message."""
        return f"{self.name} (pid {self.pid}: {', '.join(self.uses[:3])})"


def find_holders(target: str) -> list[Holder]:
    """Return the processes that use the tree at ``target`` (absolute).

    Processes of other users that this one may not look into stay unseen.
    """
    import psutil

    found = []
    for process in psutil.process_iter(["name"]):
        uses = tuple(dict.fromkeys(_uses(process.pid, target)))
        if uses:
            name = str(process.info["name"] or "?")
            found.append(Holder(process.pid, name, uses))
    return found


def _uses(pid: int, target: str) -> Iterator[str]:
    proc = f"/proc/{pid}"
    for link, meaning in (
        ("cwd", "working directory"),
        ("root", "root directory"),
        ("exe", "program"),
    ):
        if _is_below(_read_link(f"{proc}/{link}"), target):
            yield meaning
    for directory in ("fd", "map_files"):
        # A process may end or refuse us at any moment.
        with contextlib.suppress(OSError):
            for name in os.listdir(f"{proc}/{directory}"):
                path = _read_link(f"{proc}/{directory}/{name}")
                if _is_below(path, target):
                    yield path


def _read_link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _is_below(path: str, target: str) -> bool:
    return path == target or path.startswith(target.rstrip("/") + "/")
