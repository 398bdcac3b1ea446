"""Attributes as they travel to the kernel."""

from __future__ import annotations

import os
from pathlib import Path

from snapfs.fuse.mount_config import IdRange, MountConfig
from snapfs.fuse.operations.replies import Replies
from snapfs.fuse.ownership import ownership_of
from snapfs.fuse.wire import structs


def test_an_entry_brings_timeouts_and_attributes(tmp_path: Path) -> None:
    status = tmp_path.stat()
    replies = Replies(1.5, ownership_of(MountConfig()))

    fields = structs.ENTRY_ATTR.unpack(replies.entry(9, status, 77, 3))

    assert fields[:6] == (9, 0, 1, 1, 500_000_000, 500_000_000)
    assert fields[6] == 77
    assert fields[15:19] == (status.st_mode, 3, status.st_uid, status.st_gid)


def test_times_before_1970_keep_their_sign(tmp_path: Path) -> None:
    os.utime(tmp_path, ns=(-1_500_000_000, -1))
    replies = Replies(0, ownership_of(MountConfig()))

    reply = replies.attributes(tmp_path.stat(), 1, 1)

    fields = structs.ATTR_OUT.unpack(reply)
    assert fields[5:7] == (-2, -1)
    assert fields[8:10] == (500_000_000, 999_999_999)


def test_a_name_that_does_not_exist_is_kept_as_long() -> None:
    negative = Replies(60, ownership_of(MountConfig())).negative

    assert len(negative) == structs.ENTRY_ATTR.size
    assert structs.ENTRY.unpack_from(negative)[:3] == (0, 0, 60)


def test_owners_are_shown_by_the_mapping(tmp_path: Path) -> None:
    config = MountConfig()
    config.uid_ranges = config.gid_ranges = (IdRange(0, 4000, 1 << 20),)
    status = tmp_path.stat()

    packed = Replies(0, ownership_of(config)).packed(status, 1, 1)

    fields = structs.ATTR.unpack(packed)
    assert fields[11:13] == (4000 + status.st_uid, 4000 + status.st_gid)


def test_directories_can_all_show_one_link(tmp_path: Path) -> None:
    replies = Replies(0, ownership_of(MountConfig()), has_static_nlink=True)
    (tmp_path / "file").write_text("")

    def links(path: Path, nlink: int) -> int:
        shown: int = structs.ATTR.unpack(replies.packed(path.stat(), 1, nlink))[10]
        return shown

    assert links(tmp_path, 5) == 1
    assert links(tmp_path, 0) == 0
    assert links(tmp_path / "file", 5) == 5
