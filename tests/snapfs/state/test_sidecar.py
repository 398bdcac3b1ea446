"""The sidecar: the last intact record counts, whatever a crash did to the file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapfs.errors import DataLossError
from snapfs.model import Durability, Kind, Owner
from snapfs.state.fsio import open_directory
from snapfs.state.paths import SIDECAR_NAME
from snapfs.state.sidecar import (
    SidecarRecord,
    append_sidecar,
    create_sidecar,
    read_sidecar,
    sidecar_says,
)

BLOCK = 4096
SECTOR = 512


def record(generation: int = 1, **labels: str) -> SidecarRecord:
    return SidecarRecord(
        generation=generation,
        snapshot_id=7,
        layer_id=7,
        key="default/12/extract-52037048-Hj63 sha256:89ec",
        parent="",
        parent_id=0,
        kind=Kind.ACTIVE,
        owner=Owner.LOCAL,
        labels=labels,
        created_ns=1,
        updated_ns=generation,
        driver="kernel",
        xattr_prefix="trusted.",
        root_opaque=False,
        durability=Durability.NONE,
    )


def create(directory: Path, first: SidecarRecord) -> Path:
    with open_directory(str(directory)) as descriptor:
        create_sidecar(descriptor, first)
    return directory / SIDECAR_NAME


def test_a_new_sidecar_says_its_record_in_whole_blocks(tmp_path: Path) -> None:
    file = create(tmp_path, record(a="b"))

    assert read_sidecar(str(tmp_path)) == record(a="b")
    assert file.stat().st_size % BLOCK == 0
    assert file.stat().st_mode & 0o777 == 0o600


def test_creating_refuses_a_file_that_is_there(tmp_path: Path) -> None:
    create(tmp_path, record())

    with pytest.raises(FileExistsError):
        create(tmp_path, record(2))


def test_an_append_stays_in_the_same_blocks(tmp_path: Path) -> None:
    file = create(tmp_path, record())
    before = file.stat()

    append_sidecar(str(tmp_path), record(2))

    assert read_sidecar(str(tmp_path)) == record(2)
    assert (file.stat().st_ino, file.stat().st_size) == (before.st_ino, before.st_size)


def test_appends_go_on_when_the_padding_is_used_up(tmp_path: Path) -> None:
    file = create(tmp_path, record())
    inodes = {file.stat().st_ino}

    for generation in range(2, 40):
        append_sidecar(str(tmp_path), record(generation))
        assert read_sidecar(str(tmp_path)) == record(generation)
        inodes.add(file.stat().st_ino)

    assert len(inodes) > 1
    assert file.stat().st_size == BLOCK
    assert os.listdir(tmp_path) == [SIDECAR_NAME]


@pytest.mark.parametrize("size", [1, 2047, 2048, 4000, 4096, 20_000])
def test_a_record_of_any_size_leaves_room_for_another(
    tmp_path: Path, size: int
) -> None:
    big = record(1, label="x" * size)

    file = create(tmp_path, big)

    used = len(file.read_bytes().rstrip(b"\0"))
    assert file.stat().st_size - used >= BLOCK // 2 - 1
    assert read_sidecar(str(tmp_path)) == big


def test_a_torn_append_at_every_byte_leaves_the_record_before(tmp_path: Path) -> None:
    file = create(tmp_path, record())
    before = file.read_bytes()
    append_sidecar(str(tmp_path), record(2, label="value"))
    after = file.read_bytes()
    start = len(before.rstrip(b"\0"))
    line_end = len(after.rstrip(b"\0"))

    for cut in range(start, line_end):
        file.write_bytes(after[:cut] + before[cut:])
        # All but the final newline is the whole record.
        expected = record(2, label="value") if cut == line_end - 1 else record()
        assert read_sidecar(str(tmp_path)) == expected, cut


def test_a_line_that_lost_its_end_does_not_spoil_the_next(tmp_path: Path) -> None:
    # The newline can be the first byte of a sector that was never written.
    file = create(tmp_path, record(1))
    append_sidecar(str(tmp_path), record(2))
    content = file.read_bytes()
    end = content.rindex(b"\n")
    file.write_bytes(content[:end] + b"\0" + content[end + 1 :])

    append_sidecar(str(tmp_path), record(3))

    assert read_sidecar(str(tmp_path)) == record(3)


def test_a_line_that_lost_its_end_counts_until_the_next_is_whole(
    tmp_path: Path,
) -> None:
    file = create(tmp_path, record(1))
    append_sidecar(str(tmp_path), record(2))
    file.write_bytes(file.read_bytes().rstrip(b"\n\0").ljust(BLOCK, b"\0"))
    before = file.read_bytes()
    append_sidecar(str(tmp_path), record(3))
    after = file.read_bytes()
    start, end = len(before.rstrip(b"\0")), len(after.rstrip(b"\0"))

    for cut in range(start, end - 1):
        file.write_bytes(after[:cut] + before[cut:])

        assert read_sidecar(str(tmp_path)) == record(2), cut


def test_an_append_after_a_torn_one_counts(tmp_path: Path) -> None:
    file = create(tmp_path, record())
    before = file.read_bytes()
    append_sidecar(str(tmp_path), record(2, label="a value that is long enough"))
    after = file.read_bytes()
    start = len(before.rstrip(b"\0"))

    for cut in range(start, len(after.rstrip(b"\0")) - 1, 7):
        file.write_bytes(after[:cut] + before[cut:])
        append_sidecar(str(tmp_path), record(3))
        assert read_sidecar(str(tmp_path)) == record(3), cut
        append_sidecar(str(tmp_path), record(4))
        assert read_sidecar(str(tmp_path)) == record(4), cut


def test_an_append_whose_first_sector_is_lost_leaves_the_record_before(
    tmp_path: Path,
) -> None:
    # Sectors reach the disk in any order: the end of a line may, its start not.
    file = create(tmp_path, record())
    before = file.read_bytes()
    append_sidecar(str(tmp_path), record(2, label="x" * 1500))
    after = file.read_bytes()
    start = len(before.rstrip(b"\0"))
    boundary = (start // SECTOR + 1) * SECTOR

    file.write_bytes(before[:boundary] + after[boundary:])

    assert read_sidecar(str(tmp_path)) == record()
    append_sidecar(str(tmp_path), record(3))
    assert read_sidecar(str(tmp_path)) == record(3)


def test_an_append_counts_although_an_older_record_is_damaged(tmp_path: Path) -> None:
    # Written over the damaged record, it would stand before the third.
    file = create(tmp_path, record(1))
    end_of_first = len(file.read_bytes().rstrip(b"\0"))
    append_sidecar(str(tmp_path), record(2))
    append_sidecar(str(tmp_path), record(3))
    content = bytearray(file.read_bytes())
    content[end_of_first + 20] ^= 0xFF
    file.write_bytes(content)

    append_sidecar(str(tmp_path), record(4))

    assert read_sidecar(str(tmp_path)) == record(4)


def test_an_append_makes_a_missing_sidecar_anew(tmp_path: Path) -> None:
    append_sidecar(str(tmp_path), record(5))

    assert read_sidecar(str(tmp_path)) == record(5)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(bytes(BLOCK), id="blank"),
        pytest.param(b"\xff" * BLOCK, id="garbage"),
        pytest.param(b"deadbeef {}\n", id="wrong-checksum"),
        pytest.param(b"a3b5cd24 {}\n".replace(b"a3b5cd24", b"a4d0c4a9"), id="no-json"),
    ],
)
def test_a_sidecar_without_an_intact_record_is_damaged_until_the_next_append(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / SIDECAR_NAME).write_bytes(content)

    with pytest.raises(DataLossError, match="no intact record"):
        read_sidecar(str(tmp_path))

    append_sidecar(str(tmp_path), record(9))
    assert read_sidecar(str(tmp_path)) == record(9)


def test_a_missing_sidecar_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataLossError, match=SIDECAR_NAME):
        read_sidecar(str(tmp_path))


def test_an_append_follows_no_link(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    (tmp_path / SIDECAR_NAME).symlink_to(target)

    with pytest.raises(OSError, match="symbolic link"):
        append_sidecar(str(tmp_path), record())

    assert target.read_bytes() == b"precious"


@dataclasses.dataclass(frozen=True)
class Step:
    """An append; ``torn_at`` says how many of its bytes reached the disk."""

    label: str
    torn_at: int | None


steps = st.lists(
    st.builds(
        Step,
        st.text(st.characters(codec="utf-8"), max_size=900),
        st.none() | st.integers(0, 1000),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=40, database=None)
@given(steps)
def test_the_last_intact_record_wins_over_any_history(
    tmp_path_factory: pytest.TempPathFactory, history: Sequence[Step]
) -> None:
    directory = tmp_path_factory.mktemp("sidecar")
    file = create(directory, record(1))
    expected = record(1)

    for generation, step in enumerate(history, 2):
        before = file.read_bytes()
        inode = file.stat().st_ino
        new = record(generation, label=step.label)
        append_sidecar(str(directory), new)
        expected_now = new
        if step.torn_at is not None and file.stat().st_ino == inode:
            file.write_bytes(torn(before, file.read_bytes(), step.torn_at))
            expected_now = read_sidecar(str(directory))
            assert expected_now in (expected, new)
        expected = expected_now
        assert read_sidecar(str(directory)) == expected


def torn(before: bytes, after: bytes, written: int) -> bytes:
    """Return ``before`` with only the first bytes of the change in ``after``."""
    changed = [
        at
        for at, pair in enumerate(zip(before, after, strict=True))
        if pair[0] != pair[1]
    ]
    cut = changed[0] + written if changed else len(before)
    return after[:cut] + before[cut:]


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\0" * 100, id="padding"),
        pytest.param(b"00000000 {}\n", id="wrong-checksum"),
        pytest.param(b"torn", id="torn"),
    ],
)
@pytest.mark.parametrize("begin", [b"", b"torn\n", b"torn "])
def test_what_a_sidecar_says_is_what_would_be_read(
    tmp_path: Path, begin: bytes, end: bytes
) -> None:
    lines = {n: create_lines(tmp_path / str(n), record(n)) for n in (1, 2)}
    directory = tmp_path / "3"
    directory.mkdir()
    (directory / SIDECAR_NAME).write_bytes(lines[1] + begin + lines[2] + end)

    found = read_sidecar(str(directory))

    assert found.generation == (1 if begin == b"torn " else 2)
    for wanted in (record(1), record(2), record(2, a="b")):
        assert sidecar_says(str(directory), wanted) is (found == wanted)


def create_lines(directory: Path, first: SidecarRecord) -> bytes:
    directory.mkdir()
    return create(directory, first).read_bytes().rstrip(b"\0")


def test_a_sidecar_of_equal_words_in_another_order_says_the_same(
    tmp_path: Path,
) -> None:
    create(tmp_path, record(a="1", b="2"))

    assert sidecar_says(str(tmp_path), record(b="2", a="1"))


def test_a_sidecar_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataLossError, match="cannot be read"):
        sidecar_says(str(tmp_path), record())


def test_a_sidecar_without_maps_is_that_of_an_older_version(tmp_path: Path) -> None:
    content = create(tmp_path, record()).read_bytes()

    assert b"_map" not in content
    assert read_sidecar(str(tmp_path)).uid_map == ""
