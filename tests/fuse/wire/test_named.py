"""Integers with names behave as those of ``enum`` do."""

from __future__ import annotations

import enum
import pickle
import types
from types import ModuleType
from typing import Any

import pytest

from snapfs.fuse.wire import Opcode, named

BOTH = pytest.mark.parametrize("module", [enum, named], ids=["theirs", "ours"])


def codes_of(module: ModuleType) -> Any:  # noqa: ANN401  # a class of either
    class Code(module.IntEnum):  # type: ignore[misc,name-defined]  # of either
        """What is asked for."""

        READ = 3
        WRITE = 5

    return Code


def flags_of(module: ModuleType) -> Any:  # noqa: ANN401  # as above
    class Can(module.IntFlag):  # type: ignore[misc,name-defined]  # as above
        READ = 1
        WRITE = 4
        FAR = 1 << 40

    return Can


@BOTH
def test_a_code_is_its_number_and_has_a_name(module: ModuleType) -> None:
    code = codes_of(module)

    assert code.READ == 3
    assert code(5) is code.WRITE
    assert (code.WRITE.name, str(code.WRITE), repr(code.WRITE)) == (
        "WRITE",
        "5",
        "<Code.WRITE: 5>",
    )
    assert isinstance(code.READ, code)
    assert (list(code), len(code), max(code)) == ([3, 5], 2, 5)
    assert dict(code.__members__) == {"READ": 3, "WRITE": 5}
    assert {code.READ: "r"}[3] == "r"
    with pytest.raises(ValueError, match="4 is not a valid"):
        code(4)


@BOTH
def test_flags_are_joined_and_stay_flags(module: ModuleType) -> None:
    can = flags_of(module)

    both = can.READ | can.FAR

    assert both == 1 | 1 << 40
    assert repr(both) == f"<Can.READ|FAR: {int(both)}>"
    for made in (both, both & can.FAR, both ^ can.READ, ~can.READ, can(0), 1 | can.FAR):
        assert type(made) is can
    assert both & can.WRITE == 0
    assert both & ~can.READ == can.FAR
    assert can(1) == can.READ
    assert not can(0)
    assert can(both).name == "READ|FAR"
    assert f"{both:#x}" == "0x10000000001"


def test_what_python_itself_puts_into_a_class_is_no_member() -> None:
    body = {"READ": 1, "__firstlineno__": 7}  # since Python 3.13

    can: Any = types.new_class(
        "Can", (named.IntFlag,), exec_body=lambda into: into.update(body)
    )

    assert list(can) == [1]


def test_a_code_survives_pickle() -> None:
    assert pickle.loads(pickle.dumps(Opcode.READ)) is Opcode.READ
