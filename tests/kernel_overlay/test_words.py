"""fstab-style words: flags of both mount APIs, and what is left."""

from __future__ import annotations

import pytest

from snapfs import syscalls
from snapfs.kernel_overlay.words import sort_out


def test_flags_and_data_are_told_apart() -> None:
    words = sort_out(["ro", "lowerdir=/a:/b", "nosuid", "index=off"])

    assert words.flags == syscalls.MS_RDONLY | syscalls.MS_NOSUID
    assert words.data == ("lowerdir=/a:/b", "index=off")


@pytest.mark.parametrize(
    ("options", "read_only"),
    [(["ro", "rw"], False), (["rw", "ro"], True), ([], False), (["ro"], True)],
)
def test_the_later_word_wins(options: list[str], read_only: bool) -> None:
    assert sort_out(options).is_read_only is read_only


@pytest.mark.parametrize(
    ("options", "attributes"),
    [
        (["rw"], 0),
        (["ro", "nosuid", "nodev", "noexec"], 0xF),
        (["noatime"], syscalls.MOUNT_ATTR_NOATIME),
        (["strictatime"], syscalls.MOUNT_ATTR_STRICTATIME),
        (["noatime", "nodiratime"], 0x90),
        (["noatime", "atime"], 0),
    ],
)
def test_flags_become_attributes_of_the_new_api(
    options: list[str], attributes: int
) -> None:
    assert sort_out(options).attributes == attributes


def test_flags_of_the_filesystem_become_its_parameters() -> None:
    assert sort_out(["ro", "sync", "dirsync", "nodev"]).parameters == (
        "ro",
        "sync",
        "dirsync",
    )
