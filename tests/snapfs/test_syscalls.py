"""The system calls, called for real."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from snapfs import overlay_format, syscalls

PROC_SUPER_MAGIC = 0x9FA0
DT_DIR, DT_REG, DT_LNK = 4, 8, 10

needs_root = pytest.mark.skipif(
    overlay_format.fitting_prefix() is not overlay_format.XattrPrefix.TRUSTED,
    reason="needs CAP_SYS_ADMIN in the initial user namespace",
)


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_mount_refuses_data_that_the_kernel_would_cut(tmp_path: Path) -> None:
    data = b"x" * (syscalls.MOUNT_DATA_MAX + 1)

    with pytest.raises(OSError, match=r"4096 bytes; the kernel reads 4095") as caught:
        syscalls.mount("none", tmp_path, "overlay", 0, data)

    assert caught.value.errno == errno.E2BIG
    assert caught.value.filename == tmp_path


def test_a_path_with_a_null_byte_is_refused_and_not_cut() -> None:
    with pytest.raises(ValueError, match="embedded null byte"):
        syscalls.statfs_type("/proc\0/nowhere")


def test_an_error_names_the_errno_and_the_path(tmp_path: Path) -> None:
    missing = tmp_path / "missing"

    with pytest.raises(FileNotFoundError) as caught:
        syscalls.statfs_type(missing)

    assert caught.value.filename == missing


def test_statfs_type_takes_a_path_or_a_descriptor() -> None:
    fd = os.open("/proc", os.O_PATH)
    try:
        by_descriptor = syscalls.statfs_type(fd)
    finally:
        os.close(fd)

    assert by_descriptor == syscalls.statfs_type("/proc") == PROC_SUPER_MAGIC


def test_entry_types_agree_with_lstat_over_several_buffers(tmp_path: Path) -> None:
    for number in range(1200):
        (tmp_path / f"file-with-a-rather-long-name-{number:04}").touch()
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("nowhere")

    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        found = dict(syscalls.entry_types(fd))
    finally:
        os.close(fd)

    assert found.keys() == {b".", b".."} | {
        os.fsencode(n) for n in os.listdir(tmp_path)
    }
    assert found[b"directory"] == DT_DIR
    assert found[b"link"] == DT_LNK
    assert found[b"file-with-a-rather-long-name-0000"] == DT_REG


def test_rename_without_replacing_keeps_both_names(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("old")
    new.write_text("new")

    with pytest.raises(FileExistsError):
        syscalls.renameat2(old, new, syscalls.RENAME_NOREPLACE)

    assert (old.read_text(), new.read_text()) == ("old", "new")


def test_rename_exchanges_two_names_relative_to_descriptors(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").write_text("file")
    fd = os.open(tmp_path, os.O_PATH)
    try:
        syscalls.renameat2(
            "a", "b", syscalls.RENAME_EXCHANGE, old_dir_fd=fd, new_dir_fd=fd
        )
    finally:
        os.close(fd)

    assert (tmp_path / "a").read_text() == "file"
    assert (tmp_path / "b").is_dir()


def test_syncfs_refuses_what_is_not_open() -> None:
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        syscalls.syncfs(-1)

    assert caught.value.errno == errno.EBADF


def test_the_idle_class_of_a_process_is_seen_from_outside() -> None:
    code = (
        "import os, subprocess; from snapfs import syscalls;"
        "syscalls.set_io_priority(syscalls.IOPRIO_CLASS_IDLE);"
        "print(subprocess.check_output(['ionice', '-p', str(os.getpid())]).decode())"
    )

    assert run_python(code) == "idle"


def test_unshare_enters_a_user_namespace_of_its_own() -> None:
    code = (
        "import os; from snapfs import syscalls;"
        "before = os.readlink('/proc/self/ns/user');"
        "syscalls.unshare(syscalls.CLONE_NEWUSER);"
        "print(before != os.readlink('/proc/self/ns/user'))"
    )

    assert run_python(code) == "True"


@pytest.mark.root
@needs_root
def test_umount2_of_a_plain_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Invalid argument") as caught:
        syscalls.umount2(tmp_path)

    assert caught.value.errno == errno.EINVAL
    assert caught.value.filename == tmp_path


@pytest.mark.root
@needs_root
def test_a_cloned_tree_can_be_read_only_before_anybody_sees_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tree = syscalls.clone_tree(tmp_path, recursive=True)
    try:
        syscalls.mount_setattr(tree, set_=syscalls.MOUNT_ATTR_RDONLY, recursive=True)
        with pytest.raises(OSError, match="Read-only file system"):
            os.open("file", os.O_WRONLY, dir_fd=tree)
    finally:
        os.close(tree)

    (tmp_path / "file").write_text("the original is as it was")


@pytest.mark.root
@needs_root
def test_a_parameter_that_overlayfs_does_not_know_is_explained_in_the_log() -> None:
    fd = syscalls.fsopen("overlay")
    try:
        with pytest.raises(OSError, match="Invalid argument"):
            syscalls.fsconfig_string(fd, "made_up", "1")
        log = os.read(fd, 8192)
    finally:
        os.close(fd)

    assert b"made_up" in log
