"""Negotiation with the INITs of four kernels.

Each body is what that kernel sends: 16 bytes before 7.36 and 64 since, with the flags
that ``fuse_send_init()`` of that version offers without DAX and without virtiofs.
"""

from __future__ import annotations

import errno
import struct

import pytest

from snapfs.fuse.wire import (
    FAST_FLAGS,
    PASSTHROUGH_FLAGS,
    InitFlag,
    Negotiated,
    Wishes,
    negotiate,
)
from snapfs.fuse.wire import negotiation as negotiation_module
from snapfs.fuse.wire.structs import INIT_OUT

READAHEAD = 131072


def old_init(minor: int, flags: int) -> bytes:
    return struct.pack("<4I", 7, minor, READAHEAD, flags)


def new_init(minor: int, low: int, high: int) -> bytes:
    return struct.pack("<5I", 7, minor, READAHEAD, low, high) + bytes(44)


# Bits 0-25 without 2 (FILE_OPS), which no kernel offers.
BASE = 0x03FFFFFB
LINUX_5_4 = old_init(31, BASE)
LINUX_5_17 = new_init(36, BASE | 1 << 28 | 1 << 29 | 1 << 30, 1 << 0)
LINUX_6_9 = new_init(40, BASE | 1 << 28 | 1 << 29 | 1 << 30, 0xFD)
LINUX_6_18 = new_init(45, 0x73FFFFFB, 0x5FD)

RECORDED = [
    pytest.param(LINUX_5_4, 31, id="7.31"),
    pytest.param(LINUX_5_17, 36, id="7.36"),
    pytest.param(LINUX_6_9, 40, id="7.40"),
    pytest.param(LINUX_6_18, 45, id="7.45"),
]


@pytest.mark.parametrize(("body", "minor"), RECORDED)
def test_the_reply_repeats_what_was_negotiated(body: bytes, minor: int) -> None:
    agreed, reply = negotiate(body, Wishes())

    fields = INIT_OUT.unpack(reply)
    assert len(reply) == 64
    assert fields[:3] == (7, minor, 1 << 20)
    assert fields[3] | fields[10] << 32 == agreed.flags
    assert fields[6] == agreed.max_write == 1 << 20
    assert fields[8] == agreed.max_pages == 256
    assert agreed.minor == minor


@pytest.mark.parametrize(("body", "minor"), RECORDED)
def test_nothing_is_agreed_that_was_not_offered(body: bytes, minor: int) -> None:
    everything = InitFlag((1 << 43) - 1) & ~InitFlag.WRITEBACK_CACHE

    agreed, _ = negotiate(body, Wishes(flags=everything, max_stack_depth=1))

    assert agreed.flags & ~agreed.offered == 0
    assert agreed.minor == minor


@pytest.mark.parametrize(("body", "minor"), RECORDED)
def test_the_fast_mode_opens_without_messages_everywhere(
    body: bytes, minor: int
) -> None:
    agreed, _ = negotiate(body, Wishes(flags=FAST_FLAGS))

    assert agreed.has(InitFlag.NO_OPEN_SUPPORT | InitFlag.NO_OPENDIR_SUPPORT)
    assert agreed.has(InitFlag.EXPLICIT_INVAL_DATA)
    assert not agreed.flags & (InitFlag.ATOMIC_O_TRUNC | InitFlag.AUTO_INVAL_DATA)
    assert agreed.has(InitFlag.HANDLE_KILLPRIV_V2) is (minor >= 33)


def test_flags2_is_sent_only_where_the_kernel_reads_it() -> None:
    old, _ = negotiate(LINUX_5_4, Wishes(flags=PASSTHROUGH_FLAGS, max_stack_depth=1))
    new, _ = negotiate(LINUX_6_9, Wishes(flags=PASSTHROUGH_FLAGS, max_stack_depth=1))

    assert old.flags >> 32 == 0
    assert not old.has(InitFlag.INIT_EXT)
    assert new.has(InitFlag.INIT_EXT | InitFlag.PASSTHROUGH)


@pytest.mark.parametrize(
    ("depth", "extra", "is_agreed"),
    [
        pytest.param(0, InitFlag(0), False, id="no depth"),
        pytest.param(1, InitFlag(0), True, id="depth 1"),
        pytest.param(2, InitFlag(0), True, id="depth 2"),
        pytest.param(3, InitFlag(0), False, id="too deep"),
        pytest.param(1, InitFlag.WRITEBACK_CACHE, False, id="write-back cache"),
    ],
)
def test_passthrough_is_claimed_only_where_the_kernel_grants_it(
    depth: int, extra: InitFlag, is_agreed: bool
) -> None:
    wishes = Wishes(flags=PASSTHROUGH_FLAGS | extra, max_stack_depth=depth)

    agreed, reply = negotiate(LINUX_6_18, wishes)

    assert agreed.has(InitFlag.PASSTHROUGH) is is_agreed
    assert agreed.max_stack_depth == INIT_OUT.unpack(reply)[11]
    assert agreed.max_stack_depth == (depth if is_agreed else 0)


def test_a_lower_minor_hides_what_came_later() -> None:
    wishes = Wishes(flags=FAST_FLAGS | InitFlag.PASSTHROUGH, minor=31)

    agreed, reply = negotiate(LINUX_6_18, wishes)

    later = (
        InitFlag.HANDLE_KILLPRIV_V2
        | InitFlag.SETXATTR_EXT
        | InitFlag.INIT_EXT
        | InitFlag.NO_EXPORT_SUPPORT
        | InitFlag.HAS_RESEND
    )
    assert INIT_OUT.unpack(reply)[1] == agreed.minor == 31
    assert not agreed.flags & later
    assert agreed.flags >> 32 == 0


def test_without_max_pages_a_write_has_32_pages() -> None:
    agreed, _ = negotiate(LINUX_6_18, Wishes(flags=FAST_FLAGS & ~InitFlag.MAX_PAGES))

    assert agreed.max_pages == 32
    assert agreed.max_write == 32 * 4096


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(old_init(30, BASE), id="7.30"),
        pytest.param(struct.pack("<4I", 8, 0, READAHEAD, 0), id="8.0"),
        pytest.param(LINUX_5_4[:12], id="cut off"),
    ],
)
def test_no_common_protocol_is_an_error(body: bytes) -> None:
    with pytest.raises(OSError, match=r"FUSE|INIT") as caught:
        negotiate(body, Wishes())

    assert caught.value.errno == errno.EPROTO


def test_a_newer_major_is_asked_to_try_ours() -> None:
    fields = INIT_OUT.unpack(negotiation_module.downgrade_reply())

    assert fields[:2] == (7, 45)
    assert not any(fields[2:])


@pytest.mark.parametrize(("body", "minor"), RECORDED)
def test_the_state_survives_as_bytes(body: bytes, minor: int) -> None:
    agreed, _ = negotiate(body, Wishes(flags=PASSTHROUGH_FLAGS, max_stack_depth=2))

    again = Negotiated.from_bytes(agreed.to_bytes())

    assert again == agreed
    assert isinstance(again.flags, InitFlag)
    assert again.minor == minor
