"""Where the programs lie that the peer tests use and the repository does not have.

Public test suites are looked for, built, below ``.cache/peers``; programs of the
distribution on the search path. Nothing here fetches or builds anything.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from support.sandbox import REPOSITORY

PEERS: Final = REPOSITORY / ".cache" / "peers"


def pjdfstest() -> tuple[Path, str]:
    """Return the directory of pjdfstest (C) and what is missing, "" if nothing."""
    home = PEERS / "pjdfstest"
    if not (home / "pjdfstest").exists() or not (home / "tests" / "conf").exists():
        return home, f"needs pjd/pjdfstest, built, at {home}"
    missing = [name for name in ("perl", "openssl") if shutil.which(name) is None]
    return home, f"needs {' and '.join(missing)}" if missing else ""


def unionmount() -> tuple[Path, str]:
    """Return the program of unionmount-testsuite and what is missing."""
    program = PEERS / "unionmount-testsuite" / "run"
    if not program.exists():
        return program, f"needs amir73il/unionmount-testsuite at {program.parent}"
    missing = [name for name in ("unshare", "mount") if shutil.which(name) is None]
    return program, f"needs {' and '.join(missing)}" if missing else ""


def fsx() -> tuple[Path, str]:
    """Return the program fsx and what is missing."""
    program = PEERS / "bin" / "fsx"
    if program.exists():
        return program, ""
    found = shutil.which("fsx")
    if found is not None:
        return Path(found), ""
    return program, f"needs fsx (kdave/xfstests, ltp/fsx.c), built, at {program}"
