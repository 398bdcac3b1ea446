from __future__ import annotations

import shlex

import pytest

from snapfs.cli.mounts import mount_command
from snapfs.model import Mount

from .conftest import CommandLine


def test_mounts_of_a_committed_snapshot_is_exit_code_5(snapfs: CommandLine) -> None:
    snapfs.store.prepare("work")
    snapfs.store.commit("base", "work")

    assert snapfs("mounts", "base").code == 5


def test_mounts_for_a_shell_are_ready_commands(snapfs: CommandLine) -> None:
    snapfs.store.prepare("work")

    outcome = snapfs("mounts", "work", "--shell", "--target", "/a b")

    [mount] = snapfs.store.mounts("work")
    assert outcome.out == f"mount -o rw,rbind -- {mount.source} '/a b'\n"


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        pytest.param(
            Mount("overlay", "overlay", options=("ro", "lowerdir=/it's/1:/$x;y/2")),
            [
                *("mount", "-t", "overlay", "-o", "ro,lowerdir=/it's/1:/$x;y/2"),
                *("--", "overlay", "/t"),
            ],
            id="quotes and dollars",
        ),
        pytest.param(
            Mount("bind", "-odd", options=("rw",)),
            ["mount", "-o", "rw", "--", "-odd", "/t"],
            id="a source like an option",
        ),
        pytest.param(
            Mount("tmpfs", "tmpfs", target="/run/x"),
            ["mount", "-t", "tmpfs", "--", "tmpfs", "/t/run/x"],
            id="a mount below the target",
        ),
    ],
)
def test_a_mount_command_is_quoted_for_the_shell(
    mount: Mount, words: list[str]
) -> None:
    assert shlex.split(mount_command(mount, "/t")) == words
