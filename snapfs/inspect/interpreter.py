"""What the kernel needs to start a program: the interpreter that its first bytes name.

Sources: binfmt_script.c and binfmt_elf.c of the kernel; elf(5).
"""

from __future__ import annotations

import os
import re
import struct
from typing import Final

HEAD_BYTES: Final = 4096
"""How much of a program is looked at; linkers put the name into the first page."""

_SCRIPT_BYTES: Final = 256  # BINPRM_BUF_SIZE
_SCRIPT: Final = re.compile(rb"#![ \t]*([^ \t\n]+)")

_ELF: Final = b"\x7fELF"
_ORDERS: Final = {1: "<", 2: ">"}
_PT_INTERP: Final = 3
# For each class: where e_phoff, e_phentsize and e_phnum are in the header; then type,
# offset and size in a program header.
_HEADERS: Final = {1: ("I", 28, "HH", 42), 2: ("Q", 32, "HH", 54)}
_SEGMENTS: Final = {1: "IIIII", 2: "IIQQQQ"}


def interpreter(head: bytes) -> str:
    """Return the path of a script's interpreter, or of a program's dynamic linker.

    ``head`` is how the file begins. "" for what needs none, and for what is damaged:
    that fails in another way.
    """
    # Not stripped of "\r": the kernel does not do so, and Windows' lines fail.
    line = _SCRIPT.match(head[:_SCRIPT_BYTES])
    if line is not None:
        return os.fsdecode(line[1])
    return _linker(head) if head.startswith(_ELF) else ""


def _linker(head: bytes) -> str:
    try:
        kind, order = head[4], _ORDERS[head[5]]
        offset_code, offset_at, count_code, count_at = _HEADERS[kind]
        (start,) = struct.unpack_from(order + offset_code, head, offset_at)
        size, count = struct.unpack_from(order + count_code, head, count_at)
        for number in range(count):
            at = start + number * size
            if at > len(head):
                break
            parts = struct.unpack_from(order + _SEGMENTS[kind], head, at)
            if parts[0] == _PT_INTERP:
                return _name(head, kind, parts)
    except (IndexError, KeyError, struct.error):
        pass  # cut off, or no program after all
    return ""


def _name(head: bytes, kind: int, parts: tuple[int, ...]) -> str:
    # In 32 bits: type, offset, addresses, size; in 64 the flags come second.
    offset, size = (parts[1], parts[4]) if kind == 1 else (parts[2], parts[5])
    name = head[offset : offset + size].partition(b"\0")
    return os.fsdecode(name[0]) if name[1] else ""
