"""What a server loads before it serves, and where it can be started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from snapfs.fuse.helper.launcher import launcher_text
from support.fuse_mounts import helper_environment, mounted_union
from support.sandbox import REPOSITORY

HEAVY = (
    *("click", "google", "grpc", "msgspec", "psutil", "rich", "sqlite3", "urllib3"),
    *(
        "asyncio",
        "concurrent",
        "inspect",
        "multiprocessing",
        "pathlib",
        "re",
        "socketserver",
        "subprocess",
        "typing",
    ),
)

# Each takes about a hundredth of the time in which the interpreter itself starts, and
# nearly all of a mount's start is that. With room for other versions of Python.
# The helper, telling what is imported after it has forked the server.
WATCHED = """
import os, sys
forked = False
def watch(event, arguments):
    global forked
    forked = forked or event == "os.fork"
    if forked and event == "import":
        os.write(2, b"IMPORT %s\\n" % arguments[0].encode())
sys.addaudithook(watch)
from snapfs.fuse.helper.main import main
sys.exit(main())
"""

MOST_OURS = 120
MOST_OTHERS = 44


def test_a_server_imports_nothing_heavy() -> None:
    program = (
        "given = set(sys.modules); import snapfs.fuse.helper.main;"
        "print(*sorted(set(sys.modules) - given))"
    )

    done = subprocess.run(
        [
            sys.executable,
            "-IS",
            "-c",
            f"import sys; sys.path.insert(0, {str(REPOSITORY)!r});{program}",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = done.stdout.split()
    assert {name.partition(".")[0] for name in loaded} & set(HEAVY) == set()
    ours = [name for name in loaded if name.partition(".")[0] == "snapfs"]
    assert len(ours) <= MOST_OURS
    assert len(loaded) - len(ours) <= MOST_OTHERS


@pytest.mark.fuse
@pytest.mark.root
def test_requests_never_wait_for_modules(tmp_path: Path) -> None:
    """Loading one takes the interpreter's lock, in whatever thread."""
    lower, upper, work, merged = (
        tmp_path / name for name in ("lower", "upper", "work", "merged")
    )
    for path in (lower, upper, work, merged):
        path.mkdir()
    (lower / "file").write_text("lower")
    program = (sys.executable, "-c", WATCHED)

    with mounted_union(
        [lower], upper, work, merged, ["debug"], program=program
    ) as mounted:
        assert (merged / "file").read_text() == "lower"
        assert os.listdir(merged) == ["file"]
        (merged / "file").write_text("upper")
        os.mkdir(merged / "directory")
        os.rename(merged / "file", merged / "directory" / "file")
        shutil.rmtree(merged / "directory")
        messages = mounted.messages()

    assert messages["RMDIR"]
    assert messages["IMPORT"] == 0


@pytest.mark.fuse
def test_it_mounts_in_a_user_namespace(tmp_path: Path) -> None:
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / "file").write_text("lower\n")
    (tmp_path / "lower" / "gone").write_text("gone\n")
    launcher = tmp_path / "snapfs-fuse"
    launcher.write_text(launcher_text(sys.executable, str(REPOSITORY)))
    launcher.chmod(0o755)
    script = """
        set -e
        ./snapfs-fuse -o lowerdir=lower,upperdir=upper,workdir=work merged
        echo more >> merged/file
        rm merged/gone
        cat merged/file
        ls merged
        umount merged
    """

    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        cwd=tmp_path,
        env=helper_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "unshare" in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr.strip()}")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["lower", "more", "file"]
    assert os.listxattr(tmp_path / "upper" / "file") == ["user.overlay.origin"]
