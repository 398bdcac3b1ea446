"""The mount table: lines as the kernel writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snapfs import mountinfo

PLAIN = (
    b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2"
    b" - ext3 /dev/root rw,errors=continue"
)


def table_of(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "mountinfo"
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def line_of(mount_id: int, parent_id: int, target: str) -> str:
    return f"{mount_id} {parent_id} 0:1 / {target} rw - tmpfs tmpfs rw"


def test_a_line_becomes_an_entry_with_every_field() -> None:
    assert mountinfo.parse(PLAIN) == mountinfo.MountEntry(
        mount_id=36,
        parent_id=35,
        device="98:0",
        root="/mnt1",
        target="/mnt2",
        options=("rw", "noatime"),
        propagation=("master:1", "propagate_from:2"),
        type="ext3",
        source="/dev/root",
        super_options=("rw", "errors=continue"),
    )


def test_a_line_without_optional_fields_or_source_is_understood() -> None:
    entry = mountinfo.parse(b"1 0 0:1 / /a rw - overlay  rw\n")

    assert entry.propagation == ()
    assert entry.source == ""


def test_escaped_bytes_come_back_as_they_were() -> None:
    entry = mountinfo.parse(
        rb"1 0 0:1 / /a\040b\011c\012d\134e rw - overlay overlay"
        rb" rw,lowerdir+=/x\054y\072z,index=off"
    )

    assert entry.target == "/a b\tc\nd\\e"
    assert entry.super_options == ("rw", "lowerdir+=/x,y:z", "index=off")


def test_a_backslash_without_three_octal_digits_is_itself() -> None:
    entry = mountinfo.parse(rb"1 0 0:1 / /\04\089\\0400\ rw - tmpfs tmpfs rw")

    assert entry.target == "/\\04\\089\\ 0\\"


def test_a_name_that_is_not_utf8_survives() -> None:
    entry = mountinfo.parse(b"1 0 0:1 / /\xff rw - tmpfs tmpfs rw")

    assert os.fsencode(entry.target) == b"/\xff"


def test_a_line_longer_than_a_page_is_one_entry(tmp_path: Path) -> None:
    layers = ":".join(f"/layers/{number}/fs" for number in range(2000))
    table = table_of(
        tmp_path, f"7 1 0:9 / /m rw - overlay overlay rw,lowerdir={layers}"
    )

    (entry,) = mountinfo.read(table)

    assert entry.super_options == ("rw", f"lowerdir={layers}")


@pytest.mark.parametrize("line", [b"", b"1 0 0:1 / /a rw", b"1 0 0:1 / /a rw - tmpfs"])
def test_what_is_no_line_of_the_table_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="not a line of mountinfo"):
        mountinfo.parse(line)


@pytest.mark.parametrize(
    ("options", "super_options", "expected"),
    [
        pytest.param(b"rw", b"rw", False, id="writable"),
        pytest.param(b"ro,nosuid", b"rw", True, id="mount-read-only"),
        pytest.param(b"rw", b"ro", True, id="filesystem-read-only"),
    ],
)
def test_read_only_is_seen_on_the_mount_and_on_the_filesystem(
    options: bytes, super_options: bytes, expected: bool
) -> None:
    line = b"1 0 0:1 / /a %s - tmpfs tmpfs %s" % (options, super_options)

    assert mountinfo.parse(line).is_read_only is expected


def test_find_returns_the_topmost_of_stacked_mounts(tmp_path: Path) -> None:
    # The kernel may list a mount that was put beneath another one after it.
    table = table_of(
        tmp_path,
        line_of(1, 0, "/"),
        line_of(9, 7, "/snapfs-m"),
        line_of(7, 1, "/snapfs-m"),
    )

    entry = mountinfo.find("/snapfs-m", table=table)

    assert entry is not None
    assert entry.mount_id == 9


def test_find_of_a_plain_directory_is_none(tmp_path: Path) -> None:
    assert mountinfo.find(str(tmp_path)) is None


def test_mounts_below_leaves_siblings_of_a_similar_name_out(tmp_path: Path) -> None:
    targets = ["/", "/snapfs-s", "/snapfs-s/1", "/snapfs-s/1/a", "/snapfs-s2"]
    table = table_of(
        tmp_path, *(line_of(i + 1, i, target) for i, target in enumerate(targets))
    )

    below = mountinfo.mounts_below("/snapfs-s", table=table)
    everything = mountinfo.mounts_below("/", table=table)

    assert [entry.target for entry in below] == targets[1:4]
    assert [entry.target for entry in everything] == targets


def test_containing_finds_the_nearest_mount_above(tmp_path: Path) -> None:
    table = table_of(tmp_path, line_of(1, 0, "/"), line_of(2, 1, "/snapfs-s"))

    inside = mountinfo.containing("/snapfs-s/deep/below", table=table)
    outside = mountinfo.containing("/snapfs-s2/deep", table=table)

    assert inside is not None
    assert outside is not None
    assert (inside.mount_id, outside.mount_id) == (2, 1)


def test_the_real_table_has_proc_in_it() -> None:
    entry = mountinfo.find("/proc")

    assert entry is not None
    assert entry.type == "proc"
