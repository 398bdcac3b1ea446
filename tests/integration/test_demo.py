"""The demo runs as its readers will run it, and leaves nothing behind."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path
from typing import Final

import pytest

from support.containerd import ONE_GENERATION, Generation
from support.sandbox import CGROUP_ROOT, REPOSITORY, Sandbox, wait_until

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]

DEMO: Final = REPOSITORY / "demo" / "run.sh"
LAST_LINE: Final = "Nothing. The demo is over.\n"
NOBODY: Final = "65534"

# What a user other than root needs to start this interpreter where only root can reach
# it: a copy of its prefix in the mount table, below directories open to all.
OPEN_INTERPRETER: Final = """\
mount --bind "$1" /mnt
mount -t tmpfs -o mode=755 tmpfs "/$(echo "$1" | cut -d/ -f2)"
mkdir -p "$1"
mount --bind /mnt "$1"
umount /mnt
"""


def environment(
    sandbox: Sandbox, generation: Generation | None = None
) -> dict[str, str]:
    """Return variables that make the demo use ``generation`` and a private TMPDIR."""
    folder = sandbox.home / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    sandbox.home.chmod(0o755)
    found = sandbox.run("sh", "-c", 'echo "$PATH"').strip()
    path = f"{generation.programs}:{found}" if generation else found
    return {"TMPDIR": str(folder), "PATH": path}


def leftovers(sandbox: Sandbox, output: str) -> list[str]:
    """Return the files, mounts, processes and cgroups that the demo left behind."""
    files = [str(path) for path in (sandbox.home / "tmp").iterdir()]
    processes = [
        line
        for line in sandbox.run("ps", "-e", "-o", "args=").splitlines()
        if re.search(r"snapfs|containerd|runc|sleep", line)
    ]
    cgroups = [
        str(folder)
        for name in set(re.findall(r"snapfs-demo-\w+", output))
        for pattern in (name, f"*/{name}")
        for folder in CGROUP_ROOT.glob(pattern)
    ]
    return files + sandbox.mount_points() + processes + cgroups


def test_the_demo_shows_a_container_and_leaves_nothing(
    sandbox: Sandbox, generation: Generation
) -> None:
    output = sandbox.run(DEMO, env=environment(sandbox, generation))

    assert "Hello from layer 3." in output
    assert "default/8/edited (committed)" in output
    assert output.endswith(LAST_LINE)
    assert leftovers(sandbox, output) == []


@ONE_GENERATION
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing(
    sandbox: Sandbox, generation: Generation, number: signal.Signals
) -> None:
    log = sandbox.home / "demo.log"
    # SIGINT would be ignored where the tests run in the background of a shell.
    demo = sandbox.spawn(
        *("env", "--default-signal=INT", DEMO),
        log=log,
        env=environment(sandbox, generation),
    )
    wait_until(lambda: "Run a container" in log.read_text(), "the demo's container")

    demo.signal(number)

    assert demo.exit_status == 128 + number
    assert LAST_LINE not in log.read_text()
    assert leftovers(sandbox, log.read_text()) == []


def test_without_root_the_demo_shows_snapshots_and_says_so(sandbox: Sandbox) -> None:
    if not Path(sys.base_prefix).is_relative_to("/usr"):
        sandbox.run("sh", "-ec", OPEN_INTERPRETER, "sh", sys.base_prefix)
    as_nobody = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    variables = environment(sandbox)
    in_userns = ("unshare", "--user", "--map-root-user", "snapfs", "--version")
    variables["PATH"] = f"{Path(sys.executable).parent}:{variables['PATH']}"
    if sandbox.try_run(*as_nobody, *in_userns, env=variables).returncode != 0:
        pytest.skip("here another user cannot run this snapfs in a user namespace")

    output = sandbox.run(*as_nobody, DEMO, env=variables)

    assert "Without root there are no containers" in output
    assert "└── changed (committed)" in output
    assert output.endswith(LAST_LINE)
    assert leftovers(sandbox, output) == []
