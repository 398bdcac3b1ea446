"""Owners that are shown other than they are stored."""

from __future__ import annotations

import errno

import pytest

from snapfs.fuse.mount_config import IdRange, MountConfig
from snapfs.fuse.ownership import ownership_of


def test_without_a_wish_owners_are_shown_as_they_are() -> None:
    assert ownership_of(MountConfig()).is_identity


def test_ranges_map_both_ways_and_the_rest_is_nobody() -> None:
    config = MountConfig()
    config.uid_ranges = (IdRange(0, 1000, 1), IdRange(1, 110000, 100))
    config.gid_ranges = (IdRange(0, 2000, 10),)
    ownership = ownership_of(config)

    assert ownership.shown(0, 9) == (1000, 2009)
    assert ownership.shown(5, 10) == (110004, 65534)
    assert ownership.stored(110004, 2009) == (5, 9)
    with pytest.raises(OSError, match="not mapped") as caught:
        ownership.stored(0, 2000)
    assert caught.value.errno == errno.EINVAL


def test_squashing_comes_before_ranges() -> None:
    config = MountConfig()
    config.uid_ranges = (IdRange(0, 1000, 1),)
    config.squash_uid = 7
    ownership = ownership_of(config)

    assert ownership.shown(55, 66) == (7, 66)
    assert ownership.stored(1234, 66) == (7, 66)
