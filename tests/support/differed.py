"""What a differ did for a containerd in a sandbox, looked at from outside."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from snapfs.digest import Digest
from snapfs.layer.index_cache import IndexCache
from support.containerd import Containerd
from support.snapfs_program import SnapfsProgram


def were_applied_by_us(program: SnapfsProgram, diff_ids: Iterable[str]) -> bool:
    """Tell whether snapfs read the layers: it keeps what it learned of them."""
    cache = IndexCache(str(program.root))
    return all(cache.load(Digest(diff_id)) is not None for diff_id in diff_ids)


def presented(containerd: Containerd, name: str, namespace: str) -> Path:
    """Mount a view of the committed snapshot ``name``; return where it is seen.

    The mount is the sandbox's, and is reached through its init.
    """
    target = containerd.sandbox.home / f"view-{namespace}"
    target.mkdir()
    containerd.snapshots("view", f"look-{namespace}", name, namespace=namespace)
    mount = containerd.snapshots(
        "mounts", str(target), f"look-{namespace}", namespace=namespace
    )
    containerd.sandbox.run("sh", "-c", mount)
    return Path(f"/proc/{containerd.sandbox.pid}/root{target}")
