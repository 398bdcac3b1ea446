"""Which containerd there is: the system's, or one that was built in this checkout."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from pathlib import Path
from typing import Final

from snapfs.benchmarks import programs
from snapfs.errors import UnavailableError

_REPOSITORY: Final = Path(__file__).resolve().parents[2]
IMAGE_MAKER: Final = _REPOSITORY / "demo" / "make_image.py"


@dataclasses.dataclass(frozen=True, slots=True)
class Installation:
    """An installed containerd: where its programs are, and its version."""

    programs: Path
    version: str


def unavailable() -> str:
    """Say why there can be no containerd here; "" if there can."""
    if os.geteuid() != 0:
        return "containers need root"
    if not IMAGE_MAKER.exists():
        return "the image's maker is in a checkout of snapfs only"
    missing = [name for name in ("runc", "unshare", "nsenter") if not _which(name)]
    if _built() is None and _installed() is None:
        missing.append("containerd")
    return f"containers need {' and '.join(missing)}" if missing else ""


def find() -> Installation:
    """Return the containerd to use: one built in this checkout, else the system's.

    Raises:
        UnavailableError: There is none.
    """
    folder = _built() or _installed()
    if folder is None:
        raise UnavailableError("containerd is not installed")
    return _installation(folder)


def find_installed() -> Installation:
    """Return the system's containerd.

    Raises:
        UnavailableError: There is none.
    """
    folder = _installed()
    if folder is None:
        raise UnavailableError("containerd is not installed")
    return _installation(folder)


def find_built() -> Installation:
    """Return the containerd that was built in this checkout.

    Raises:
        UnavailableError: There is none.
    """
    folder = _built()
    if folder is None:
        raise UnavailableError("no containerd was built here; make test does that")
    return _installation(folder)


def _installation(folder: Path) -> Installation:
    shown = programs.run(str(folder / "containerd"), "--version")
    version = re.search(r"\b\d+\.\d+\.\d+", shown)
    return Installation(folder, version[0] if version else "")


def _built() -> Path | None:
    built = sorted(_REPOSITORY.glob(".cache/containerd-2.*/bin"))
    return built[-1] if built and (built[-1] / "containerd").exists() else None


def _installed() -> Path | None:
    found = _which("containerd")
    return Path(found).parent if found else None


def _which(program: str) -> str | None:
    return shutil.which(program, path=os.pathsep.join(search_path()))


def search_path() -> list[str]:
    """Return where programs are, also those that users' shells do not look for."""
    return [*os.get_exec_path(), "/usr/sbin", "/sbin"]
