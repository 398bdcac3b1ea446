"""Mounts without root's privileges: through fusermount3, and in a user namespace."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.fuse.session import fusermount
from support.fuse_users import run_session

pytestmark = [pytest.mark.root, pytest.mark.fuse]


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that other users can reach; pytest's own they cannot."""
    with tempfile.TemporaryDirectory(prefix="snapfs-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_an_ordinary_user_mounts_through_fusermount3(home: Path) -> None:
    seen = run_session(home, before=(), set_uid_helper=True)

    assert seen == ["helper", "contents", "['fuse.snapfs-fuse']", "ended 0", "[]"]


def test_a_user_namespace_needs_no_helper(home: Path) -> None:
    before = ("unshare", "--user", "--mount", "--map-root-user")

    seen = run_session(home, before=before, set_uid_helper=False)

    assert seen == ["ready", "contents", "['fuse.snapfs-fuse']", "ended 0", "[]"]


def test_the_helper_says_why_it_refuses(home: Path) -> None:
    with pytest.raises(OSError, match=r"fusermount3: .*not mounted|Invalid") as caught:
        fusermount.unmount(bytes(home))

    assert caught.value.filename == bytes(home)


def test_a_missing_helper_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusermount, "_PLACES", ())

    with pytest.raises(FileNotFoundError, match="fusermount3 is not installed"):
        fusermount.find()
