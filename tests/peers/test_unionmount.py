"""unionmount-testsuite on mounts of the engine, beside kernel overlayfs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from support import peer_programs, unionmount_suite
from support.union_kinds import UnionKind

pytestmark = [
    pytest.mark.peers,
    pytest.mark.full,
    pytest.mark.root,
    pytest.mark.fuse,
    pytest.mark.slow,
]

FUSE = f"--fuse={unionmount_suite.LAUNCHER}"
ROTATED = ("rename-mass", "rmdir", "unlink", "hard-link")

XDEV = "rw,redirect_dir=off"

# With --verify the suite looks between open(2) and the first write(2) whether the file
# was copied up. In the mode "fast" the server hears of no open(2), and copies at the
# first change: these files of the suite stop there, whatever else they would find.
COPIED_AT_OPEN = {"open-plain", "open-creat", "impermissible", "rmdir"}

# Its flags, the files to run (none: all), and the options of the mount.
VARIANTS = [
    pytest.param("--ov", (), (), "rw", id="redirects"),
    pytest.param("--ov", ("--xdev",), (), XDEV, id="exdev"),
    pytest.param("--ov=1", (), (), "rw", id="layers-rotated"),
    pytest.param("--ov=3", (), ROTATED, "rw", id="three-layers"),
]
VERIFIED = [
    pytest.param("--ov", ("--verify",), (), "rw", id="redirects-verified"),
    pytest.param("--ov", ("--xdev", "--verify"), (), XDEV, id="exdev-verified"),
    pytest.param("--ov=3", ("--verify",), ROTATED, "rw", id="three-layers-verified"),
]


@pytest.fixture(scope="module")
def suite() -> Path:
    program, obstacle = peer_programs.unionmount()
    if obstacle:
        pytest.skip(obstacle)
    return program


def check(
    suite: Path,
    mode: str,
    kind: str,
    flags: Sequence[str],
    files: Sequence[str],
    options: str,
    directory: Path,
) -> None:
    """Check that the engine passes all, and as many tests as the kernel."""
    if mode == "io" and (obstacle := UnionKind.SNAPFS_IO.obstacle()):
        pytest.skip(obstacle)
    ours = [kind, FUSE, *flags]
    text = unionmount_suite.launcher([f"mode={mode}"])
    kernel = unionmount_suite.run_suite(
        suite, directory / "kernel", [kind, *flags, *files]
    )
    assert kernel.problem == ""

    result = unionmount_suite.run_suite(
        suite,
        directory / "engine",
        [*ours, *files],
        program_text=text,
        mount_options=options,
    )

    if result.problem and not files:
        failing = unionmount_suite.failing_files(
            suite, directory / "file", ours, program_text=text, mount_options=options
        )
        pytest.fail(f"{failing}\n{result.problem}")
    assert result.problem == ""
    assert len(result.tests) == len(kernel.tests)


@pytest.mark.parametrize("mode", ["fast", "io"])
@pytest.mark.parametrize(("kind", "flags", "files", "options"), VARIANTS)
def test_the_engine_passes_as_many_tests_as_the_kernel(
    suite: Path,
    mode: str,
    kind: str,
    flags: Sequence[str],
    files: Sequence[str],
    options: str,
    passable: Path,
) -> None:
    check(suite, mode, kind, flags, files, options, passable)


@pytest.mark.parametrize(("kind", "flags", "files", "options"), VERIFIED)
def test_layers_and_inode_numbers_are_verified_where_open_copies_up(
    suite: Path,
    kind: str,
    flags: Sequence[str],
    files: Sequence[str],
    options: str,
    passable: Path,
) -> None:
    check(suite, "io", kind, flags, files, options, passable)


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        pytest.param((), "rw", id="redirects"),
        pytest.param(("--xdev",), XDEV, id="exdev"),
    ],
)
def test_layers_and_inode_numbers_are_verified_where_the_first_write_copies_up(
    suite: Path, flags: Sequence[str], options: str, passable: Path
) -> None:
    failing = unionmount_suite.failing_files(
        suite,
        passable / "file",
        ["--ov", FUSE, *flags, "--verify"],
        program_text=unionmount_suite.launcher(["mode=fast"]),
        mount_options=options,
    )

    assert failing.keys() <= COPIED_AT_OPEN
    assert all("Upper file is missing" in words for words in failing.values())
