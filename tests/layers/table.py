"""The conformance table: every case."""

from __future__ import annotations

from typing import Final

from layers import object_cases, path_cases, whiteout_cases
from layers.case import Case

CASES: Final[tuple[Case, ...]] = (
    *whiteout_cases.SPECIFICATION,
    *whiteout_cases.WHITEOUTS,
    *whiteout_cases.OPAQUE,
    *object_cases.REPLACED,
    *object_cases.TWICE,
    *object_cases.LINKS,
    *object_cases.ATTRIBUTES,
    *path_cases.PATHS,
)
