"""Every command of ``docs/mounting.md``, run as it is written there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from support.applied_layers import entry, tar_of
from support.layouts import LayoutWriter
from support.sandbox import REPOSITORY, Sandbox
from support.shell_image import shell_layer

pytestmark = [pytest.mark.root, pytest.mark.fuse, pytest.mark.containerd]


@pytest.fixture
def machine(sandbox: Sandbox) -> Sandbox:
    """A sandbox with snapfs, the page's image ``app`` and its archive ``app.tar``."""
    if shutil.which("runc") is None:
        pytest.skip("runc is not installed")
    program = sandbox.home / "bin" / "snapfs"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m snapfs "$@"\n'
    )
    program.chmod(0o755)
    sandbox.run("mount", "-t", "tmpfs", "tmpfs", "/mnt")
    writer = LayoutWriter(sandbox.home / "app")
    writer.add_layer([shell_layer({"etc/os-release": "ID=test\n", "gone": "gone"})])
    writer.add_layer([tar_of([entry("etc/os-release", b"ID=newer\n")])])
    writer.add_layer([tar_of([entry(".wh.gone")])])
    layout = writer.finish()
    subprocess.run(
        ["tar", "-C", layout, "-cf", sandbox.home / "app.tar", "."], check=True
    )
    return sandbox


def commands() -> list[str]:
    page = (REPOSITORY / "docs/mounting.md").read_text()
    blocks = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    return re.findall(r"^[#$] (.*)$", "\n".join(blocks), re.MULTILINE)


def test_every_command_of_the_page_runs(machine: Sandbox) -> None:
    said = []

    for command in commands():
        if command.startswith("getfattr") and shutil.which("getfattr") is None:
            continue  # the package attr; blame says the same
        # No registry is asked: whatever its name, it is the page's image.
        local = re.sub(r"docker://\S+", "oci:app", command)
        local = local.replace("/tmp/box", f"{machine.home}/box")
        script = f"cd {machine.home}; PATH={machine.home}/bin:$PATH; {local}"
        environment = {"SNAPFS_ROOT": f"{machine.home}/store", "SHELL": "/bin/sh"}
        said.append(machine.run("sh", "-ec", script, env=environment).strip())

    assert len(said) >= 12
    blamed = next(text for text in said if "supplies" in text)
    assert [line.split()[:2] for line in blamed.splitlines()][1] == ["2", "supplies"]
    assert any("removes" in text for text in said)
