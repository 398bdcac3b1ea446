from __future__ import annotations

import re
from pathlib import Path

import pytest

from snapfs.fuse.wire import OPCODE_COUNT, InitFlag, NotifyCode, Opcode, opcode_name

HEADER = Path("/usr/include/linux/fuse.h")


def constants(pattern: str) -> dict[str, int]:
    if not HEADER.exists():
        pytest.skip("needs linux/fuse.h (package linux-libc-dev)")
    found = re.findall(pattern, HEADER.read_text(), re.MULTILINE)
    return {name: int(value, 0) for name, value in found}


def test_opcodes_are_those_of_the_kernel_header() -> None:
    header = constants(r"^\tFUSE_(?!NOTIFY_(?!REPLY))([A-Z0-9_]+)\s*= (\d+),")

    ours = {name: int(code) for name, code in Opcode.__members__.items()}
    for other in ("MAX_NR_SECCTX", "INIT_BSWAP_RESERVED"):  # not operations
        header.pop(other, None)

    assert header.items() <= ours.items()


def test_notification_codes_are_those_of_the_kernel_header() -> None:
    header = constants(r"^\tFUSE_NOTIFY_(?!REPLY)([A-Z_]+)\s*= (\d+),")

    ours = {name: int(code) for name, code in NotifyCode.__members__.items()}

    assert header.items() <= ours.items()


def test_init_flags_are_those_of_the_kernel_header() -> None:
    shifts = constants(r"^#define FUSE_([A-Z0-9_]+)\s+\(1U?L?L? << (\d+)\)")

    known = {
        name: flag for name, flag in InitFlag.__members__.items() if name in shifts
    }

    assert len(known) > 30
    assert all(flag == 1 << shifts[name] for name, flag in known.items())


def test_an_opcode_is_shown_by_name_and_an_unknown_one_by_number() -> None:
    assert opcode_name(Opcode.READDIRPLUS) == "READDIRPLUS"
    assert opcode_name(99) == "99"
    assert OPCODE_COUNT == 54
