from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from snapfs.fuse.session import Reply, Request, Session
from snapfs.fuse.wire import Opcode
from support.fuse_memory import MemoryFilesystem, served
from support.refusals import refused
from support.sandbox import wait_until

pytestmark = [pytest.mark.root, pytest.mark.fuse]


def notify(session: Session, call: str, *args: object) -> bool:
    """Send a notification, or skip the test where the kernel has not got it."""
    try:
        return bool(getattr(session.notifier, call)(*args))
    except OSError as error:
        if error.errno == errno.EINVAL:
            pytest.skip(f"this kernel does not know {call}")
        raise


def test_an_invalidated_entry_is_looked_up_again(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b"", b"b": b""})
    mnt = tmp_path / "mnt"

    with served(filesystem, mnt) as session:
        for _ in range(3):
            os.stat(mnt / "a")
            os.stat(mnt / "b")
        before = list(filesystem.looked_up)
        was_known = notify(session, "invalidate_entry", 1, b"a")
        is_known = notify(session, "invalidate_entry", 1, b"never seen")
        os.stat(mnt / "a")
        os.stat(mnt / "b")
        after = list(filesystem.looked_up)

    assert before == [b"a", b"b"]
    assert after == [b"a", b"b", b"a"]
    assert (was_known, is_known) == (True, False)


def test_an_expired_entry_is_looked_up_again(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b""})

    with served(filesystem, tmp_path / "mnt") as session:
        os.stat(tmp_path / "mnt" / "a")
        notify(session, "expire_entry", 1, b"a")
        os.stat(tmp_path / "mnt" / "a")
        count = filesystem.looked_up.count(b"a")

    assert count == 2


def test_a_new_epoch_has_every_name_looked_up_again(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b"", b"b": b""})
    mnt = tmp_path / "mnt"

    with served(filesystem, mnt) as session:
        for name in ("a", "b", "a", "b"):
            os.stat(mnt / name)
        notify(session, "increment_epoch")
        os.stat(mnt / "a")
        os.stat(mnt / "b")
        looked_up = list(filesystem.looked_up)

    assert looked_up == [b"a", b"b", b"a", b"b"]


def test_an_invalidated_inode_loses_its_attributes_and_pages(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b"old"})
    file = tmp_path / "mnt" / "a"

    with served(filesystem, tmp_path / "mnt") as session:
        file.read_bytes()
        filesystem.data[0][:] = b"new"
        cached = file.read_bytes()
        notify(session, "invalidate_inode", 2)
        fresh = file.read_bytes()
        is_known = notify(session, "invalidate_inode", 77)

    assert (cached, fresh) == (b"old", b"new")
    assert not is_known


def test_stored_data_is_read_without_a_request(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b"from the server"})

    with served(filesystem, tmp_path / "mnt") as session:
        os.stat(tmp_path / "mnt" / "a")
        notify(session, "store", 2, 0, b"stored by us...")
        content = (tmp_path / "mnt" / "a").read_bytes()
        reads = session.statistics.requests[Opcode.READ]

    assert (content, reads) == (b"stored by us...", 0)


def test_retrieved_data_comes_as_a_notify_reply(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b"cached"})
    replies: list[bytes] = []
    filesystem.handlers[Opcode.NOTIFY_REPLY] = lambda request: replies.append(
        bytes(request.body[40:])
    )

    with served(filesystem, tmp_path / "mnt") as session:
        (tmp_path / "mnt" / "a").read_bytes()
        notify(session, "retrieve", 1, 2, 0, 6)
        wait_until(lambda: replies, "the data")

    assert replies == [b"cached"]


def test_a_deleted_name_is_gone_for_the_kernel(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b"", b"b": b""})

    with served(filesystem, tmp_path / "mnt") as session:
        os.stat(tmp_path / "mnt" / "a")
        os.stat(tmp_path / "mnt" / "b")
        filesystem.names[0] = b""
        was_known = notify(session, "delete", 1, 2, b"a")
        was_another = notify(session, "delete", 1, 77, b"b")
        with refused(errno.ENOENT):
            os.stat(tmp_path / "mnt" / "a")

    assert (was_another, was_known) == (False, True)


def test_pruned_nodes_are_forgotten(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b"", b"b": b""})
    mnt = tmp_path / "mnt"

    with served(filesystem, mnt) as session:
        os.stat(mnt / "a")
        in_use = os.open(mnt / "b", os.O_RDONLY)
        notify(session, "prune", [2, 3])
        wait_until(lambda: 2 in filesystem.forgotten, "the FORGET")
        forgotten = list(filesystem.forgotten)
        os.close(in_use)

    assert forgotten == [2]


def test_an_entry_can_be_invalidated_after_the_reply_that_changes_it(
    tmp_path: Path,
) -> None:
    filesystem = MemoryFilesystem({b"a": b"", b"b": b""})
    mnt = tmp_path / "mnt"
    told: list[bool] = []

    session: Session

    def tell() -> None:
        told.append(session.notifier.invalidate_entry(1, b"b"))

    def unlink_and_tell(request: Request) -> Reply:
        session.after_reply(tell)
        return filesystem.unlink(request)

    filesystem.handlers[Opcode.UNLINK] = unlink_and_tell
    with served(filesystem, mnt) as session:
        os.stat(mnt / "a")
        os.stat(mnt / "b")
        os.unlink(mnt / "a")
        wait_until(lambda: told, "the notification")
        os.stat(mnt / "b")
        count = filesystem.looked_up.count(b"b")

    assert told == [True]
    assert count == 2
