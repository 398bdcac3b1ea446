"""Every command of ``docs/operations.md``, run as it is written, on a fresh machine.

The machine is a sandbox with empty ``/run``, ``/var/lib/snapfs`` and
``/var/lib/containerd``, and an ``/etc`` of its own. No systemd runs there: a program in
the place of ``systemctl`` starts and stops what a unit's ``ExecStart`` says, and
``systemd-analyze verify`` reads the units themselves.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from support.containerd import require_generation
from support.images import IMAGE
from support.sandbox import REPOSITORY, Sandbox

UNITS: Final = REPOSITORY / "deploy/systemd"
CONTAINERD_UNIT: Final = "[Service]\nExecStart=/usr/bin/containerd\n"

# As much of systemctl(1) as the page uses: the last ExecStart of a unit and its
# drop-ins counts; a start returns when the service's socket answers.
SYSTEMCTL: Final = r"""#!/bin/sh
set -e
verb=$1; shift
[ "$verb" != daemon-reload ] || exit 0
for word; do name=${word%.service}; done
unit=/etc/systemd/system/$name.service
stop() {
    if [ -e /run/$name.pid ]; then
        process=$(cat /run/$name.pid)
        kill $process
        while [ -e /proc/$process/exe ]; do sleep 0.05; done
        rm /run/$name.pid
    fi
}
start() {
    mkdir -p /run/$name
    socket=/run/$name/$name.sock
    command=$(cat $unit $unit.d/*.conf 2>/dev/null | sed -n 's/^ExecStart=\(..*\)/\1/p')
    $(echo "$command" | tail -n 1) >>/run/$name.log 2>&1 </dev/null &
    echo $! >/run/$name.pid
    connect="import socket; socket.socket(1).connect('$socket')"
    until python3 -c "$connect" 2>/dev/null; do
        [ -e "/proc/$(cat /run/$name.pid)/exe" ] || { cat /run/$name.log >&2; exit 1; }
        sleep 0.05
    done
}
case $verb in
enable | start) start ;;
stop) stop ;;
restart) stop; start ;;
*) echo "systemctl: no $verb here" >&2; exit 1 ;;
esac
"""


def commands() -> list[str]:
    page = (REPOSITORY / "docs/operations.md").read_text()
    blocks = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    return re.findall(r"^[#$] (.*)$", "\n".join(blocks), re.MULTILINE)


@pytest.fixture
def machine(sandbox: Sandbox) -> Sandbox:
    require_generation("packaged")
    if shutil.which("curl") is None:
        pytest.skip("the page's curl is not installed")
    for place in ("/etc", "/usr/local/bin"):
        overlaid(sandbox, place)
    for place in ("/run", "/var/lib", "/var/backups", "/opt"):
        sandbox.run("mount", "-t", "tmpfs", "tmpfs", place)
    sandbox.run("sh", "-c", "rm -rf /etc/containerd /etc/snapfs")
    program = (
        f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m snapfs "$@"\n'
    )
    for name, text in (("snapfs", program), ("systemctl", SYSTEMCTL)):
        written(sandbox, f"/usr/local/bin/{name}", text)
        sandbox.run("chmod", "755", f"/usr/local/bin/{name}")
    sandbox.run("mkdir", "-p", "/etc/systemd/system")
    written(sandbox, "/etc/systemd/system/containerd.service", CONTAINERD_UNIT)
    return sandbox


def overlaid(sandbox: Sandbox, place: str) -> None:
    """Let ``place`` be changed without changing the host's."""
    own = sandbox.home / place.strip("/").replace("/", "-")
    sandbox.run("mkdir", "-p", own)
    sandbox.run("mount", "-t", "tmpfs", "tmpfs", own)
    sandbox.run("mkdir", own / "upper", own / "work")
    options = f"lowerdir={place},upperdir={own}/upper,workdir={own}/work"
    sandbox.run("mount", "-t", "overlay", "-o", options, "overlay", place)


def written(sandbox: Sandbox, path: str, text: str) -> None:
    sandbox.run("sh", "-c", f'printf %s "$1" >{path}', "sh", text)


@pytest.mark.root
@pytest.mark.containerd
@pytest.mark.slow
def test_every_command_of_the_page_runs(machine: Sandbox, archive: Path) -> None:
    said: dict[str, str] = {}

    for command in commands():
        said[command] = machine.run(
            "sh", "-ec", f"cd {REPOSITORY}; PATH=/usr/local/bin:$PATH; {command}"
        )
        if command == "systemctl restart containerd":  # something to save and to check
            words = ("ctr", "images", "import", "--snapshotter", "snapfs")
            machine.run(*words, archive)

    assert len(said) >= 20
    assert (
        "/etc/snapfs/config.toml"
        in said["snapfs config show --config /etc/snapfs/config.toml"]
    )
    assert "snapfs_snapshots 3.0" in said["curl -sf http://127.0.0.1:9477/metrics"]
    assert len(said["snapfs ls"].splitlines()) == 4
    # What was restored is what was saved: containerd runs on.
    left = machine.run("ctr", "snapshots", "--snapshotter", "snapfs", "ls")
    assert left.count("Committed") == 3
    assert IMAGE in machine.run("ctr", "images", "ls", "-q")
    for name in ("containerd", "snapfs"):
        machine.run("/usr/local/bin/systemctl", "stop", name)


@pytest.mark.parametrize("unit", ["snapfs.service", "snapfs.socket"])
def test_systemd_understands_the_units(unit: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    for path in UNITS.iterdir():
        text = path.read_text().replace("/usr/local/bin/snapfs", "/bin/true")
        (tmp_path / path.name).write_text(text)

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / unit],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
