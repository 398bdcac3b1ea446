"""A layer that containers can run: this host's shell, and what it needs."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
from collections.abc import Mapping


def shell_layer(files: Mapping[str, str]) -> bytes:
    """Return the tar of ``/bin/sh``, its libraries, the usual directories and files."""
    shell = os.path.realpath("/bin/sh")
    listed = subprocess.run(["ldd", shell], capture_output=True, text=True, check=False)
    libraries = re.findall(r"(/\S+) \(0x", listed.stdout)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name in ("dev", "proc", "run", "sys", "srv", "etc"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(text), 0o644
            tar.addfile(info, io.BytesIO(text.encode()))
        for source, name in [(shell, "/bin/sh"), *((path, path) for path in libraries)]:
            tar.add(os.path.realpath(source), name)
    return file.getvalue()
