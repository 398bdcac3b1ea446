"""The FUSE test server, run without root's privileges, in namespaces of its own.

The mount namespace has a /dev/fuse that every user may open, as distributions have
it; all that is mounted inside ends with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.sandbox import COMMAND_TIMEOUT_S, REPOSITORY
from support.unprivileged import NOBODY, _open_interpreter, as_nobody

# $1: where the device can be made; $2: the mount point; then the command.
OPEN_DEVICE = """
set -e
mount -t tmpfs -o mode=0755 tmpfs "$1"
mknod -m 666 "$1/fuse" c 10 229
mount --bind "$1/fuse" /dev/fuse
shift
exec "$@"
"""

AS_NOBODY = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *("--bounding-set=-all", "--"),
)

# Starts the server, prints what a user of the mount sees, and ends the server.
SESSION = """
import subprocess, sys, os
target = sys.argv[1]
server = subprocess.Popen(
    [sys.executable, "-m", "support.fuse_server", target],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
print(server.stdout.readline().strip())
print(open(target + "/a").read())
print([line.split()[2] for line in open("/proc/mounts") if target in line])
server.terminate()
print(server.stdout.readline().strip(), server.wait())
print([line for line in open("/proc/mounts") if target in line])
"""


def run_session(
    home: Path, *, before: Sequence[str], set_uid_helper: bool
) -> list[str]:
    """Run the server as nobody; return the lines of what its user saw.

    ``before`` are words before the interpreter, such as ``unshare``.
    """
    for program in ("setpriv", "unshare", "mknod"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}(1)")
    dropped: tuple[str, ...] = AS_NOBODY
    if set_uid_helper:  # a bounding set would bind the helper as well
        dropped = tuple(word for word in AS_NOBODY if "bounding" not in word)
    (home / "device").mkdir()
    (home / "mnt").mkdir()
    os.chown(home / "mnt", NOBODY, NOBODY)
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])
    done = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c", OPEN_DEVICE, "sh", home / "device"),
            *dropped,
            *before,
            *(_open_interpreter(), "-c", textwrap.dedent(SESSION), home / "mnt"),
        ],
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def run_script(home: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in ``home`` as nobody, who may open /dev/fuse there.

    ``{snapfs}`` in it is the command, on a root of nobody's own; ``home/mnt`` is made
    for it to mount on.
    """
    for name in ("device", "mnt"):
        (home / name).mkdir()
        os.chown(home / name, NOBODY, NOBODY)
    user = as_nobody(home / "root")
    begin = user.words.index("--") + 1
    snapfs = " ".join(user.words[begin:])
    return subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c", OPEN_DEVICE, "sh", home / "device"),
            *(*user.words[:begin], "sh", "-ec", script.replace("{snapfs}", snapfs)),
        ],
        cwd=home,
        env={**user.environment, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
