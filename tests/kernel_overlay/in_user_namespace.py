"""A program for a user namespace: mount a store's stack there and change it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from snapfs.kernel_overlay import OverlayDriver
from snapfs.kernel_overlay.mounting import mount_all, unmount
from snapfs.model import Kind, Stack
from snapfs.overlay_format import fitting_prefix, is_opaque


def main(root: Path) -> None:
    """Replace a directory of a lower layer; say how the upperdir remembers it."""
    prefix = fitting_prefix()
    for name in ("1/dir", "2", "upper", "work", "merged"):
        (root / name).mkdir(parents=True)
    (root / "1" / "dir" / "hidden").touch()
    (root / "1" / "kept").touch()
    lowerdirs = (str(root / "2"), str(root / "1"))
    stack = Stack(Kind.ACTIVE, lowerdirs, str(root / "upper"), str(root / "work"))

    mount_all(OverlayDriver(xattr_prefix=prefix).mounts(stack), str(root / "merged"))
    merged = root / "merged"
    (merged / "dir" / "hidden").unlink()
    (merged / "dir").rmdir()
    (merged / "dir").mkdir()
    (merged / "dir" / "inside").touch()
    names = sorted(os.listdir(merged / "dir")) + sorted(
        set(os.listdir(merged)) - {"dir"}
    )
    unmount(str(merged))

    marked = "so" if is_opaque(str(root / "upper" / "dir"), prefix) else "not"
    sys.stdout.write(f"prefix {prefix}, opaque is marked {marked}, {names}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
